"""Prevalence where nothing of this corpus was read: estimates that assume prior shift, marked as model-based.

Prior shift: positives and negatives score here as they did on the labelled documents elsewhere; only their shares
differ. Text of another time or kind breaks that. Both methods take a histogram, so that size does not matter. They are
ten lines each; QuaPy, which has them too, trains its own classifiers and takes documents one by one. Knows arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.adjusted import Checks
from pipeline.prevalence.figure import Figure
from pipeline.prevalence.melding import TAILS
from pipeline.schema import Estimate

Floats = NDArray[np.float64]
_RESAMPLES = 1000


def emq(posteriors: Floats, weights: Floats, trained_at: float, *, steps: int = 1000) -> float:
    """Prevalence by expectation maximisation (Saerens, Latinne and Decaestecker 2002, section 2.2).

    ``posteriors``, shape (bins,), calibrated at a prevalence of ``trained_at``; ``weights``: documents in each bin.
    """
    prevalence = trained_at
    for _ in range(steps):
        positive = posteriors * prevalence / trained_at
        negative = (1 - posteriors) * (1 - prevalence) / (1 - trained_at)
        last, prevalence = prevalence, float(weights @ (positive / (positive + negative)) / weights.sum())
        if abs(prevalence - last) < 1e-12 or prevalence <= 0:
            break
    return prevalence


def pacc(mean_score: float, of_positives: float, of_negatives: float) -> float:
    """Prevalence from mean scores (Bella et al. 2010, section III): of the corpus, and of labelled ones elsewhere."""
    if of_positives <= of_negatives:
        return float("nan")
    return float(np.clip((mean_score - of_negatives) / (of_positives - of_negatives), 0, 1))


def pacc_figure(
    mean_score: float, positives: Weighted, negatives: Weighted, *, error: float = 0.0, seed: int = 0,
    resamples: int = _RESAMPLES,
) -> Figure:  # fmt: skip
    """PACC with an interval that resamples the labelled documents (Davison and Hinkley 1997, chapter 2), not the
    assumption; ``error``: the standard error of the mean score, which few documents leave to chance. Raises
    `ValueError` without a document of either kind."""
    if not len(positives.scores) or not len(negatives.scores):
        raise ValueError("PACC needs documents that hold the label, and others that do not; there are not both")
    random = np.random.default_rng(seed)
    means = mean_score + error * random.standard_normal(resamples)
    resampled = [pacc(float(mean), positives.resampled(random), negatives.resampled(random)) for mean in means]
    low, high = (float(x) for x in np.nanquantile(resampled, [TAILS[0], 1 - TAILS[1]]))
    n, value = len(positives.scores) + len(negatives.scores), pacc(mean_score, positives.mean, negatives.mean)
    return Figure(Estimate(value, low, high, n, "PACC; holds under prior shift"), len(positives.scores), "model")


@dataclass(frozen=True)
class Weighted:
    """Scores of labelled documents, float64, shape (documents,), with what each stands for: the inverse of its chance
    to be drawn."""

    scores: Floats
    weights: Floats

    @property
    def mean(self) -> float:
        """Weighted."""
        return float(self.weights @ self.scores / self.weights.sum())

    def share(self, which: NDArray[np.bool_]) -> Checks:
        """How many of them hold something, by weight, of as many as they are worth (Kish 1965, section 11.7)."""
        worth = float(self.weights.sum() ** 2 / (self.weights @ self.weights)) if len(self.weights) else 0.0
        tried = int(worth)
        return Checks(round(tried * float(self.weights @ which / self.weights.sum())) if tried else 0, tried)

    def resampled(self, random: np.random.Generator) -> float:
        """The weighted mean of as many documents, drawn with replacement."""
        at = random.integers(0, len(self.scores), len(self.scores))
        return float(self.weights[at] @ self.scores[at] / self.weights[at].sum())
