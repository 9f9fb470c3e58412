"""Scores to probabilities that mean what they say at a stated base rate: a map of two numbers a label, fitted on texts
of sources that the model never saw, stored in the card and applied when figures are made, never by the kernel.

Knows scores, truth and base rates as numbers; knows neither models nor files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEAREST = 1e-6
"""Scores are kept so far from 0 and 1: fastText's own may pass 1."""


@dataclass(frozen=True)
class Calibration:
    """Of a score s, the probability is sigmoid(``slope`` * logit(s) + ``intercept``) where ``base_rate`` of the
    documents hold the label (Platt 1999)."""

    slope: float
    intercept: float
    base_rate: float

    def probability(self, scores: NDArray[np.float64], base_rate: float | None = None) -> NDArray[np.float64]:
        """Probabilities, float64 of the same shape, at another base rate if one is given: the log-odds then move by
        the difference of both rates' log-odds (Elkan 2001, theorem 2; Saerens, Latinne and Decaestecker 2002)."""
        shift = 0.0 if base_rate is None else float(log_odds(base_rate) - log_odds(self.base_rate))
        probabilities: NDArray[np.float64] = _sigmoid(self.slope * log_odds(scores) + self.intercept + shift)
        return probabilities


def log_odds(scores: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """ln(s / (1 - s)), of scores kept a millionth away from 0 and 1."""
    kept = np.clip(np.asarray(scores, np.float64), _NEAREST, 1 - _NEAREST)
    odds: NDArray[np.float64] = np.log(kept / (1 - kept))
    return odds


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


def web_weights(
    truth: NDArray[np.bool_], about_ai: NDArray[np.bool_], base_rate: float, ai_rate: float
) -> NDArray[np.float64]:
    """What each document stands for where ``base_rate`` of all hold the label and ``ai_rate`` of all are about AI:
    positives, negatives about AI and the others weigh so much together. Sums to 1 where all three kinds are there.

    Labelled documents are rich in positives and in negatives about AI, far beyond the web: correcting for the
    positives alone would leave the false alarms of both kinds of negatives mixed as they were collected.
    """
    weights = np.zeros(len(truth))
    kinds = ((truth, base_rate), (~truth & about_ai, max(0.0, ai_rate - base_rate)), (~truth & ~about_ai, 1 - ai_rate))
    for rows, share in kinds:
        if rows.any():
            weights[rows] = share / rows.sum()
    return weights


def fit_calibration(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64], base_rate: float
) -> Calibration:
    """The map of least weighted log loss; positives and negatives must each weigh as the base rate says.

    The target of positives is smoothed as Platt (1999, section 2.2) has it, so that a few separable ones give no
    infinite slope; that of negatives is 0, since his 1 / (n + 2) is no small thing beside a base rate of a thousandth.
    Raises `ValueError` without both classes.
    """
    from scipy.optimize import minimize  # here: to apply a map needs no SciPy

    positives = int(truth.sum())
    if positives in (0, len(truth)):
        raise ValueError("a calibration needs documents with the label and without it")
    x = log_odds(scores)
    y = np.where(truth, (positives + 1) / (positives + 2), 0.0)

    def loss(parameters: NDArray[np.float64]) -> float:
        z = parameters[0] * x + parameters[1]
        return float(weights @ (np.logaddexp(0, z) - y * z) / base_rate)

    found = minimize(loss, np.array([1.0, 0.0]), method="BFGS", options={"gtol": 1e-7})
    return Calibration(float(found.x[0]), float(found.x[1]), base_rate)


def reliability(
    truth: NDArray[np.bool_], probabilities: NDArray[np.float64], weights: NDArray[np.float64]
) -> list[dict[str, float]]:
    """For each half of a decade of probability: its weighted mean, the weighted share of positives, and how many
    documents and positives."""
    edges = np.floor(np.log10(np.maximum(probabilities, 1e-6)) * 2).astype(int)
    rows = []
    for edge in np.unique(edges):
        inside = edges == edge
        weight = weights[inside]
        rows.append({
            "probability": float(np.average(probabilities[inside], weights=weight)),
            "share": float(np.average(truth[inside], weights=weight)),
            "documents": int(inside.sum()), "positives": int(truth[inside].sum()),
        })  # fmt: skip
    return rows
