"""Confidence distributions as random samples, and sums, shares and corrections of them: melding.

A *lower* and an *upper* sample stand for each unknown number; a quantile of the one bounds it from below, of the other
from above (Fay, Proschan and Brittain 2015, Biometrics 71:146-156). For a count they are those of Clopper and
Pearson; what is monotone in several such numbers is melded by putting the right ends in. The *mid-p* form draws both
from an even mixture of the two (Fay and Kim 2017, Biometrical Journal 59:377-387).

Knows counts and sizes; knows nothing of scores or of how a sample was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Form = Literal["mid-p", "exact"]

DRAWS = 20_000
TAILS = (0.01, 0.04)
"""Errors below and above that make 95 %, fixed beforehand. Of a rare label nearly all the width is the upper arm, which
is log(1 / error) long where a stratum shows no positive, while the lower arm hardly notices: with 1 and 4 % intervals
are a sixth narrower than with 2.5 and 2.5 %, at the same coverage."""


@dataclass(frozen=True)
class Melded:
    """An unknown number: ``lower`` and ``upper``, float64, shape (draws,)."""

    lower: Floats
    upper: Floats

    def __add__(self, other: Melded) -> Melded:
        return Melded(self.lower + other.lower, self.upper + other.upper)

    def __sub__(self, other: Melded) -> Melded:
        return Melded(self.lower - other.upper, self.upper - other.lower)

    def __mul__(self, other: Melded | float) -> Melded:
        """Of numbers that are not negative."""
        if isinstance(other, Melded):
            return Melded(self.lower * other.lower, self.upper * other.upper)
        return Melded(self.lower * other, self.upper * other)

    def complement(self) -> Melded:
        """One minus the number."""
        return Melded(1 - self.upper, 1 - self.lower)

    def share_beside(self, rest: Melded) -> Melded:
        """self / (self + rest), which rises in the one and falls in the other; 0 / 0 may be anything."""
        low, high = self.lower + rest.upper, self.upper + rest.lower
        return Melded(
            np.divide(self.lower, low, out=np.zeros_like(low), where=low > 0),
            np.divide(self.upper, high, out=np.ones_like(high), where=high > 0),
        )

    def interval(self, tails: tuple[float, float] = TAILS) -> tuple[float, float]:
        """Bounds with these errors below and above."""
        return float(np.quantile(self.lower, tails[0])), float(np.quantile(self.upper, 1 - tails[1]))


def total(parts: Sequence[Melded]) -> Melded:
    """The sum of independent numbers; of none, zero."""
    return sum(parts[1:], parts[0]) if parts else Melded(np.zeros(1), np.zeros(1))


def proportion(
    positives: int, labelled: int, random: np.random.Generator, *, form: Form = "mid-p", draws: int = DRAWS
) -> Melded:
    """A share of which ``positives`` of ``labelled`` independent cases are known (Clopper and Pearson 1934)."""
    lower = random.beta(positives, labelled - positives + 1, draws) if positives else np.zeros(draws)
    upper = random.beta(positives + 1, labelled - positives, draws) if positives < labelled else np.ones(draws)
    if form == "exact":
        return Melded(lower, upper)
    mixed = np.where(random.random(draws) < 0.5, lower, upper)
    return Melded(mixed, mixed)


def stratum_total(
    sizes: Floats,
    labelled: int,
    documents: int,
    random: np.random.Generator,
    *,
    unseen_size: float = 1.0,
    form: Form = "mid-p",
    draws: int = DRAWS,
) -> Melded:
    """The size of all positives among ``documents``, of which ``labelled`` were drawn at random and read.

    ``sizes``: of the positives found, float64, shape (positives,); all 1 to count documents. What was not read is
    predicted by a beta-binomial, whose quantiles are the exact hypergeometric bounds; a stratum read whole is known.
    Mean sizes are drawn by the Bayesian bootstrap, with one positive of ``unseen_size`` more where the upper bound
    is drawn: the compound form of the gamma interval (Fay and Feuer 1997, Statistics in Medicine 16:791-801)
    without matching its moments.
    """
    unread, positives = documents - labelled, len(sizes)
    if unread == 0:
        return Melded(np.full(draws, sizes.sum()), np.full(draws, sizes.sum()))
    rate = proportion(positives, labelled, random, form="exact", draws=draws)
    lower = sizes.sum() + random.binomial(unread, rate.lower) * mean_sizes(sizes, random, draws)
    with_unseen = np.append(sizes, unseen_size)
    upper = sizes.sum() + random.binomial(unread, rate.upper) * mean_sizes(with_unseen, random, draws)
    if form == "exact":
        return Melded(lower, upper)
    mixed = np.where(random.random(draws) < 0.5, lower, upper)
    return Melded(mixed, mixed)


def mean_sizes(sizes: Floats, random: np.random.Generator, draws: int) -> Floats:
    """Rubin's (1981) Bayesian bootstrap of the mean, shape (draws,)."""
    if len(sizes) == 0 or np.all(sizes == sizes[0]):
        return np.full(draws, sizes[0] if len(sizes) else 0.0)
    weights = random.standard_exponential((draws, len(sizes)))
    return np.asarray(weights @ sizes / weights.sum(axis=1), np.float64)
