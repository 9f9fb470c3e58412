"""What a rule asks of a document, as frozen data that is evaluated over whole batches of tags.

A document that lacks what is asked (a score, a host, a date) does not meet a condition, and so meets its negation.
Knows columns of TAGS; nothing of what happens to the documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.policy.tag_columns import Bools, Floats, TagColumns, score_column, to_bools
from pipeline.schema import MODES

Kind = Literal["score", "window", "probability", "window_probability"]
KINDS: tuple[Kind, ...] = ("score", "window", "probability", "window_probability")
SIZES = ("words", "chars", "bytes")


class Condition(Protocol):
    """A question that a batch of tags answers for each of its documents."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns of TAGS that it needs, but for those of modes."""

    def holds(self, tags: TagColumns) -> Bools:
        """Where it is met, shape (documents,)."""


@dataclass(frozen=True)
class Measure:
    """A number that a document has: a label's score, of the document or of its strongest ``window``, as the model gives
    it or as a calibrated ``probability``, at the card's base rate unless one is given."""

    kind: Kind
    label: str
    base_rate: float | None = None
    where: str = field(default="", compare=False)

    @property
    def is_window(self) -> bool:
        """Whether it is of the strongest window."""
        return self.kind.startswith("window")

    @property
    def is_probability(self) -> bool:
        """Whether it needs the card's calibration."""
        return self.kind.endswith("probability")

    @property
    def columns(self) -> frozenset[str]:
        """The columns of TAGS that it needs."""
        return frozenset({score_column(self.label, window=self.is_window), "status"})

    def of(self, tags: TagColumns) -> Floats:
        """Its value for each document, NaN where there is no score."""
        if self.is_probability:
            return tags.probabilities(self.label, window=self.is_window, base_rate=self.base_rate)
        return tags.scores(self.label, window=self.is_window)


@dataclass(frozen=True)
class Scored:
    """``least`` <= measure < ``below``; None is no bound."""

    measure: Measure
    least: float | None = None
    below: float | None = None

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return self.measure.columns

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        return _between(self.measure.of(tags), self.least, self.below)


@dataclass(frozen=True)
class Sized:
    """``least`` <= size < ``below``, in words, chars (code points) or bytes (UTF-8); or so of the topic's score."""

    column: str
    least: float | None = None
    below: float | None = None

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return frozenset({self.column})

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        return _between(tags.numbers(self.column), self.least, self.below)


@dataclass(frozen=True)
class Dated:
    """From a day on, and before another, each as the number YYYYMMDD; None is no bound."""

    since: int | None = None
    before: int | None = None

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return frozenset({"date"})

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        return _between(tags.dates(), self.since, self.before)


@dataclass(frozen=True)
class OneOf:
    """A column of strings has one of these values."""

    column: str
    values: tuple[str, ...]
    where: str = field(default="", compare=False)

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return frozenset({self.column})

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        return tags.is_in(self.column, self.values)


@dataclass(frozen=True)
class InMode:
    """The mode that scores highest is one of these: says nothing of whether the document is about AI at all."""

    modes: tuple[str, ...]

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return frozenset({"status"})

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        return np.isin(tags.modes(), [MODES.index(mode) for mode in self.modes])


@dataclass(frozen=True)
class OnHost:
    """The host is one of these names (lower case), or below one of them: ``www.example.org`` is below
    ``example.org``."""

    names: tuple[str, ...]

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return frozenset({"host"})

    @cached_property
    def _set(self) -> pa.Array:
        return pa.array(self.names, pa.string())

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        hosts = tags.tags.column("host")
        found = to_bools(pc.is_in(hosts, self._set))
        while pc.any(pc.match_substring(hosts, ".")).as_py():
            hosts = pc.replace_substring_regex(hosts, r"^[^.]*\.?", "", max_replacements=1)
            found |= to_bools(pc.is_in(hosts, self._set))
        return found


@dataclass(frozen=True)
class Not:
    """The other condition is not met."""

    condition: Condition

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return self.condition.columns

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        return ~self.condition.holds(tags)


@dataclass(frozen=True)
class All:
    """Every one is met; so it is for every document where there is none."""

    conditions: tuple[Condition, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return frozenset().union(*(one.columns for one in self.conditions))

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        found = np.ones(len(tags), bool)
        for one in self.conditions:
            found &= one.holds(tags)
        return found


@dataclass(frozen=True)
class AnyOf:
    """At least one is met."""

    conditions: tuple[Condition, ...]

    @property
    def columns(self) -> frozenset[str]:
        """See `Condition`."""
        return frozenset().union(*(one.columns for one in self.conditions))

    def holds(self, tags: TagColumns) -> Bools:
        """See `Condition`."""
        found = np.zeros(len(tags), bool)
        for one in self.conditions:
            found |= one.holds(tags)
        return found


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """The condition and all that it is made of, in order."""
    match condition:
        case All(inner) | AnyOf(inner):
            return (condition, *(part for one in inner for part in parts_of(one)))
        case Not(one):
            return (condition, *parts_of(one))
    return (condition,)


def measures_of(condition: Condition) -> tuple[Measure, ...]:
    """The measures that a condition looks at, in the order in which it was written."""
    return tuple(part.measure for part in parts_of(condition) if isinstance(part, Scored))


def _between(values: Floats, least: float | None, below: float | None) -> Bools:
    found = ~np.isnan(values)
    if least is not None:
        found &= values >= least
    if below is not None:
        found &= values < below
    return found
