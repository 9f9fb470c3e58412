"""What a rule does with the documents that it takes, as frozen data. Knows not how it is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipeline.policy.conditions import Measure
from pipeline.policy.tag_columns import Floats, TagColumns
from pipeline.reweight.weights import Weights

KEEP, DROP, MASK, EXCISE, CONDITION = "keep", "drop", "mask", "excise", "condition"
ACTIONS = (KEEP, DROP, MASK, EXCISE, CONDITION)
"""What decisions call them."""


@dataclass(frozen=True)
class Evidence:
    """Spans of the tags: of these labels, from a window score on. A rule that works on spans takes only documents
    that have one."""

    labels: tuple[str, ...]
    at_least: float = 0.0
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Keep:
    """The document stays as it is."""


@dataclass(frozen=True)
class Drop:
    """The document goes; ``reason`` is for people. ``replace``: a kept one like it takes its place, by counting once
    more."""

    reason: str
    replace: bool = False
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class KeepShare:
    """Each document stays with this probability, by the keyed hash of its id; the others go."""

    share: float


@dataclass(frozen=True)
class Mask:
    """The document stays; its evidence goes into the column ``loss_mask``."""

    evidence: Evidence


@dataclass(frozen=True)
class Excise:
    """The document stays; in place of each stretch of evidence stands ``marker``."""

    evidence: Evidence
    marker: str


@dataclass(frozen=True)
class ControlTokens:
    """``before`` and ``after`` are put around the document, or around each stretch of ``evidence``; a share of the
    documents is left ``unmarked``, by the keyed hash of the id."""

    before: str
    after: str = ""
    unmarked: float = 0.0
    evidence: Evidence | None = None


Action = Keep | Drop | KeepShare | Mask | Excise | ControlTokens
NAMES: dict[type, str] = {
    Keep: KEEP, Drop: DROP, KeepShare: KEEP, Mask: MASK, Excise: EXCISE, ControlTokens: CONDITION,
}  # fmt: skip
"""What a decision says of a document that a rule takes (and that its draw does not make an exception of)."""


class Weight(Protocol):
    """How often a document should count; nothing says whether that is more or less than once."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns of TAGS that it needs."""

    def of(self, tags: TagColumns) -> Floats:
        """A weight for each document, float64, shape (documents,); NaN where there is none, which counts once."""


@dataclass(frozen=True)
class Constant:
    """The same for all."""

    value: float

    @property
    def columns(self) -> frozenset[str]:
        """See `Weight`."""
        return frozenset()

    def of(self, tags: TagColumns) -> Floats:
        """See `Weight`."""
        return np.full(len(tags), self.value)


@dataclass(frozen=True)
class Curve:
    """A function of a measure through ``points`` (measure, weight), in rising order: straight lines between them, or
    ``steps`` that each hold from their point on. Level before the first point and after the last."""

    measure: Measure
    points: tuple[tuple[float, float], ...]
    steps: bool = False

    @property
    def columns(self) -> frozenset[str]:
        """See `Weight`."""
        return self.measure.columns

    def of(self, tags: TagColumns) -> Floats:
        """See `Weight`."""
        values = self.measure.of(tags)
        at, weights = (np.array(column, np.float64) for column in zip(*self.points, strict=True))
        if not self.steps:
            return np.asarray(np.interp(values, at, weights))
        step = np.maximum(np.searchsorted(at, np.nan_to_num(values), side="right") - 1, 0)
        return np.where(np.isnan(values), np.nan, weights[step])


@dataclass(frozen=True)
class FromFile:
    """Weights out of a file that ``tropescan policy target`` made."""

    weights: Weights
    where: str = field(default="", compare=False)

    @property
    def columns(self) -> frozenset[str]:
        """See `Weight`."""
        return frozenset(self.weights.columns)

    def of(self, tags: TagColumns) -> Floats:
        """See `Weight`."""
        return self.weights.of(tags.tags)
