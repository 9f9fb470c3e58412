"""Prodigy's JSON Lines: a line for each answer to a ``choice`` task, with spans; modes are options ``mode:NAME``.

What Prodigy has no place for goes along in ``meta`` under ``tropescan``. Lines of one document are one task.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labels import codebook
from labels.interchange.tasks import OURS, Task, about, by_document, holding, judgement, labels_from, task_from
from labels.records import LabelRecord

_MODE = "mode:"
_OPTIONS = [{"id": name, "text": name} for name in (*codebook.LABELS, *(_MODE + mode for mode in codebook.MODES))]


def write(tasks: Iterable[Task], path: Path) -> None:
    """A line for each record; for a document without, a line to be answered."""
    with open(path, "w", encoding="utf-8") as file:
        for task in tasks:
            for record in task.records or (None,):
                file.write(json.dumps(_line(task, record)) + "\n")


def read(path: Path) -> list[Task]:
    """Lines as Prodigy's ``db-out`` gives them; ``ignore`` and ``reject`` are skips, and passed by.

    Raises `ValueError` naming the line that is broken or against the codebook.
    """

    def rows() -> Iterator[tuple[Task, Mapping[str, Any] | None]]:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    task, said = _from_line(json.loads(line))
                    if said is not None:
                        task.record(said)
                    yield task, said
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(f"{path}, line {number}: {error!r}; is it Prodigy's JSON Lines?") from error

    return by_document(rows())


def _line(task: Task, record: LabelRecord | None) -> dict[str, Any]:
    line: dict[str, Any] = {"text": task.text, "options": _OPTIONS, "meta": {"source": task.source, OURS: about(task)}}
    if record is None:
        return line
    mode = [] if record.mode == codebook.NO_MODE else [_MODE + record.mode]
    known = judgement(record)
    return line | {
        "accept": holding(record) + mode,
        "spans": known["spans"],
        "answer": "accept",
        "_annotator_id": record.annotator,
        "_timestamp": _seconds(record.at),
        OURS: known,
    }


def _from_line(found: Mapping[str, Any]) -> tuple[Task, dict[str, Any] | None]:
    meta = found.get("meta") or {}
    task = task_from(meta.get(OURS) or meta, found.get("text"))
    if found.get("answer") != "accept":
        return task, None
    accepted = [str(one) for one in found.get("accept") or ()]
    modes = [one.removeprefix(_MODE) for one in accepted if one.startswith(_MODE)]
    spans = [{k: span[k] for k in ("start", "end", "label") if k in span} for span in found.get("spans") or ()]
    stamp = found.get("_timestamp")
    said = {
        "annotator": str(found.get("_annotator_id") or found.get("_session_id") or "prodigy"),
        "kind": "human",
        "at": datetime.fromtimestamp(stamp, UTC).isoformat() if stamp is not None else "",
        **(found.get(OURS) or {}),
        **labels_from(one for one in accepted if not one.startswith(_MODE)),
        "mode": modes[0] if modes else codebook.NO_MODE,
        "spans": spans if OURS not in found else found.get("spans") or [],
    }
    return task, said


def _seconds(at: str) -> int | None:
    try:
        return int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
