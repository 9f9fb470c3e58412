"""What all forms exchange: a document, with its text or a pointer, and all records of it.

Knows no file format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from labels import codebook
from labels.records import LabelRecord, text_digest

OURS = "tropescan"
"""Key under which a foreign form carries what it has no place for."""
OF_THE_TEXT = ("synthetic", "setting", "rule", "pair")
"""Fields of a record that say something of the text, not of the judgement."""
_OF_THE_TASK = ("sha256", "id", "source", "text", *OF_THE_TEXT)
JUDGEMENT = tuple(name.name for name in fields(LabelRecord) if name.name not in _OF_THE_TASK)
"""Fields of a record that are the judgement."""


@dataclass(frozen=True)
class Task:
    """A document and its records, which repeat neither its text nor its pointer.

    ``sha256`` is of the UTF-8 text; ``shard`` and ``row`` point to it. ``details`` has what else is known of the text,
    ``split`` and ``scores`` what a store knew of it.
    """

    id: str
    source: str
    sha256: str
    text: str | None = None
    url: str | None = None
    host: str | None = None
    shard: str | None = None
    row: int | None = None
    split: str | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    records: tuple[LabelRecord, ...] = ()

    def __post_init__(self) -> None:
        for name in (
            "url",
            "host",
            "shard",
            "split",
        ):  # '' says no more than nothing, and not every form tells them apart
            object.__setattr__(self, name, getattr(self, name) or None)
        if self.text is not None and text_digest(self.text) != self.sha256:
            raise ValueError(f"document {self.id!r}: the text's SHA-256 is not the one given")

    def record(self, judgement: Mapping[str, Any]) -> LabelRecord:
        """A record of this document; fields that are not of a judgement are passed by."""
        known = {name: judgement[name] for name in JUDGEMENT if judgement.get(name) is not None}
        known["spans"] = tuple(known.get("spans", ()))
        about = {name: self.details[name] for name in OF_THE_TEXT if name in self.details}
        return LabelRecord(sha256=self.sha256, id=self.id, source=self.source, **about, **known)

    def judged(self, judgements: Iterable[Mapping[str, Any]]) -> Task:
        """The same with these records."""
        return replace(self, records=tuple(self.record(one) for one in judgements))


def about(task: Task) -> dict[str, Any]:
    """A task's own fields, without text and records."""
    return {name: value for name, value in asdict(replace(task, records=())).items() if name not in ("text", "records")}


def judgement(record: LabelRecord) -> dict[str, Any]:
    """A record's judgement."""
    return {name: getattr(record, name) for name in JUDGEMENT} | {"spans": [dict(span) for span in record.spans]}


def task_from(known: Mapping[str, Any], text: str | None) -> Task:
    """A task from fields as `about` gives them, or from another tool's that have only a text."""
    names = {one.name for one in fields(Task)} - {"text", "records"}
    kept = {name: value for name, value in known.items() if name in names and value is not None}
    if "sha256" not in kept:
        if text is None:
            raise ValueError("neither a text nor the SHA-256 of one")
        kept["sha256"] = text_digest(text)
    kept["id"], kept["source"] = str(kept.get("id", kept["sha256"])), str(kept.get("source", ""))
    return Task(text=text, **kept)


def holding(record: LabelRecord) -> list[str]:
    """Names of the labels that hold."""
    return [name for name, holds in record.labels.items() if holds]


def labels_from(names: Iterable[str]) -> dict[str, bool]:
    """Labels from the names that another tool's annotator chose; what the codebook implies is filled in.

    Raises `ValueError` for a name that is no label, or for ``adverse`` without its reason.
    """
    chosen = set(names)
    if unknown := chosen - set(codebook.LABELS):
        raise ValueError(f"{sorted(unknown)} are no labels; there are {', '.join(codebook.LABELS)}")
    if chosen & {"hostile", "self_preserving"}:
        chosen.add("adverse")
    if chosen:
        chosen.add("ai")
    return {name: name in chosen for name in codebook.LABELS}


def merged(tasks: Iterable[Task]) -> list[Task]:
    """One task for each document, with the records of all: several files may speak of the same one."""
    found: dict[tuple[str, str, str], Task] = {}
    for task in tasks:
        key = task.sha256, task.id, task.source
        known = found.setdefault(key, task)
        if known is not task:
            text = known.text if known.text is not None else task.text
            found[key] = replace(known, text=text, records=known.records + task.records)
    return list(found.values())


def by_document(rows: Iterable[tuple[Task, Mapping[str, Any] | None]]) -> list[Task]:
    """Rows of one judgement each (None: the document has none), gathered by document, in the order of first sight.

    Two documents of the same text but another id or source stay two.
    """
    tasks: dict[tuple[str, str, str], Task] = {}
    records: dict[tuple[str, str, str], list[LabelRecord]] = {}
    for task, found in rows:
        key = task.sha256, task.id, task.source
        tasks.setdefault(key, task)
        if found is not None:
            records.setdefault(key, []).append(task.record(found))
    return [replace(task, records=tuple(records.get(key, ()))) for key, task in tasks.items()]
