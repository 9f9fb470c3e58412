"""Two-phase labels: a cheap annotator reads the first phase, people a random part of it; and predictions as helpers.

The cheap annotator's errors are corrected by what people found, whatever they are and wherever they lie: double
sampling (Tenenbein 1970; Särndal, Swensson and Wretman 1992, chapter 9), of which the prediction-powered estimator of
Angelopoulos et al. (2023, Science 382) is the case without strata. ppi-python
has that case alone, with Wald's interval. Knows counts and arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipeline.prevalence.figure import LEAST_POSITIVES, Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Melded, proportion, total
from pipeline.schema import Estimate

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TwoPhase:
    """Counts by stratum, int64, shape (strata,): of all ``documents``, the first phase ``read``, of which the cheap
    annotator ``called`` some positive; of those, ``called_checked`` were read by people and ``confirmed`` held; of the
    rest, ``passed_checked`` were read by people, who found ``missed``."""

    documents: Ints
    read: Ints
    called: Ints
    called_checked: Ints
    confirmed: Ints
    passed_checked: Ints
    missed: Ints

    def rate(self) -> float:
        """The double-sampling estimate of the share of documents that are positive."""
        share = self.documents / self.documents.sum()
        called = self.called / np.maximum(self.read, 1)
        right = self.confirmed / np.maximum(self.called_checked, 1)
        wrong = self.missed / np.maximum(self.passed_checked, 1)
        return float(share @ (called * right + (1 - called) * wrong))

    def uncorrected(self) -> float:
        """What the cheap annotator alone would have said."""
        return float((self.documents / self.documents.sum()) @ (self.called / np.maximum(self.read, 1)))


def two_phase(counts: TwoPhase, *, tails: tuple[float, float] = TAILS, seed: int = 0, draws: int = DRAWS) -> Figure:
    """The share of documents that people would call positive, design-based. The two phases are drawn at random in each
    stratum; the part that people read, at random among the called and among the passed."""
    random = np.random.default_rng(seed)
    share = counts.documents / counts.documents.sum()
    parts = [_stratum(counts, h, random, draws) * float(share[h]) for h in range(len(share))]
    low, high = total(parts).interval(tails)
    n = int(counts.called_checked.sum() + counts.passed_checked.sum())
    value = min(max(counts.rate(), low), high)
    method = f"two-phase, melded; the first phase alone would say {counts.uncorrected():.3g}"
    return Figure(Estimate(value, low, high, n, method), int(counts.confirmed.sum() + counts.missed.sum()))


def _stratum(counts: TwoPhase, h: int, random: np.random.Generator, draws: int) -> Melded:
    read, called = int(counts.read[h]), int(counts.called[h])
    found = _joint(called, read, int(counts.confirmed[h]), int(counts.called_checked[h]), random, draws)
    missed = _joint(read - called, read, int(counts.missed[h]), int(counts.passed_checked[h]), random, draws)
    return found + missed


def _joint(some: int, read: int, positives: int, checked: int, random: np.random.Generator, draws: int) -> Melded:
    """The share of the stratum that is of this kind and positive; one binomial where all of the kind was checked."""
    if checked == some:
        return proportion(positives, read, random, draws=draws)
    kind = proportion(some, read, random, draws=draws)
    return kind * proportion(positives, checked, random, draws=draws)


def annotator_checks(counts: TwoPhase) -> tuple[float, float]:
    """Sensitivity and specificity of the cheap annotator, weighted to the population; NaN where not defined."""
    share = counts.documents / counts.documents.sum()
    called = counts.called / np.maximum(counts.read, 1)
    right = counts.confirmed / np.maximum(counts.called_checked, 1)
    wrong = counts.missed / np.maximum(counts.passed_checked, 1)
    hit, miss = float(share @ (called * right)), float(share @ ((1 - called) * wrong))
    false, true = float(share @ (called * (1 - right))), float(share @ ((1 - called) * (1 - wrong)))
    return (hit / (hit + miss) if hit + miss else np.nan), (true / (true + false) if true + false else np.nan)


def difference(truth: Floats, predicted: Floats, probability: Floats, population_mean: float, documents: int) -> Figure:
    """The difference (GREG) estimator with a tuned slope, for means of ``truth`` where ``predicted`` is known for all.

    Arrays of shape (labelled,), ``probability`` of inclusion; ``population_mean`` of the predictions over all
    ``documents``. The slope is that of least variance (PPI++, Angelopoulos, Duchi and Zrnic 2023), the
    interval Student's. Raises `ValueError` with fewer than ten positives, where it would be too short.
    """
    if np.count_nonzero(truth) < LEAST_POSITIVES:
        raise ValueError(
            f"{np.count_nonzero(truth)} positives are too few for an interval by a normal approximation, which takes "
            f"{LEAST_POSITIVES}; use the stratified estimate"
        )
    weights = 1 / probability
    weights = weights / weights.sum()
    centred = predicted - weights @ predicted
    spread = float(weights**2 @ centred**2)
    slope = float(weights**2 @ (centred * truth)) / spread if spread else 0.0
    errors = truth - slope * predicted
    value = slope * population_mean + float(weights @ errors)
    n = len(truth)
    variance = float(weights**2 @ (errors - weights @ errors) ** 2) * n / (n - 2) * max(0.0, 1 - n / documents)
    half = float(stats.t.ppf(0.975, n - 2)) * variance**0.5
    estimate = Estimate(value, max(0.0, value - half), min(1.0, value + half), n, "difference estimator, Student's t")
    return Figure(estimate, int(np.count_nonzero(truth)))
