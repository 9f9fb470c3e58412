"""One row for each record, and one for a document without: JSON Lines, CSV, Parquet, a `datasets` folder of Parquet.

Nested values are JSON in CSV and Parquet. JSON Lines of labelled documents are what `labels.records` reads.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labels import codebook
from labels.interchange.tasks import OF_THE_TEXT, Task, about, by_document, judgement, task_from
from labels.records import text_digest

_TEXT = pa.large_string()
COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("sha256", "id", "source", "url", "host", "shard")),
        ("row", pa.int64()), ("split", pa.string()), ("scores", _TEXT), ("details", _TEXT),
        *((name, pa.bool_()) for name in codebook.LABELS),
        *((name, pa.string()) for name in ("mode", "annotator", "kind", "codebook", "at")),
        ("sure", pa.bool_()), ("note", _TEXT), ("spans", _TEXT), ("seconds", pa.float64()), ("model", pa.string()),
        ("prompt_digest", pa.string()), ("raw_answer", _TEXT), ("tokens_in", pa.int64()), ("tokens_out", pa.int64()),
        ("cost", pa.float64()), ("text", _TEXT),
    ]
)  # fmt: skip
_NESTED = ("scores", "details", "spans")
_SPLITS = {"train": "train", "evaluation": "test"}
_CARD = """---
configs:
- config_name: default
  data_files:
{files}
---

# Label records of tropescan

One row for each record; nested columns are JSON. Labels and modes are those of tropescan's codebook, version {version}.
"""


def rows(tasks: Iterable[Task]) -> Iterator[dict[str, Any]]:
    """Flat rows; the fields of a document that has no record are all that its row has."""
    for task in tasks:
        for record in task.records or (None,):
            yield about(task) | (judgement(record) if record else {}) | {"text": task.text}


def tasks_of(found: Iterable[Mapping[str, Any]], where: str) -> list[Task]:
    """Tasks from flat rows; raises `ValueError` naming the row that is broken or against the codebook."""

    def pairs() -> Iterator[tuple[Task, Mapping[str, Any] | None]]:
        for number, row in enumerate(found, 1):
            try:
                details = (row.get("details") or {}) | {k: row[k] for k in OF_THE_TEXT if row.get(k) is not None}
                task = task_from({**row, "details": details}, row.get("text"))
                labelled = {"annotator": row.get("kind"), **row} if row.get("kind") else None
                if labelled:
                    task.record(labelled)  # against the codebook: say so here, where the row is known
                yield task, labelled
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{where}, record {number}: {error}; mend it or take it out") from error

    return by_document(pairs())


def write_jsonl(tasks: Iterable[Task], path: Path) -> None:
    """Fields that say nothing are left out."""
    with open(path, "w", encoding="utf-8") as file:
        for row in rows(tasks):
            details = row.pop("details")
            flat = row | {name: details.pop(name) for name in OF_THE_TEXT if name in details} | {"details": details}
            kept = {k: v for k, v in flat.items() if v is not None and v not in ({}, [])}
            file.write(json.dumps(kept) + "\n")


def read_jsonl(path: Path) -> list[Task]:
    """Rows as JSON objects, a line each; numbers may stand for true and false."""

    def lines() -> Iterator[dict[str, Any]]:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = dict(json.loads(line))
                except (ValueError, TypeError) as error:
                    raise ValueError(f"{path}, line {number}: not a JSON object ({error})") from error
                yield row | {name: bool(row[name]) for name in (*codebook.LABELS, "sure") if name in row}

    return tasks_of(lines(), str(path))


def write_csv(tasks: Iterable[Task], path: Path) -> None:
    """UTF-8, every cell quoted, nothing in a cell where there is nothing."""
    with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS.names, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        for row in rows(tasks):
            flat = _flat(row)
            writer.writerow({k: json.dumps(v) if isinstance(v, bool | float) else v for k, v in flat.items()})


def read_csv(path: Path) -> list[Task]:
    """Columns by name; those that are missing hold nothing."""
    csv.field_size_limit(2**31 - 1)
    with open(path, encoding="utf-8", errors="surrogatepass", newline="") as file:
        return tasks_of((_from_cells(row) for row in csv.DictReader(file)), str(path))


def _from_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in COLUMNS:
        cell = cells.get(column.name) or ""
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if cell and (column.name in _NESTED or not text):
            row[column.name] = json.loads(cell.lower() if pa.types.is_boolean(column.type) else cell)
        elif cell:
            row[column.name] = cell
    if row.get("sha256") == text_digest(""):
        row["text"] = ""
    return row | ({"raw_answer": row.get("raw_answer", "")} if "model" in row else {})


def table(tasks: Iterable[Task]) -> pa.Table:
    """All rows as an Arrow table of `COLUMNS`; raises `ValueError` for text that is no Unicode (lone surrogates)."""
    try:
        return pa.Table.from_pylist([_flat(row) for row in rows(tasks)], COLUMNS)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a text holds a lone surrogate, which Parquet cannot ({error}); export as JSON Lines"
        ) from error


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: json.dumps(v) if name in _NESTED and v is not None else v for name, v in row.items()}


def _from_table(found: pa.Table, where: str) -> list[Task]:
    def nested(row: dict[str, Any]) -> dict[str, Any]:
        return row | {name: json.loads(row[name]) for name in _NESTED if row.get(name)}

    return tasks_of((nested(row) for batch in found.to_batches() for row in batch.to_pylist()), where)


def write_parquet(tasks: Iterable[Task], path: Path) -> None:
    """One file, zstd."""
    pq.write_table(table(tasks), path, compression="zstd")


def read_parquet(path: Path) -> list[Task]:
    """Columns by name."""
    return _from_table(pq.read_table(path), str(path))


def write_datasets(tasks: Iterable[Task], folder: Path) -> None:
    """A folder that ``datasets.load_dataset`` takes: a Parquet file for each split, and a card that names them.

    What belongs to no split, or to neither side, is in a split named ``unsplit``.
    """
    parts: dict[str, list[Task]] = {}
    for task in tasks:
        parts.setdefault(_SPLITS.get(task.split or "", "unsplit"), []).append(task)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        write_parquet(part, folder / "data" / f"{name}-00000-of-00001.parquet")
    files = "\n".join(f"  - split: {name}\n    path: data/{name}-*.parquet" for name in sorted(parts))
    (folder / "README.md").write_text(_CARD.format(files=files, version=codebook.VERSION), "utf-8")


def read_datasets(folder: Path) -> list[Task]:
    """All Parquet files of the folder, and Arrow files as ``Dataset.save_to_disk`` writes them."""
    parquet, arrow = sorted(folder.rglob("*.parquet")), sorted(folder.rglob("*.arrow"))
    if not parquet and not arrow:
        raise ValueError(f"{folder}: neither Parquet nor Arrow files in this folder")
    found = [task for file in parquet for task in read_parquet(file)]
    for file in arrow:
        with pa.memory_map(str(file)) as opened, pa.ipc.open_stream(opened) as stream:
            found += _from_table(stream.read_all(), str(file))
    return found
