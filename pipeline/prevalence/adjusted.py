"""Rates that were observed with errors, put right: Rogan and Gladen's estimate with melded intervals.

Used for the classifier's flags, where its error rates were measured elsewhere (then model-based: they must be those of
this corpus), and for annotators, whose error rates are measured by blind second readings. Knows counts only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.prevalence.figure import Basis, Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Chances, Floats, Form, Melded, proportion
from pipeline.prevalence.sample import Reading
from pipeline.schema import Estimate


@dataclass(frozen=True)
class Checks:
    """How often ``right`` of ``tried`` cases of known truth were judged right."""

    right: int
    tried: int

    @property
    def rate(self) -> float:
        """The share judged right; 1 where nothing was tried."""
        return self.right / self.tried if self.tried else 1.0


def naive(flagged: float, size: float, documents: int) -> Figure:
    """The flag rate, by documents, words or bytes: a count, known exactly, that is no prevalence."""
    share = flagged / size if size else 0.0
    return Figure(Estimate(share, share, share, documents, "flags counted; not a prevalence"), 0, "count")


def rogan_gladen(
    flagged: int, documents: int, sensitivity: Checks, specificity: Checks, *, seed: int = 0, draws: int = DRAWS
) -> Figure:
    """Prevalence from the flag rate and the classifier's error rates on other labelled documents; model-based.

    (rate + specificity - 1) / (sensitivity + specificity - 1), Rogan and Gladen 1978; the interval melds the three
    (Bayer, Fay and Graubard 2023, Statistics in Medicine; compare Lang and Reiczigel 2014).
    """
    random = np.random.default_rng(seed)
    rate = proportion(flagged, documents, random, form="exact", draws=draws)
    melded = _corrected(rate, sensitivity, specificity, random)
    value = float(_solve(np.array([flagged / documents]), sensitivity.rate, specificity.rate)[0])
    method = "Rogan-Gladen, melded; holds if the classifier errs here as it did where it was tested"
    return _figure(melded, value, documents, flagged, "model", method)


def annotators_corrected(
    sample: Reading, sensitivity: Checks, specificity: Checks | None, *, form: Form = "mid-p", seed: int = 0,
    draws: int = DRAWS,
) -> Figure:  # fmt: skip
    """The stratified estimate of an annotator's labels, put right by how often the annotator is.

    ``specificity`` None says that each positive was read again and confirmed, so that there are no false ones; without
    that, 3 % of false positives drown a prevalence of 0.1 %, and the interval says so. It is taken that the annotator
    errs alike in all strata (`two_phase` needs no such thing).
    """
    random = np.random.default_rng(seed)
    size = float(sample.size.sum())
    rate = sample.melded(Chances(seed, draws=draws), form=form) / size
    melded = _corrected(rate, sensitivity, specificity, random)
    sure = specificity.rate if specificity else 1.0
    value = float(_solve(np.array([sample.point() / size]), sensitivity.rate, sure)[0])
    method = f"stratified, corrected for annotators (right on {sensitivity.rate:.1%} of positives)"
    return _figure(melded, value, sample.n, int(sample.positives.sum()), "design", method)


def _corrected(rate: Melded, sensitivity: Checks, specificity: Checks | None, random: np.random.Generator) -> Melded:
    """Falls in sensitivity, rises in specificity."""
    draws = len(rate.lower)
    found = proportion(sensitivity.right, sensitivity.tried, random, form="exact", draws=draws)
    sure = Melded(np.ones(draws), np.ones(draws))
    if specificity is not None:
        sure = proportion(specificity.right, specificity.tried, random, form="exact", draws=draws)
    return Melded(
        _solve(rate.lower, found.upper, sure.lower, unknown=0.0),
        _solve(rate.upper, found.lower, sure.upper, unknown=1.0),
    )


def _solve(rate: Floats, sensitivity: Floats | float, specificity: Floats | float, unknown: float = 0.0) -> Floats:
    """Clipped to 0 and 1; ``unknown`` where the test is no better than chance, so that nothing is known."""
    above = np.asarray(rate + specificity - 1, np.float64)
    better = np.asarray(np.broadcast_to(np.asarray(sensitivity + specificity - 1), above.shape), np.float64)
    return np.clip(np.divide(above, better, out=np.full_like(above, unknown), where=better > 0), 0.0, 1.0)


def _figure(melded: Melded, value: float, n: int, positives: int, basis: Basis, method: str) -> Figure:
    low, high = melded.interval(TAILS)
    return Figure(Estimate(min(max(value, low), high), low, high, n, method), positives, basis)
