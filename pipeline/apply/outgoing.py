"""Documents of one batch on their way out: which, how often, changed how, and what goes between them.

Knows batches; neither rules nor formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.apply.edit import Edited
from pipeline.policy.mixing import OwnDocument
from pipeline.policy.policy import Policy
from pipeline.readers import Records

SPANS = pa.list_(
    pa.struct([pa.field("start", pa.int64(), nullable=False), pa.field("end", pa.int64(), nullable=False)])
)


@dataclass(frozen=True)
class AddedColumns:
    """The columns that the output has beside those of the input."""

    weight: bool = False
    loss_mask: bool = False
    loss_mask_tokens: bool = False
    provenance: bool = False

    @classmethod
    def of(cls, policy: Policy) -> AddedColumns:
        """What the policy asks for."""
        weight = policy.weighs and policy.weight_as == "column"
        return cls(weight, policy.masks, policy.tokenizer is not None, policy.mix_in is not None)

    @property
    def fields(self) -> list[pa.Field]:
        """As Arrow has them."""
        every = {
            "weight": pa.float64(), "loss_mask": SPANS, "loss_mask_tokens": SPANS, "provenance": pa.string(),
        }  # fmt: skip
        return [pa.field(name, type) for name, type in every.items() if getattr(self, name)]

    def check(self, names: Sequence[str], where: str) -> None:
        """Raises `ValueError` if the input has a column of that name already."""
        for one in self.fields:
            if one.name in names:
                raise ValueError(f"{where}: has a column {one.name!r} already, which the policy adds; rename it there")


@dataclass(frozen=True)
class Mixed:
    """A document that is mixed in behind the one at ``position`` of the batch, under an id of its own; ``source`` is
    the file that it is from."""

    position: int
    id: str
    document: OwnDocument
    source: str

    @property
    def provenance(self) -> str:
        """What the column of that name says of it."""
        return f"mixed in: {self.source}, {self.document.id}"

    def record(self, text: tuple[str, ...], id: tuple[str, ...] | None) -> dict[str, Any]:
        """A record that holds id and text at these paths, where other records have theirs, and nothing else; no id
        without a path."""
        record: dict[str, Any] = {}
        for path, value in ((id, self.id), (text, self.document.text)):
            inner = record
            for name in (path or ())[:-1]:
                inner = inner.setdefault(name, {})
            inner |= {path[-1]: value} if path else {}
        return record

    @property
    def added(self) -> dict[str, Any]:
        """The columns that a policy can add: it counts once, and all of it is a target of training."""
        return {"weight": 1.0, "loss_mask": [], "loss_mask_tokens": [], "provenance": self.provenance}


@dataclass(frozen=True)
class Outgoing:
    """A batch of records with, for each, how many copies go out (int64; 0: dropped) and its weight (float64); ``edits``
    are by position. ``mixed`` rises by position."""

    records: Records
    copies: NDArray[np.int64]
    weights: NDArray[np.float64]
    edits: Mapping[int, Edited] = field(default_factory=dict)
    mixed: Sequence[Mixed] = ()

    @property
    def rows(self) -> int:
        """How many rows go out."""
        return int(self.copies.sum()) + len(self.mixed)

    def texts(self) -> dict[int, str]:
        """The texts that changed, by position."""
        return {position: one.text for position, one in self.edits.items() if one.text is not None}
