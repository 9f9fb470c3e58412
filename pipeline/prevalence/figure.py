"""One figure with all that must be said beside it: interval, effective sample size, what it rests on.

Knows how a figure is put in words; knows nothing of how it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.schema import Estimate

Basis = Literal["design", "model", "count"]
"""``design``: holds whatever the classifier is worth, as documents were drawn with known probabilities.
``model``: holds if the assumptions that ``method`` names do. ``count``: of flags, no estimate of anything."""

LEAST_POSITIVES = 10
LEAST_LABELS = 5
"""Of fewer documents that were read, "all of them" would be said of a single one."""
MOST_RELATIVE_WIDTH = 2.0
"""A figure whose interval is wider than twice itself says little beyond its upper bound."""


@dataclass(frozen=True)
class Figure:
    """``estimate.n`` counts labelled documents. ``confidence``: what the interval was made for. ``one_sided``: only the
    upper end is a bound."""

    estimate: Estimate
    positives: int
    basis: Basis = "design"
    design_effect: float | None = None
    confidence: float = 0.95
    one_sided: bool = False

    @property
    def effective_n(self) -> float | None:
        """Labels that a simple random sample would need for the same variance."""
        return self.estimate.n / self.design_effect if self.design_effect else None

    @property
    def too_few_labels(self) -> bool:
        """Whether only the bound is fit to print. The bound is the interval's own, so looking costs no coverage."""
        one = self.estimate
        return (
            self.basis == "design"
            and not self.one_sided
            and one.high > one.low
            and (
                self.positives == 0
                or one.n < LEAST_LABELS
                or one.low <= 0
                or one.high - one.low > MOST_RELATIVE_WIDTH * one.value
            )
        )

    def in_words(self, of: str = "") -> str:
        """Such as "1.3 in 1,000 documents (95 %: 1.0 to 1.7)", or the bound and "too few labels"."""
        one, per = self.estimate, _per(self.estimate.high)
        if one.high == one.low:  # all that could tell was read
            return f"{_digits(one.value * per)} in {per:,}" + (f" {of}" if of else "") + " (known exactly)"
        among, sure = f"in {per:,}" + (f" {of}" if of else ""), f"{self.confidence:.0%}".replace("%", " %")
        if self.too_few_labels or self.one_sided:
            few = "; too few labels" if self.too_few_labels else ""
            return f"at most {_digits(one.high * per)} {among} ({sure} sure{few})"
        low, value, high = (_digits(x * per) for x in (one.low, one.value, one.high))
        return f"{value} {among} ({sure}: {low} to {high})"

    def as_json(self) -> dict[str, Any]:
        """Plain values; ``value`` and ``low`` are null where only the bound may be printed."""
        one, few = self.estimate, self.too_few_labels or self.one_sided
        return {
            "value": None if few else one.value, "low": None if few else one.low, "high": one.high,
            "confidence": self.confidence, "labels": one.n, "positives": self.positives, "basis": self.basis,
            "design_effect": self.design_effect, "effective_labels": self.effective_n,
            "too_few_labels": self.too_few_labels, "method": one.method,
        }  # fmt: skip


def _per(high: float) -> int:
    """The power of ten, at least a hundred, in which the upper bound is 1 or more."""
    per = 100
    while 0 < high * per < 1 and per < 10**9:
        per *= 10
    return per


def _digits(value: float) -> str:
    if 0 < value < 0.005:
        return "<0.01"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"
