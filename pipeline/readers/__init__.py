"""Shards of any format to DOCUMENTS batches, with every record that is no document accounted for.

Knows neither scores nor engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import IO

import pyarrow as pa

from pipeline.accounting import Tally
from pipeline.readers.batches import Records
from pipeline.readers.columns import ColumnError
from pipeline.readers.detect import ARROW, Detected, Format, detect, detect_format, is_shard, left_by_tools
from pipeline.readers.jsonl import read_jsonl
from pipeline.readers.parquet import read_parquet
from pipeline.readers.streams import Compression, Source, pieces
from pipeline.readers.warc import read_warc
from pipeline.storage import is_local, local_path, open_input
from pipeline.tasks import ReadOptions, ShardTask

__all__ = [
    "ARROW",
    "ColumnError",
    "Format",
    "Records",
    "detect_format",
    "is_shard",
    "left_by_tools",
    "read_documents",
    "read_records",
]


def read_documents(task: ShardTask, options: ReadOptions, tally: Tally) -> Iterator[pa.RecordBatch]:
    """DOCUMENTS batches of a shard in its order, of about 8 MB of text or 10,000 documents (a larger document alone
    makes one). What cannot become a document is counted in ``tally``; the same bytes always give the same batches.

    Raises `OSError` naming the file if it cannot be read (which is no end of the shard), and `ColumnError` if it
    lacks a column that ``options`` name or any for text.
    """
    return (records.documents for records in _read(task, options, tally, whole=False))


def read_records(task: ShardTask, options: ReadOptions, tally: Tally) -> Iterator[Records]:
    """The same documents, each with what the shard itself holds of it."""
    return _read(task, options, tally, whole=True)


def _read(task: ShardTask, options: ReadOptions, tally: Tally, *, whole: bool) -> Iterator[Records]:
    with closing(open_input(task.url)) as file:
        source = Source(file, task.url, tally, size=_size(file, task.url))
        found = detect(source, task.url)
        yield from _read_as(task, found, source, options, tally, whole=whole)


def _read_as(
    task: ShardTask, found: Detected, source: Source, options: ReadOptions, tally: Tally, *, whole: bool
) -> Iterator[Records]:
    match found.format:
        case Format.PARQUET:
            yield from read_parquet(task, options, tally, whole=whole)
        case Format.JSONL:
            lines = pieces(source, found.compression)
            yield from read_jsonl(lines, options, tally, where=task.url, newline=found.newline, whole=whole)
        case Format.WARC:
            compressed = found.compression is not Compression.NONE
            documents = pieces(source, found.compression, begins=b"WARC/", together=True)
            yield from map(Records, read_warc(documents, options, tally, compressed=compressed))
        case _:  # ARC too: fastwarc 2 no longer reads it.
            source.drain()
            tally.cut_short("unknown_format", 0, found.hint)


def _size(file: IO[bytes], url: str) -> int | None:
    """Bytes stored, as the file system says; None where it does not."""
    size = local_path(url).stat().st_size if is_local(url) else getattr(file, "size", None)
    return size if isinstance(size, int) else None
