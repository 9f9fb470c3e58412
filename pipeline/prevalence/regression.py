"""The regression estimator within strata: the score of every document is known, and tells more than its stratum.

Difference estimation with a tuned slope (Särndal, Swensson and Wretman 1992, section 7.8; PPI++ of Angelopoulos, Duchi
and Zrnic 2023 is the case without strata), stratum by stratum, and only where enough of both kinds was read for a
normal approximation to hold; the exact counts of the other strata are melded with it. It shortens intervals where the
label is common and the classifier good, and does next to nothing for a rare one: docs/prevalence.md has the figures.

Knows counts and scores as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.melding import Chances, Floats, Form, Melded
from pipeline.prevalence.sample import Ints, Sample
from pipeline.prevalence.strata import GRID, Histogram, Strata, assign, cells

LEAST = 30
"""Of positives, and of negatives, that a stratum must show: with ten, 96 % upper bounds held in 93 % of audits."""
REGRESSION = 2
"""The purpose for which `Chances` has numbers here, beside counts and sizes."""
Flags = NDArray[np.bool_]
_LEAST_OF_CELLS = np.append(0.0, GRID)


@dataclass(frozen=True, kw_only=True)
class Regressed(Sample):
    """A sample by documents, with ``totals``, estimates of the positives of each stratum, and their standard
    ``errors``, float64, shape (strata,); NaN where the stratum's count is melded as ever."""

    totals: Floats
    errors: Floats

    design = "stratified, regression on the score"

    def part(self, keep: Sequence[int] | Ints) -> Regressed:
        """Only these strata."""
        at = np.asarray(keep, np.int64)
        return _with(super().part(keep), self.totals[at], self.errors[at])

    def point(self) -> float:
        """The sum of the strata's estimates."""
        plain = self._plain()
        return float(np.nansum(self.totals)) + Sample.point(plain)

    def melded(self, chances: Chances, *, form: Form = "mid-p") -> Melded:
        """The positives of the population; the exact form takes no regression."""
        if form == "exact":
            return super().melded(chances, form=form)
        found = self._plain().melded(chances, form=form) + Melded(np.zeros(chances.draws), np.zeros(chances.draws))
        for h in np.flatnonzero(~np.isnan(self.totals)).tolist():
            n, positives = int(self.labelled[h]), len(self.sizes[h])
            noise = chances.random(h, REGRESSION).standard_t(n - 2, chances.draws)
            drawn = self.totals[h] + self.errors[h] * noise
            drawn = np.clip(drawn, positives, int(self.documents[h]) - (n - positives))
            found = found + Melded(drawn, drawn)
        return found

    def design_effect(self) -> float | None:
        """As `Sample.design_effect`, of the variance that the regression leaves."""
        plain = super().design_effect()
        return plain if plain is None else plain * self._variance_left()

    def to_json(self) -> dict[str, Any]:
        """Plain values; None where there is no regression."""
        more = {name: [None if np.isnan(x) else float(x) for x in getattr(self, name)] for name in ("totals", "errors")}
        return super().to_json() | more

    def _plain(self) -> Sample:
        """The strata without regression."""
        return Sample.part(self, np.flatnonzero(np.isnan(self.totals)))

    def _variance_left(self) -> float:
        """Of the variance of the stratified estimate, the share that stays."""
        rate = (self.positives + 0.5) / (self.labelled + 1)
        unread = 1 - self.labelled / np.maximum(self.documents, 1)
        plain = self.documents.astype(np.float64) ** 2 * unread * rate * (1 - rate) / np.maximum(self.labelled, 1)
        plain = np.where(self.labelled > 0, plain, 0.0)
        left = np.where(np.isnan(self.errors), plain, self.errors**2)
        return float(left.sum() / plain.sum()) if plain.sum() else 1.0


def _with(sample: Sample, totals: Floats, errors: Floats) -> Regressed:
    plain = {one.name: getattr(sample, one.name) for one in fields(Sample)}
    return Regressed(**plain, totals=totals, errors=errors)


def mean_scores(counted: Histogram, strata: Strata) -> Floats:
    """The mean score of each stratum's documents, to the grid; float64, shape (strata,), NaN of those without."""
    rows, columns = np.nonzero(counted.sums[..., 0])
    at, n = assign(strata, _LEAST_OF_CELLS[rows], _LEAST_OF_CELLS[columns]), len(strata)
    weights = counted.sums[rows, columns, 0]
    sums = np.bincount(at, weights * _LEAST_OF_CELLS[rows], minlength=n)
    documents = np.bincount(at, weights, minlength=n)
    return np.asarray(np.divide(sums, documents, out=np.full(n, np.nan), where=documents > 0), np.float64)


def regressed(sample: Sample, strata: Ints, scores: Floats, positive: Flags, means: Floats) -> Regressed:
    """The sample by documents, with regressions on the score where they can be made. ``strata``, ``scores`` and
    ``positive`` are of the documents read, shape (read,); ``means`` is `mean_scores`."""
    totals, errors = np.full((2, len(means)), np.nan)
    on_grid = np.where(np.isnan(scores), np.nan, _LEAST_OF_CELLS[cells(np.nan_to_num(scores))])
    for h in range(len(means)):
        mine = strata == h
        found = _regression(on_grid[mine], positive[mine].astype(np.float64), float(means[h]), int(sample.documents[h]))
        if found is not None:
            totals[h], errors[h] = found
    return _with(sample, totals, errors)


def _regression(scores: Floats, positive: Floats, mean: float, documents: int) -> tuple[float, float] | None:
    """Positives among the documents of a stratum, and the standard error of that; None where too little was read, all
    of it, or all scores are one."""
    n, found = len(positive), float(positive.sum())
    if n == documents or min(found, n - found) < LEAST or not np.ptp(scores) > 0:
        return None
    centred = scores - scores.mean()
    slope = float(centred @ positive / (centred @ centred))
    left = positive - positive.mean() - slope * centred
    error = float(left @ left) / (n - 2) / n * (1 - n / documents)
    return documents * (float(positive.mean()) + slope * (mean - float(scores.mean()))), documents * error**0.5


def regressed_from_json(plain: dict[str, Any], sample: Sample) -> Regressed:
    """The sample that `Regressed.to_json` gave, of the ``sample`` in it."""
    totals, errors = (np.array([np.nan if x is None else x for x in plain[name]]) for name in ("totals", "errors"))
    return _with(sample, totals, errors)
