"""How many positives of one label there are for each of another, such as adverse text for each admirable one.

Both labels are read on the same documents, so that their counts are not independent. Knows counts by stratum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.figure import MOST_RELATIVE_WIDTH, UNCORRECTED, Basis
from pipeline.prevalence.melding import DRAWS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
EVEN = (0.025, 0.025)


@dataclass(frozen=True)
class Ratio:
    """``value`` and bounds of first over second; ``high`` is infinite where no second one is sure to exist, ``value``
    None where no second one was found. ``first`` and ``second`` count the documents found."""

    value: float | None
    low: float
    high: float
    first: int
    second: int
    basis: Basis = "design"

    @property
    def too_few_labels(self) -> bool:
        """Whether only what is sure may be printed."""
        return self.value is None or self.low <= 0 or self.high - self.low > 2 * MOST_RELATIVE_WIDTH * self.value

    def in_words(self) -> str:
        """Such as "2.1 to 1 (95 %: 1.6 to 2.8)", or what is sure and "too few labels"."""
        return self._said() + (f", {UNCORRECTED}" if self.basis == "uncorrected" else "")

    def _said(self) -> str:
        if not self.too_few_labels:
            return f"{self.value:.2g} to 1 (95 %: {self.low:.2g} to {self.high:.2g})"
        if not np.isfinite(self.low):
            return "not defined: no document holds the second"
        sure = [f"at least {self.low:.2g}"] if self.low > 0 else []
        sure += [f"at most {self.high:.2g}"] if np.isfinite(self.high) else []
        return f"{' and '.join(sure)} to 1 (95 % sure; too few labels)" if sure else "anything (too few labels)"

    def as_json(self) -> dict[str, float | int | str | bool | None]:
        """Plain values; what may not be printed is null."""
        few = self.too_few_labels
        return {
            "value": None if few else self.value, "low": self.low if 0 < self.low < np.inf else None,
            "high": self.high if np.isfinite(self.high) else None, "first": self.first, "second": self.second,
            "too_few_labels": few, "words": self.in_words(), "basis": self.basis,
        }  # fmt: skip


def ratio(
    documents: Ints, strata: Ints, first: Flags, second: Flags, *, tails: tuple[float, float] = EVEN, seed: int = 0,
    draws: int = DRAWS, basis: Basis = "design",
) -> Ratio:  # fmt: skip
    """Documents that hold ``first`` for each that holds ``second`` (bool, shape (read,), in ``strata``, int64).

    ``documents``: int64, shape (strata,). Shares of a stratum are drawn together, from Dirichlet distributions whose
    margins are Clopper and Pearson's (the lower of the one beside the upper of the other), and what was not read from
    the multinomial: melding (Fay, Proschan and Brittain 2015) of dependent counts, in mid-p form. With one stratum and
    rare labels it is the conditional interval of two Poisson counts.
    """
    random, n = np.random.default_rng(seed), len(documents)
    kinds = np.stack([first & ~second, first & second, second & ~first, ~first & ~second])
    counts = np.stack([np.bincount(strata[kind], minlength=n) for kind in kinds], axis=1)
    low = _ratio(documents, counts, (0, 0, 1, 0), random, draws)
    high = _ratio(documents, counts, (1, 0, 0, 0), random, draws)
    mixed = np.where(random.random(draws) < 0.5, low, high)
    weights = documents / np.maximum(counts.sum(axis=1), 1)
    above, below = float(weights @ counts[:, :2].sum(axis=1)), float(weights @ counts[:, 1:3].sum(axis=1))
    lower, upper = (float(np.quantile(mixed, at, method="nearest")) for at in (tails[0], 1 - tails[1]))
    return Ratio(above / below if below else None, lower, upper, int(first.sum()), int(second.sum()), basis)


def _ratio(
    documents: Ints, counts: Ints, unseen: tuple[int, ...], random: np.random.Generator, draws: int
) -> Floats:  # fmt: skip
    """Draws of the ratio, with one document more of the kind that is ``unseen`` in each stratum."""
    total = np.zeros((draws, 4))
    for found, size in zip(counts, documents, strict=True):
        parts = random.standard_gamma(np.broadcast_to(found + np.array(unseen), (draws, 4)))
        whole = parts.sum(axis=1, keepdims=True)
        shares = np.divide(parts, whole, out=np.full_like(parts, 0.25), where=whole > 0)
        total += found + random.multinomial(max(0, int(size - found.sum())), shares)
    above, below = total[:, 0] + total[:, 1], total[:, 1] + total[:, 2]
    return np.asarray(np.divide(above, below, out=np.full(draws, np.inf), where=below > 0), np.float64)
