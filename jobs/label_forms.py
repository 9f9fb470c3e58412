"""The forms of files that `tropescan label import` and `export` take, by name, and how a path tells its form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from labels.interchange import argilla, label_studio, prodigy, tables
from labels.interchange.tasks import Task
from labels.records import record_files

READERS: dict[str, Callable[[Path], list[Task]]] = {
    "jsonl": tables.read_jsonl,
    "csv": tables.read_csv,
    "parquet": tables.read_parquet,
    "datasets": tables.read_datasets,
    "label-studio": label_studio.read,
    "argilla": argilla.read,
    "prodigy": prodigy.read,
}
WRITERS: dict[str, Callable[[list[Task], Path], None]] = {
    "jsonl": tables.write_jsonl,
    "csv": tables.write_csv,
    "parquet": tables.write_parquet,
    "datasets": tables.write_datasets,
    "label-studio": label_studio.write,
    "argilla": argilla.write,
    "prodigy": prodigy.write,
}
FORMS = tuple(READERS)
_ENDINGS = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}


def form_of(path: Path, given: str | None) -> str:
    """The form that was given, or that the ending tells, or what a folder holds; raises `ValueError` if none does."""
    if given is not None:
        return given
    if path.is_dir():
        return "jsonl" if any(path.glob("*.jsonl")) else "datasets"
    if path.suffix not in _ENDINGS:
        raise ValueError(f"{path}: the name does not tell the form; give --form {'|'.join(FORMS)}")
    return _ENDINGS[path.suffix]


def read_tasks(path: Path, given: str | None) -> list[Task]:
    """What a file, or a folder of label records or of a data set, holds."""
    form = form_of(path, given)
    files = record_files(path) if form == "jsonl" else [path]
    return [task for file in files for task in READERS[form](file)]
