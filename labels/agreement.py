"""How far annotators agree: Cohen's and Fleiss' kappa and Krippendorff's alpha, by label, with bootstrap intervals.

Knows judgements as an array, float64 of shape (annotators, items): 1 and 0 for true and false, NaN where an annotator
said nothing. Knows no store. Artstein and Poesio 2008, Inter-Coder Agreement, compare the measures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import krippendorff
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score

from pipeline.schema import Estimate

Judgements = NDArray[np.float64]
Measure = Callable[[Judgements], float]
"""Judgements in, agreement out: 1 is perfect, 0 what chance gives; NaN where it is not defined."""


def cohen_kappa(judgements: Judgements) -> float:
    """Cohen 1960, of two annotators on the items that both judged; NaN if they know one value only."""
    one, other = judgements[:, ~np.isnan(judgements).any(axis=0)]
    if not len(one) or len(np.union1d(one, other)) < 2:
        return float("nan")
    return float(cohen_kappa_score(one, other))


def fleiss_kappa(judgements: Judgements) -> float:
    """Fleiss 1971, on the items with the commonest number of judgements, at least two."""
    rated = (~np.isnan(judgements)).sum(axis=0)
    numbers = np.bincount(rated[rated >= 2])
    if not numbers.size:
        return float("nan")
    raters = int(np.argmax(numbers))
    true = np.nansum(judgements[:, rated == raters], axis=0)
    false = raters - true
    observed = np.mean((true * (true - 1) + false * (false - 1)) / (raters * (raters - 1)))
    share = true.mean() / raters
    chance = share**2 + (1 - share) ** 2
    return float((observed - chance) / (1 - chance)) if chance < 1 else float("nan")


def krippendorff_alpha(judgements: Judgements) -> float:
    """Krippendorff 2004, nominal: any number of annotators, any items missing."""
    true, false = (judgements == 1).sum(axis=0), (judgements == 0).sum(axis=0)
    pairable = true + false >= 2
    if not (true[pairable].sum() and false[pairable].sum()):
        return float("nan")
    counts = np.stack([false[pairable], true[pairable]], axis=1)
    return float(krippendorff.alpha(value_counts=counts, value_domain=[0, 1], level_of_measurement="nominal"))


def with_interval(
    measure: Measure, judgements: Judgements, sources: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> Estimate:
    """The measure with a percentile interval over bootstrap samples of whole sources.

    ``sources``: one for each item; documents of one source resemble each other. Resamples in which the measure is not
    defined are left out. ``n`` is the number of items with two judgements.
    """
    names, index = np.unique(np.asarray(sources), return_inverse=True)
    members = [np.flatnonzero(index == k) for k in range(len(names))]
    random, values = np.random.default_rng(seed), []
    for _ in range(resamples if len(names) else 0):
        drawn = np.concatenate([members[k] for k in random.integers(0, len(names), len(names))])
        values.append(measure(judgements[:, drawn]))
    low, high = np.nanquantile(values, [0.025, 0.975]) if not np.all(np.isnan(values)) else (np.nan, np.nan)
    n = int(((~np.isnan(judgements)).sum(axis=0) >= 2).sum())
    return Estimate(measure(judgements), float(low), float(high), n, "bootstrap of sources")


def consensus(judgements: Judgements) -> NDArray[np.float64]:
    """What the annotators of each item all say, shape (items,); NaN where they differ or say nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # items without a judgement
        low, high = np.nanmin(judgements, axis=0), np.nanmax(judgements, axis=0)
    return np.where(low == high, low, np.nan)
