"""Reads judgements from the store: who said what of which item, and each item's current label. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Boolean, ColumnClause, Integer, Select, select, table
from sqlalchemy.sql import column

from labels import codebook
from labels.store.columns import ExactText
from labels.store.database import Store
from labels.store.lookup import draw_named
from labels.store.tables import Item, Label, Selection


def _labels() -> list[ColumnClause[bool]]:
    return [column(name, Boolean()) for name in codebook.LABELS]


EFFECTIVE = table(
    "effective_labels", column("id", Integer), column("item_id", Integer), column("draw_id", Integer),
    column("annotator", ExactText), column("kind", ExactText), column("mode", ExactText), *_labels(),
)  # fmt: skip
"""The view of each annotator's label of an item that stands: the latest, if it was not undone."""
CURRENT = table(
    "current_labels", column("item_id", Integer), column("label_id", Integer), column("kind", ExactText),
    column("annotators", Integer), column("state", ExactText), column("mode", ExactText), column("sure", Boolean),
    column("codebook_version", ExactText), column("at", ExactText), *_labels(),
)  # fmt: skip
"""The view of each item's current label; ``state`` is single, agreed, adjudicated or disputed."""


@dataclass(frozen=True)
class Judgements:
    """``values``: float64 of shape (labels, annotators, items), 1, 0, or NaN where an annotator said nothing.

    ``labels`` are the codebook's, in order; ``kinds`` say what each annotator is, ``sources`` whence each item is.
    """

    items: list[int]
    sources: list[str]
    annotators: list[str]
    kinds: list[str]
    values: NDArray[np.float64]

    def of(self, label: str) -> NDArray[np.float64]:
        """Judgements of one label, shape (annotators, items)."""
        return np.asarray(self.values[codebook.LABELS.index(label)])

    def kind(self, kind: str) -> list[int]:
        """Which annotators are of a kind."""
        return [k for k, found in enumerate(self.kinds) if found == kind]


def judgements(store: Store, draw: str | None = None) -> Judgements:
    """All independent judgements that stand, or those of a draw's items; adjudicated records are none."""
    query = select(EFFECTIVE, Item.source).join(Item, Item.id == EFFECTIVE.c.item_id)
    query = query.where(EFFECTIVE.c.kind != "adjudicated").order_by(EFFECTIVE.c.item_id, EFFECTIVE.c.annotator)
    with store.reading() as session:
        if draw is not None:
            query = query.where(EFFECTIVE.c.item_id.in_(_items_of(draw_named(session, draw).id)))
        rows = session.execute(query).all()
    sources = {row.item_id: row.source for row in rows}
    who = {(row.annotator, row.kind): k for k, row in enumerate(rows)}
    annotators = {name: k for k, name in enumerate(sorted(who))}
    items = {item: k for k, item in enumerate(sources)}
    values = np.full((len(codebook.LABELS), len(annotators), len(items)), np.nan)
    for row in rows:
        place = annotators[row.annotator, row.kind], items[row.item_id]
        values[(slice(None), *place)] = [getattr(row, name) for name in codebook.LABELS]
    names, kinds = [name for name, _ in annotators], [kind for _, kind in annotators]
    return Judgements(list(items), list(sources.values()), names, kinds, values)


def _items_of(draw: int) -> Select[int]:
    return select(Selection.item_id).where(Selection.draw_id == draw)


@dataclass(frozen=True)
class Settled:
    """An item with its current label; ``state`` is single, agreed or adjudicated, ``annotator`` the last."""

    item: Item
    annotator: str
    labels: dict[str, bool]
    mode: str
    sure: bool
    kind: str
    state: str
    codebook_version: str
    at: str


def settled(store: Store, draws: Sequence[str] = ()) -> list[Settled]:
    """All items that have a current label, or those of some draws, by SHA-256. Disputed ones have none."""
    query = (
        select(Item, Label.annotator, CURRENT)
        .join(CURRENT, CURRENT.c.item_id == Item.id)
        .where(CURRENT.c.state != "disputed")
    )
    query = query.join(Label, Label.id == CURRENT.c.label_id)
    with store.reading() as session:
        if draws:
            ids = [draw_named(session, name).id for name in draws]
            query = query.where(Item.id.in_(select(Selection.item_id).where(Selection.draw_id.in_(ids))))
        rows = session.execute(query.order_by(Item.sha256)).all()
    return [
        Settled(
            row.Item, row.annotator, {name: bool(getattr(row, name)) for name in codebook.LABELS}, row.mode,
            bool(row.sure), row.kind, row.state, row.codebook_version, row.at,
        )
        for row in rows
    ]  # fmt: skip
