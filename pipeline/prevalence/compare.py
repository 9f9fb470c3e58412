"""Several figures at once: dates with simultaneous intervals, differences tested as such, hosts with error control.

Knows samples and counts; knows nothing of what the slices are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from pipeline.prevalence.figure import UNCORRECTED, Basis, Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Chances, Melded
from pipeline.prevalence.sample import Reading, Share
from pipeline.schema import Estimate

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
EVEN = 0.025
"""Error on either side of a difference."""


def at_once(share: Share, slices: int) -> Figure:
    """The estimate of one of so many disjoint slices, such as dates, whose intervals all hold at once with 95 %.

    Independent given how many documents of each slice were drawn, hence Šidák's (1967) and not Bonferroni's level. It
    takes more draws than one interval does.
    """
    tails = _sidak(TAILS[0], slices), _sidak(TAILS[1], slices)
    return replace(share.figure(tails), confidence=round(1 - sum(TAILS), 6))


def _sidak(error: float, tests: int) -> float:
    return float(-np.expm1(np.log1p(-error) / tests))


@dataclass(frozen=True)
class Difference:
    """``figure.estimate`` is a rate minus another's; ``p_value`` is two-sided, of their being equal. ``few``: one of
    the two has too few labels, so that the interval alone may be printed."""

    figure: Figure
    p_value: float
    few: bool = False

    @classmethod
    def between(cls, one: Share, other: Share, *, few: bool = False, tests: int = 1) -> Difference:
        """Melded (Fay, Proschan and Brittain 2015), with 2.5 % on either side, or that over all of so many ``tests``
        whose intervals hold at once, however they depend on each other (Bonferroni). Two disjoint slices of one audit,
        or two audits; the two must be of different `Chances`."""
        gap = one.melded - other.melded
        low, high = gap.interval((EVEN / tests, EVEN / tests))
        value = min(max(one.point - other.point, low), high)
        first, second = one.reading, other.reading
        basis: Basis = "uncorrected" if "uncorrected" in (first.basis, second.basis) else "design"
        estimate = Estimate(value, low, high, first.n + second.n, f"difference, melded {one.form}")
        positives = int(first.positives.sum() + second.positives.sum())
        return cls(Figure(estimate, positives, basis), _p_value(gap), few)

    def in_words(self) -> str:
        """Such as "+0.31 points (95 %: +0.12 to +0.50)", in hundredths, or the interval and "too few labels"."""
        one = self.figure.estimate
        low, value, high = (f"{100 * x:+.2g}" for x in (one.low, one.value, one.high))
        mark = f", {UNCORRECTED}" if self.figure.basis == "uncorrected" else ""
        if one.low == one.high:  # both were read whole
            return f"{value} points (known exactly){mark}"
        if self.few:
            return f"{low} to {high} points (95 %; too few labels){mark}"
        return f"{value} points (95 %: {low} to {high}){mark}"

    def as_json(self) -> dict[str, Any]:
        """Plain values; ``value`` is null where the interval alone may be printed."""
        one = self.figure.estimate
        return {
            "value": None if self.few else one.value, "low": one.low, "high": one.high, "labels": one.n,
            "p_value": self.p_value, "basis": self.figure.basis, "method": one.method, "words": self.in_words(),
        }  # fmt: skip


def difference_of(one: Reading, other: Reading, *, seed: int = 0, draws: int = DRAWS) -> Difference:
    """The difference of two populations' rates; see `Difference.between`."""
    return Difference.between(*(Share.of(each, Chances(seed, k, draws=draws)) for k, each in enumerate((one, other))))


def _p_value(gap: Melded) -> float:
    """Of no difference, two-sided; never below what the number of draws can tell."""
    draws = len(gap.lower)
    below, above = np.sum(gap.lower <= 0), np.sum(gap.upper >= 0)
    return float(min(1.0, 2 * (1 + min(below, above)) / (draws + 1)))


def adjusted(p_values: Floats) -> Floats:
    """Of p-values of several tests, shape (tests,): those at or under 0.05 hold all at once with 95 %, however they
    depend on each other (Holm 1979), as differences from one date to the next do."""
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(1.0, p_values[order] * np.arange(len(p_values), 0, -1))
    found = np.empty(len(p_values))
    found[order] = np.maximum.accumulate(steps)
    return found


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
