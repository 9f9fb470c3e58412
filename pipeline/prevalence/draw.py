"""A random draw that is a function of the documents' ids: alike on every engine, retry and order of shards.

Each id has a key in [0, 1) by hash (`pipeline.keyed_hash`); a stratum's sample are its documents with the smallest
keys, which is a simple random sample without replacement (Rosén 1997, on order sampling, with equal sizes). Shards give
their smallest, and the smallest of those are the draw. Knows ids and strata; knows neither scores nor files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.keyed_hash import keys

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """The documents of a shard, or of all, that have the smallest keys: arrays of shape (drawn,).

    ``where`` says what the caller must know to find each again, such as its shard and row.
    """

    keys: NDArray[np.float64]
    strata: Ints
    ids: NDArray[Any]
    where: NDArray[Any]


def draw(ids: Sequence[str], where: Sequence[str], strata: Ints, sizes: Ints, seed: int) -> Drawn:
    """From a shard, what a draw of ``sizes`` (int64, by stratum) may need; from the whole, the draw."""
    return _smallest(Drawn(keys(ids, seed), strata, np.asarray(ids, object), np.asarray(where, object)), sizes)


def merge(parts: Iterable[Drawn], sizes: Ints) -> Drawn:
    """The draw from those of the shards; in any order, or in steps, it comes out the same."""
    every = list(parts)
    if not every:
        return Drawn(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, object), np.zeros(0, object))
    columns = [np.concatenate([getattr(one, name) for one in every]) for name in ("keys", "strata", "ids", "where")]
    return _smallest(Drawn(*columns), sizes)


def _smallest(every: Drawn, sizes: Ints) -> Drawn:
    """In order of stratum and key; documents of one id in order of where they are."""
    near = _candidates(every, sizes)
    order = sorted(near, key=lambda i: (every.strata[i], every.keys[i], every.ids[i], every.where[i]))
    taken = np.zeros(len(sizes), np.int64)
    kept = []
    for i in order:
        if taken[every.strata[i]] < sizes[every.strata[i]]:
            taken[every.strata[i]] += 1
            kept.append(i)
    at = np.array(kept, np.int64)
    return Drawn(every.keys[at], every.strata[at], every.ids[at], every.where[at])


def _candidates(every: Drawn, sizes: Ints) -> list[int]:
    """All with a key up to the last that is drawn, ties included, without sorting what is far away."""
    found: list[int] = []
    for stratum, size in enumerate(sizes):
        members = np.flatnonzero(every.strata == stratum)
        if 0 < size < len(members):
            limit = np.partition(every.keys[members], size - 1)[size - 1]
            members = members[every.keys[members] <= limit]
        found += members.tolist() if size else []
    return found
