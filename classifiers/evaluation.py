"""How good a score is: ranking and error rates on labelled documents, with intervals by resampling whole sources.

Documents of one source resemble each other, so an interval that resamples documents would be too narrow.
Knows scores, truth and sources as arrays; knows neither models nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.schema import Estimate

Metric = Callable[[NDArray[np.bool_], NDArray[np.float64]], float]
"""(truth, scores) -> value; NaN where it is not defined."""


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Area under the precision-recall curve by steps, ties counted together; NaN without a positive."""
    if not truth.any():
        return float("nan")
    hits, ranks = _hits_by_rank(truth, scores)
    gained = np.diff(hits, prepend=0)
    return float(np.sum(gained * hits / ranks) / truth.sum())


def _hits_by_rank(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many positives, and how many documents, score at least each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    return np.cumsum(truth[order])[last_of_tie], np.arange(1, len(truth) + 1)[last_of_tie]


def threshold_at_fpr(negative_scores: NDArray[np.float64], fpr: float) -> float:
    """The lowest threshold at which at most ``fpr`` of the negatives score as high or higher.

    Raises `ValueError` without a negative: every threshold would do, and 0 would flag all."""
    if not len(negative_scores):
        raise ValueError("no text without a label to set a threshold by; give some (ordinary ones with --background)")
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


def precision_recall(
    truth: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision at every distinct score, from the highest down; empty without a positive."""
    hits, ranks = _hits_by_rank(truth, scores)
    return (hits / truth.sum(), hits / ranks) if truth.any() else (np.zeros(0), np.zeros(0))


def roc(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False positive rate and recall at every distinct score, from the highest down; empty without both classes."""
    if truth.all() or not truth.any():
        return np.zeros(0), np.zeros(0)
    hits, ranks = _hits_by_rank(truth, scores)
    return (ranks - hits) / (~truth).sum(), hits / truth.sum()


def area_under_roc(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """How often a positive scores higher than a negative, ties counting half (Mann and Whitney 1947); NaN without
    both."""
    n = int(truth.sum())
    if n in (0, len(truth)):
        return float("nan")
    return float((rankdata(scores)[truth].sum() - n * (n + 1) / 2) / (n * (len(truth) - n)))


def expected_calibration_error(
    truth: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.float64] | None = None, bins: int = 15
) -> float:
    """Mean distance of score from frequency over equally filled bins (Nixon et al. 2019, section 3.2); ``weights``, one
    for each document, stand for how many of its kind there are."""
    weights = np.ones(len(scores)) if weights is None else weights
    groups = np.array_split(np.argsort(scores, kind="stable"), bins)
    gaps = [abs(weights[g] @ (scores[g] - truth[g])) for g in groups if len(g)]
    return float(sum(gaps) / weights.sum()) if weights.any() else 0.0


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
    ends = np.clip([(centre - width) / (1 + z * z / n), (centre + width) / (1 + z * z / n)], 0.0, 1.0)
    return float(ends[0]), float(ends[1])


def draws_of_sources(sources: Sequence[str], resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Rows of bootstrap samples of whole sources, one array for each resample (Davison and Hinkley 1997, ch. 2)."""
    names, index = np.unique(np.asarray(sources), return_inverse=True)
    members = [np.flatnonzero(index == k) for k in range(len(names))]
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.concatenate([members[k] for k in random.integers(0, len(names), len(names))])


def over_sources(
    statistic: Callable[[NDArray[np.int64]], float],
    sources: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """A statistic of rows, with a percentile interval over bootstrap samples of whole sources."""
    if not len(sources):
        return Estimate(float("nan"), float("nan"), float("nan"), 0, "no documents")
    values = np.array([statistic(rows) for rows in draws_of_sources(sources, resamples, seed)])
    low, high = np.nanquantile(values, [0.025, 0.975]) if not np.all(np.isnan(values)) else (np.nan, np.nan)
    value = statistic(np.arange(len(sources)))
    return Estimate(value, float(low), float(high), len(sources), "bootstrap of sources")


def by_source(
    metric: Metric,
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    sources: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The metric with a percentile interval over bootstrap samples of whole sources."""
    return over_sources(lambda rows: metric(truth[rows], scores[rows]), sources, resamples=resamples, seed=seed)
