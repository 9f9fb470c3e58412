"""Kept documents that take the place of dropped ones, so that the budget of words holds: drawn from the whole corpus,
by hash, to match language, source and length.

Each replacement has a name: its class of documents and a number. Which documents stand behind it, the dropped one and
the kept one, follows from how many there are in the shards before, so each shard finds its own and reads no other. The
draw is a systematic sample of the kept ones (W. G. Cochran, Sampling Techniques, 1977, chapter 8), in the order of
shards and, in each shard, of keyed hashes: all have the same chance, and in a class the numbers of times that two of
them count more differ by one at most.

Knows counts of strata; neither files nor texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.apply.strata import Counts, Ints, ShardStrata, Stratum
from pipeline.keyed_hash import keys

_LEVELS: tuple[Callable[[Stratum], tuple[Any, ...]], ...] = (
    tuple,
    lambda stratum: (stratum.lang, stratum.length),
    lambda stratum: (stratum.length,),
)
"""What the documents of a class share, from the closest match to the widest."""
NAMES = pa.list_(pa.string())


@dataclass(frozen=True)
class Replacements:
    """Of a shard, by position among the tags. ``extra``: how many more times each document counts, int64. ``replaced``:
    the name of the replacement of each dropped document that has one; ``replaces``: of those that each kept one is.

    Words are those of dropped documents that are replaced, of those in their place, and of those without any.
    """

    extra: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    replaced: Mapping[int, str] = field(default_factory=dict)
    replaces: Mapping[int, list[str]] = field(default_factory=dict)
    unreplaced: int = 0
    words_replaced: int = 0
    words_replacing: int = 0
    words_unreplaced: int = 0

    def between(self, start: int, stop: int) -> tuple[Ints, pa.Array, pa.Array]:
        """``extra``, ``replaced`` and ``replaces`` of the documents at these positions; null: none."""
        rows = range(start, stop)
        extra = self.extra[start:stop] if len(self.extra) else np.zeros(len(rows), np.int64)
        if not self.replaced and not self.replaces:
            return extra, pa.nulls(len(rows), pa.string()), pa.nulls(len(rows), NAMES)
        return (
            extra,
            pa.array([self.replaced.get(i) for i in rows], pa.string()),
            pa.array([self.replaces.get(i) for i in rows], NAMES),
        )


@dataclass(frozen=True)
class _Level:
    """Classes of strata. By stratum: the name of its class, whether its own dropped documents are replaced on this
    level; and, int64, how many the class replaces and keeps, in all and in the strata before, and where its draw
    starts."""

    names: list[str]
    replaces: NDArray[np.bool_]
    gone: Ints
    kept: Ints
    gone_before: Ints
    kept_before: Ints
    start: Ints


class Matching:
    """Who replaces whom, in a corpus with these counts.

    A dropped document is given a kept one of its stratum; if there is none in the corpus, one of its language and
    length, and then one of its length.
    """

    def __init__(self, counts: Counts, seed: int) -> None:
        self.strata = tuple(sorted(counts))
        self._places = {stratum: place for place, stratum in enumerate(self.strata)}
        self._gone, self._kept = np.array([counts[one] for one in self.strata], np.int64).reshape(-1, 2).T
        self._left = self._gone
        self._levels = list(self._make_levels(seed))

    def _make_levels(self, seed: int) -> Iterator[_Level]:
        for key in _LEVELS:
            level = _level([json.dumps(key(stratum)) for stratum in self.strata], self._left, self._kept, seed)
            self._left = np.where(level.replaces, 0, self._left)
            yield level

    @property
    def unreplaced(self) -> Counts:
        """Strata whose dropped documents have none like them in the whole corpus, with their counts."""
        some = np.flatnonzero(self._left)
        return {self.strata[i]: (int(self._left[i]), int(self._kept[i])) for i in some}

    def of(self, shard: ShardStrata, before: Counts) -> Replacements:
        """The part of one shard; ``before`` are the counts of all shards before, for each of its strata.

        Raises `KeyError` for a stratum that is not among those counted.
        """
        places = np.array([self._places[stratum] for stratum in shard.strata], np.int64)
        gone_before, kept_before = np.array([before[one] for one in shard.strata], np.int64).reshape(-1, 2).T
        gone, kept = shard.codes[shard.gone], shard.codes[shard.kept]
        gone_numbers, kept_numbers = gone_before[gone] + shard.gone_ranks, kept_before[kept] + shard.kept_ranks
        replaced, replaces = dict[int, str](), dict[int, list[str]]()
        for level in self._levels:
            replaced |= _replaced(level, shard.gone, places[gone], gone_numbers)
            for position, names in _replacing(level, shard.kept, places[kept], kept_numbers):
                replaces.setdefault(position, []).extend(names)
        return _replacements(shard, replaced, replaces)


def _replacements(shard: ShardStrata, replaced: dict[int, str], replaces: dict[int, list[str]]) -> Replacements:
    extra = np.zeros(len(shard.codes), np.int64)
    extra[list(replaces)] = [len(names) for names in replaces.values()]
    words_gone, words_replaced = int(shard.words[shard.gone].sum()), int(shard.words[list(replaced)].sum())
    return Replacements(
        extra=extra,
        replaced=replaced,
        replaces=replaces,
        unreplaced=len(shard.gone) - len(replaced),
        words_replaced=words_replaced,
        words_replacing=int(extra @ shard.words),
        words_unreplaced=words_gone - words_replaced,
    )


def _level(names: list[str], gone: Ints, kept: Ints, seed: int) -> _Level:
    encoded = pa.array(names, pa.string()).dictionary_encode()
    classes, n = encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)
    all_kept = _sums(classes, kept, n)
    gone = np.where(all_kept[classes] > 0, gone, 0)
    all_gone = _sums(classes, gone, n)
    start = np.floor(keys(encoded.dictionary.to_pylist(), f"{seed}/replace") * all_kept).astype(np.int64)
    return _Level(
        names=names,
        replaces=gone > 0,
        gone=all_gone[classes],
        kept=all_kept[classes],
        gone_before=_before(classes, gone),
        kept_before=_before(classes, kept),
        start=np.minimum(start, np.maximum(all_kept - 1, 0))[classes],
    )


def _sums(classes: Ints, values: Ints, n: int) -> Ints:
    sums = np.zeros(n, np.int64)
    np.add.at(sums, classes, values)
    return sums


def _before(classes: Ints, values: Ints) -> Ints:
    """For each value, the sum of those of its class that stand before it."""
    order = np.argsort(classes, kind="stable")
    running = np.cumsum(values[order]) - values[order]
    found = np.empty_like(values)
    found[order] = running - running[np.searchsorted(classes[order], classes[order], side="left")]
    return found


def _replaced(level: _Level, positions: Ints, strata: Ints, numbers: Ints) -> Iterator[tuple[int, str]]:
    """The names of the replacements of those dropped documents that have one on this level."""
    numbers = level.gone_before[strata] + numbers
    for i in np.flatnonzero(level.replaces[strata]):
        yield int(positions[i]), f"{level.names[strata[i]]}#{numbers[i]}"


def _replacing(level: _Level, positions: Ints, strata: Ints, numbers: Ints) -> Iterator[tuple[int, list[str]]]:
    """The names of the replacements that kept documents are: of number ``g`` it is the ``(g * kept + start) // gone``th
    of the class, so ``k`` is that of all ``g`` from ``ceil((k * gone - start) / kept)`` on, up to that of ``k + 1``."""
    numbers = level.kept_before[strata] + numbers
    gone, kept, start = level.gone[strata], level.kept[strata], level.start[strata]
    first, end = -((start - numbers * gone) // kept), -((start - (numbers + 1) * gone) // kept)
    for i in np.flatnonzero(end > first):
        yield int(positions[i]), [f"{level.names[strata[i]]}#{g}" for g in range(first[i], end[i])]
