"""How much of a label a corpus holds, and how much once each document counts by its weight: totals, not shares.

The stratified estimator of `pipeline.prevalence.sample`, with a document's weight times its size for its size. What
was not read is known by its stratum alone: a label may hide there with a weight like those that were read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.audited import Audited
from pipeline.prevalence.figure import UNCORRECTED, Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Chances
from pipeline.prevalence.sample import Reading, size_biased
from pipeline.schema import Estimate

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Amount:
    """``figure`` has the total of the labelled documents in the unit, not a share of anything."""

    figure: Figure

    def in_words(self) -> str:
        """Such as "1,200 (95 %: 900 to 1,700)", or the bound and "too few labels"."""
        return self._said() + (f", {UNCORRECTED}" if self.figure.basis == "uncorrected" else "")

    def _said(self) -> str:
        one, sure = self.figure.estimate, f"{self.figure.confidence:.0%}".replace("%", " %")
        if one.high == one.low:
            return f"{_digits(one.value)} (known exactly)"
        if self.figure.too_few_labels:
            return f"at most {_digits(one.high)} ({sure} sure; too few labels)"
        return f"{_digits(one.value)} ({sure}: {_digits(one.low)} to {_digits(one.high)})"

    def as_json(self) -> dict[str, Any]:
        """Plain values, in words too."""
        return self.figure.as_json() | {"words": self.in_words()}


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def weighed(
    audited: Audited, sums: Floats, positive: Flags, weights: Floats, unit: str, largest: float
) -> Reading:  # fmt: skip
    """The sample that `Audited.sample` makes of the ``positive`` in a unit, with each document counting by its weight,
    float64, shape (read,); ``largest`` is that of any document of the corpus.

    A positive of weight 0 is one no more. An unseen one may have the weight that documents of its stratum have as their
    weights meet it (see `size_biased`), or those of all that were read, where none of the stratum counts any more.
    """
    counting = replace(audited, sizes=audited.sizes * weights[:, None])
    sample = counting.sample(sums, positive & (weights > 0), unit)
    usual = size_biased(weights) if weights.any() else largest
    by_stratum = [weights[audited.strata == h] for h in range(len(sums))]
    unseen = np.array([size_biased(each) if each.any() else usual for each in by_stratum])
    return sample.sized(sample.size * largest, sample.unseen * unseen)


def amount(sample: Reading, *, draws: int = DRAWS) -> Amount:
    """The total size of the positives, with a melded interval of 95 %."""
    low, high = sample.melded(Chances(draws=draws)).interval()
    value = min(max(sample.point(), low), high)
    method = f"stratified total, melded mid-p ({TAILS[0]:.2g} below, {TAILS[1]:.2g} above)"
    estimate = Estimate(value, low, high, sample.n, method)
    positives, effect = int(sample.positives.sum()), sample.design_effect()
    return Amount(Figure(estimate, positives, sample.basis, effect, unread=sample.unread, total=True))
