"""How the work stands, as an annotator sees it beside every text: cheap enough to be asked for each page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from labels import codebook
from labels.store import Store
from labels.store.tables import Action, Draw, Label, Selection

CHECKS_AT_ONCE = 5
"""Blind checks are told in blocks of so many: a figure that moved after one label would give that check away."""
PACE_MINUTES = 60


@dataclass(frozen=True)
class Standing:
    """``done`` of ``total`` documents of the draw; the annotator's own labels that stand, and those of the last hour.

    ``right`` of ``checks`` blind checks were labelled as settled, all five labels.
    """

    done: int
    total: int
    own: int
    last_hour: int
    checks: int
    right: int


def standing(store: Store, draw: Draw, annotator: str) -> Standing:
    """The figures of one annotator in one draw, now."""
    since = datetime.fromtimestamp(store.clock(), UTC) - timedelta(minutes=PACE_MINUTES)
    with store.reading() as session:
        own = select(func.count()).where(*own_labels(draw, annotator))
        pace = own.where(Label.at >= since.isoformat(timespec="microseconds"))
        checks = blind_checks(session, draw, annotator) if draw.gold_every else []
        told = checks[: len(checks) // CHECKS_AT_ONCE * CHECKS_AT_ONCE]
        return Standing(
            session.scalar(_counted(draw.id).where(Selection.done)) or 0, _total(store, draw.id),
            session.scalar(own) or 0, session.scalar(pace) or 0, len(told), sum(told),
        )  # fmt: skip


def own_labels(draw: Draw, annotator: str) -> tuple[ColumnElement[bool], ...]:
    """Conditions for an annotator's own labels in a draw that were not undone."""
    undone = exists().where(Action.undone_label == Label.id).correlate(Label)
    return Label.annotator == annotator, Label.draw_id == draw.id, Label.kind != "adjudicated", ~undone


def _counted(draw: int) -> Select[int]:
    return select(func.count()).where(Selection.draw_id == draw, ~Selection.gold)


@lru_cache(maxsize=256)
def _total(store: Store, draw: int) -> int:
    """Counted once: a draw is never changed, and may be large."""
    with store.reading() as session:
        return session.scalar(_counted(draw)) or 0


def blind_checks(session: Session, draw: Draw, annotator: str) -> list[bool]:
    """Whether each of the annotator's blind checks was labelled as it was settled, in the order of labelling."""
    truth = aliased(Label)
    query = (
        select(Label, truth)
        .join(Selection, (Selection.item_id == Label.item_id) & (Selection.draw_id == Label.draw_id))
        .join(truth, truth.item_id == Label.item_id)
        .where(*own_labels(draw, annotator), Selection.gold, truth.kind == "adjudicated")
        .order_by(Label.id, truth.at, truth.id)
    )
    latest = {own.id: (own, settled) for own, settled in session.execute(query)}
    return [
        all(getattr(own, name) == getattr(settled, name) for name in codebook.LABELS)
        for own, settled in latest.values()
    ]
