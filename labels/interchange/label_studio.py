"""Label Studio's JSON: tasks with annotations (people) and predictions (models, rules).

What Label Studio has a place for stands there and is read from there; the rest goes along under ``tropescan``.
Its offsets are in UTF-16 units, ours in code points.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labels import codebook
from labels.interchange.tasks import OURS, Task, about, holding, judgement, labels_from, task_from
from labels.records import LabelRecord

CONFIG = f"""<View>
  <Text name="text" value="$text"/>
  <Choices name="labels" toName="text" choice="multiple">
{chr(10).join(f'    <Choice value="{name}"/>' for name in codebook.LABELS)}
  </Choices>
  <Choices name="mode" toName="text" choice="single">
{chr(10).join(f'    <Choice value="{name}"/>' for name in codebook.MODES)}
  </Choices>
  <Labels name="spans" toName="text">
{chr(10).join(f'    <Label value="{name}"/>' for name in codebook.LABELS)}
  </Labels>
  <TextArea name="note" toName="text"/>
</View>
"""
"""The labeling interface that these tasks are for."""


def write(tasks: Iterable[Task], path: Path) -> None:
    """Write the tasks, and the labeling interface beside them (``.xml``)."""
    path.write_text(json.dumps([_task(number, task) for number, task in enumerate(tasks, 1)], indent=1), "utf-8")
    path.with_suffix(".xml").write_text(CONFIG, "utf-8")


def read(path: Path) -> list[Task]:
    """Tasks of a JSON export (or of what `write` wrote); cancelled annotations are skips, and passed by.

    Raises `ValueError` naming the task that is broken or against the codebook.
    """
    found = json.loads(path.read_text("utf-8"))
    tasks = []
    for number, one in enumerate(found if isinstance(found, list) else [found], 1):
        try:
            tasks.append(_from_task(one))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}, task {number}: {error!r}; is it Label Studio's JSON export?") from error
    return tasks


def _task(number: int, task: Task) -> dict[str, Any]:
    parts: dict[str, list[dict[str, Any]]] = {"annotations": [], "predictions": []}
    for place, record in enumerate(task.records, 1):
        written = _annotation(place, record, task.text)
        if record.kind in ("llm", "rule"):
            parts["predictions"].append(written | {"model_version": record.annotator})
        else:
            parts["annotations"].append(written)
    return {"id": number, "data": {"text": task.text, OURS: about(task)}, **parts}


def _annotation(number: int, record: LabelRecord, text: str | None) -> dict[str, Any]:
    to = {"to_name": "text"}
    result: list[dict[str, Any]] = [
        {"from_name": "labels", "type": "choices", "value": {"choices": holding(record)}, **to}
    ]
    if record.mode != codebook.NO_MODE:
        result.append({"from_name": "mode", "type": "choices", "value": {"choices": [record.mode]}, **to})
    if record.note:
        result.append({"from_name": "note", "type": "textarea", "value": {"text": [record.note]}, **to})
    for k, span in enumerate(record.spans if text is not None else ()):
        start, end = (_units(text or "", span[at]) for at in ("start", "end"))
        named = [span["label"]] if span.get("label") else []
        value = {"start": start, "end": end, "labels": named}
        result.append({"id": f"span{k}", "from_name": "spans", "type": "labels", "value": value, **to})
    return {
        "id": number, "completed_by": {"email": record.annotator}, "created_at": record.at, "lead_time": record.seconds,
        "ground_truth": record.kind == "adjudicated", "result": result, OURS: judgement(record) | {"place": number},
    }  # fmt: skip


def _units(text: str, code_points: int) -> int:
    return len(text[:code_points].encode("utf-16-le", "surrogatepass")) // 2


def _from_task(found: Mapping[str, Any]) -> Task:
    data = found["data"]
    known = data.get(OURS) or {**{k: v for k, v in data.items() if k != "id"}, "id": data.get("id", found.get("id"))}
    task = task_from(known, data.get("text"))
    annotations = [(one, "human") for one in found.get("annotations") or ()]
    predictions = [(one, "llm") for one in found.get("predictions") or ()]
    given = [pair for pair in annotations + predictions if not pair[0].get("was_cancelled")]
    given.sort(key=lambda pair: int((pair[0].get(OURS) or {}).get("place", 0)))  # what we wrote has an order of its own
    return task.judged([_judgement(one, kind, task.text) for one, kind in given])


def _judgement(found: Mapping[str, Any], kind: str, text: str | None) -> dict[str, Any]:
    by = found.get("completed_by")
    who = by.get("email") or by.get("id") if isinstance(by, Mapping) else by
    said: dict[str, Any] = {
        "annotator": str(found.get("model_version") or who or kind), "kind": kind, "mode": codebook.NO_MODE,
        "at": found.get("created_at") or "", "seconds": found.get("lead_time"), "note": "", **(found.get(OURS) or {}),
    }  # fmt: skip
    if found.get("ground_truth"):
        said["kind"] = "adjudicated"
    choices: dict[str, list[str]] = {"labels": [], "mode": []}
    spans = []
    for one in found["result"]:
        if one["type"] == "choices":
            choices[one["from_name"]] = list(one["value"]["choices"])
        elif one["type"] == "textarea":
            said["note"] = "\n".join(one["value"]["text"])
        elif one["type"] == "labels" and text is not None:
            spans.append(_span(one["value"], text))
    mode = choices["mode"][0] if choices["mode"] else codebook.NO_MODE
    return said | labels_from(choices["labels"]) | {"mode": mode} | ({"spans": spans} if text is not None else {})


def _span(value: Mapping[str, Any], text: str) -> dict[str, Any]:
    units = text.encode("utf-16-le", "surrogatepass")
    ends = {at: len(units[: 2 * int(value[at])].decode("utf-16-le", "surrogatepass")) for at in ("start", "end")}
    return ends | ({"label": value["labels"][0]} if value.get("labels") else {})
