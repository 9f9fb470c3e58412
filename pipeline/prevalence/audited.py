"""Labels of a draw joined to the census: samples for any label, unit, slice and threshold.

Knows arrays of what was read and sums of what there is; knows neither files nor the label store.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.figure import Basis
from pipeline.prevalence.ratio import Pairs
from pipeline.prevalence.sample import Reading, Sample
from pipeline.prevalence.strata import CELLS, GRID, UNITS, Histogram, Strata, assign
from pipeline.prevalence.two_phase import TwoPhase

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Audited:
    """Documents that were drawn and labelled, arrays of shape (read,): stratum (int64), score (float64, NaN if none),
    proxy, and sizes, float64 (read, 3), in the order of `UNITS`. ``basis``: what their labels are worth."""

    strata: Ints
    scores: Floats
    sizes: Floats
    basis: Basis = "design"

    def sample(self, sums: Floats, positive: Flags, unit: str = "documents", mine: Flags | None = None) -> Reading:
        """A sample of the population whose sums by stratum, float64 (strata, 5), are given; ``mine`` says which of the
        read documents belong to it."""
        keep = np.ones(len(self.strata), bool) if mine is None else mine
        found, n = self._sizes(keep & positive, unit, len(sums)), len(sums)
        return Sample(_documents(sums), self._count(keep, n), found, *_size(sums, unit), self.basis)

    def pairs(self, documents: Ints, first: Flags, second: Flags) -> Pairs:
        """What was read of two labels, of a population of so many ``documents`` by stratum."""
        return Pairs.of(documents, self.strata, first, second)

    def _count(self, which: Flags, strata: int) -> Ints:
        return np.bincount(self.strata[which], minlength=strata).astype(np.int64)

    def _sizes(self, which: Flags, unit: str, strata: int) -> list[Floats]:
        return [self.sizes[which & (self.strata == h), UNITS.index(unit)] for h in range(strata)]

    def either_side(
        self, sides: Sides, positive: Flags, threshold: float, unit: str = "documents"
    ) -> tuple[Reading, Reading]:
        """Samples of what scores at or over a threshold of `GRID` (see `on_grid`), and of the rest."""
        above = sides.above(threshold)
        over = np.nan_to_num(self.scores, nan=-1.0) >= threshold
        return self.sample(above, positive, unit, over), self.sample(sides.whole - above, positive, unit, ~over)


@dataclass(frozen=True)
class AuditedTwice(Audited):
    """The first phase of two: documents that a cheap annotator read, which of them it ``called`` something, and which
    of them people read (``checked``): bool, shape (read,). Only what people found positive is taken to be."""

    called: Flags = field(default_factory=lambda: np.zeros(0, bool))
    checked: Flags = field(default_factory=lambda: np.zeros(0, bool))

    def sample(self, sums: Floats, positive: Flags, unit: str = "documents", mine: Flags | None = None) -> Reading:
        """Both phases of the population, as `Audited.sample` of one."""
        keep, n = np.ones(len(self.strata), bool) if mine is None else mine, len(sums)
        called, checked, passed = keep & self.called, keep & self.checked, keep & ~self.called
        return TwoPhase(
            _documents(sums), self._count(keep, n), self._count(called, n), self._count(called & checked, n),
            self._sizes(called & checked & positive, unit, n), self._count(passed & checked, n),
            self._sizes(passed & checked & positive, unit, n), *_size(sums, unit),
        )  # fmt: skip

    def pairs(self, documents: Ints, first: Flags, second: Flags) -> Pairs:
        """Both phases of two labels, as `Audited.pairs` of one."""
        return Pairs.of(documents, self.strata, first, second, self.called, self.checked)


def _documents(sums: Floats) -> Ints:
    return np.rint(sums[:, 0]).astype(np.int64)


def _size(sums: Floats, unit: str) -> tuple[Floats, Floats]:
    """Of all documents, and of one that a word of the stratum meets on average, which an unseen positive may have."""
    at = UNITS.index(unit)
    if not at:
        return sums[:, 0], np.ones(len(sums))
    return sums[:, at], np.divide(sums[:, 2 + at], sums[:, at], out=np.ones(len(sums)), where=sums[:, at] > 0)


@dataclass(frozen=True)
class Sides:
    """Sums by stratum on either side of any threshold. ``over``: float64 (`CELLS` + 1, strata, 5), of documents in a
    cell of the score or one above it; ``whole``, (strata, 5), counts those without a score too."""

    over: Floats
    whole: Floats

    @classmethod
    def of(cls, counted: Histogram, strata: Strata) -> Sides:
        """From the census."""
        least = np.append(0.0, GRID)  # the least score of each cell
        rows, columns = np.nonzero(counted.sums[..., 0])
        at = assign(strata, least[rows], least[columns])
        sums = np.zeros((CELLS + 1, len(strata), counted.sums.shape[2]))
        np.add.at(sums, (rows, at), counted.sums[rows, columns])
        over = np.cumsum(sums[::-1], axis=0)[::-1]
        whole = over[0].copy()
        whole[[one.low is None for one in strata]] += counted.unscored
        return cls(over, whole)

    def above(self, threshold: float) -> Floats:
        """Sums by stratum at or over a threshold of the grid, float64 (strata, 5)."""
        return np.asarray(self.over[int(np.searchsorted(GRID, threshold, side="right"))])

    def spans(self) -> list[dict[str, float | None]]:
        """By stratum, to the grid: the least and the greatest score of its documents, and (``p5``, ``p95``) those
        between which nine tenths of them lie. None without scores."""
        edges = np.concatenate([[0.0], GRID, [1.0]])
        none = dict[str, float | None].fromkeys(("least", "p5", "p95", "greatest"))
        found = []
        for over in self.over[..., 0].T:
            under = over[0] - over[1:]  # documents in a cell or below it
            first, low = np.searchsorted(under, [0, 0.05 * over[0]], side="right")
            high, last = np.searchsorted(under, [0.95 * over[0], over[0]])
            ends = edges[[first, low, high + 1, last + 1]].tolist() if over[0] else none.values()
            found.append(dict(zip(none, ends, strict=True)))
        return found


def on_grid(threshold: float) -> float:
    """The score of the grid next to a threshold."""
    return float(GRID[np.argmin(np.abs(GRID - threshold))])
