"""One figure with all that must be said beside it: interval, effective sample size, what it rests on.

Knows how a figure is put in words; knows nothing of how it was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.schema import Estimate

Basis = Literal["design", "model", "count", "uncorrected"]
"""``design``: holds whatever the classifier is worth, as documents were drawn with known probabilities.
``model``: holds if the assumptions that ``method`` names do. ``count``: of flags, no estimate of anything.
``uncorrected``: drawn as by design, but a language model's word stands where people did not read."""
UNCORRECTED = "uncorrected (annotator: language model)"


def brief(words: str) -> str:
    """A figure in words for a cell of a table, whose page says once what is not corrected."""
    return words.replace(UNCORRECTED, "uncorrected")


LEAST_POSITIVES = 10
NEARLY_ALL = 0.995
"""An upper end from here on says nothing: it is printed as 100 in 100."""
MOST_UNREAD = 0.05
"""A point estimate takes what lies in unread strata to be negative: above this share there is none."""
LEAST_LABELS = 5
"""Of fewer documents that were read, "all of them" would be said of a single one."""
MOST_RELATIVE_WIDTH = 2.0
"""A figure whose interval is wider than twice itself says little beyond its upper bound, and beyond its lower one if it
is wider than twice what is left to 1."""


@dataclass(frozen=True)
class Figure:
    """``estimate.n`` counts labelled documents. ``confidence``: what the interval was made for. ``one_sided``: only the
    upper end is a bound. ``unread``: the share of the population in strata of which nothing was read.
    ``total``: of a number of documents or words, not of a share, so that no end of it is all."""

    estimate: Estimate
    positives: int
    basis: Basis = "design"
    design_effect: float | None = None
    confidence: float = 0.95
    one_sided: bool = False
    unread: float = 0.0
    total: bool = False

    @property
    def effective_n(self) -> float | None:
        """Labels that a simple random sample would need for the same variance."""
        return self.estimate.n / self.design_effect if self.design_effect else None

    @property
    def too_few_labels(self) -> bool:
        """Whether only a bound is fit to print. The bound is the interval's own, so looking costs no coverage."""
        one = self.estimate
        if self.basis not in ("design", "uncorrected") or self.one_sided or one.high <= one.low:
            return False
        return self.unread > MOST_UNREAD or one.n < LEAST_LABELS or self._open_below or self._open_above

    @property
    def _open_below(self) -> bool:
        """Whether nothing is sure but the upper end."""
        one = self.estimate
        return self.positives == 0 or one.low <= 0 or one.high - one.low > MOST_RELATIVE_WIDTH * one.value

    @property
    def _open_above(self) -> bool:
        """The same of what is not positive: nothing is sure but the lower end."""
        one = self.estimate
        if self.total:
            return False
        return one.high >= NEARLY_ALL or one.high - one.low > MOST_RELATIVE_WIDTH * (1 - one.value)

    def _bounds(self) -> tuple[float | None, float | None]:
        """What is sure where the value may not be printed: a lower end, an upper end, or neither."""
        low = self.estimate.low if self._open_above and not (self._open_below or self.one_sided) else None
        says_nothing = not self.total and self.estimate.high >= NEARLY_ALL
        return low, None if low is not None or says_nothing else self.estimate.high

    def in_words(self, of: str = "") -> str:
        """Such as "1.3 in 1,000 documents (95 %: 1.0 to 1.7)", or the bound and "too few labels"."""
        return self._said(of) + (f", {UNCORRECTED}" if self.basis == "uncorrected" else "")

    def _said(self, of: str) -> str:
        one, per = self.estimate, _per(self.estimate.high)
        if one.high == one.low:  # all that could tell was read
            return f"{_digits(one.value * per)} in {per:,}" + (f" {of}" if of else "") + " (known exactly)"
        among, sure = f"in {per:,}" + (f" {of}" if of else ""), f"{self.confidence:.0%}".replace("%", " %")
        if self.too_few_labels or self.one_sided:
            few = "; too few labels" if self.too_few_labels else ""
            below, above = self._bounds()
            if below is None and above is None:
                return "anything (too few labels)"
            bound = f"at least {_digits(below * per)}" if below is not None else f"at most {_digits(one.high * per)}"
            return f"{bound} {among} ({sure} sure{few})"
        low, value, high = (_digits(x * per) for x in (one.low, one.value, one.high))
        return f"{value} {among} ({sure}: {low} to {high})"

    def as_json(self) -> dict[str, Any]:
        """Plain values; ``value`` is null where only a bound may be printed, and ``low``, too, unless it is that."""
        one, few = self.estimate, self.too_few_labels or self.one_sided
        return {
            "value": None if few else one.value, "low": self._bounds()[0] if few else one.low, "high": one.high,
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
