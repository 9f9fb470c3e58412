"""How many positives of one label there are for each of another, such as adverse text for each admirable one.

Both labels are read on the same documents, so that their counts are not independent. Where a cheap annotator read
first, and people a part, only what people found counts. Knows counts by stratum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.figure import MOST_RELATIVE_WIDTH, UNCORRECTED, Basis
from pipeline.prevalence.melding import DRAWS, proportion

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


@dataclass(frozen=True)
class Pairs:
    """Documents whose two labels were read, by stratum and by what a first phase said of them (its kind; one kind where
    there was no first phase): ``read`` in the first phase, int64, shape (strata, kinds), and ``counts`` of those whose
    labels are known, by `_PAIRS`, int64, (strata, kinds, 4). ``documents``: of the population, int64, (strata,)."""

    documents: Ints
    read: Ints
    counts: Ints

    @classmethod
    def of(
        cls, documents: Ints, strata: Ints, first: Flags, second: Flags, called: Flags | None = None,
        checked: Flags | None = None,
    ) -> Pairs:  # fmt: skip
        """Of documents read, in ``strata``, int64, shape (read,), that hold ``first`` and ``second``, bool; with two
        phases ``called`` is what the first said, and ``checked`` which of them people read."""
        kind = np.zeros(len(strata), np.int64) if called is None else called.astype(np.int64)
        known = np.ones(len(strata), bool) if checked is None else checked
        read = np.zeros((len(documents), 1 if called is None else 2), np.int64)
        np.add.at(read, (strata, kind), 1)
        counts = np.zeros((*read.shape, 4), np.int64)
        np.add.at(counts, (strata[known], kind[known], (2 * first + second)[known]), 1)
        return cls(documents, *_kinds_that_matter(read, counts))

    def points(self) -> tuple[float, float]:
        """Estimates of how many documents hold the first, and the second (double sampling, where there are kinds)."""
        known = np.maximum(self.counts.sum(axis=2, keepdims=True), 1)
        weight = self.documents / np.maximum(self.read.sum(axis=1), 1)
        pairs = weight @ (self.counts / known * self.read[..., None]).sum(axis=1)
        return float(pairs @ _FIRST), float(pairs @ _SECOND)


def _kinds_that_matter(read: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Where all were called alike, or people read them all, what people read is a simple random sample: one kind."""
    alike = np.any(read == read.sum(axis=1, keepdims=True), axis=1) | (counts.sum(axis=(1, 2)) == read.sum(axis=1))
    for values in (read, counts):
        values[alike, 0] = values[alike].sum(axis=1)
        values[alike, 1:] = 0
    there = read.any(axis=0) | (np.arange(read.shape[1]) == 0)
    return read[:, there], counts[:, there]


_FIRST, _SECOND = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
"""Which of the four pairs, neither, second alone, first alone and both, hold the one and the other."""
_UNSEEN_SECOND, _UNSEEN_FIRST = np.array([0, 1, 0, 0]), np.array([0, 0, 1, 0])


def ratio(
    pairs: Pairs, *, tails: tuple[float, float] = EVEN, seed: int = 0, draws: int = DRAWS, basis: Basis = "design"
) -> Ratio:
    """Documents that hold the first label for each that holds the second.

    Shares of a stratum, or of a kind in it, are drawn together, from Dirichlet distributions whose margins are Clopper
    and Pearson's (the lower of the one beside the upper of the other), and what was not read from the multinomial:
    melding (Fay, Proschan and Brittain 2015) of dependent counts, in mid-p form. With one stratum and rare labels it is
    the conditional interval of two Poisson counts. How large each kind is, is drawn with them.
    """
    random = np.random.default_rng(seed)
    above, below = pairs.points()
    about = above / below if below else 1.0
    low = _ratio(pairs, _UNSEEN_SECOND, -1, about, random, draws)
    high = _ratio(pairs, _UNSEEN_FIRST, 1, about, random, draws)
    mixed = np.where(random.random(draws) < 0.5, low, high)
    lower, upper = (float(np.quantile(mixed, at, method="nearest")) for at in (tails[0], 1 - tails[1]))
    found = pairs.counts.sum(axis=(0, 1))
    value = above / below if below else None
    return Ratio(value, lower, upper, int(found @ _FIRST), int(found @ _SECOND), basis)


def _ratio(
    pairs: Pairs, unseen: Ints, side: int, about: float, random: np.random.Generator, draws: int
) -> Floats:  # fmt: skip
    """Draws of the ratio, with one document more of the pair that is ``unseen`` in each stratum and kind."""
    total = np.zeros((draws, 4))
    for documents, read, counts in zip(pairs.documents, pairs.read, pairs.counts, strict=True):
        shares = [_shares(found + unseen, random, draws) for found in counts]
        known = counts.sum(axis=1)
        left = max(0, int(documents - read.sum()))
        rest = _split(left, read, shares, side, about, random)
        for k, found in enumerate(counts):
            total += found + random.multinomial(rest[k] + int(read[k] - known[k]), shares[k])
    above, below = total @ _FIRST, total @ _SECOND
    return np.asarray(np.divide(above, below, out=np.full(draws, np.inf), where=below > 0), np.float64)


def _shares(counts: Ints, random: np.random.Generator, draws: int) -> Floats:
    parts = random.standard_gamma(np.broadcast_to(counts, (draws, 4)))
    whole = parts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(parts, whole, out=np.full_like(parts, 0.25), where=whole > 0), np.float64)


def _split(
    left: int, read: Ints, shares: list[Floats], side: int, about: float, random: np.random.Generator
) -> list[Ints]:
    """How much of what the first phase did not read is of each kind: of the kind that raises the ratio (first less
    ``about`` times second) the upper share for the upper end, the lower for the lower."""
    draws = len(shares[0])
    if not read[1:].any():
        return [np.full(draws, left), *(np.zeros(draws, np.int64) for _ in read[1:])]
    gains = [one @ (_FIRST - about * _SECOND) for one in shares]
    share = proportion(int(read[1]), int(read.sum()), random, form="exact", draws=draws)
    upper = (gains[1] >= gains[0]) == (side > 0)
    called = random.binomial(left, np.where(upper, share.upper, share.lower))
    return [left - called, called]
