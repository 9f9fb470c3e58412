"""One document of a scan: its row of tags, and its text out of the shard. Knows not what it is looked at for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.accounting import Tally
from pipeline.readers import read_documents
from pipeline.tasks import ReadOptions, ShardTask


@dataclass(frozen=True)
class TaggedDocument:
    """A document with its ``row`` in ``shard`` (a URL); ``model`` describes what made its tags."""

    id: str
    row: int
    text: str
    shard: str
    model: dict[str, Any]


def rows_of(url: str, row: int) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file that are about row ``row`` of its shard, a batch of one for each."""
    with closing(storage.open_input(url)) as file:
        for batch in pq.ParquetFile(file).iter_batches():
            found = batch.filter(pc.equal(batch.column("row"), row))
            yield from (found.slice(k, 1) for k in range(found.num_rows))


def tagged_document(url: str, row: int) -> TaggedDocument:
    """The document that row ``row`` of a shard is, by the file of the shard's tags.

    Raises `OSError` for a file that cannot be read, `ValueError` for one that holds no tags, or not of that row, and
    for a shard that holds another document there now.
    """
    try:
        tags = next(rows_of(url, row), None)
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(f"{url}: no tags file ({error}); name one that a scan left below tags/") from error
    if tags is None:
        raise ValueError(f"{url}: no document with row {row}; rows of rejected records are in the shard's report")
    metadata = tags.schema.metadata or {}
    if not {b"tropescan.shard", b"tropescan.model"} <= metadata.keys():
        raise ValueError(f"{url}: no tags file (its metadata name no shard); name one that a scan left below tags/")
    shard = metadata[b"tropescan.shard"].decode()
    text = text_of(tags, shard)
    if text is None:
        raise ValueError(f"{shard}: row {row} is another document now than was scanned; scan it again")
    return TaggedDocument(tags.column("id")[0].as_py(), row, text, shard, json.loads(metadata[b"tropescan.model"]))


def text_of(tags: pa.RecordBatch, url: str) -> str | None:
    """The text, out of its shard (``url`` as metadata hold it), of the document whose row of tags this is; None if the
    shard does not hold it any more."""
    metadata = tags.schema.metadata
    options = ReadOptions(**json.loads(metadata[b"tropescan.options"]))
    row, id = tags.column("row")[0].as_py(), tags.column("id")[0].as_py()
    for batch in read_documents(ShardTask(storage.as_named(url), url, 0, ""), options, Tally()):
        at = pc.index(batch.column("row"), row).as_py()
        if at >= 0:
            return str(batch.column("text")[at].as_py()) if batch.column("id")[at].as_py() == id else None
    return None
