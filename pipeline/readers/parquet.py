"""Parquet to documents: whole columns at a time, no row touched but those rejected or without an id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.accounting import Tally
from pipeline.readers.batches import BATCH_BYTES, BATCH_ROWS, OTHERS, Records, digest_id
from pipeline.readers.columns import ColumnError, Columns, choose
from pipeline.remote import explain
from pipeline.schema import DOCUMENTS
from pipeline.storage import is_local, local_path, open_input
from pipeline.tasks import ReadOptions, ShardTask

READ_BYTES = 8 << 20
BUFFER = 1 << 20
"""Column chunks are read through a buffer of this size: without one Arrow holds a whole chunk, however large."""
DICTIONARY_MEAN = 64
"""Texts that take fewer stored bytes than this on average are tiny or repeated; they stay in a dictionary, so that a
megabyte repeated ten thousand times never stands in memory as often."""


def read_parquet(task: ShardTask, options: ReadOptions, tally: Tally, *, whole: bool = False) -> Iterator[Records]:
    """Batches of a Parquet file, with all columns if ``whole``; a row group with a corrupt page loses the rows from
    that page's batch on.

    Raises `OSError` if the file cannot be read, `ColumnError` if a column is missing or holds no text.
    """
    with closing(_Input(task.url)) as source:
        size = source.file.size()
        try:
            footer = pq.read_metadata(source.file)
        except (pa.ArrowException, OSError, ValueError) as error:
            source.raise_if_unread()
            tally.cut_short("torn_footer", size, f"no Parquet footer: {error}")
        else:
            yield from _ParquetReader(source, footer, options, tally, whole=whole).batches(size)
        tally.input_bytes = size


class _Watched:
    """A remote file as Arrow reads it, which keeps the error that Arrow would report as a corrupt file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: Exception | None = None
        self.closed = False

    def read(self, n: int = -1) -> bytes:
        try:
            data = self._file.read(n)
            if len(data) < n:
                raise OSError(f"reading ended at byte {self._file.tell()}")
        except Exception as error:
            self.error = error
            raise
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
        self._file.close()


class _Input:
    """An open Parquet file as Arrow reads it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._watched = None if is_local(url) else _Watched(open_input(url))
        self.file = pa.PythonFile(self._watched, mode="r") if self._watched else pa.OSFile(str(local_path(url)))

    def raise_if_unread(self) -> None:
        """Raise `OSError` if what Arrow took for a broken file was a failure to read."""
        if self._watched and self._watched.error:
            raise explain(self.url, self._watched.error) from self._watched.error

    def close(self) -> None:
        self.file.close()


class _ParquetReader:
    """The row groups of one file, in order."""

    def __init__(
        self, source: _Input, footer: pq.FileMetaData, options: ReadOptions, tally: Tally, *, whole: bool
    ) -> None:
        self._source, self._footer, self._options, self._tally = source, footer, options, tally
        self._whole = whole
        self._columns = _choose(footer.schema.to_arrow_schema(), options, source.url)
        paths = [path for path in vars(self._columns).values() if path is not None]
        self._names = sorted({".".join(path) for path in paths})
        self._leaves = [
            i for i in range(footer.num_columns)
            if whole or any(_covers(name, footer.schema.column(i).path) for name in self._names)
        ]  # fmt: skip
        text = ".".join(self._columns.text)
        self._text_leaf = next(i for i in self._leaves if _covers(text, footer.schema.column(i).path))

    def batches(self, size: int) -> Iterator[Records]:
        """The batches; ``size`` is the file's, in bytes, shared out over the rows to say how far this is."""
        rows = max(self._footer.num_rows, 1)
        done = 0
        for group in range(self._footer.num_row_groups):
            for table in self._read(group):
                yield from self._documents(table)
                done += table.num_rows
                self._tally.input_bytes = size * done // rows

    def _read(self, group: int) -> Iterator[pa.RecordBatch]:
        left = self._footer.row_group(group).num_rows
        try:
            for batch in self._open_group(group):
                left -= batch.num_rows
                yield batch
        except (pa.ArrowException, OSError, ValueError) as error:
            self._source.raise_if_unread()
            offset = self._footer.row_group(group).column(self._text_leaf).data_page_offset
            for _ in range(left):
                self._tally.reject("corrupt_page", offset, f"row group {group}: {error}")

    def _open_group(self, group: int) -> Iterator[pa.RecordBatch]:
        meta = self._footer.row_group(group)
        text = meta.column(self._text_leaf)
        repeated = text.has_dictionary_page and text.total_uncompressed_size < DICTIONARY_MEAN * meta.num_rows
        stored = sum(meta.column(i).total_uncompressed_size for i in self._leaves)
        per_row = max(stored // max(meta.num_rows, 1), 1)
        reader = pq.ParquetFile(
            self._source.file,
            metadata=self._footer,
            buffer_size=BUFFER,
            pre_buffer=False,
            page_checksum_verification=True,
            read_dictionary=[text.path_in_schema] if repeated else None,
        )
        return reader.iter_batches(  # type: ignore[no-any-return]
            batch_size=min(max(READ_BYTES // per_row, 1), BATCH_ROWS),
            row_groups=[group],
            columns=None if self._whole else self._names,
            use_threads=False,
        )

    def _documents(self, table: pa.RecordBatch) -> Iterator[Records]:
        text, dictionary = _at(table, self._columns.text), None
        if isinstance(text.type, pa.DictionaryType):
            text, dictionary = text.indices, text.dictionary
        elif pa.types.is_string_view(text.type) or pa.types.is_binary_view(text.type):
            text = text.cast(pa.large_binary())
        others = {role: _strings(table, getattr(self._columns, role)) for role in OTHERS}
        for start, stop in _cuts(text, dictionary):
            part = text.slice(start, stop - start)
            texts = dictionary.take(part) if dictionary is not None else part
            original = table.cast(without_views(table.schema)).slice(start, stop - start) if self._whole else None
            yield from self._batch(
                texts, {role: array.slice(start, stop - start) for role, array in others.items()}, original
            )

    def _batch(
        self, text: pa.Array, others: dict[str, pa.StringArray], original: pa.RecordBatch | None
    ) -> Iterator[Records]:
        n = len(text)
        text, bad = _checked(text, self._options.max_document_bytes)
        first = self._count(bad, n)
        columns = {"text": text, "row": pa.array(np.arange(first, first + n)), **others}
        if bad:
            keep = np.ones(n, bool)
            keep[list(bad)] = False
            columns = {name: array.filter(pa.array(keep)) for name, array in columns.items()}
            original = original.filter(pa.array(keep)) if original is not None else None
        if len(columns["row"]):
            columns["id"] = _with_ids(columns["id"], columns["url"], columns["text"])
            documents = pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENTS.names], schema=DOCUMENTS)
            yield Records(documents, original, self._columns.text, self._columns.id)

    def _count(self, bad: dict[int, tuple[str, str]], n: int) -> int:
        """Count a batch's rows in order; returns the row of the first."""
        first, done = self._tally.read, 0
        for i, (reason, detail) in bad.items():
            self._tally.accept_many(i - done)
            self._tally.reject(reason, None, detail)
            done = i + 1
        self._tally.accept_many(n - done)
        return first


def without_views(schema: pa.Schema) -> pa.Schema:
    """The schema with large strings in place of views of strings, for which Arrow has no filter; Parquet stores both
    alike."""
    others = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return pa.schema([f.with_type(others.get(f.type, f.type)) for f in schema], metadata=schema.metadata)


def _covers(name: str, path: str) -> bool:
    return path == name or path.startswith(f"{name}.")


def _choose(schema: pa.Schema, options: ReadOptions, where: str) -> Columns:
    """Columns that hold strings (text), or what can be written as one (the others)."""
    types = dict(_paths(schema))
    columns = choose(options, types, where=where)
    if len(set(schema.names)) < len(schema.names):
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        raise ColumnError(f"{where}: two columns of one name: {', '.join(twice)}")
    if not _is_text(types[columns.text]):
        raise ColumnError(f"{where}: column {'.'.join(columns.text)!r} is {types[columns.text]}, not text")
    usable = {role: getattr(columns, role) for role in OTHERS}
    for role, path in usable.items():
        if path is not None and pa.types.is_nested(_plain(types[path])):
            if getattr(options, f"{role}_column"):
                raise ColumnError(f"{where}: column {'.'.join(path)!r} is {types[path]}, not a value for {role}")
            usable[role] = None
    return Columns(text=columns.text, **usable)


def _paths(fields: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], pa.DataType]]:
    for field in fields:
        path = (*above, field.name)
        yield path, field.type
        if pa.types.is_struct(field.type):
            yield from _paths([field.type.field(i) for i in range(field.type.num_fields)], path)


def _plain(type: pa.DataType) -> pa.DataType:
    if isinstance(type, pa.DictionaryType):
        return _plain(type.value_type)
    return type.storage_type if isinstance(type, pa.BaseExtensionType) else type


def _is_text(type: pa.DataType) -> bool:
    plain, t = _plain(type), pa.types
    return any(is_(plain) for is_ in (t.is_string, t.is_large_string, t.is_string_view, _is_bytes, t.is_null))


def _is_bytes(type: pa.DataType) -> bool:
    t = pa.types
    return any(is_(type) for is_ in (t.is_binary, t.is_large_binary, t.is_binary_view, t.is_fixed_size_binary))


def _at(table: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    """A column, or a nested one; null where anything above it is."""
    array = table.column(path[0])
    for name in path[1:]:
        array = pc.struct_field(array, name)
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _cuts(text: pa.Array, dictionary: pa.Array | None) -> Iterator[tuple[int, int]]:
    """Row ranges of at most `BATCH_BYTES` of text; a larger text alone is one."""
    if dictionary is None:
        lengths = pc.binary_length(text) if not pa.types.is_null(text.type) else text
    else:
        lengths = pc.binary_length(dictionary).take(text)
    ends = np.cumsum(pc.fill_null(lengths.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))
    start = done = 0
    while start < len(ends):
        stop = max(int(np.searchsorted(ends, done + BATCH_BYTES, side="right")), start + 1)
        yield start, stop
        start, done = stop, int(ends[stop - 1])


def _checked(text: pa.Array, longest: int) -> tuple[pa.LargeStringArray, dict[int, tuple[str, str]]]:
    """The texts as large_string, and which rows hold none, in order, with reason and detail."""
    bad: dict[int, tuple[str, str]] = {}
    lengths = pc.fill_null(pc.binary_length(text), 0) if not pa.types.is_null(text.type) else None
    if text.null_count:
        bad |= {int(i): ("null_text", "") for i in np.flatnonzero(text.is_null().to_numpy(zero_copy_only=False))}
    if lengths is not None and len(text) and pc.max(lengths).as_py() > longest:
        large = np.flatnonzero(pc.greater(lengths, longest).to_numpy(zero_copy_only=False))
        bad |= {int(i): ("too_large", f"a text of {lengths[int(i)]} bytes; at most {longest} are read") for i in large}
    strings, not_utf8 = _as_text(text)
    bad |= {i: ("not_utf8", "the text is not valid UTF-8") for i in not_utf8 if i not in bad}
    return strings, dict(sorted(bad.items()))


def _as_text(text: pa.Array) -> tuple[pa.LargeStringArray, list[int]]:
    """As large_string, and the rows that are not UTF-8 (empty in the result). Arrow takes a Parquet string column as
    it stands, valid or not."""
    raw = text.cast(pa.large_binary())
    try:
        return raw.cast(pa.large_string()), []
    except pa.ArrowInvalid:
        values = raw.to_pylist()
    not_utf8 = [i for i, value in enumerate(values) if value is not None and not _is_utf8(value)]
    for i in not_utf8:
        values[i] = b""
    return pa.array(values, pa.large_string()), not_utf8


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _strings(table: pa.RecordBatch, path: tuple[str, ...] | None) -> pa.StringArray:
    if path is None:
        return pa.nulls(table.num_rows, pa.string())
    array = _at(table, path)
    if isinstance(array.type, pa.DictionaryType):
        array = array.dictionary_decode()
    if pa.types.is_timestamp(array.type):
        return pc.replace_substring(array.cast(pa.string()), " ", "T", max_replacements=1)
    if _is_bytes(array.type):
        return pa.array([_readable(value) for value in array.to_pylist()], pa.string())
    raw = array.cast(pa.string())
    return pa.array([_readable(v) for v in raw.cast(pa.binary()).to_pylist()], pa.string()) if not _valid(raw) else raw


def _valid(strings: pa.StringArray) -> bool:
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _readable(value: bytes | None) -> str | None:
    """Text where the bytes are some, hex digits where not (a UUID stored as 16 bytes)."""
    if value is None:
        return None
    return value.decode() if _is_utf8(value) else value.hex()


def _with_ids(ids: pa.StringArray, urls: pa.StringArray, text: pa.LargeStringArray) -> pa.StringArray:
    """Ids as given; made from URL and text where there is none."""
    if not ids.null_count:
        return ids
    made = [
        digest_id(url, value.as_buffer() or b"") if id is None else id
        for id, url, value in zip(ids.to_pylist(), urls.to_pylist(), text, strict=True)
    ]
    return pa.array(made, pa.string())
