"""Draws of whole domains (cluster sampling): what was drawn is the domain, and the interval counts domains.

Documents drawn one by one need none of this, however much those of a domain resemble each other: each had its own
chance. Knows counts and sizes by domain as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.figure import Basis, Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Chances, Form, stratum_total
from pipeline.schema import Estimate

LEAST_DOMAINS = 5
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Clusters:
    """Domains drawn at random from ``domains``, which hold ``documents`` of the size ``size`` in a unit: arrays of
    shape (drawn,).

    ``held`` are a domain's documents, of which ``read`` were read and ``positives`` found, int64; ``found`` is the size
    of those positives, float64. Where not all of a domain was read, both stand for all of it. ``unseen``: the size that
    an unseen domain may have, which may be positive whole: that of the one a word of the population is in on average.
    """

    domains: int
    documents: int
    size: float
    unseen: float
    held: Ints
    read: Ints
    positives: Ints
    found: Floats
    basis: Basis = "design"

    @property
    def whole(self) -> bool:
        """Whether every domain that was drawn was read to the last document."""
        return bool(np.all(self.read == self.held))

    def totals(self) -> Floats:
        """The size of the positives of each domain, estimated where a part was read."""
        return np.asarray(self.found * self.held / np.maximum(self.read, 1), np.float64)

    def design_effect(self) -> float | None:
        """Of the estimate by documents (Kish 1965, chapter 5): its variance over domains, over that of as many
        documents drawn one by one; None where fewer than `LEAST_DOMAINS` hold a positive: it would say little."""
        drawn, n = len(self.read), int(self.read.sum())
        totals = self.positives * self.held / np.maximum(self.read, 1)
        rate = float(totals.mean() * self.domains / self.documents) if drawn else 0.0
        if np.count_nonzero(totals) < LEAST_DOMAINS or not 0 < rate < 1:
            return None
        variance = float(np.var(totals, ddof=1)) / drawn * (self.domains / self.documents) ** 2
        unread = 1 - drawn / self.domains if self.whole else 1.0
        return variance * unread * n / (rate * (1 - rate))


def by_domains(drawn: Clusters, *, form: Form = "mid-p", seed: int = 0, draws: int = DRAWS) -> Figure:
    """The share that is positive, in the unit, from whole domains drawn at random.

    The expansion estimator (Särndal, Swensson and Wretman 1992, section 4.2). Each domain that holds a positive is one
    event of that size, in a compound gamma interval (see `melding.stratum_total`), and where domains were read in part,
    nothing of the total is known for sure. Raises `ValueError` without a domain.
    """
    if not len(drawn.read):
        raise ValueError("no domain was read: there is nothing to estimate from")
    totals = drawn.totals()
    low, high = (min(1.0, bound / drawn.size) for bound in _interval(drawn, totals[drawn.found > 0], form, seed, draws))
    value = min(max(float(totals.mean()) * drawn.domains / drawn.size, low), high)
    parts = "whole domains" if drawn.whole else "domains read in part"
    method = f"{parts}, melded {form} ({TAILS[0]:.2g} below, {TAILS[1]:.2g} above)"
    estimate = Estimate(value, low, high, int(drawn.read.sum()), method)
    return Figure(estimate, int(drawn.positives.sum()), drawn.basis, drawn.design_effect())


def _interval(drawn: Clusters, sizes: Floats, form: Form, seed: int, draws: int) -> tuple[float, float]:
    """Of the size of all positives. What was estimated is not known: then all domains are predicted, and none of those
    drawn is counted."""
    m, chances = len(drawn.read), Chances(seed, draws=draws)
    domains, known = (drawn.domains, 0.0) if drawn.whole else (drawn.domains + m, float(sizes.sum()))
    melded = stratum_total(sizes, m, domains, chances, unseen_size=drawn.unseen, form=form)
    low, high = melded.interval(TAILS)
    return low - known, high - known
