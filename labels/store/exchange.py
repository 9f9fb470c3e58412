"""Takes tasks of `labels.interchange` into the store as an imported draw, and gives the store's items out as tasks.

A record that the store has already is not doubled, however often it is imported. Undone labels are not given out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from labels import codebook
from labels.interchange.tasks import Task, judgement
from labels.records import LabelRecord
from labels.store.database import Store
from labels.store.items import Candidate, select_items, start_draw
from labels.store.lookup import draw_named, ids_of, in_parts
from labels.store.queue import mark_done
from labels.store.tables import IMPORTED, Action, Item, Label, Selection

_SAME_NAME = (
    "annotator", "kind", *codebook.LABELS, "mode", "sure", "at", "note", "spans", "seconds", "model", "prompt_digest",
    "raw_answer", "tokens_in", "tokens_out", "cost",
)  # fmt: skip


def import_tasks(
    store: Store, tasks: Sequence[Task], name: str, *, method: str, wanted: int = 1, keep_text: bool = True
) -> tuple[int, int]:
    """Make a draw of the tasks and append their records, whole or not at all; returns (records new, known before).

    Without ``keep_text`` a text only leaves its digest and its signature. Raises `StoreError` if the name is taken.
    """
    with store.writing() as session:
        draw = start_draw(store, session, name, IMPORTED, method=method, wanted=wanted)
        select_items(session, draw, [_candidate(task, keep_text) for task in tasks])
        ids = ids_of(session, [task.sha256 for task in tasks])
        known = _known(session, sorted(set(ids.values())))
        rows: dict[str, dict[str, Any]] = {}
        given = 0
        for task in tasks:
            for record in task.records:
                given += 1
                row = _row(record) | {"item_id": ids[task.sha256], "draw_id": draw.id}
                token = _token(row)
                if token not in known:
                    rows.setdefault(token, row | {"token": token})
        if rows:
            session.execute(insert(Label), list(rows.values()))
            mark_done(session, sorted(set(ids.values())))
    return len(rows), given - len(rows)


def _candidate(task: Task, keep_text: bool) -> Candidate:
    return Candidate(
        document=task.id, source=task.source, text=task.text, sha256=task.sha256, url=task.url, host=task.host,
        shard=task.shard, row=task.row, scores=task.scores, details=task.details,
        keep_text=keep_text,
    )  # fmt: skip


def _row(record: LabelRecord) -> dict[str, Any]:
    given = judgement(record)
    return {name: given[name] for name in _SAME_NAME} | {"codebook_version": record.codebook}


def _token(row: Mapping[str, Any]) -> str:
    """Names a record by its content, so that the same one is never imported twice."""
    content = [row[name] for name in ("item_id", "codebook_version", *_SAME_NAME)]
    return "content:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _known(session: Session, items: Sequence[int]) -> set[str]:
    known = set()
    for part in in_parts(items):
        for label in session.scalars(select(Label).where(Label.item_id.in_(part))):
            known.add(_token(_columns(label) | {"item_id": label.item_id}))
    return known


def _columns(label: Label) -> dict[str, Any]:
    return {name: getattr(label, name) for name in (*_SAME_NAME, "codebook_version")}


def export_tasks(store: Store, draws: Sequence[str] = (), *, with_text: bool = True) -> list[Task]:
    """All items, or those of some draws, with every record that was not undone, in the order of the items."""
    items = select(Item).order_by(Item.id)
    labels = select(Label).where(Label.id.not_in(select(Action.undone_label).where(Action.undone_label.is_not(None))))
    scores = select(Selection.item_id, Selection.scores).order_by(Selection.id)
    with store.reading() as session:
        if draws:
            ids = [draw_named(session, name).id for name in draws]
            items = items.where(Item.id.in_(select(Selection.item_id).where(Selection.draw_id.in_(ids))))
            scores = scores.where(Selection.draw_id.in_(ids))
        by_item: dict[int, list[dict[str, Any]]] = {}
        for label in session.scalars(labels.order_by(Label.id)):
            judged = {name: value for name, value in _columns(label).items() if name != "codebook_version"}
            by_item.setdefault(label.item_id, []).append(judged | {"codebook": label.codebook_version})
        scored = {row.item_id: row.scores for row in session.execute(scores) if row.scores}
        return [
            _task(item, scored.get(item.id, {}), with_text=with_text).judged(by_item.get(item.id, ()))
            for item in session.scalars(items)
        ]


def _task(item: Item, scores: dict[str, Any], *, with_text: bool) -> Task:
    return Task(
        id=item.document, source=item.source, sha256=item.sha256, text=item.text if with_text else None, url=item.url,
        host=item.host, shard=item.shard, row=item.row, split=item.split, scores=scores, details=item.details,
    )  # fmt: skip
