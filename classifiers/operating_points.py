"""What a threshold does: the share of positives that it finds, of negatives that it flags, and what a flag is worth
where positives are rare.

Knows scores, truth and sources as arrays; knows neither models nor files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.evaluation import by_source, over_sources, recall_at_fpr, wilson
from pipeline.schema import Estimate

PREVALENCES = (1e-2, 1e-3, 1e-4)
BOTH = "bootstrap of sources and Wilson, the wider"


@dataclass(frozen=True)
class OperatingPoint:
    """``precision`` by prevalence (as ``1e-03``), expected where ``ai_share`` of the negatives are about AI."""

    threshold: float
    recall: Estimate
    fpr_background: Estimate
    fpr_about_ai: Estimate
    ai_share: float
    precision: Mapping[str, Estimate]


def operating_point(
    scores: NDArray[np.float64],
    truth: NDArray[np.bool_],
    about_ai: NDArray[np.bool_],
    sources: Sequence[str],
    threshold: float,
    *,
    ai_share: float,
    resamples: int = 500,
) -> OperatingPoint:
    """Figures of flagging at ``threshold`` or more. Negatives are of two kinds, about AI and not, since their rates
    differ by orders of magnitude and their mixture here is not that of the web."""
    flagged = scores >= threshold
    kinds = (truth, ~truth & ~about_ai, ~truth & about_ai)
    recall, background, on_ai = (rate(flagged, rows, sources, resamples) for rows in kinds)
    precision = {f"{p:.0e}": expected_precision(p, recall, background, on_ai, ai_share) for p in PREVALENCES}
    return OperatingPoint(threshold, recall, background, on_ai, ai_share, precision)


def rate(flagged: NDArray[np.bool_], rows: NDArray[np.bool_], sources: Sequence[str], resamples: int = 500) -> Estimate:
    """Share flagged of some rows. The interval holds the bootstrap's over sources and Wilson's: the first knows that
    documents of a source are alike, the second that none of 900 is not none at all."""
    chosen = np.flatnonzero(rows)
    values, names = flagged[chosen], [sources[int(k)] for k in chosen]
    found = over_sources(lambda drawn: float(values[drawn].mean()), names, resamples=resamples)
    low, high = wilson(float(values.sum()), len(values))
    return Estimate(found.value, float(np.fmin(found.low, low)), float(np.fmax(found.high, high)), len(values), BOTH)


def recall_beside(
    positives: NDArray[np.float64],
    sources: Sequence[str],
    negatives: NDArray[np.float64],
    their_sources: Sequence[str],
    fpr: float,
    resamples: int = 500,
) -> Estimate:
    """Share of some positives over the threshold that ``fpr`` of the negatives pass, from scores of both. Sources of
    both are resampled, and the interval holds Wilson's, as that of `rate`."""
    scores = np.concatenate([positives, negatives])
    truth = np.arange(len(scores)) < len(positives)
    found = by_source(recall_at_fpr(fpr), truth, scores, [*sources, *their_sources], resamples=resamples)
    low, high = wilson(found.value * len(positives), len(positives))
    return Estimate(found.value, float(np.fmin(found.low, low)), float(np.fmax(found.high, high)), len(positives), BOTH)


def expected_precision(
    prevalence: float, recall: Estimate, background: Estimate, on_ai: Estimate, ai_share: float
) -> Estimate:
    """Share of the flagged that are positive, by Bayes' rule. Its ends are those of worst and best rates together, so
    the interval is wide rather than too narrow."""

    def precision(found: float, of_background: float, of_ai: float) -> float:
        hits = prevalence * found
        alarms = (1 - prevalence) * ((1 - ai_share) * of_background + ai_share * of_ai)
        return hits / (hits + alarms) if hits + alarms > 0 else float("nan")

    return Estimate(
        precision(recall.value, background.value, on_ai.value),
        precision(recall.low, background.high, on_ai.high),
        precision(recall.high, background.low, on_ai.low),
        recall.n,
        "worst and best rates together",
    )
