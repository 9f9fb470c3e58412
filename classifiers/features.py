"""Texts to counts of words and of hashed pairs of words, exactly as the kernel reads plain words.

What a linear trainer works on. Knows neither labels nor how weights are found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from classifiers.fasttext_file import EOS
from classifiers.kernel.hashing import FNV_PRIME, FNV_START
from classifiers.kernel.ngrams import MULTIPLIER

_CUT = re.compile(rb"[\0-/:-@\[-`{-\x7f]+|\xc2[\x80-\xbf]|\xe2[\x80-\xbf]{2}")


def plain_words(text: str) -> list[bytes]:
    """The words of a text as `classifiers.settings.Settings` defines plain ones, in UTF-8."""
    return _CUT.sub(b" ", text.encode("utf-8", "replace")).lower().split()  # of bytes, `lower` changes A to Z alone


def word_hash(word: bytes) -> int:
    """fastText's 32-bit hash, signed: FNV-1a with each byte's sign extended (`Dictionary::hash`)."""
    value = FNV_START
    for byte in word:
        value = (value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * FNV_PRIME & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def frequent_words(texts: Iterable[str], least: int) -> list[bytes]:
    """Words that stand in at least so many texts, the most frequent first, by their bytes where equal."""
    counts = Counter(word for text in texts for word in set(plain_words(text)))
    return sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))


@dataclass(frozen=True)
class FeatureSpace:
    """Columns of a design matrix: the ``words`` in order, then ``bucket`` columns for pairs of successive words."""

    words: tuple[bytes, ...]
    bucket: int

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {word: column for column, word in enumerate(self.words)}

    @cached_property
    def _hashes(self) -> dict[bytes, int]:
        return {EOS: word_hash(EOS)}

    def counts(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """How often each column's word or pair stands in each text: float32, shape (texts, words + bucket).

        A row's sum is the number of rows that fastText averages: known words, and pairs of any words, the end of
        the text among them.
        """
        columns, ends = [], [0]
        for text in texts:
            columns.append(self._columns(plain_words(text)))
            ends.append(ends[-1] + len(columns[-1]))
        indices = np.concatenate(columns) if columns else np.zeros(0, np.int64)
        shape = (len(texts), len(self.words) + self.bucket)
        matrix = sparse.csr_matrix((np.ones(len(indices), np.float32), indices, ends), shape=shape)
        matrix.sum_duplicates()
        return matrix

    def pair_columns(self, words: list[bytes]) -> NDArray[np.int64]:
        """The column of each pair of successive words, the last with the end of the text: int64 (words,)."""
        hashes = self._hashes
        for word in words:
            if word not in hashes:
                hashes[word] = word_hash(word)
        chain = np.array([hashes[word] for word in [*words, EOS]], np.int64).view(np.uint64)
        pairs = (chain[:-1] * np.uint64(MULTIPLIER) + chain[1:]) % np.uint64(self.bucket)
        return pairs.astype(np.int64) + len(self.words)

    def _columns(self, words: list[bytes]) -> NDArray[np.int64]:
        known = [self._places[word] for word in words if word in self._places]
        return np.concatenate([np.array(known, np.int64), self.pair_columns(words)])
