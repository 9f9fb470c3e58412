"""Two-phase labels: a cheap annotator reads the first phase, people a random part of it.

The cheap annotator's errors are corrected by what people found, whatever they are and wherever they lie: double
sampling (Tenenbein 1970; Särndal, Swensson and Wretman 1992, chapter 9), of which the prediction-powered estimator of
Angelopoulos et al. (2023, Science 382) is the case without strata. ppi-python
has that case alone, with Wald's interval. Knows counts and arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.figure import Basis
from pipeline.prevalence.melding import (
    Chances,
    Form,
    Melded,
    proportion,
    size_of,
    stratum_total,
    total,
)
from pipeline.prevalence.regression import regressed_from_json
from pipeline.prevalence.sample import Reading, sample_from_json

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class TwoPhase:
    """By stratum, shape (strata,): of all ``documents``, the first phase ``read``, of which the cheap annotator
    ``called`` some; of those, people read ``called_checked``, of the rest ``passed_checked``, int64. ``confirmed`` and
    ``missed`` hold the sizes of the positives that people found among the one and the other, float64, ones for
    documents or else their words or bytes; ``size`` and ``unseen`` are those of `Sample`.

    What the annotator called decides how the second phase was drawn, no more: positives of any label may be asked for.
    """

    documents: Ints
    read: Ints
    called: Ints
    called_checked: Ints
    confirmed: Sequence[Floats]
    passed_checked: Ints
    missed: Sequence[Floats]
    size: Floats
    unseen: Floats

    design = "two-phase"
    basis: Basis = "design"

    def __post_init__(self) -> None:
        if np.any(self.read > self.documents):
            raise ValueError("more documents were read than the stratum holds; the tags are not those of the draw")

    @property
    def n(self) -> int:
        """Documents that people read."""
        return int(self.called_checked.sum() + self.passed_checked.sum())

    @property
    def positives(self) -> Ints:
        """Positives that people found, by stratum."""
        return np.array([len(a) + len(b) for a, b in zip(self.confirmed, self.missed, strict=True)], np.int64)

    @property
    def unread(self) -> float:
        """The share of the documents of a stratum and a call of which people read nothing."""
        called, passed = self.called / np.maximum(self.read, 1), 1 - self.called / np.maximum(self.read, 1)
        gaps = called * (self.called_checked == 0) + passed * (self.passed_checked == 0)
        return float(self.documents @ np.where(self.read == 0, 1.0, gaps) / max(1, self.documents.sum()))

    def part(self, keep: Sequence[int] | Ints) -> TwoPhase:
        """Only these strata."""
        at = np.asarray(keep, np.int64)
        return TwoPhase(
            self.documents[at], self.read[at], self.called[at], self.called_checked[at],
            [self.confirmed[i] for i in at], self.passed_checked[at], [self.missed[i] for i in at], self.size[at],
            self.unseen[at],
        )  # fmt: skip

    def sized(self, size: Floats, unseen: Floats) -> TwoPhase:
        """With other sizes of the strata and of an unseen positive."""
        return replace(self, size=size, unseen=unseen)

    def point(self) -> float:
        """The double-sampling estimate of the size of all positives."""
        weight = self.documents / np.maximum(self.read, 1)
        return float(weight @ (self._found(self.called, self.called_checked, self.confirmed)
                               + self._found(self.read - self.called, self.passed_checked, self.missed)))  # fmt: skip

    def uncorrected(self) -> float:
        """The share of the documents that the cheap annotator alone would have called."""
        return float((self.documents / self.documents.sum()) @ (self.called / np.maximum(self.read, 1)))

    def checks(self) -> tuple[float, float]:
        """Sensitivity and specificity of the annotator's calls, weighted to the population, of a sample by documents;
        NaN where not defined."""
        weight, passed = self.documents / np.maximum(self.read, 1), self.read - self.called
        hit = float(weight @ self._found(self.called, self.called_checked, self.confirmed))
        miss = float(weight @ self._found(passed, self.passed_checked, self.missed))
        false = float(weight @ self.called) - hit
        true = float(weight @ passed) - miss
        return (hit / (hit + miss) if hit + miss else np.nan), (true / (true + false) if true + false else np.nan)

    def design_effect(self) -> None:
        """Not known."""

    def melded(self, chances: Chances, *, form: Form = "mid-p") -> Melded:
        """The size of all positives of the population, each phase a simple random sample in its stratum."""
        every = self.called_checked + self.passed_checked
        alike = (self.called == 0) | (self.called == self.read) | (every == self.read)
        return total([
            self._one_phase(h, chances, form) if alike[h] else self._stratum(h, chances, form)
            for h in range(len(self.documents))
        ])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        counts = {name: getattr(self, name).tolist() for name in (*_COUNTS, "size", "unseen")}
        return counts | {name: [one.tolist() for one in getattr(self, name)] for name in ("confirmed", "missed")}

    def _found(self, kind: Ints, checked: Ints, sizes: Sequence[Floats]) -> Floats:
        """The size of the positives of a kind in the first phase, by stratum."""
        return np.asarray(kind / np.maximum(checked, 1) * [float(one.sum()) for one in sizes], np.float64)

    def _one_phase(self, h: int, chances: Chances, form: Form) -> Melded:
        """Where all were called alike, or people read them all, what people read is a simple random sample."""
        sizes, checked = np.append(self.confirmed[h], self.missed[h]), self.called_checked[h] + self.passed_checked[h]
        if not checked:
            return Melded(np.zeros(chances.draws), np.full(chances.draws, self.size[h]))
        return stratum_total(
            sizes, int(checked), int(self.documents[h]), chances, h, unseen_size=float(self.unseen[h]), form=form
        )

    def _stratum(self, h: int, chances: Chances, form: Form) -> Melded:
        """What is read is known; the rest is predicted, and its positives have sizes like those of their kind."""
        counts = tuple(int(getattr(self, name)[h]) for name in _COUNTS)
        kinds = (_Kind(counts[3], len(self.confirmed[h])), _Kind(counts[4], len(self.missed[h])))
        ends = chances.once(
            h, (*counts, *kinds, form), lambda random: _unread(counts, kinds, random, form, chances.draws)
        )
        random, known = chances.random(h, 1), self.confirmed[h].sum() + self.missed[h].sum()
        largest = max(float(self.unseen[h]), *(np.max(one, initial=0.0) for one in (self.confirmed[h], self.missed[h])))
        found = []
        for end in ends:
            called = size_of(end.called, self.confirmed[h], largest, end.unseen[0], random)
            found.append(known + called + size_of(end.passed, self.missed[h], largest, end.unseen[1], random))
        return Melded(*found)


@dataclass(frozen=True)
class _Kind:
    """Of what the annotator said alike of in one stratum: how many people read, and how many of those are positive."""

    checked: int
    positives: int


class _End(NamedTuple):
    """From below or above, positives among what people did not read of either kind, float64, shape (draws,), and where
    they are with one more than was seen."""

    called: Floats
    passed: Floats
    unseen: tuple[Flags, Flags]


def _unread(
    counts: tuple[int, ...], kinds: tuple[_Kind, _Kind], random: np.random.Generator, form: Form, draws: int
) -> tuple[_End, _End]:
    """How much of what nobody read would be called, from one draw for both kinds, and how much of either kind is
    positive (0 to all where people read nothing). The total rises in the share of the kind that has more positives."""
    documents, read, called, called_checked, passed_checked = counts
    share = proportion(called, read, random, form="exact", draws=draws)
    rates = [proportion(one.positives, one.checked, random, form="exact", draws=draws) for one in kinds]
    low = np.where(rates[0].lower >= rates[1].lower, share.lower, share.upper)
    high = np.where(rates[0].upper >= rates[1].upper, share.upper, share.lower)

    def end(shares: Floats, unseen: tuple[Flags, Flags]) -> _End:
        more = random.binomial(documents - read, shares)
        left = more + called - called_checked, documents - read - more + read - called - passed_checked
        found = [
            random.binomial(n, np.where(flags, one.upper, one.lower)).astype(np.float64)
            for n, one, flags in zip(left, rates, unseen, strict=True)
        ]
        return _End(found[0], found[1], unseen)

    if form == "exact":
        none, every = np.zeros(draws, bool), np.ones(draws, bool)
        return end(low, (none, none)), end(high, (every, every))
    coin = random.random(draws) < 0.5
    shares = np.where(coin, high, low)
    if all(one.checked for one in kinds):
        both = end(shares, (coin, coin))
        return both, both
    lower, upper = (tuple(coin if one.checked else np.full(draws, side) for one in kinds) for side in (False, True))
    return end(shares, (lower[0], lower[1])), end(shares, (upper[0], upper[1]))


_COUNTS = ("documents", "read", "called", "called_checked", "passed_checked")


def reading_from_json(plain: dict[str, Any]) -> Reading:
    """The sample or the two phases that ``to_json`` gave. Raises `KeyError` or `TypeError` if it is neither."""
    if "called" not in plain:
        sample = sample_from_json(plain)
        return regressed_from_json(plain, sample) if "totals" in plain else sample
    documents, read, called, called_checked, passed_checked = (np.array(plain[name], np.int64) for name in _COUNTS)
    confirmed, missed = ([np.array(one, np.float64) for one in plain[name]] for name in ("confirmed", "missed"))
    size, unseen = (np.array(plain[name], np.float64) for name in ("size", "unseen"))
    return TwoPhase(documents, read, called, called_checked, confirmed, passed_checked, missed, size, unseen)
