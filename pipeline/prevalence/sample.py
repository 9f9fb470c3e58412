"""The recommended estimate: stratified, weighted, assisted by the predictions that made the strata, design-based.

With strata that are intervals of the classifier's score and their sizes known exactly, the stratified estimator is the
regression estimator (GREG) of the group-mean model (Särndal, Swensson and Wretman 1992, section 7.6): the better the
scores, the less is left to chance, and no score, however bad, makes it biased. Intervals are melded from the strata.

Knows counts and sizes by stratum as arrays; knows neither scores nor files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.figure import MOST_UNREAD, Basis, Figure
from pipeline.prevalence.melding import DRAWS, TAILS, Chances, Floats, Form, Melded, stratum_total, total
from pipeline.schema import Estimate

Ints = NDArray[np.int64]


class Reading(Protocol):
    """What the estimates need of a population that was partly read: a `Sample`, or the two phases of `TwoPhase`."""

    @property
    def documents(self) -> Ints:
        """Of the population by stratum, int64, shape (strata,)."""

    @property
    def size(self) -> Floats:
        """The same in the unit, float64."""

    @property
    def basis(self) -> Basis:
        """What figures made of it rest on."""

    @property
    def n(self) -> int:
        """Labelled documents."""

    @property
    def positives(self) -> Ints:
        """Positives found by stratum."""

    @property
    def unread(self) -> float:
        """The share of the documents in strata of which nothing was read."""

    @property
    def design(self) -> str:
        """Its name for `Estimate.method`."""

    @property
    def unseen(self) -> Floats:
        """The size that an unseen positive of each stratum may have."""

    def part(self, keep: Sequence[int] | Ints) -> Reading:
        """Only these strata."""

    def sized(self, size: Floats, unseen: Floats) -> Reading:
        """With other sizes of the strata and of an unseen positive."""

    def melded(self, chances: Chances, *, form: Form = "mid-p") -> Melded:
        """The size of all positives of the population."""

    def point(self) -> float:
        """Its point estimate."""

    def design_effect(self) -> float | None:
        """Variance over that of a simple random sample of as many documents; None if unknown."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""


@dataclass(frozen=True)
class Sample:
    """What was read of a population, by stratum: arrays of shape (strata,).

    ``documents`` and ``labelled`` are int64; ``sizes`` holds those of the positives found in each stratum, float64,
    ones for documents or else their words or bytes. ``size`` is that of all documents in the unit, ``unseen`` the
    size that an unseen positive may have: the mean as words (not documents) meet it, see `size_biased`.
    """

    design = "stratified"

    documents: Ints
    labelled: Ints
    sizes: Sequence[Floats]
    size: Floats
    unseen: Floats
    basis: Basis = "design"

    def __post_init__(self) -> None:
        if np.any(self.labelled > self.documents):
            raise ValueError("more documents were labelled than the stratum holds; the tags are not those of the draw")

    @property
    def positives(self) -> Ints:
        """Positives found by stratum."""
        return np.array([len(sizes) for sizes in self.sizes], np.int64)

    @property
    def n(self) -> int:
        """Labelled documents."""
        return int(self.labelled.sum())

    @property
    def unread(self) -> float:
        """The share of the documents in strata of which nothing was read."""
        return float(self.documents[self.labelled == 0].sum() / max(1, self.documents.sum()))

    def part(self, keep: Sequence[int] | Ints) -> Sample:
        """Only these strata."""
        at = np.asarray(keep, np.int64)
        sizes = [self.sizes[i] for i in at]
        return Sample(self.documents[at], self.labelled[at], sizes, self.size[at], self.unseen[at], self.basis)

    def sized(self, size: Floats, unseen: Floats) -> Sample:
        """With other sizes of the strata and of an unseen positive."""
        return replace(self, size=size, unseen=unseen)

    def to_json(self) -> dict[str, Any]:
        """Plain values; sizes that are all 1 as their number."""
        return {
            "documents": self.documents.tolist(), "labelled": self.labelled.tolist(), "size": self.size.tolist(),
            "unseen": self.unseen.tolist(),
            "sizes": [len(one) if np.all(one == 1) else one.tolist() for one in self.sizes],
        }  # fmt: skip

    def melded(self, chances: Chances, *, form: Form = "mid-p") -> Melded:
        """The size of all positives of the population. A stratum of which nothing was read may be positive whole."""
        parts = [
            stratum_total(
                self.sizes[h], int(self.labelled[h]), int(self.documents[h]), chances, h,
                unseen_size=float(self.unseen[h]), form=form,
            )
            if self.labelled[h]
            else Melded(np.zeros(chances.draws), np.full(chances.draws, self.size[h]))
            for h in range(len(self.documents))
        ]  # fmt: skip
        return total(parts)

    def point(self) -> float:
        """The weighted (Horvitz-Thompson) total over the strata that were read."""
        read = np.maximum(self.labelled, 1)
        return float(sum(n / k * x.sum() for n, k, x in zip(self.documents, read, self.sizes, strict=True)))

    def design_effect(self) -> float | None:
        """Variance over that of a simple random sample of as many documents (Kish 1965, chapter 8); None if unknown, as
        more than `MOST_UNREAD` lies in unread strata. Those are left out.

        Rates are (positives + 1/2) / (labelled + 1), as a stratum without a positive has a variance all the same.
        """
        if self.n == 0 or self.unread > MOST_UNREAD:
            return None
        if not np.all(self.labelled):
            return self.part(np.flatnonzero(self.labelled)).design_effect()
        rate = (self.positives + 0.5) / (self.labelled + 1)
        share = self.documents / self.documents.sum()
        unread = 1 - self.labelled / np.maximum(self.documents, 1)
        variance = float(np.sum(share**2 * unread * rate * (1 - rate) / np.maximum(self.labelled, 1)))
        overall = float(share @ rate)
        return variance * self.n / (overall * (1 - overall))


def sample_from_json(plain: dict[str, Any]) -> Sample:
    """The sample that `Sample.to_json` gave. Raises `KeyError` or `TypeError` if it is none."""
    sizes = [np.ones(one) if isinstance(one, int) else np.array(one, np.float64) for one in plain["sizes"]]
    documents, labelled = (np.array(plain[name], np.int64) for name in ("documents", "labelled"))
    size, unseen = (np.array(plain[name], np.float64) for name in ("size", "unseen"))
    return Sample(documents, labelled, sizes, size, unseen)


def count_sample(documents: Ints, labelled: Ints, positives: Ints) -> Sample:
    """A sample in which every document counts one."""
    ones = [np.ones(int(x)) for x in positives]
    return Sample(documents, labelled, ones, documents.astype(np.float64), np.ones(len(documents)))


def size_biased(sizes: Floats) -> float:
    """The mean size of the document that a word picked at random is in; 1 of none."""
    return float(sizes @ sizes / sizes.sum()) if sizes.sum() else 1.0


@dataclass(frozen=True)
class Share:
    """The share of a population, in the sample's unit, that is positive: ``melded`` from its strata."""

    reading: Reading
    melded: Melded
    form: Form = "mid-p"

    @classmethod
    def of(cls, reading: Reading, chances: Chances, *, form: Form = "mid-p") -> Share:
        """Raises `ValueError` for a population of no size."""
        size = float(reading.size.sum())
        if size <= 0:
            raise ValueError("a prevalence among no documents is not defined; choose a slice that holds some")
        return cls(reading, (reading.melded(chances, form=form) / size).capped(), form)

    @property
    def point(self) -> float:
        """The estimate, which the interval may yet have to hold."""
        return self.reading.point() / float(self.reading.size.sum())

    def figure(self, tails: tuple[float, float] = TAILS) -> Figure:
        """The recommended estimate, with these errors below and above."""
        low, high = self.melded.interval(tails)
        one = self.reading
        method = f"{one.design}, melded {self.form} ({tails[0]:.2g} below, {tails[1]:.2g} above)"
        estimate = Estimate(min(max(self.point, low), high), low, high, one.n, method)
        positives, confidence = int(one.positives.sum()), round(1 - sum(tails), 6)
        return Figure(estimate, positives, one.basis, one.design_effect(), confidence, unread=one.unread)


def stratified(
    sample: Reading,
    *,
    tails: tuple[float, float] = TAILS,
    form: Form = "mid-p",
    chances: Chances | None = None,
    draws: int = DRAWS,
) -> Figure:
    """The share of the population, in the sample's unit, that is positive; the recommended estimate.

    ``chances``: so many ``draws`` unless given; a sample's interval is the same each time. Raises `ValueError` for a
    population of no size.
    """
    return Share.of(sample, chances or Chances(draws=draws), form=form).figure(tails)
