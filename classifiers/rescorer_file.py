"""The file of a second stage: weights of a small transformer, its tokenizer and how it reads, in one ``.npz``.

Knows arrays and files; knows neither the first stage nor how weights are found.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.transformer import Array, Transformer, layers_of

FORMAT = 1
_ABOUT, _TOKENIZER, _SCALE = "about", "tokenizer", ":scale"


class RescorerFileError(ValueError):
    """A file that is no second stage, or not one of this version; the message names it."""


@dataclass(frozen=True)
class Reading:
    """How a second stage reads a document: its ``passages`` strongest passages of about ``words`` words, of each the
    first ``pieces`` word pieces; ``label`` is the one by whose score of the first stage passages are chosen."""

    label: str
    words: int = 90
    passages: int = 1
    pieces: int = 128


@dataclass(frozen=True)
class RescorerContent:
    """All that a file holds. ``mix`` gives for each of ``labels`` the weights of both stages' log-odds and a constant:
    their sum is the log-odds of the score. ``first_stage`` is the digest of the model that passages were chosen
    by in training, and that ``mix`` is for; ``made`` says how. ``weights`` have the names of `Transformer` and
    `classifiers.transformer.Layer`."""

    labels: tuple[str, ...]
    reading: Reading
    mix: tuple[tuple[float, float, float], ...]
    first_stage: str
    attention_heads: int
    n_layers: int
    tokenizer: str
    weights: Mapping[str, Array]
    made: dict[str, Any] = field(default_factory=dict)

    def transformer(self) -> Transformer:
        """The encoder with its heads."""
        named = {name: self.weights[name] for name in ("words", "positions", "norm", "heads", "heads_bias")}
        return Transformer(self.attention_heads, layers=layers_of(self.weights, self.n_layers), **named)


def write_rescorer(content: RescorerContent, path: str | Path) -> None:
    """Write a file; matrices in 8 bits with a scale for each row, by which they differ from those given by at most
    1/254 of the row's largest number. Equal content gives equal bytes."""
    about = {k: v for k, v in asdict(content).items() if k not in ("weights", "tokenizer")} | {"format": FORMAT}
    arrays = {_ABOUT: _bytes(json.dumps(about, sort_keys=True)), _TOKENIZER: _bytes(content.tokenizer)}
    for name, values in content.weights.items():
        arrays |= _stored(name, values)
    unfinished = Path(path).with_name(f".{Path(path).name}.unfinished.npz")
    try:
        np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _stored(name: str, values: Array) -> dict[str, NDArray[Any]]:
    if values.ndim < 2 or min(values.shape) < 3:  # biases and norms: small, and every digit of them counts
        return {name: values.astype(np.float32)}
    scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-12).astype(np.float32) / np.float32(127)
    return {name: np.rint(values / scale).astype(np.int8), name + _SCALE: scale}


def read_rescorer(path: str | Path) -> RescorerContent:
    """Read a file that `write_rescorer` made; raises `RescorerFileError` for any other."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        about = json.loads(bytes(arrays.pop(_ABOUT)))
        tokenizer = bytes(arrays.pop(_TOKENIZER)).decode()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise RescorerFileError(
            f"{path}: no second stage of tropescan ({error}); make one with 'rescorer train'"
        ) from None
    if about.pop("format", None) != FORMAT:
        raise RescorerFileError(f"{path}: of another version of tropescan; train it again")
    about |= {"labels": tuple(about["labels"]), "reading": Reading(**about["reading"])}
    about["mix"] = tuple((float(a), float(b), float(c)) for a, b, c in about["mix"])
    return RescorerContent(**about, tokenizer=tokenizer, weights=_restored(arrays))


def _restored(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
    found = {}
    for name, values in arrays.items():
        if not name.endswith(_SCALE):
            scale = arrays.get(name + _SCALE, np.float32(1))
            found[name] = np.asarray(values * scale, np.float32)
    return found


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


@lru_cache(maxsize=4)
def rescorer_digest(path: str | Path) -> str:
    """SHA-256 of the file, in hex."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
