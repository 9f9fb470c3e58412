"""Outgoing documents as tables, and so as Parquet: all columns of the input as they are, and what the policy adds.

Knows Arrow and Parquet; nothing of rules.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import IO, Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.apply.outgoing import SPANS, AddedColumns, Outgoing
from pipeline.readers.json_values import loads
from pipeline.schema import DOCUMENTS

GROUP_BYTES, GROUP_ROWS = 64 << 20, 131_072
"""A row group is written when it has so much, whatever batches it came in."""
OF_RECORDS = pa.schema([*(f for f in DOCUMENTS if f.name != "row"), pa.field("metadata", pa.string())])
"""Of JSON lines: the document's own columns, and the rest of its line as JSON. Of WARC there is no rest."""


class GroupedWriter:
    """Parquet whose row groups do not depend on the batches that it is given; ``plain`` columns have values that hardly
    ever repeat, for which a dictionary is tried in vain."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, plain: Sequence[str] = ()) -> None:
        leaves = _leaves(schema.remove_metadata())
        repetitive: Any = [leaf for leaf in leaves if leaf not in plain] or False
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repetitive, store_schema=True)
        self.schema = schema
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        if batch.num_rows:
            self._held.append(batch)
            self._rows += batch.num_rows
            self._bytes += batch.get_total_buffer_size()
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self.schema), row_group_size=max(self._rows, 1))
        self._held, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        """Write what is held, and the footer."""
        self._flush()
        self._writer.close()


@lru_cache(maxsize=16)
def _leaves(schema: pa.Schema) -> list[str]:
    """The columns as Parquet has them, nested ones by their path."""
    buffer = io.BytesIO()
    pq.ParquetWriter(buffer, schema).close()
    found = pq.read_metadata(buffer).schema
    return [found.column(i).path for i in range(len(found))]


class RowWriter(Protocol):
    """Writes rows that have its schema."""

    schema: pa.Schema

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""

    def close(self) -> None:
        """Write what is held."""


class TableOutput:
    """Writes outgoing documents of a shard by the writer that ``make`` makes for their columns; ``schema`` is that of
    the shard's own columns, None if it is no Parquet."""

    def __init__(
        self, make: Callable[[pa.Schema], RowWriter], schema: pa.Schema | None, added: AddedColumns, where: str
    ) -> None:
        own = OF_RECORDS if schema is None else schema
        added.check(own.names, where)
        self._own, self._added = own, added
        self._from_parquet = schema is not None
        self._writer = make(_with(own, added))

    def write(self, part: Outgoing) -> None:
        """Write a batch: first copies in order, with what is mixed in behind them, then further copies."""
        table = self._table(part)
        for number in range(int(part.copies.max(initial=0))):
            copy = table.filter(pa.array(part.copies > number))
            self._writer.write(_mix(copy, part, self._mixed_rows(part)) if part.mixed and number == 0 else copy)

    def close(self) -> None:
        """End the file."""
        self._writer.close()

    def _table(self, part: Outgoing) -> pa.RecordBatch:
        rows, texts = self._own_columns(part), part.texts()
        if texts:
            path = part.records.text if self._from_parquet else ("text",)
            rows = _with_texts(rows, path, texts)
        arrays = [rows.column(name).cast(self._own.field(name).type) for name in self._own.names]
        arrays += [_added_column(field.name, part) for field in self._added.fields]
        return pa.RecordBatch.from_arrays(arrays, schema=self._writer.schema)

    def _own_columns(self, part: Outgoing) -> pa.RecordBatch:
        originals, documents = part.records.originals, part.records.documents
        if isinstance(originals, pa.RecordBatch):
            return originals
        path = part.records.text
        rest = pa.nulls(documents.num_rows, pa.string())
        if originals is not None:
            rest = pa.array([_without(line, path) for line in originals], pa.string())
        return pa.RecordBatch.from_arrays(
            [*(documents.column(name) for name in OF_RECORDS.names[:-1]), rest], schema=OF_RECORDS
        )

    def _mixed_rows(self, part: Outgoing) -> pa.RecordBatch:
        """Rows of the documents that are mixed in: text, added columns, and the id where ids are texts; all else is
        null."""
        text, id = (part.records.text, part.records.id) if self._from_parquet else (("text",), ("id",))
        id = id if id and _holds_text(self._own, id) else None
        names = [field.name for field in self._added.fields]
        rows = [one.record(text, id) | {name: one.added[name] for name in names} for one in part.mixed]
        return pa.RecordBatch.from_pylist(rows, schema=self._writer.schema)


def _holds_text(schema: pa.Schema, path: tuple[str, ...]) -> bool:
    """Whether the column at a path is of texts."""
    type = schema.field(path[0]).type
    for name in path[1:]:
        type = type.field(name).type
    type = type.value_type if pa.types.is_dictionary(type) else type
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))


def _with(schema: pa.Schema, added: AddedColumns) -> pa.Schema:
    """The schema with further columns. The metadata of pandas and of Hugging Face, which list the columns, then no
    longer hold; where documents are mixed in, any other column may be null."""
    if not added.fields:
        return schema
    kept = {k: v for k, v in (schema.metadata or {}).items() if k not in (b"pandas", b"huggingface")}
    own = [field.with_nullable(True) for field in schema] if added.provenance else list(schema)
    return pa.schema([*own, *added.fields], metadata=kept or None)


def _added_column(name: str, part: Outgoing) -> pa.Array:
    n = part.records.documents.num_rows
    if name == "weight":
        return pa.array(part.weights, pa.float64())
    if name == "provenance":
        return pa.nulls(n, pa.string())
    return spans_column(part, "masked" if name == "loss_mask" else "masked_tokens")


def spans_column(part: Outgoing, name: str) -> pa.Array:
    """Spans of each document, an empty list where there are none."""
    lists: list[list[dict[str, int]]] = [[] for _ in range(part.records.documents.num_rows)]
    for position, one in part.edits.items():
        lists[position] = [{"start": start, "end": end} for start, end in getattr(one, name)]
    return pa.array(lists, SPANS)


def _mix(rows: pa.RecordBatch, part: Outgoing, mixed: pa.RecordBatch) -> pa.RecordBatch:
    """The kept rows of a batch with those that are mixed in behind them."""
    places = np.cumsum(part.copies > 0)[[one.position for one in part.mixed]] - 1
    order = np.argsort(np.concatenate([np.arange(rows.num_rows), places]), kind="stable")
    joined = pa.Table.from_batches([rows, mixed]).combine_chunks()
    return joined.take(pa.array(order)).combine_chunks().to_batches()[0]


def _with_texts(rows: pa.RecordBatch, path: tuple[str, ...], texts: Mapping[int, str]) -> pa.RecordBatch:
    index = rows.schema.get_field_index(path[0])
    return rows.set_column(index, rows.schema.field(index), _replaced(rows.column(index), path[1:], texts))


def _replaced(array: pa.Array, path: tuple[str, ...], texts: Mapping[int, str]) -> pa.Array:
    """The array with other texts at some positions, below a path if it is nested."""
    if path:
        at = array.type.get_field_index(path[0])
        inner = [array.field(i) for i in range(array.type.num_fields)]
        inner[at] = _replaced(inner[at], path[1:], texts)
        fields = [array.type.field(i) for i in range(array.type.num_fields)]
        return pa.StructArray.from_arrays(inner, fields=fields, mask=array.is_null())
    mask = np.zeros(len(array), bool)
    mask[list(texts)] = True
    plain = array.cast(pa.large_string())
    new = pa.array([texts[position] for position in sorted(texts)], pa.large_string())
    return pc.replace_with_mask(plain, pa.array(mask), new).cast(array.type)


def _without(line: bytes, path: tuple[str, ...]) -> str:
    """A line's JSON without the text."""
    value = loads(line)
    inner = value
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return orjson.dumps(value).decode()
