"""Items whose annotators differ: a queue for an adjudicator, with the records side by side.

The rule is the codebook's (docs/codebook.md, "From several records to one label"); what counts as disputed is the view
``current_labels``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from labels.store.database import Store
from labels.store.judgements import CURRENT, EFFECTIVE
from labels.store.lookup import draw_named
from labels.store.queue import LEASE_SECONDS, Leased, claim, lease, leased, turn
from labels.store.tables import Draw, Label, Lease, Selection


@dataclass(frozen=True)
class Dispute:
    """A disputed item, leased, and its annotators' records. Settle it by `record_label` with kind ``adjudicated``."""

    leased: Leased
    records: list[Label]


def next_dispute(
    store: Store, adjudicator: str, draw: str | None = None, *, besides: Collection[int] = (),
    seconds: float = LEASE_SECONDS,
) -> Dispute | None:  # fmt: skip
    """Lease the next disputed item, of all draws or one; None if no one differs, or others settle all that is left.

    ``besides`` are ids of items to pass by.
    """
    with turn(store, adjudicator) as session:
        now = store.clock()
        query = select(Selection).join(CURRENT, CURRENT.c.item_id == Selection.item_id)
        query = query.where(CURRENT.c.state == "disputed")
        if draw is not None:
            query = query.where(Selection.draw_id == draw_named(session, draw).id)
        taken = select(Lease.item_id).where(Lease.adjudicating, Lease.until > now, Lease.annotator != adjudicator)
        free = query.where(Selection.item_id.not_in(taken)).order_by(Selection.draw_id, Selection.position)
        found = claim(session, free, besides)
        if found is None:
            return None
        chosen = session.get_one(Draw, found.draw_id)
        held = lease(store, session, found, adjudicator, seconds, adjudicating=True)
        return Dispute(leased(session, chosen, found, held), _records(session, found.item_id))


def _records(session: Session, item: int) -> list[Label]:
    query = select(Label).join(EFFECTIVE, EFFECTIVE.c.id == Label.id).where(Label.item_id == item)
    return list(session.scalars(query.order_by(Label.id)))


def count_disputes(store: Store, draw: str | None = None) -> int:
    """How many items are disputed."""
    query = select(CURRENT.c.item_id).where(CURRENT.c.state == "disputed")
    with store.reading() as session:
        if draw is not None:
            mine = select(Selection.item_id).where(Selection.draw_id == draw_named(session, draw).id)
            query = query.where(CURRENT.c.item_id.in_(mine))
        return len(session.execute(query).all())
