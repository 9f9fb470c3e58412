"""Two models on the same documents: the difference of a metric, with an interval by resampling both together.

Knows truth, scores and sources as arrays; knows neither models nor files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.evaluation import Metric, draws_of_sources
from pipeline.schema import Estimate


@dataclass(frozen=True)
class Paired:
    """A metric of two models; ``difference`` is second minus first, ``second_higher`` the share of resamples in which
    the second has more (ties count half). Whether more is better depends on the metric."""

    first: float
    second: float
    difference: Estimate
    second_higher: float


def paired(
    metric: Metric,
    truth: NDArray[np.bool_],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    sources: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Paired:
    """Both models' metric and its difference, with a percentile interval over bootstrap samples of whole sources.

    The same sources are drawn for both models (Efron and Tibshirani 1993, section 8.3; Koehn 2004), so what makes
    documents hard for both does not widen the interval. Resamples where the metric is not defined are left out.
    """
    found = np.array([
        metric(truth[rows], second[rows]) - metric(truth[rows], first[rows])
        for rows in draws_of_sources(sources, resamples, seed)
    ])  # fmt: skip
    defined = found[~np.isnan(found)]
    low, high = np.quantile(defined, [0.025, 0.975]) if defined.size else (np.nan, np.nan)
    higher = float(np.mean(defined > 0) + np.mean(defined == 0) / 2) if defined.size else float("nan")
    one, other = metric(truth, first), metric(truth, second)
    difference = Estimate(other - one, float(low), float(high), len(truth), "paired bootstrap of sources")
    return Paired(one, other, difference, higher)
