"""Argilla's records (version 2, as ``Record.to_dict`` gives them): fields, metadata, responses by question.

Questions: ``labels`` (multi-label), ``mode`` (label), ``note`` (text), ``spans`` (spans in ``text``). What Argilla has
no place for goes along as JSON in the metadata ``tropescan``, the records in the order of the responses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labels import codebook
from labels.interchange.tasks import OURS, Task, about, holding, judgement, labels_from, task_from


def write(tasks: Iterable[Task], path: Path) -> None:
    """Write a JSON list of records."""
    path.write_text(json.dumps([_record(task) for task in tasks], indent=1), "utf-8")


def read(path: Path) -> list[Task]:
    """Read a JSON list of records; raises `ValueError` naming the record that is broken or against the codebook."""
    tasks = []
    for number, one in enumerate(json.loads(path.read_text("utf-8")), 1):
        try:
            tasks.append(_from_record(one))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}, record {number}: {error!r}; is it a list of Argilla's records?") from error
    return tasks


def _record(task: Task) -> dict[str, Any]:
    def answers(values: Iterable[Any]) -> list[dict[str, Any]]:
        return [{"value": v, "user_id": r.annotator} for v, r in zip(values, task.records, strict=True)]

    along = {"task": about(task), "records": [judgement(record) for record in task.records]}
    return {
        "id": task.id,
        "fields": {"text": task.text},
        "metadata": {"source": task.source, OURS: json.dumps(along)},
        "suggestions": {},
        "responses": {
            "labels": answers(holding(record) for record in task.records),
            "mode": answers(record.mode for record in task.records),
            "note": answers(record.note for record in task.records),
            "spans": answers([dict(span) for span in record.spans] for record in task.records),
        },
        "vectors": {},
        "status": "completed" if task.records else "pending",
    }


def _from_record(found: Mapping[str, Any]) -> Task:
    metadata = found.get("metadata") or {}
    along = json.loads(metadata.get(OURS) or "{}")
    plain = {"id": found.get("id"), "source": metadata.get("source"), "url": metadata.get("url")}
    task = task_from(along.get("task") or plain, found["fields"].get("text"))
    answers: dict[str, dict[int, Any]] = {}
    responses = found.get("responses") or {}
    users = [str(one["user_id"]) for one in responses.get("labels") or ()]
    for question, given in responses.items():
        for k, one in enumerate(given or ()):
            place = k if len(given) == len(users) else users.index(str(one["user_id"]))
            answers.setdefault(question, {})[place] = one["value"]
    known = [*(along.get("records") or []), *({} for _ in users)]
    given_by = [{q: values[k] for q, values in answers.items() if k in values} for k in range(len(users))]
    return task.judged([_judgement(given_by[k], user, known[k]) for k, user in enumerate(users)])


def _judgement(said: Mapping[str, Any], user: str, known: Mapping[str, Any]) -> dict[str, Any]:
    labels, mode = labels_from(said["labels"]), said.get("mode") or codebook.NO_MODE
    spans = [{k: v for k, v in span.items() if v is not None} for span in said.get("spans") or ()]
    given = {"annotator": user, "mode": mode, "note": said.get("note") or "", "spans": spans}
    return {"kind": "human", **known, **labels, **given}
