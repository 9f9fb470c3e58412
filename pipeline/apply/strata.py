"""The documents of a shard that take part in replacement, by stratum: language, source and length.

Knows tags and decisions of one shard; nothing of texts, nor of other shards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

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
_EDGES = np.array([math.ceil(2 ** (i / BUCKETS_AN_OCTAVE)) for i in range(62 * BUCKETS_AN_OCTAVE)], np.int64)
"""The fewest words of each bucket; whole numbers, so that every machine finds the same bucket."""


class Stratum(NamedTuple):
    """What documents that can replace each other share; ``length`` is a bucket of words. Without language or source:
    empty."""

    lang: str
    source: str
    length: int

    @property
    def words(self) -> tuple[int, int]:
        """The fewest and the most words."""
        return int(_EDGES[self.length]) if self.length else 0, int(_EDGES[self.length + 1]) - 1


Counts = dict[Stratum, tuple[int, int]]
"""Of each stratum, how many documents are to be replaced, and how many are kept."""


@dataclass
class Running:
    """The counts of all shards that were added."""

    total: Counts = field(default_factory=dict)

    def add(self, found: Counts) -> Counts:
        """Add a shard; returns what the shards before it have of its strata."""
        before = {stratum: self.total.get(stratum, (0, 0)) for stratum in found}
        for stratum, (gone, kept) in found.items():
            self.total[stratum] = (before[stratum][0] + gone, before[stratum][1] + kept)
        return before


@dataclass(frozen=True)
class ShardStrata:
    """``codes``: the stratum of each document as its place in ``strata``, which rise. ``gone`` are positions of
    documents to be replaced, ``kept`` of those that can replace them. All are int64, ``codes`` and ``words`` of shape
    (documents,)."""

    strata: tuple[Stratum, ...]
    codes: Ints
    words: Ints
    gone: Ints
    kept: Ints
    ids: pa.ChunkedArray
    seed: int

    @property
    def counts(self) -> Counts:
        """How many of each there are."""
        both = (np.bincount(self.codes[rows], minlength=len(self.strata)).tolist() for rows in (self.gone, self.kept))
        return dict(zip(self.strata, zip(*both, strict=True), strict=True))

    @cached_property
    def gone_ranks(self) -> Ints:
        """The rank of each of ``gone`` in its stratum, in the order of their draws."""
        return self._ranks(self.gone)

    @cached_property
    def kept_ranks(self) -> Ints:
        """The same of ``kept``."""
        return self._ranks(self.kept)

    def _ranks(self, rows: Ints) -> Ints:
        draws = keys(self.ids.take(pa.array(rows)).to_pylist(), f"{self.seed}/replace")
        codes = self.codes[rows]
        order = np.lexsort((draws, codes))
        ranks = np.empty_like(rows)
        ranks[order] = np.arange(len(rows)) - np.searchsorted(codes[order], codes[order], side="left")
        return ranks


def strata_of(tags: Iterable[pa.RecordBatch], policy: Policy) -> ShardStrata:
    """Of a shard with these tags."""
    rules = pa.array(replaced(policy), pa.string())
    names, words, ids, gone, kept = [], [], [], [], []
    for batch in tags:
        decisions = decide(batch, policy)
        dropped = pc.equal(decisions.column("action"), DROP)
        by_rule = pc.fill_null(pc.is_in(decisions.column("rule"), rules), False)
        gone.append(pc.and_(dropped, by_rule).to_numpy(zero_copy_only=False))
        kept.append(decisions.column("weight").to_numpy() > 0)
        words.append(batch.column("words").to_numpy().astype(np.int64))
        names.append(_names(batch, words[-1]))
        ids.append(batch.column("id"))
    if not names:
        none = np.zeros(0, np.int64)
        return ShardStrata((), none, none, none, none, pa.chunked_array([], pa.string()), policy.seed)
    strata, codes = _coded(pa.chunked_array(names))
    rows_gone, rows_kept = (np.flatnonzero(np.concatenate(one)) for one in (gone, kept))
    return ShardStrata(strata, codes, np.concatenate(words), rows_gone, rows_kept, pa.chunked_array(ids), policy.seed)


def _names(tags: pa.RecordBatch, words: Ints) -> pa.Array:
    """The stratum of each row as one text."""
    length = np.searchsorted(_EDGES, np.maximum(words, 1), side="right") - 1
    lang, source = (pc.fill_null(tags.column(name).cast(pa.string()), "") for name in ("lang", "source"))
    return pc.binary_join_element_wise(pa.array(length).cast(pa.string()), lang, source, "\0")


def _coded(names: pa.ChunkedArray) -> tuple[tuple[Stratum, ...], Ints]:
    """The strata of these names, rising, and the place of each row's among them."""
    encoded = names.combine_chunks().dictionary_encode()
    found = [_stratum(name) for name in encoded.dictionary.to_pylist()]
    strata = tuple(sorted(found))
    places = {stratum: place for place, stratum in enumerate(strata)}
    return strata, np.array([places[one] for one in found], np.int64)[encoded.indices.to_numpy()]


def _stratum(name: str) -> Stratum:
    length, lang, source = name.split("\0", 2)
    return Stratum(lang, source, int(length))
