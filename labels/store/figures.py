"""Figures of the work: how far each draw is, each annotator's pace, agreement with gold, and cost. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import case, func, select

from labels import codebook
from labels.store.database import Store
from labels.store.judgements import CURRENT
from labels.store.lookup import draw_named
from labels.store.tables import Draw, Item, Label, Selection


@dataclass(frozen=True)
class DrawProgress:
    """``selections`` of a draw (gold items left out), those ``done``, and how many have which current ``state``."""

    name: str
    purpose: str
    wanted: int
    selections: int
    done: int
    states: dict[str, int]


@dataclass(frozen=True)
class AnnotatorWork:
    """What an annotator did: ``seconds`` is the median time for a label, None if no time was recorded.

    ``cost`` is in US dollars; ``gold_right`` of ``gold`` settled items were labelled as settled, all five labels.
    """

    annotator: str
    kind: str
    labels: int
    unsure: int
    first: str
    last: str
    seconds: float | None
    tokens: int
    cost: float
    gold: int
    gold_right: int


def progress(store: Store) -> list[DrawProgress]:
    """All draws, in the order in which they were made."""
    with store.reading() as session:
        draws = session.scalars(select(Draw).order_by(Draw.id)).all()
        counted = (
            select(Selection.draw_id, Selection.done, func.count())
            .where(~Selection.gold)
            .group_by(Selection.draw_id, Selection.done)
        )
        numbers = {(draw, done): n for draw, done, n in session.execute(counted)}
        by_state = (
            select(Selection.draw_id, CURRENT.c.state, func.count())
            .join(CURRENT, CURRENT.c.item_id == Selection.item_id)
            .where(~Selection.gold)
            .group_by(Selection.draw_id, CURRENT.c.state)
        )
        states: dict[int, dict[str, int]] = {}
        for draw_id, state, n in session.execute(by_state):
            states.setdefault(draw_id, {})[state] = n
    return [
        DrawProgress(
            draw.name, draw.purpose, draw.wanted, numbers.get((draw.id, True), 0) + numbers.get((draw.id, False), 0),
            numbers.get((draw.id, True), 0), states.get(draw.id, {}),
        )
        for draw in draws
    ]  # fmt: skip


def work(store: Store, draw: str | None = None) -> list[AnnotatorWork]:
    """Each annotator's work, of all draws or one, by name. Undone labels count as work."""
    gold = _gold(store, draw)
    query = select(
        Label.annotator, Label.kind, func.count(), func.sum(case((Label.sure, 0), else_=1)), func.min(Label.at),
        func.max(Label.at), func.coalesce(func.sum(Label.tokens_in), 0) + func.coalesce(func.sum(Label.tokens_out), 0),
        func.coalesce(func.sum(Label.cost), 0.0),
    ).group_by(Label.annotator, Label.kind).order_by(Label.annotator, Label.kind)  # fmt: skip
    times = select(Label.annotator, Label.kind, Label.seconds).where(Label.seconds.is_not(None)).order_by(Label.seconds)
    with store.reading() as session:
        if draw is not None:
            chosen = draw_named(session, draw).id
            query, times = query.where(Label.draw_id == chosen), times.where(Label.draw_id == chosen)
        taken: dict[tuple[str, str], list[float]] = {}
        for annotator, kind, seconds in session.execute(times):
            taken.setdefault((annotator, kind), []).append(float(seconds or 0))
        rows = session.execute(query).all()
    found = []
    for annotator, kind, n, unsure, first, last, tokens, cost in rows:
        ordered = taken.get((annotator, kind), [])
        median = ordered[len(ordered) // 2] if ordered else None
        answers = gold.get((annotator, kind), [])
        found.append(AnnotatorWork(
            annotator, kind, n, int(unsure or 0), first, last, median, int(tokens), float(cost), len(answers),
            sum(answers),
        ))  # fmt: skip
    return found


def _gold(store: Store, draw: str | None) -> dict[tuple[str, str], list[bool]]:
    """For each annotator, whether each blind check of theirs was right."""
    same = [getattr(Label, name) == CURRENT.c[name] for name in codebook.LABELS]
    query = (
        select(Label.annotator, Label.kind, *same)
        .join(Item, Item.id == Label.item_id)
        .join(CURRENT, CURRENT.c.item_id == Item.id)
        .join(Selection, (Selection.item_id == Item.id) & (Selection.draw_id == Label.draw_id))
        .where(Selection.gold, CURRENT.c.state == "adjudicated", Label.kind != "adjudicated")
    )
    right: dict[tuple[str, str], list[bool]] = {}
    with store.reading() as session:
        if draw is not None:
            query = query.where(Label.draw_id == draw_named(session, draw).id)
        for annotator, kind, *matches in session.execute(query):
            right.setdefault((annotator, kind), []).append(all(matches))
    return right
