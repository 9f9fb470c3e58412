"""The filter on this very corpus: its precision, its recall, and what it leaves (elusion), from designed labels.

Knows samples above and below a threshold; knows no scores.
"""

from __future__ import annotations

import numpy as np

from pipeline.prevalence.bounds import clopper_pearson
from pipeline.prevalence.figure import Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Chances, Form, Melded
from pipeline.prevalence.sample import Reading, Sample, stratified
from pipeline.schema import Estimate


def precision(above: Reading, *, draws: int = DRAWS) -> Figure:
    """Of what the filter flags, the share that is positive."""
    return stratified(above, draws=draws)


def recall(
    above: Reading, below: Reading, *, tails: tuple[float, float] = TAILS, form: Form = "mid-p", seed: int = 0,
    draws: int = DRAWS,
) -> Figure:  # fmt: skip
    """Of all that is positive, the share that the filter flags: both totals melded into their ratio."""
    flagged, left = (one.melded(Chances(seed, k, draws=draws), form=form) for k, one in enumerate((above, below)))
    low, high = flagged.share_beside(left).interval(tails)
    found, missed = above.point(), below.point()
    value = min(max(found / (found + missed), low), high) if found + missed else high
    positives = int(above.positives.sum() + below.positives.sum())
    estimate = Estimate(value, low, high, above.n + below.n, f"ratio of {above.design} totals, melded {form}")
    documents = np.array([above.documents.sum(), below.documents.sum()])
    unread = float(documents @ [above.unread, below.unread] / max(1, documents.sum()))
    return Figure(estimate, positives, above.basis, unread=unread)


def elusion(below: Reading, *, error: float = 0.05, draws: int = DRAWS) -> Figure:
    """Of what the filter lets pass, the share that is positive, with a one-sided bound in ``estimate.high``.

    Clopper and Pearson's where every document had the same chance to be read, which is exact; else
    melded from exact strata.
    """
    size = max(float(below.size.sum()), 1e-300)
    one = isinstance(below, Sample) and len(below.documents) == 1 and np.all(below.unseen == 1)
    if one and below.n < below.documents[0]:
        high, method = clopper_pearson(int(below.positives[0]), below.n, (0.0, error))[1], "Clopper-Pearson, one-sided"
    else:
        melded: Melded = below.melded(Chances(draws=draws), form="exact")
        high, method = min(1.0, melded.interval((0.0, error))[1] / size), "melded exact strata, one-sided"
    value = min(below.point() / size, high)
    estimate, positives = Estimate(value, 0.0, high, below.n, method), int(below.positives.sum())
    return Figure(estimate, positives, below.basis, confidence=1 - error, one_sided=True)
