"""Several figures at once: dates with simultaneous intervals, differences tested as such, hosts with error control.

Knows samples and counts; knows nothing of what the slices are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from pipeline.prevalence.figure import Basis, Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Form, Melded
from pipeline.prevalence.sample import Reading, stratified
from pipeline.schema import Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def simultaneous(samples: Sequence[Reading], *, form: Form = "mid-p", draws: int = DRAWS) -> list[Figure]:
    """Estimates of disjoint slices, such as dates, whose intervals all hold at once with 95 % (Šidák 1967).

    Independent given how many documents of each slice were drawn, hence Šidák's and not Bonferroni's level.
    """
    tails = tails_together(len(samples))
    random = np.random.default_rng(0)
    figures = [stratified(one, tails=tails, form=form, random=random, draws=draws * 2) for one in samples]
    return [replace(one, confidence=round(1 - sum(TAILS), 6)) for one in figures]


def tails_together(slices: int) -> tuple[float, float]:
    """Errors below and above of each of so many intervals that hold at once with 95 % (Šidák 1967)."""
    return _sidak(TAILS[0], slices), _sidak(TAILS[1], slices)


def _sidak(error: float, tests: int) -> float:
    return float(-np.expm1(np.log1p(-error) / tests))


@dataclass(frozen=True)
class Difference:
    """``figure.estimate`` is a rate minus another's; ``p_value`` is two-sided, of their being equal."""

    figure: Figure
    p_value: float


def difference_of(
    one: Reading, other: Reading, *, form: Form = "mid-p", seed: int = 0, draws: int = DRAWS
) -> Difference:
    """The difference of two populations' rates, melded, with 2.5 % on either side (Fay, Proschan and Brittain 2015).
    Two disjoint slices of one audit, or two audits."""
    random = np.random.default_rng(seed)
    sizes = [float(sample.size.sum()) for sample in (one, other)]
    first, second = (
        s.melded(random, form=form, draws=draws) * (1 / size) for s, size in zip((one, other), sizes, strict=True)
    )
    gap = first - second
    low, high = gap.interval((0.025, 0.025))
    value = min(max(one.point() / sizes[0] - other.point() / sizes[1], low), high)
    positives = int(one.positives.sum() + other.positives.sum())
    basis: Basis = "uncorrected" if "uncorrected" in (one.basis, other.basis) else "design"
    figure = Figure(Estimate(value, low, high, one.n + other.n, f"difference, melded {form}"), positives, basis)
    return Difference(figure, _p_value(gap))


def _p_value(gap: Melded) -> float:
    """Of no difference, two-sided; never below what the number of draws can tell."""
    draws = len(gap.lower)
    below, above = np.sum(gap.lower <= 0), np.sum(gap.upper >= 0)
    return float(min(1.0, 2 * (1 + min(below, above)) / (draws + 1)))


def q_values(p_values: Floats) -> Floats:
    """Of p-values of many slices, such as hosts, shape (slices,): of those at or under 0.05, at most one in twenty is
    expected to be there by chance (Benjamini and Hochberg 1995)."""
    return np.asarray(stats.false_discovery_control(p_values), np.float64) if len(p_values) else p_values


def shrunken(positives: Floats, labelled: Floats) -> list[Figure]:
    """Rates of many slices, each drawn towards all: an empirical Bayes beta-binomial model; model-based.

    Of slices of an audit, effective counts: labels by the design effect, and that many times the rate.
    The prior is of greatest marginal likelihood (Efron and Hastie 2016, section 6.3); the intervals
    are its posterior's and do not count that the prior was fitted.
    """
    a, b = _prior(positives, labelled)
    posterior = stats.beta(a + positives, b + labelled - positives)
    method = (
        f"empirical Bayes, prior Beta({a:.3g}, {b:.3g}); holds if the slices are alike but for chance and the prior"
    )
    rows = zip(posterior.mean(), posterior.ppf(0.025), posterior.ppf(0.975), labelled, positives, strict=True)
    return [
        Figure(Estimate(float(m), float(lo), float(hi), int(n), method), round(x), "model") for m, lo, hi, n, x in rows
    ]


def _prior(positives: Floats, labelled: Floats) -> tuple[float, float]:
    mean = (positives.sum() + 0.5) / (labelled.sum() + 1)

    def loss(logs: Floats) -> float:
        a, b = np.exp(logs)
        gained = special.betaln(a + positives, b + labelled - positives) - special.betaln(a, b)
        return -float(gained.sum())

    start = np.log([mean * 20, (1 - mean) * 20])
    found = optimize.minimize(loss, start, method="L-BFGS-B", bounds=[(-9, 12), (-9, 12)])
    return float(np.exp(found.x[0])), float(np.exp(found.x[1]))
