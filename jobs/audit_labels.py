"""Joins an audit's draw in the label store to its plan. Composes `labels.store` and `pipeline.prevalence`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.store import Store, designed_selections
from labels.store.judgements import Settled, settled
from labels.store.lookup import draw_named
from labels.store.tables import Draw, Selection
from pipeline.prevalence.plan import Plan, plan_from_json

METHOD = "audit"
DOMAINS = "audit of whole domains"
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledDraw:
    """The labelled documents of an audit's draw, in order of drawing; ``strata`` int64, shape (labelled,)."""

    plan: Plan
    drawn: int
    documents: list[str]
    strata: NDArray[np.int64]
    items: list[int]
    labels: list[Mapping[str, bool]]
    modes: list[str]
    kinds: dict[str, int]

    def positive(self, label: str, mode: str | None = None) -> Flags:
        """Which hold a label (and are of a mode), bool, shape (labelled,)."""
        pairs = zip(self.labels, self.modes, strict=True)
        return np.array([held[label] and mode in (None, found) for held, found in pairs], bool)

    def of(self, keep: Flags) -> LabelledDraw:
        """Only some of them."""
        at = np.flatnonzero(keep)
        return LabelledDraw(
            self.plan, self.drawn, [self.documents[i] for i in at], self.strata[at], [self.items[i] for i in at],
            [self.labels[i] for i in at], [self.modes[i] for i in at], self.kinds,
        )  # fmt: skip


def labelled_draw(store: Store, name: str) -> LabelledDraw:
    """What was drawn under that name, and what was labelled of it.

    Raises `StoreError` for a draw that is not designed, with the reason, and `ValueError` for one that is no audit's,
    or whose stored inclusion probabilities are not those of its plan.
    """
    selections, read, found = settled_selections(store, name)
    with store.reading() as session:
        plan = plan_of(draw_named(session, name))
    check_probabilities(name, plan, selections)
    index = {one.name: k for k, one in enumerate(plan.strata)}
    return LabelledDraw(
        plan, len(selections), [one.document for one in read],
        np.array([index[one.stratum or ""] for one in read], np.int64), [one.item_id for one in read],
        [one.labels for one in found], [one.mode for one in found], kinds_of(found),
    )  # fmt: skip


def settled_selections(store: Store, name: str) -> tuple[list[Selection], list[Selection], list[Settled]]:
    """All documents of a designed draw, those that have a settled label, and these labels, in order of drawing."""
    selections = [selection for selection, _ in designed_selections(store, [name])]
    known = {one.item.id: one for one in settled(store, [name])}
    read = [one for one in selections if one.item_id in known]
    return selections, read, [known[one.item_id] for one in read]


def kinds_of(found: Sequence[Settled]) -> dict[str, int]:
    """How many labels are by each kind of annotator."""
    return {kind: sum(one.kind == kind for one in found) for kind in sorted({one.kind for one in found})}


def plan_of(draw: Draw) -> Plan:
    """The plan that an audit's draw was made by. Raises `ValueError` for another draw."""
    if draw.method == DOMAINS:
        raise ValueError(
            f"draw {draw.name!r} is of whole domains, which 'audit estimate' alone can count: documents of one domain "
            "were drawn together; use a draw of documents, planned without --whole-domains"
        )
    if draw.method != METHOD:
        raise ValueError(
            f"draw {draw.name!r} was made by the method {draw.method!r}, without a plan that knows its strata's sizes; "
            "use a draw of 'tropescan audit draw'"
        )
    parameters: dict[str, Any] = draw.parameters
    try:
        return plan_from_json(parameters["plan"])
    except ValueError as error:
        raise ValueError(f"draw {draw.name!r}: {error}, and draw by it") from error


def check_probabilities(name: str, plan: Plan, selections: list[Selection]) -> None:
    """Raises `ValueError` unless every stored probability is its stratum's."""
    chances = plan.chances
    for one in selections:
        stored = one.inclusion_probability or 0.0
        if abs(stored - chances.get(one.stratum or "", -1.0)) > 1e-12:
            raise ValueError(
                f"draw {name!r}: document {one.document!r} has the inclusion probability {stored:g}, not that of its "
                f"stratum {one.stratum!r}; it was not drawn by this plan"
            )
