"""Confidence distributions as random samples, and sums, shares and corrections of them: melding.

A *lower* and an *upper* sample stand for each unknown number; a quantile of the one bounds it from below, of the other
from above (Fay, Proschan and Brittain 2015, Biometrics 71:146-156). For a count they are those of Clopper and
Pearson; what is monotone in several such numbers is melded by putting the right ends in. The *mid-p* form draws both
from an even mixture of the two (Fay and Kim 2017, Biometrical Journal 59:377-387).

Knows counts and sizes; knows nothing of scores or of how a sample was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
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

    @property
    def mixed(self) -> bool:
        """Whether lower and upper are one, as in mid-p form."""
        return self.lower is self.upper

    def __add__(self, other: Melded) -> Melded:
        lower = self.lower + other.lower
        return Melded(lower, lower if self.mixed and other.mixed else self.upper + other.upper)

    def __sub__(self, other: Melded) -> Melded:
        return Melded(self.lower - other.upper, self.upper - other.lower)

    def __truediv__(self, size: float) -> Melded:
        """By a known number above zero."""
        lower = self.lower / size
        return Melded(lower, lower if self.mixed else self.upper / size)

    def capped(self) -> Melded:
        """A share, where means of sizes may have drawn more than all."""
        lower = np.minimum(self.lower, 1.0)
        return Melded(lower, lower if self.mixed else np.minimum(self.upper, 1.0))

    def share_beside(self, rest: Melded) -> Melded:
        """self / (self + rest), which rises in the one and falls in the other; 0 / 0 may be anything."""
        low, high = self.lower + rest.upper, self.upper + rest.lower
        return Melded(
            np.divide(self.lower, low, out=np.zeros_like(low), where=low > 0),
            np.divide(self.upper, high, out=np.ones_like(high), where=high > 0),
        )

    def interval(self, tails: tuple[float, float] = TAILS) -> tuple[float, float]:
        """Bounds with these errors below and above."""
        if self.mixed:
            low, high = np.quantile(self.lower, (tails[0], 1 - tails[1]))
            return float(low), float(high)
        return float(np.quantile(self.lower, tails[0])), float(np.quantile(self.upper, 1 - tails[1]))


def total(parts: Sequence[Melded]) -> Melded:
    """The sum of independent numbers; of none, zero."""
    return sum(parts[1:], parts[0]) if parts else Melded(np.zeros(1), np.zeros(1))


def proportion(
    positives: int, labelled: int, random: np.random.Generator, *, form: Form = "mid-p", draws: int = DRAWS
) -> Melded:
    """A share of which ``positives`` of ``labelled`` independent cases are known (Clopper and Pearson 1934)."""
    if form == "mid-p":
        mixed, _ = mixed_proportion(positives, labelled, random, draws)
        return Melded(mixed, mixed)
    lower = random.beta(positives, labelled - positives + 1, draws) if positives else np.zeros(draws)
    upper = random.beta(positives + 1, labelled - positives, draws) if positives < labelled else np.ones(draws)
    return Melded(lower, upper)


_T = TypeVar("_T")
_WEIGHTS, _LEAST_MEANS = 2_000_000, 1000
"""Random weights of a bootstrap at most, as long as they make so many means: of more they take longer than all else."""


class Chances:
    """Where the melding of one population has its random numbers from: ``draws`` for each stratum.

    What is drawn for a stratum depends on its counts, ``seed`` and ``population`` alone, and is drawn once however
    often it is asked for: labels and units of a population have many counts in common. Populations whose numbers are
    added, subtracted or divided must be independent, and so have different numbers here.
    """

    def __init__(self, seed: int = 0, population: int = 0, *, draws: int = DRAWS) -> None:
        self.seed, self.population, self.draws = seed, population, draws
        self._drawn: dict[Hashable, Any] = {}

    def random(self, stratum: int, purpose: int) -> np.random.Generator:
        """A stratum's generator for counts (0) or for sizes (1), at its beginning."""
        # the 1 sets it apart from default_rng(seed): NumPy takes (5,) and (5, 0, 0) for the same seed
        return np.random.default_rng((self.seed, self.population, stratum, purpose, 1))

    def once(self, stratum: int, counts: Hashable, draw: Callable[[np.random.Generator], _T]) -> _T:
        """What ``draw`` makes of the stratum's generator, which may depend on ``counts`` and nothing else."""
        key = (stratum, counts)
        if key not in self._drawn:
            self._drawn[key] = draw(self.random(stratum, 0))
        found: _T = self._drawn[key]
        return found


@dataclass(frozen=True)
class Unread:
    """How many of a stratum's unread documents are positive, from below and above, float64, shape (draws,).

    In mid-p form both are one; ``unseen`` says where it is that from above, with one positive more than was seen.
    """

    lower: Floats
    upper: Floats
    unseen: Flags | None

    def sized(self, sizes: Floats, unseen_size: float, random: np.random.Generator) -> Melded:
        """The size of all positives of the stratum, of which those read have ``sizes``, shape (positives,)."""
        known, draws = sizes.sum(), len(self.lower)
        if self.unseen is not None:
            both = known + size_of(self.lower, sizes, unseen_size, self.unseen, random)
            return Melded(both, both)
        lower = known + size_of(self.lower, sizes, unseen_size, np.zeros(draws, bool), random)
        return Melded(lower, known + size_of(self.upper, sizes, unseen_size, np.ones(draws, bool), random))


def unread_positives(
    positives: int, labelled: int, documents: int, random: np.random.Generator, *, form: Form, draws: int
) -> Unread:
    """Of ``documents``, of which ``labelled`` were drawn at random and read, and ``positives`` of those found.

    They are predicted by a beta-binomial, whose quantiles are the exact hypergeometric bounds.
    """
    unread = documents - labelled
    if form == "exact":
        rate = proportion(positives, labelled, random, form="exact", draws=draws)
        return Unread(_binomial(unread, rate.lower, random), _binomial(unread, rate.upper, random), None)
    rates, unseen = mixed_proportion(positives, labelled, random, draws)
    both = _binomial(unread, rates, random)
    return Unread(both, both, unseen)


def mixed_proportion(positives: int, labelled: int, random: np.random.Generator, draws: int) -> tuple[Floats, Flags]:
    """`proportion` in mid-p form, drawing only what a coin takes; and where that is the upper one."""
    unseen = random.random(draws) < 0.5
    above, rates = int(unseen.sum()), np.zeros(draws)
    if positives:
        rates[~unseen] = random.beta(positives, labelled - positives + 1, draws - above)
    rates[unseen] = random.beta(positives + 1, labelled - positives, above) if positives < labelled else 1.0
    return rates, unseen


def _binomial(n: int, rates: Floats, random: np.random.Generator) -> Floats:
    return random.binomial(n, rates).astype(np.float64)


def stratum_total(
    sizes: Floats,
    labelled: int,
    documents: int,
    chances: Chances,
    stratum: int = 0,
    *,
    unseen_size: float = 1.0,
    form: Form = "mid-p",
) -> Melded:
    """The size of all positives among ``documents``, of which ``labelled`` were drawn at random and read.

    ``sizes``: of the positives found, float64, shape (positives,); all 1 to count documents. A stratum read whole is
    known. Sizes are drawn by the Bayesian bootstrap (see `size_of`), with one positive of ``unseen_size`` more where
    the upper bound is drawn: the compound form of the gamma interval (Fay and Feuer 1997, Statistics in Medicine
    16:791-801) without matching its moments.
    """
    if documents == labelled:
        known = np.full(chances.draws, sizes.sum())
        return Melded(known, known)
    counts = (len(sizes), labelled, documents)
    unread = chances.once(
        stratum, (*counts, form), lambda random: unread_positives(*counts, random, form=form, draws=chances.draws)
    )
    return unread.sized(sizes, unseen_size, chances.random(stratum, 1))


def size_of(
    unread: Floats, sizes: Floats, unseen_size: float, unseen: Flags, random: np.random.Generator
) -> Floats:  # fmt: skip
    """The size of so many ``unread`` positives, shape (draws,), from the ``sizes`` of those that were read.

    What sizes there are is drawn by Rubin's (1981) Bayesian bootstrap, with one of ``unseen_size``, or of the longest
    that was read, more where ``unseen``; of many sizes, whose mean varies little, fewer times, each for several draws.
    The sum of so many sizes drawn from them scatters in turn: it is a gamma variate of their mean and variance. Without
    the one, intervals by words are too short where positives are few and of skewed sizes, without the other where much
    of a stratum was read (tests/test_sizes.py).
    """
    largest = max(unseen_size, float(np.max(sizes, initial=0.0)))
    if np.all(sizes == largest):
        return unread * largest
    rows = min(len(unseen), max(_LEAST_MEANS, _WEIGHTS // (len(sizes) + 1)))
    weights, at = random.standard_exponential((rows, len(sizes) + 1)), np.arange(len(unseen)) % rows
    seen = weights[:, :-1] @ np.stack([np.ones(len(sizes)), sizes, sizes**2], axis=1)
    more = unseen * weights[at, -1]
    weight, total, squares = (seen[at, k] + more * largest**k for k in range(3))
    means = total / weight
    return _gamma(unread * means, unread * (squares / weight - means**2), random)


def _gamma(means: Floats, variances: Floats, random: np.random.Generator) -> Floats:
    """Variates of these means and variances; the means themselves where there is next to no variance."""
    shapes = np.divide(means**2, variances, out=np.full_like(means, 1e12), where=variances > 1e-12 * means**2)
    return np.asarray(random.standard_gamma(shapes) * means / shapes, np.float64)
