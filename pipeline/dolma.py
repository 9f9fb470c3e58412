"""Tags as attribute files of the Dolma toolkit, which its mixer reads beside the documents.

A line for each document, in the documents' order and file name (Dolma's docs/data-format.md). Knows TAGS and that
format; nothing of policies.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from pipeline import storage
from pipeline.schema import label_columns, window_column

LINES = re.compile(r"\.(?:jsonl|json|ndjson|jsonlines)(?:\.(?P<packed>gz|gzip|zst|zstd))?$", re.IGNORECASE)
_ROWS = 8_192


class NoDolmaError(ValueError):
    """Tags for which Dolma's mixer has no use; the message names the shard and says why."""


def check_shard(name: str, report: dict[str, Any]) -> None:
    """Raises `NoDolmaError` if a shard's attributes would not stand beside its lines: it is no file of JSON lines that
    Dolma reads, or some of its lines were rejected and so have no tags."""
    if not LINES.search(name):
        raise NoDolmaError(f"{name}: Dolma reads JSON lines, plain or under gzip or zstd; apply a policy by tropescan")
    rejected = sum(report.get("figures", {}).get("rejected", {}).values())
    if rejected or not report.get("complete", False):
        raise NoDolmaError(
            f"{name}: {rejected} of its records were rejected, or its end is missing; Dolma's mixer wants a line of "
            "attributes for each line of the shard; take the broken lines out and scan it again"
        )


def write_attributes(tags: str, target: str, labels: list[str], prefix: str) -> int:
    """Write the attributes of one shard's tags (URLs); returns the number of documents.

    Attributes are ``PREFIX__LABEL``, ``PREFIX__LABEL_window`` (one span over the whole document, with the score) and
    ``PREFIX__LABEL_spans``; starts and ends are code points.
    """
    documents = 0
    with ExitStack() as stack:
        source = stack.enter_context(closing(storage.open_input(tags)))
        out = _packed(stack, stack.enter_context(storage.whole_file(target)), target)
        for batch in pq.ParquetFile(source).iter_batches(_ROWS):
            out.write(b"".join(line + b"\n" for line in _lines(batch, labels, prefix)))
            documents += batch.num_rows
    return documents


def _packed(stack: ExitStack, file: IO[bytes], name: str) -> Any:
    """The file as its name says it is packed; the same bytes every time."""
    packed = (LINES.search(name) or {"packed": None})["packed"]
    if packed is None:
        return file
    if packed.lower().startswith("gz"):
        return stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))
    return stack.enter_context(zstandard.ZstdCompressor().stream_writer(file, closefd=False))


def _lines(batch: pa.RecordBatch, labels: list[str], prefix: str) -> Iterator[bytes]:
    columns = label_columns(labels)
    for row in batch.to_pylist():
        attributes: dict[str, list[list[float]]] = {}
        for label, column in zip(labels, columns, strict=True):
            for name, score in ((label, row[column]), (f"{label}_window", row[window_column(column)])):
                attributes[f"{prefix}__{name}"] = [] if score is None else [[0, row["chars"], score]]
            spans = [[s["start"], s["end"], s["score"]] for s in row["spans"] if s["label"] == label]
            attributes[f"{prefix}__{label}_spans"] = spans
        source = {"source": row["source"]} if row["source"] is not None else {}
        yield orjson.dumps({"id": row["id"], **source, "attributes": attributes})
