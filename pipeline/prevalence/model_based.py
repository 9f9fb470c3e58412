"""Prevalence where nothing of this corpus was read: estimates that assume prior shift, marked as model-based.

Prior shift: positives and negatives score here as they did on the labelled documents elsewhere; only their shares
differ. Text of another time or kind breaks that. Both methods take a histogram, so that size does not matter. They are
ten lines each; QuaPy, which has them too, trains its own classifiers and takes documents one by one. Knows arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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


def prior_shift(
    scores: Floats, weights: Floats, positives: Floats, negatives: Floats, *, seed: int = 0
) -> list[Figure]:
    """EMQ and PACC for a histogram (``scores``, documents ``weights``), given scores of labelled documents elsewhere.

    Intervals resample the labelled documents (Davison and Hinkley 1997, chapter 2), not the assumption.
    """
    random = np.random.default_rng(seed)
    mean = float(weights @ scores / weights.sum())
    trained_at = float(np.clip(len(positives) / (len(positives) + len(negatives)), 1e-6, 1 - 1e-6))
    resampled = [
        pacc(mean, random.choice(positives, len(positives)).mean(), random.choice(negatives, len(negatives)).mean())
        for _ in range(_RESAMPLES)
    ]
    low, high = (float(x) for x in np.nanquantile(resampled, [TAILS[0], 1 - TAILS[1]]))
    n = len(positives) + len(negatives)
    by_pacc = Estimate(pacc(mean, positives.mean(), negatives.mean()), low, high, n, "PACC; holds under prior shift")
    value = emq(np.clip(scores, 1e-6, 1 - 1e-6), weights, trained_at)
    by_emq = Estimate(value, 0.0, 1.0, n, "EMQ; holds under prior shift with calibrated scores; no interval")
    return [Figure(one, len(positives), "model") for one in (by_pacc, by_emq)]
