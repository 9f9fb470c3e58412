"""Labels of a draw joined to the census: samples for any label, unit, slice and threshold.

Knows arrays of what was read and sums of what there is; knows neither files nor the label store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.sample import Sample
from pipeline.prevalence.strata import GRID, UNITS, Histogram, Stratum, assign

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Audited:
    """Documents that were drawn and labelled, arrays of shape (read,): stratum (int64), score (float64, NaN if none),
    proxy, and sizes, float64 (read, 3), in the order of `UNITS`."""

    strata: Ints
    scores: Floats
    sizes: Floats

    def sample(self, sums: Floats, positive: Flags, unit: str = "documents", mine: Flags | None = None) -> Sample:
        """A sample of the population whose sums by stratum, float64 (strata, 5), are given; ``mine`` says which of the
        read documents belong to it."""
        at, keep = UNITS.index(unit), np.ones(len(self.strata), bool) if mine is None else mine
        n = len(sums)
        labelled = np.bincount(self.strata[keep], minlength=n).astype(np.int64)
        found = [self.sizes[keep & positive & (self.strata == h), at] for h in range(n)]
        documents, size = np.rint(sums[:, 0]).astype(np.int64), sums[:, at]
        unseen = np.ones(n)
        if at:
            squares = sums[:, 2 + at]
            unseen = np.divide(squares, size, out=np.ones(n), where=size > 0)
        return Sample(documents, labelled, found, size, unseen)

    def either_side(
        self, counted: Histogram, strata: Sequence[Stratum], positive: Flags, threshold: float, unit: str = "documents"
    ) -> tuple[Sample, Sample]:
        """Samples of what scores at or over a threshold of `GRID` (see `on_grid`), and of the rest."""
        cut = int(np.searchsorted(GRID, threshold, side="right"))
        above = _sums_by_stratum(counted, strata, cut)
        whole = _sums_by_stratum(counted, strata, 0)
        whole[_unscored(strata)] += counted.unscored
        over = np.nan_to_num(self.scores, nan=-1.0) >= threshold
        return self.sample(above, positive, unit, over), self.sample(whole - above, positive, unit, ~over)


def on_grid(threshold: float) -> float:
    """The score of the grid next to a threshold."""
    return float(GRID[np.argmin(np.abs(GRID - threshold))])


def _unscored(strata: Sequence[Stratum]) -> Flags:
    return np.array([one.low is None for one in strata])


def _sums_by_stratum(counted: Histogram, strata: Sequence[Stratum], cut: int) -> Floats:
    """Sums of cells from ``cut`` on, float64 (strata, 5)."""
    least = np.append(0.0, GRID)  # the least score of each cell
    rows, columns = np.nonzero(counted.sums[..., 0])
    kept = rows >= cut
    at = assign(strata, least[rows[kept]], least[columns[kept]])
    sums = np.zeros((len(strata), counted.sums.shape[2]))
    np.add.at(sums, at, counted.sums[rows[kept], columns[kept]])
    return sums
