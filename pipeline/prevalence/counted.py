"""Sums by stratum of a population and of its slices, which may be many: arrays that grow and add up.

Knows sums by name; knows nothing of what they are slices of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Counted:
    """Of a slice (or all): sums by stratum, float64 (strata, 5), as in `Histogram`; ``flagged`` the first three of
    documents at or over the threshold."""

    sums: Floats
    flagged: Floats

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.sums + other.sums, self.flagged + other.flagged)


def count(values: Floats, strata: Ints, flagged: Flags, slices: Ints, names: int, parts: int) -> tuple[Floats, Floats]:
    """Sums of documents by slice: of ``values``, float64 (rows, 5), those by stratum, (names, parts, 5), and the first
    three of what is ``flagged``, (names, 3); ``strata`` and ``slices`` are the documents' indices."""
    sums = _added(values, slices * parts + strata, names * parts)
    return sums.reshape(names, parts, values.shape[1]), _added(values[flagged, :3], slices[flagged], names)


def _added(values: Floats, at: Ints, length: int) -> Floats:
    """Rows of values added up by index, float64 (length, columns)."""
    return np.stack([np.bincount(at, column, length).astype(np.float64) for column in values.T], axis=1)


class CountedSlices(Mapping[str, Counted]):
    """Sums by the name of a slice. Adds up with +=, which changes the left side."""

    def __init__(self, names: Sequence[str], sums: Floats, flagged: Floats) -> None:
        """``sums``: float64 (names, strata, 5); ``flagged``: (names, 3)."""
        self._index = {name: k for k, name in enumerate(names)}
        self._sums, self._flagged = sums, flagged

    def __getitem__(self, name: str) -> Counted:
        at = self._index[name]
        return Counted(self._sums[at], self._flagged[at])

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __iadd__(self, other: CountedSlices) -> CountedSlices:
        for name in other:
            self._index.setdefault(name, len(self._index))
        at = np.array([self._index[name] for name in other], np.int64)
        self._sums, self._flagged = (_grown(of, len(self)) for of in (self._sums, self._flagged))
        self._sums[at] += other._sums[: len(at)]
        self._flagged[at] += other._flagged[: len(at)]
        return self

    def largest(self, most: int) -> list[str]:
        """Names of those with most documents, those of as many in the order of their names."""
        documents = self._sums[: len(self), :, 0].sum(axis=1)
        least = np.partition(documents, -most)[-most] if most < len(self) else 0.0
        sizes = {name: documents[at] for name, at in self._index.items() if documents[at] >= least}
        return sorted(sizes, key=lambda name: (-sizes[name], name))[:most]


def _grown(array: Floats, rows: int) -> Floats:
    """The array with room for as many rows, and for more, so that growing costs little however often it is done."""
    if rows <= len(array):
        return array
    wider = np.zeros((max(rows, 2 * len(array)), *array.shape[1:]))
    wider[: len(array)] = array
    return wider


@dataclass
class SliceScores:
    """Scored documents of each slice, by what it is a slice of: sums of one column, by cell of the score or in all.
    Adds up with +=, which changes the left side."""

    by: dict[str, CountedSlices]

    def __iadd__(self, other: SliceScores) -> SliceScores:
        for by, counted in other.by.items():
            self.by[by] += counted
        return self

    def documents(self, by: str, name: str) -> Floats:
        """Of a slice by cell, float64, shape (CELLS,)."""
        return self.by[by][name].sums[:, 0]
