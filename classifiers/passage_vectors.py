"""Vectors of texts from a sentence encoder on the local disk: the mean over a text's first passages.

Knows texts and the encoder's folder; knows neither labels nor models of ours.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifiers.passages import passages
from classifiers.word_vectors import open_encoder

PASSAGES, WORDS = 3, 120
"""At most so many passages of a text, each of about so many words; longer ones would be cut at 256 word pieces."""
TEXTS_AT_ONCE = 256


def first_passages(text: str) -> list[str]:
    """A text's first `PASSAGES`, of about `WORDS` words."""
    return passages(text, WORDS)[:PASSAGES]


class PassageEncoder:
    """Texts to vectors, float32 (texts, dim): the mean of the vectors of unit length of their `first_passages`.

    Vectors are kept by the text's SHA-256, in the file ``cache`` too if one is given, since a vector takes a thousand
    times as long as a score.
    """

    def __init__(self, encoder: str | Path, cache: str | Path | None = None) -> None:
        self._encoder = encoder
        self._cache = Path(cache) if cache else None
        self._known: dict[str, NDArray[np.float32]] = {}
        if self._cache and self._cache.exists():
            with np.load(self._cache) as stored:
                self._known = dict(zip(stored["digests"].tolist(), stored["vectors"], strict=True))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in self._known}
        for start in range(0, len(missing), TEXTS_AT_ONCE):
            self._encode(dict(list(missing.items())[start : start + TEXTS_AT_ONCE]))
            self._store()
        return np.stack([self._known[digest] for digest in digests])

    def _encode(self, texts: dict[str, str]) -> None:
        parts = [first_passages(text) for text in texts.values()]
        model = open_encoder(self._encoder)
        flat = model.encode([one for part in parts for one in part], normalize_embeddings=True, show_progress_bar=False)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        for digest, vectors in zip(texts, np.split(np.asarray(flat, np.float32), ends), strict=True):
            self._known[digest] = vectors.mean(axis=0)

    def _store(self) -> None:
        if self._cache is None:
            return
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._cache.with_suffix(".unfinished.npz")
        np.savez(unfinished, digests=np.array(list(self._known)), vectors=np.stack(list(self._known.values())))
        os.replace(unfinished, self._cache)
