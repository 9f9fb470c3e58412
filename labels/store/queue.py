"""The queue of a draw: leases an item to an annotator, records labels once, skips, undoes.

Many annotators at once, in many processes: who leases or labels locks the row (PostgreSQL) or the database (SQLite),
so that no item is given out more often than the draw wants, and a label sent twice is one label. A lease that has run
out frees the item; a label that comes after is kept all the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, exists, func, literal, select, update
from sqlalchemy.orm import Session, aliased

from labels import codebook
from labels.store.columns import ExactText
from labels.store.database import Store, StoreError
from labels.store.lookup import draw_named, in_parts
from labels.store.tables import REVIEW, Action, Draw, Item, Label, Lease, Selection

LEASE_SECONDS = 900.0


@dataclass(frozen=True)
class Leased:
    """An item before an annotator: send ``token`` with the label or skip. ``until`` is in UNIX seconds.

    The scores are those at draw time: show them only to who asks, they bias. Whether it is a blind check is not said.
    """

    draw: str
    item: Item
    document: str
    scores: dict[str, Any]
    token: str
    until: float


@dataclass(frozen=True)
class ModelAnswer:
    """What a language model was and said; tokens as the service counted them, ``cost`` in US dollars."""

    model: str
    prompt_digest: str
    raw_answer: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None


@dataclass(frozen=True)
class Recorded:
    """The label as it stands; ``new`` is False if it, or another by the same annotator, was there before."""

    label: Label
    new: bool


def next_item(
    store: Store, annotator: str, draw: str, *, besides: Collection[int] = (), seconds: float = LEASE_SECONDS
) -> Leased | None:
    """Lease the annotator's next item of a draw for so long; None if there is nothing for them now.

    An item that they hold already comes back, with the same token and a new term: after a restart or in a second tab
    it is still the one they see. ``besides`` are ids of items in hand, for who works on several at once.
    """
    with turn(store, annotator) as session:
        chosen = draw_named(session, draw)
        held = _held(session, chosen, annotator, besides, store.clock())
        if held is not None:
            held.until = store.clock() + seconds
            selection = session.scalars(_selections_of(chosen, held.item_id)).first()
            return leased(session, chosen, selection, held) if selection else None
        for gold in _order(session, chosen, annotator):
            values = {"draw": chosen.id, "annotator": annotator, "now": store.clock(), "wanted": chosen.wanted}
            selection = claim(session, _free(gold=gold), besides, values)
            if selection is not None:
                return leased(session, chosen, selection, lease(store, session, selection, annotator, seconds))
    return None


def record_label(
    store: Store, item: int, annotator: str, kind: str, labels: Mapping[str, bool], mode: str, *, token: str,
    draw: str | None = None, sure: bool = True, note: str = "", spans: Sequence[Mapping[str, Any]] = (),
    seconds: float | None = None, answer: ModelAnswer | None = None,
) -> Recorded:  # fmt: skip
    """Append a label; with a token that is known, or by an annotator whose label of the item stands, nothing is added.

    ``spans`` are stretches of the text that carry the judgement: ``start`` and ``end`` in code points, ``label`` if
    they speak for one. Undo first to label again. Raises `CodebookError` for labels that contradict each other,
    `StoreError` for an unknown item or draw.
    """
    codebook.check(labels, mode)
    with turn(store, annotator) as session:
        chosen = draw_named(session, draw) if draw is not None else None
        if session.scalar(select(Item.id).where(Item.id == item).with_for_update(key_share=True)) is None:
            raise StoreError(f"there is no item {item}")
        standing = _standing(session, item, annotator, token, kind, chosen)
        if standing is not None:
            return Recorded(standing, False)
        label = Label(
            item_id=item, draw_id=chosen.id if chosen else None, annotator=annotator, kind=kind, mode=mode,
            sure=sure, at=store.now(), codebook_version=codebook.VERSION, note=note, spans=[dict(s) for s in spans],
            seconds=seconds, token=token, **{name: labels[name] for name in codebook.LABELS},
            **(asdict(answer) if answer else {}),
        )  # fmt: skip
        session.add(label)
        session.flush()
        _release(session, item, annotator, adjudicating=kind == "adjudicated")
        mark_done(session, [item])
        return Recorded(label, True)


def skip(store: Store, item: int, annotator: str, *, token: str, draw: str, note: str = "") -> bool:
    """Append that the annotator passes this item by; False if it was said before."""
    with turn(store, annotator) as session:
        chosen = draw_named(session, draw)
        session.scalar(select(Item.id).where(Item.id == item).with_for_update(key_share=True))
        if session.scalar(select(Action.id).where(Action.annotator == annotator, Action.token == token)) is not None:
            return False
        session.add(_action(store, "skip", item, chosen.id, annotator, token, note))
        _release(session, item, annotator)
        return True


def undo(store: Store, annotator: str, draw: str, *, token: str, seconds: float = LEASE_SECONDS) -> Leased | None:
    """Append that the annotator's last label or skip in the draw no longer holds, and lease its item to them again.

    None if there is nothing to undo. The same token again undoes nothing more.
    """
    with turn(store, annotator) as session:
        chosen = draw_named(session, draw)
        before = session.scalar(select(Action).where(Action.annotator == annotator, Action.token == token))
        if before is None:
            last = _last(session, annotator, chosen)
            if last is None:
                return None
            session.scalar(select(Item.id).where(Item.id == last.item_id).with_for_update(key_share=True))
            action = _action(store, "undo", last.item_id, chosen.id, annotator, token)
            action.undone_label = last.id if isinstance(last, Label) else None
            action.undone_skip = last.id if isinstance(last, Action) else None
            session.add(action)
            session.flush()
            mark_done(session, [last.item_id])
            before = action
        selection = session.scalars(_selections_of(chosen, before.item_id)).first()
        if selection is None:
            return None
        return leased(session, chosen, selection, lease(store, session, selection, annotator, seconds))


@contextmanager
def turn(store: Store, annotator: str) -> Iterator[Session]:
    """A transaction in which nothing else happens for this annotator: two tabs take turns."""
    with store.writing() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(literal(annotator, ExactText), 0))))
        yield session


def mark_done(session: Session, items: Sequence[int]) -> None:
    """Note, for each draw with these items, whether it has the labels that it wants. Follows from the labels alone."""
    for part in in_parts(items):
        session.execute(
            select(Selection.id).where(Selection.item_id.in_(part)).order_by(Selection.id).with_for_update()
        )
        session.execute(
            update(Selection).where(Selection.item_id.in_(part)).values(done=_enough()),
            execution_options={"synchronize_session": False},
        )


@cache
def _enough() -> ColumnElement[bool]:
    return _annotators() >= select(Draw.wanted).where(Draw.id == Selection.draw_id).scalar_subquery()


@cache
def _annotators() -> ColumnElement[int]:
    """How many annotators' labels of a selection's item count for its draw; all draws' do, but for a review its own."""
    query = (
        select(func.count(func.distinct(Label.annotator)))
        .where(Label.item_id == Selection.item_id, Label.kind != "adjudicated", _stands(), _counts_for_its_draw())
        .correlate(Selection)
    )
    return query.scalar_subquery()


def _counts_for_its_draw() -> ColumnElement[bool]:
    review = exists().where(Draw.id == Selection.draw_id, Draw.purpose == REVIEW).correlate(Selection)
    return ~review | (Label.draw_id == Selection.draw_id)


def _stands() -> ColumnElement[bool]:
    return ~exists().where(Action.undone_label == Label.id).correlate(Label)


def _held(session: Session, draw: Draw, annotator: str, besides: Collection[int], now: float) -> Lease | None:
    session.execute(delete(Lease).where(Lease.annotator == annotator, Lease.draw_id == draw.id, Lease.until <= now))
    mine = select(Lease).where(Lease.annotator == annotator, Lease.draw_id == draw.id, ~Lease.adjudicating)
    latest = mine.where(Lease.item_id.not_in(besides)).order_by(Lease.until.desc())  # what was undone comes first
    return session.scalars(latest.with_for_update()).first()


def _order(session: Session, draw: Draw, annotator: str) -> tuple[bool, ...]:
    """Whether to look among gold items, ordinary ones, or one after the other."""
    if draw.gold_every == 0:
        return (False,)
    made = select(func.count()).select_from(Label).where(Label.annotator == annotator, Label.draw_id == draw.id)
    return (True, False) if session.scalar(made) % draw.gold_every == draw.gold_every - 1 else (False,)  # type: ignore[operator]


def claim(
    session: Session, free: Select[Selection], besides: Collection[int] = (), values: Mapping[str, Any] | None = None
) -> Selection | None:
    """Lock the first selection that is free; what others have locked, and items ``besides``, are passed over.

    ``values`` are those of the parameters of ``free``. PostgreSQL chooses by what it saw when the statement began: a
    lease that was given since is only seen by asking again under the lock. On SQLite nobody else writes meanwhile.
    """
    passed, values = set(besides), values or {}
    alone = session.get_bind().dialect.name == "sqlite"
    while True:
        query = free.where(Selection.item_id.not_in(passed)) if passed else free
        found = session.scalars(query.limit(1).with_for_update(skip_locked=True, of=Selection), values).first()
        if alone:
            return found
        if found is None and len(passed) == len(besides):  # what was locked may be free in a moment: wait for it
            found = session.scalars(query.limit(1).with_for_update(of=Selection), values).first()
        if found is None or session.scalars(free.where(Selection.id == found.id), values).first() is not None:
            return found
        passed.add(found.item_id)


@cache
def _free(*, gold: bool) -> Select[Selection]:
    """What the ``annotator`` may take of a ``draw`` that wants so many labels (``wanted``), ``now``: parameters, since
    to build the statement takes longer than to run it."""
    annotator, others = bindparam("annotator", type_=ExactText), aliased(Lease)
    mine = (Label.item_id == Selection.item_id, Label.annotator == annotator, _stands(), _counts_for_its_draw())
    skipped, undone = aliased(Action), aliased(Action)
    leases = (
        select(func.count())
        .where(
            others.item_id == Selection.item_id,
            others.annotator != annotator,
            others.until > bindparam("now"),
            ~others.adjudicating,
        )
        .correlate(Selection)
        .scalar_subquery()
    )
    query = select(Selection).where(
        Selection.draw_id == bindparam("draw"),
        Selection.gold == gold,
        ~exists().where(*mine).correlate(Selection),
        ~exists()
        .where(
            skipped.item_id == Selection.item_id, skipped.annotator == annotator, skipped.draw_id == bindparam("draw"),
            skipped.kind == "skip", ~exists().where(undone.undone_skip == skipped.id).correlate(skipped),
        )
        .correlate(Selection),
    )  # fmt: skip
    if not gold:  # a blind check is for every annotator
        query = query.where(~Selection.done, _annotators() + leases < bindparam("wanted"))
    return query.order_by(Selection.position)


def lease(
    store: Store, session: Session, selection: Selection, annotator: str, seconds: float, *, adjudicating: bool = False
) -> Lease:
    """Give the item to the annotator for so long. A lease that they have of it is renewed, and keeps its token."""
    held = session.get(Lease, (selection.item_id, annotator, adjudicating))
    if held is None:
        held = Lease(item_id=selection.item_id, annotator=annotator, adjudicating=adjudicating, token=uuid.uuid4().hex)
        session.add(held)
    held.draw_id, held.until = selection.draw_id, store.clock() + seconds
    return held


def _release(session: Session, item: int, annotator: str, *, adjudicating: bool = False) -> None:
    mine = (Lease.item_id == item, Lease.annotator == annotator, Lease.adjudicating == adjudicating)
    session.execute(delete(Lease).where(*mine))


def leased(session: Session, draw: Draw, selection: Selection, held: Lease) -> Leased:
    """What the annotator gets to see of a lease."""
    item = session.get_one(Item, selection.item_id)
    return Leased(draw.name, item, selection.document, selection.scores, held.token, held.until)


def _selections_of(draw: Draw, item: int) -> Select[Selection]:
    return select(Selection).where(Selection.draw_id == draw.id, Selection.item_id == item).order_by(Selection.id)


def _standing(session: Session, item: int, annotator: str, token: str, kind: str, draw: Draw | None) -> Label | None:
    """The label that a new one would double: of the same token, or the annotator's own of this item that stands."""
    same = session.scalar(select(Label).where(Label.annotator == annotator, Label.token == token))
    if same is not None:
        return same
    own = select(Label).where(Label.item_id == item, Label.annotator == annotator, _stands())
    own = own.where((Label.kind == "adjudicated") if kind == "adjudicated" else (Label.kind != "adjudicated"))
    if draw is not None and draw.purpose == REVIEW:
        own = own.where(Label.draw_id == draw.id)
    return session.scalars(own.order_by(Label.id.desc())).first()


def _last(session: Session, annotator: str, draw: Draw) -> Label | Action | None:
    undone = aliased(Action)
    label = session.scalars(
        select(Label)
        .where(Label.annotator == annotator, Label.draw_id == draw.id, _stands())
        .order_by(Label.at.desc(), Label.id.desc())
    ).first()
    skipped = session.scalars(
        select(Action)
        .where(Action.annotator == annotator, Action.draw_id == draw.id, Action.kind == "skip")
        .where(~exists().where(undone.undone_skip == Action.id))
        .order_by(Action.at.desc(), Action.id.desc())
    ).first()
    if label is None or skipped is None:
        return label or skipped
    return label if label.at >= skipped.at else skipped


def _action(store: Store, kind: str, item: int, draw: int, annotator: str, token: str, note: str = "") -> Action:
    return Action(kind=kind, item_id=item, draw_id=draw, annotator=annotator, at=store.now(), note=note, token=token)
