"""How good a score is: ranking and error rates on labelled documents, with intervals by resampling whole sources.

Documents of one source resemble each other, so an interval that resamples documents would be too narrow.
Knows scores, truth and sources as arrays; knows neither models nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.schema import Estimate

Metric = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]
"""(truth, scores) -> value; NaN where it is not defined."""


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Area under the precision-recall curve by steps, ties counted together; NaN without a positive."""
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, ranks = np.cumsum(truth[order]), np.arange(1, len(truth) + 1)
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    hits, ranks = hits[last_of_tie], ranks[last_of_tie]
    gained = np.diff(hits, prepend=0)
    return float(np.sum(gained * hits / ranks) / truth.sum())


def threshold_at_fpr(negative_scores: NDArray[np.float64], fpr: float) -> float:
    """The lowest threshold at which at most ``fpr`` of the negatives score as high or higher."""
    allowed = int(fpr * len(negative_scores))
    ordered = np.sort(negative_scores)[::-1]
    if allowed >= len(ordered):
        return 0.0
    return float(np.nextafter(ordered[allowed], np.inf))


def recall_at_fpr(fpr: float) -> Metric:
    """A metric: the share of positives over the threshold that lets ``fpr`` of the negatives pass."""

    def metric(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
        if not truth.any() or truth.all():
            return float("nan")
        return float(np.mean(scores[truth] >= threshold_at_fpr(scores[~truth], fpr)))

    return metric


def expected_calibration_error(truth: NDArray[np.bool_], scores: NDArray[np.float64], bins: int = 15) -> float:
    """Mean distance of score from frequency over equally filled bins (Nixon et al. 2019, section 3.2)."""
    groups = np.array_split(np.argsort(scores, kind="stable"), bins)
    gaps = [len(g) * abs(scores[g].mean() - truth[g].mean()) for g in groups if len(g)]
    return float(sum(gaps) / max(1, len(scores)))


def pairs_ranked_right(truth: NDArray[np.bool_], scores: NDArray[np.float64], pairs: Sequence[str | None]) -> Estimate:
    """Share of minimal pairs (one positive, one negative) whose positive scores higher; ties count half."""
    members: dict[str, dict[bool, float]] = {}
    for name, positive, score in zip(pairs, truth, scores, strict=True):
        if name is not None:
            members.setdefault(name, {})[bool(positive)] = float(score)
    wins = [(m[True] > m[False]) + 0.5 * (m[True] == m[False]) for m in members.values() if len(m) == 2]
    if not wins:
        return Estimate(float("nan"), 0.0, 1.0, 0, "no pairs")
    low, high = wilson(sum(wins), len(wins))
    return Estimate(sum(wins) / len(wins), low, high, len(wins), "Wilson")


def wilson(hits: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927; Brown, Cai and DasGupta 2001, section 3.1.1)."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    centre, width = share + z * z / (2 * n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float((centre - width) / (1 + z * z / n)), float((centre + width) / (1 + z * z / n))


def by_source(
    metric: Metric,
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    sources: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The metric with a percentile interval over bootstrap samples of whole sources (Davison and Hinkley, ch. 2)."""
    names, index = np.unique(np.asarray(sources), return_inverse=True)
    members = [np.flatnonzero(index == k) for k in range(len(names))]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        rows = np.concatenate([members[k] for k in random.integers(0, len(names), len(names))])
        values.append(metric(truth[rows], scores[rows]))
    low, high = np.nanquantile(values, [0.025, 0.975]) if not np.all(np.isnan(values)) else (np.nan, np.nan)
    return Estimate(metric(truth, scores), float(low), float(high), len(truth), "bootstrap of sources")
