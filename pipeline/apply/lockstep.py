"""A shard's documents and its tags, side by side: the same documents in the same order, or an error.

Knows DOCUMENTS and TAGS; nothing of what is done with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.policy.policy import Policy
from pipeline.policy.tag_columns import model_of
from pipeline.readers import Records
from pipeline.tasks import ReadOptions

_ROWS = 16_384
NEEDED = ("id", "row", "bytes", "words")
"""Columns of tags that are needed whatever the policy is: three to compare, and the words for the figures."""


class LockstepError(ValueError):
    """Tags and shard do not go together; the message names both and says what to do."""


class TagsReader:
    """The tags of one shard, a stretch of rows at a time: the columns that the policy needs, and some ``also``. ``url``
    names them in errors, ``shard`` the shard; ``model`` is the digest of the model that made them."""

    def __init__(self, file: IO[bytes], url: str, shard: str, policy: Policy, model: str, also: Sequence[str]) -> None:
        self.url, self.shard = url, shard
        try:
            self._file = pq.ParquetFile(file)
        except (pa.ArrowException, OSError) as error:
            raise self.error(f"they cannot be read ({error})") from error
        names = self._file.schema_arrow.names
        self._columns = sorted({*policy.columns(names), *NEEDED, *also})
        if missing := set(self._columns) - set(names):
            raise self.error(f"they have no column {', '.join(sorted(missing))}")
        if model_of(self._file.schema_arrow).get("digest") != model:
            raise self.error("they were made by another model than the other tags of the scan")
        self._held: list[pa.RecordBatch] = []
        self._batches = self._read()

    @property
    def options(self) -> ReadOptions:
        """How the shard was read when they were made. Raises `LockstepError` if they do not say it."""
        try:
            return ReadOptions(**json.loads(self._file.schema_arrow.metadata[b"tropescan.options"]))
        except (KeyError, ValueError, TypeError) as error:
            raise self.error("they do not say how the shard was read") from error

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._file.iter_batches(_ROWS, columns=self._columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self.error(f"they cannot be read ({error})") from error

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows from here on."""
        while (batch := self.take(_ROWS)) is not None:
            yield batch

    def take(self, n: int) -> pa.RecordBatch | None:
        """The next ``n`` rows, or as many as there are; None if there are none."""
        while sum(batch.num_rows for batch in self._held) < n and (batch := next(self._batches, None)) is not None:
            self._held.append(batch)
        if not self._held:
            return None
        joined = self._held[0]
        if len(self._held) > 1:
            joined = pa.Table.from_batches(self._held).combine_chunks().to_batches()[0]
        self._held = [rest] if (rest := joined.slice(n)).num_rows else []
        return joined.slice(0, n)

    def error(self, what: str) -> LockstepError:
        """The error to raise."""
        return LockstepError(
            f"{self.shard}: its tags in {self.url} do not go with it: {what}; scan the shard again, then apply again"
        )


def in_lockstep(records: Iterator[Records], tags: TagsReader) -> Iterator[tuple[Records, pa.RecordBatch]]:
    """Each batch of documents with its tags, row by row. Raises `LockstepError` at the first row that differs, and at
    the end if there are tags left."""
    for part in records:
        batch = tags.take(part.documents.num_rows)
        _check(part.documents, batch, tags)
        yield part, batch
    if (left := tags.take(1)) is not None:
        raise tags.error(f"the shard has ended, and tags of row {left['row'][0]} ({left['id'][0].as_py()!r}) are left")


def _check(documents: pa.RecordBatch, tags: pa.RecordBatch | None, reader: TagsReader) -> None:
    known = 0 if tags is None else tags.num_rows
    for name, of_shard in (
        ("row", documents.column("row")),
        ("id", documents.column("id")),
        ("bytes", pc.binary_length(documents.column("text")).cast(pa.int64())),
    ):
        if tags is None or (of_shard := of_shard.slice(0, known)).equals(tags.column(name)):
            continue
        at = pc.index(pc.equal(of_shard, tags.column(name)), False).as_py()
        row, ours, theirs = documents["row"][at], of_shard[at].as_py(), tags[name][at].as_py()
        raise reader.error(f"of record {row} the shard says {name} {ours!r}, and they say {theirs!r}")
    if known < documents.num_rows:
        raise reader.error(f"they end before record {documents['row'][known]} ({documents['id'][known].as_py()!r})")
