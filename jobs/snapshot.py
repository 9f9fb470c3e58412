"""Freezes the settled labels of a store into a file of label records that is named by its content.

Training takes the file, not the store: labels made meanwhile change nothing, and the model's card can name its data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from labels.interchange.tasks import OF_THE_TEXT
from labels.records import LabelRecord, record_line
from labels.split import EVALUATION, NEITHER
from labels.store import Store
from labels.store.judgements import Settled, settled
from labels.store.tables import DESIGNED, IMPORTED, Draw, Selection
from pipeline.storage import whole_file


@dataclass(frozen=True)
class Snapshot:
    """The file, its SHA-256, the number of records, and how many settled items were left out, by reason."""

    path: Path
    digest: str
    records: int
    left_out: dict[str, int]


def freeze(store: Store, folder: Path, draws: Sequence[str] = ()) -> Snapshot:
    """Write ``labels-DIGEST.jsonl``: each settled item's current label, with its text if the store has it.

    Left out are items that nearly repeat one of the other split, and evaluation items that only active learning
    chose: no figure may rest on these. The same labels give the same file, byte for byte.
    """
    chosen = _chosen_fairly(store)
    items = settled(store, draws)
    straddling = [one for one in items if one.item.split == NEITHER]
    acquired = [one for one in items if one.item.split == EVALUATION and one.item.id not in chosen]
    out = {one.item.id for one in straddling + acquired}
    content = "".join(record_line(_record(one)) + "\n" for one in items if one.item.id not in out).encode()
    digest = hashlib.sha256(content).hexdigest()
    path = folder / f"labels-{digest[:16]}.jsonl"
    if not path.exists():
        with whole_file(str(path)) as file:
            file.write(content)
    reasons = {"nearly the same as a text of the other split": len(straddling), "held out, but acquired": len(acquired)}
    return Snapshot(path, digest, len(items) - len(out), {why: n for why, n in reasons.items() if n})


def _chosen_fairly(store: Store) -> set[int]:
    """Items that a person or a design chose; being read again, or used as a blind check, chooses nothing."""
    query = select(Selection.item_id).join(Draw, Draw.id == Selection.draw_id)
    query = query.where(Draw.purpose.in_((DESIGNED, IMPORTED)), ~Selection.gold)
    with store.reading() as session:
        return set(session.scalars(query))


def _record(one: Settled) -> LabelRecord:
    about: dict[str, Any] = {name: one.item.details[name] for name in OF_THE_TEXT if name in one.item.details}
    return LabelRecord(
        sha256=one.item.sha256, id=one.item.document, source=one.item.source, text=one.item.text, mode=one.mode,
        annotator=one.annotator, kind=one.kind, codebook=one.codebook_version, at=one.at, sure=one.sure,
        **(about | one.labels),
    )  # fmt: skip
