"""Draws of whole domains: the domain, not the document, is what was drawn, and the interval counts domains.

Documents drawn one by one need none of this, however much those of a domain resemble each other: each had its own
chance. Knows counts by domain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.figure import Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Chances, Form, stratum_total
from pipeline.prevalence.sample import size_biased
from pipeline.schema import Estimate

Ints = NDArray[np.int64]


def by_domains(
    positives: Ints,
    read: Ints,
    domains: int,
    documents: int,
    *,
    form: Form = "mid-p",
    seed: int = 0,
    draws: int = DRAWS,
) -> Figure:
    """The share of positive documents from whole domains drawn at random: ``positives`` and ``read``, int64, shape
    (drawn domains,), of ``domains`` in all with ``documents`` in all.

    Each domain that holds a positive is one event of that size, in a compound gamma interval (see
    `melding.stratum_total`); an unseen one may be positive whole, and as large as the domain that a document is in.
    The design effect is the variance over domains (Kish 1965, chapter 5) over that of single documents.
    """
    sizes = positives[positives > 0].astype(np.float64)
    unseen = size_biased(read.astype(np.float64))
    chances = Chances(seed, draws=draws)
    melded = stratum_total(sizes, len(read), domains, chances, unseen_size=unseen, form=form)
    low, high = (min(1.0, bound / documents) for bound in melded.interval(TAILS))
    value = min(max(positives.mean() * domains / documents, low), high)
    figure = Estimate(float(value), low, high, int(read.sum()), f"whole domains, melded {form}")
    return Figure(figure, int(positives.sum()), "design", _design_effect(positives, read))


def _design_effect(positives: Ints, read: Ints) -> float | None:
    """Linearised variance of the ratio of positives to documents; None without a positive or a second domain."""
    n, rate = int(read.sum()), positives.sum() / max(1, read.sum())
    if len(read) < 2 or not 0 < rate < 1:
        return None
    residuals = positives - rate * read
    variance = float(residuals @ residuals) * len(read) / (len(read) - 1) / n**2
    return variance * n / float(rate * (1 - rate))
