"""Plain words by the definition, slowly, and models that have them: the other side of the tests of the kernel."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from small_models import model_file

from classifiers.fasttext_file import read_model, write_model
from classifiers.settings import with_plain_words

_CUT_CHARACTER = r"[\0-/:-@\[-`{-\x7f\x80-\xbf\u2000-\u2fff]"
_CUT_BYTES = rb"[\0-/:-@\[-`{-\x7f]|\xc2[\x80-\xbf]?|\xe2[\x80-\xbf]{0,2}"


def as_plain(text: bytes) -> bytes:
    """The text as a model with plain words reads it, for fastText: small letters, spaces for what cuts words.

    Of text that is not UTF-8, a lead byte of what cuts is cut with as many bytes as can belong to it.
    """
    try:
        plain = re.sub(_CUT_CHARACTER, " ", text.decode()).encode()
    except UnicodeDecodeError:
        plain = re.sub(_CUT_BYTES, b" ", text)
    return bytes(plain).lower()  # of bytes, `lower` changes A to Z alone


def plain_tokens(text: bytes) -> list[tuple[int, int]]:
    """First and last byte of each plain word in the text as it is."""
    cut = re.sub(_CUT_BYTES, lambda found: b" " * len(found[0]), text)
    return [(found.start(), found.end()) for found in re.finditer(rb"[^ ]+", cut)]


def prior_row(dim: int) -> NDArray[np.float32]:
    """Some prior, other for each dimension."""
    return np.linspace(-1.5, 2.5, dim, dtype=np.float32)


@cache
def plain_model_file(name: str, prior_weight: int = 0) -> Path:
    """The model of that name in `small_models.MODELS` with plain words and a prior; made on first use."""
    source = model_file(name)
    path = source.with_name(f"{source.stem}-plain-{prior_weight}.bin")
    model = read_model(source)
    write_model(with_plain_words(model, prior_weight, prior_row(model.dim)), path)
    return path
