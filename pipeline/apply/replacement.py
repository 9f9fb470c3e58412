"""Kept documents that take the place of dropped ones, so that the budget of words holds: drawn from the same shard, by
hash, to match language, source and length.

Knows tags and decisions of one shard; nothing of texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.keyed_hash import keys
from pipeline.policy.actions import DROP
from pipeline.policy.decide import decide, replaced
from pipeline.policy.policy import Policy

Ints = NDArray[np.int64]
BUCKETS_AN_OCTAVE = 4
"""Lengths of one bucket differ by a fifth at most."""
_BUCKETS = 64 * BUCKETS_AN_OCTAVE


@dataclass(frozen=True)
class Replacements:
    """``extra``: how many more times each document of a shard counts, int64 by its position among the tags.
    ``replaced_by``: for each dropped document that has one, by position, the id of the one in its place."""

    extra: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    replaced_by: dict[int, str] = field(default_factory=dict)
    unreplaced: int = 0

    def between(self, start: int, stop: int) -> tuple[Ints, pa.Array]:
        """Both for the documents at these positions: how many more times, and by whom each is replaced (null: none)."""
        extra = self.extra[start:stop] if len(self.extra) else np.zeros(stop - start, np.int64)
        if not self.replaced_by:
            return extra, pa.nulls(stop - start, pa.string())
        return extra, pa.array([self.replaced_by.get(i) for i in range(start, stop)], pa.string())


def find_replacements(tags: Iterable[pa.RecordBatch], policy: Policy) -> Replacements:
    """Who replaces whom, in a shard with these tags.

    A dropped document is given to the next kept one, in the order of their keys and round again, of its language,
    source and length; where there is none, of its language and length, and then of its length.
    """
    shard = _Shard(policy)
    for batch in tags:
        shard.add(batch)
    return shard.match()


class _Shard:
    """Columns of all documents of a shard that matter for the match."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._rules = policy, pa.array(replaced(policy), pa.string())
        self._ids: list[pa.Array] = []
        self._kinds: list[tuple[pa.Array, pa.Array]] = []
        self._words, self._kept, self._gone = [], [], []  # type: ignore[var-annotated]

    def add(self, tags: pa.RecordBatch) -> None:
        decisions = decide(tags, self._policy)
        dropped = pc.equal(decisions.column("action"), DROP)
        gone = pc.and_(dropped, pc.fill_null(pc.is_in(decisions.column("rule"), self._rules), False))
        self._gone.append(gone.to_numpy(zero_copy_only=False))
        self._kept.append(decisions.column("weight").to_numpy() > 0)
        self._words.append(tags.column("words").to_numpy())
        self._ids.append(tags.column("id"))
        lang, source = (pc.fill_null(tags.column(name), "") for name in ("lang", "source"))
        self._kinds.append((pc.binary_join_element_wise(lang, source, "\0"), lang))

    def match(self) -> Replacements:
        if not self._ids:
            return Replacements()
        kept, left = np.flatnonzero(np.concatenate(self._kept)), np.flatnonzero(np.concatenate(self._gone))
        ids = pa.chunked_array(self._ids)
        draws = np.zeros(len(ids))
        both = np.concatenate([kept, left])
        draws[both] = keys(ids.take(pa.array(both)).to_pylist(), f"{self._policy.seed}/replace")
        extra, by = np.zeros(len(ids), np.int64), dict[int, str]()
        for codes in self._codes():
            matched, chosen = _match(codes, draws, kept, left)
            np.add.at(extra, chosen, 1)
            by |= dict(zip(matched.tolist(), ids.take(pa.array(chosen)).to_pylist(), strict=True))
            left = np.setdiff1d(left, matched)
        return Replacements(extra, by, len(left))

    def _codes(self) -> list[Ints]:
        """For each document a number of its kind, from the closest match to the widest."""
        words = np.concatenate(self._words)
        length = (BUCKETS_AN_OCTAVE * np.log2(np.maximum(words, 1))).astype(np.int64)
        codes = []
        for kinds in zip(*self._kinds, strict=True):
            numbers = pa.chunked_array(list(kinds)).combine_chunks().dictionary_encode().indices.to_numpy()
            codes.append(numbers.astype(np.int64) * _BUCKETS + length)
        return [*codes, length]


def _match(codes: Ints, draws: NDArray[np.float64], kept: Ints, left: Ints) -> tuple[Ints, Ints]:
    """Those of ``left`` for which there is a kept document of their code, and which one each gets."""
    kept = kept[np.lexsort((draws[kept], codes[kept]))]
    left = left[np.lexsort((draws[left], codes[left]))]
    first = np.searchsorted(codes[kept], codes[left], side="left")
    many = np.searchsorted(codes[kept], codes[left], side="right") - first
    rank = np.arange(len(left)) - np.searchsorted(codes[left], codes[left], side="left")
    found = many > 0
    return left[found], kept[(first + rank % np.maximum(many, 1))[found]]
