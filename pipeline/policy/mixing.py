"""Documents of the user's own that are mixed in: where they go is decided by hash, alike on every engine.

Knows counts of words and ids; nothing of what the documents say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.keyed_hash import keys

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class OwnDocument:
    """One document to mix in; ``words`` between white space."""

    id: str
    text: str
    words: int


@dataclass(frozen=True)
class MixIn:
    """``rate`` is the share of the output's words that the documents should be, above 0 and below 1; ``name`` stands in
    the provenance of each copy."""

    documents: tuple[OwnDocument, ...] = field(repr=False)
    rate: float
    name: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what is mixed in, and where."""
        hasher = hashlib.sha256(f"{self.rate!r}\n{self.name}".encode())
        for one in self.documents:
            hasher.update(f"\n{one.id}\n{len(one.text)}\n{one.text}".encode("utf-8", "surrogatepass"))
        return hasher.hexdigest()

    @cached_property
    def _mean_words(self) -> float:
        return float(np.mean([one.words for one in self.documents]))

    def copies(self, ids: Sequence[str], words: NDArray[np.float64], seed: int) -> Ints:
        """How many documents go behind each kept one, int64, shape (kept,): on average so many that their words are
        ``rate`` of all. ``words``: those of each kept document, times its repeats."""
        expected = self.rate / (1 - self.rate) * words / self._mean_words
        return np.asarray(np.floor(expected) + (keys(ids, f"{seed}/mix in") < expected % 1), np.int64)

    def chosen(self, id: str, copies: int, seed: int) -> list[OwnDocument]:
        """The documents that go behind the kept one of this id, each drawn from all by hash."""
        return [self.documents[int(draw * len(self.documents))] for draw in draws_behind(id, range(copies), seed)]


def draws_behind(id: str, numbers: Iterable[int], seed: int) -> NDArray[np.float64]:
    """The draws in [0, 1), float64, that choose the documents of these numbers, from 0, behind the kept one of this
    id."""
    return keys([f"{id}#{number}" for number in numbers], f"{seed}/mixed in")
