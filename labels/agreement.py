"""How far annotators agree: Cohen's and Fleiss' kappa and Krippendorff's alpha, by label, with bootstrap intervals.

Knows judgements as an array, float64 of shape (annotators, items): 1 and 0 for true and false, NaN where an annotator
said nothing. Knows no store. Artstein and Poesio 2008, Inter-Coder Agreement, compare the measures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.schema import Estimate

Judgements = NDArray[np.float64]
Sums = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A measure of agreement: 1 is perfect, 0 what chance gives; NaN where it is not defined.

    Each is a function of sums over items, so that a bootstrap adds up sources and never goes through items again.
    ``counts`` takes judgements to what each item adds, float64 of shape (items, k); ``value`` takes the k sums.
    """

    counts: Callable[[Judgements], Sums]
    value: Callable[[Sums], float]

    def __call__(self, judgements: Judgements) -> float:
        """The measure of all items."""
        return self.value(self.counts(judgements).sum(axis=0))


def _fourfold(judgements: Judgements) -> Sums:
    one, other = judgements
    return np.stack([(one == a) & (other == b) for a in (0, 1) for b in (0, 1)], axis=1).astype(np.float64)


def _cohen(sums: Sums) -> float:
    n = sums.sum()
    if not n:
        return float("nan")
    table = sums.reshape(2, 2) / n
    return _beyond_chance(float(np.trace(table)), float(table.sum(axis=0) @ table.sum(axis=1)))


def _fleiss_counts(judgements: Judgements) -> Sums:
    """Of each item with the commonest number of judgements: 1, the share of true, the share of pairs that agree."""
    rated = (~np.isnan(judgements)).sum(axis=0)
    numbers = np.bincount(rated[rated >= 2])
    if not numbers.size:
        return np.zeros((judgements.shape[1], 3))
    raters = int(np.argmax(numbers))
    true = (judgements == 1).sum(axis=0)
    false = raters - true
    agreeing = (true * (true - 1) + false * (false - 1)) / (raters * (raters - 1))
    return np.where((rated == raters)[:, None], np.stack([np.ones(len(true)), true / raters, agreeing], axis=1), 0.0)


def _fleiss(sums: Sums) -> float:
    if not sums[0]:
        return float("nan")
    share, observed = sums[1:] / sums[0]
    return _beyond_chance(float(observed), float(share**2 + (1 - share) ** 2))


def _coincidences(judgements: Judgements) -> Sums:
    """Of each item with two judgements or more: how many are true, how many false, and pairs of one of each."""
    true, false = (judgements == 1).sum(axis=0), (judgements == 0).sum(axis=0)
    others = np.maximum(true + false - 1, 1)
    return np.where((true + false >= 2)[:, None], np.stack([true, false, true * false / others], axis=1), 0.0)


def _alpha(sums: Sums) -> float:
    true, false, differing = sums
    return float(1 - (true + false - 1) * differing / (true * false)) if true and false else float("nan")


def _beyond_chance(observed: float, chance: float) -> float:
    return (observed - chance) / (1 - chance) if chance < 1 else float("nan")


cohen_kappa = Measure(_fourfold, _cohen)
"""Cohen 1960, of two annotators on the items that both judged; NaN if they know one value only."""
fleiss_kappa = Measure(_fleiss_counts, _fleiss)
"""Fleiss 1971, on the items with the commonest number of judgements, at least two."""
krippendorff_alpha = Measure(_coincidences, _alpha)
"""Krippendorff 2011, section C, nominal: any number of annotators, any items missing."""


def with_interval(
    measure: Measure, judgements: Judgements, sources: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """The measure with a percentile interval over bootstrap samples of whole sources.

    ``sources``: one for each item; documents of one source resemble each other. Resamples in which the measure is not
    defined are left out. ``n`` is the number of items with two judgements.
    """
    counts = measure.counts(judgements)
    names, index = np.unique(np.asarray(sources), return_inverse=True)
    sums = np.zeros((len(names), counts.shape[1]))
    np.add.at(sums, index, counts)
    random, n = np.random.default_rng(seed), len(names)
    drawn = (np.bincount(random.integers(0, n, n), minlength=n) for _ in range(resamples if n else 0))
    values = np.array([measure.value(times @ sums) for times in drawn])
    low, high = np.nanquantile(values, [0.025, 0.975]) if not np.all(np.isnan(values)) else (np.nan, np.nan)
    twice = int(((~np.isnan(judgements)).sum(axis=0) >= 2).sum())
    return Estimate(measure.value(sums.sum(axis=0)), float(low), float(high), twice, "bootstrap of sources")


def consensus(judgements: Judgements) -> NDArray[np.float64]:
    """What the annotators of each item all say, shape (items,); NaN where they differ or say nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # items without a judgement
        low, high = np.nanmin(judgements, axis=0), np.nanmax(judgements, axis=0)
    return np.where(low == high, low, np.nan)
