"""Outgoing documents as files that MosaicML's streaming reads (MDS, version 2): some for each shard, in a folder with
their index, and one index over all folders.

Knows Arrow and MDS; nothing of rules. The format is that of ``streaming.MDSWriter``: a file holds the number of samples
and their offsets (uint32), its columns as JSON, then the samples, each the sizes (uint32) of its values that have no
fixed size, and the values.
"""

from __future__ import annotations

import hashlib
import json
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa
import zstandard

from pipeline import storage
from pipeline.apply.lines import plain

FILE_BYTES = 64 << 20
"""A file ends before the sample that would make it larger, as with ``MDSWriter``: what a reader fetches at once."""
_MOST = 4000 << 20
"""Bytes of values in a file: the offsets, which have 32 bits, reach 4096 MiB."""
_ROWS = 64
"""Encoded at once."""
INDEX = "index.json"
_LEVEL = 3
_SIZES: dict[str, int | None] = {"str": None, "bytes": None, "json": None, "int": 8, "float64": 8}
"""Bytes of a value in each encoding that is used here."""
Value = bytes | None


class MdsWriter:
    """Writes rows; ``create`` makes a file of a name beside ``index``, which lists them. ``where`` is for errors.

    Integers are ``int`` and floating-point numbers ``float64``; all that MDS has no type for, truth values and nested
    ones among it, is ``json``, as in JSON lines. MDS has no null either: in a file where a column holds any, all its
    values are ``json``, so that a reader gets None there and the usual values elsewhere. Only of ``bytes``, which JSON
    cannot hold, a null is empty.
    """

    def __init__(
        self, create: Callable[[str], IO[bytes]], index: IO[bytes], schema: pa.Schema, where: str, *, compressed: bool
    ) -> None:
        self.schema = schema
        self._create, self._index, self._where, self._compressed = create, index, where, compressed
        self._names = sorted(schema.names)
        self._encodings = [_encoding_of(schema.field(name).type) for name in self._names]
        self._columns = [_Column(encoding) for encoding in self._encodings]
        self._samples = self._bytes = 0
        self._files: list[dict[str, Any]] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        for start in range(0, batch.num_rows, _ROWS):
            part = batch.slice(start, _ROWS)
            columns = [_encoded(part.column(n), e) for n, e in zip(self._names, self._encodings, strict=True)]
            for sample in zip(*columns, strict=True):
                self._add(sample)

    def _add(self, sample: tuple[Value, ...]) -> None:
        size = 4 + sum(4 + len(value or b"null") for value in sample)
        self._check(size)
        if self._samples and self._bytes + size > FILE_BYTES:
            self._flush()
        for column, value in zip(self._columns, sample, strict=True):
            column.add(value)
        self._samples += 1
        self._bytes += size

    def close(self) -> None:
        """Write what is held, and the index."""
        if self._samples:
            self._flush()
        _write_index(self._index, map(_dumped, self._files))

    def _flush(self) -> None:
        columns = [column.without_nulls() for column in self._columns]
        self._columns = [_Column(encoding) for encoding in self._encodings]
        config = self._config([column.encoding for column in columns])
        self._check(sum(len(column.data) for column in columns))
        data = _joined(columns, config, self._samples)
        name = f"shard.{len(self._files):05d}.mds"
        file = {**config, "samples": self._samples, "raw_data": _about(name, data), "zip_data": None}
        if self._compressed:
            name, data = f"{name}.zstd", zstandard.ZstdCompressor(_LEVEL, write_checksum=True).compress(data)
            file["zip_data"] = _about(name, data)
        self._create(name).write(data)
        self._files.append(file)
        self._samples = self._bytes = 0

    def _check(self, size: int) -> None:
        if size > _MOST:
            raise ValueError(
                f"{self._where}: a document and its columns have {_MOST >> 20:,} MiB or more, which a file of MDS "
                "cannot hold; choose another --to"
            )

    def _config(self, encodings: list[str]) -> dict[str, Any]:
        return {
            "version": 2,
            "format": "mds",
            "compression": f"zstd:{_LEVEL}" if self._compressed else None,
            "hashes": ["sha256"],
            "size_limit": FILE_BYTES,
            "column_names": self._names,
            "column_encodings": encodings,
            "column_sizes": [_SIZES[encoding] for encoding in encodings],
        }


def _joined(columns: Sequence[_Column], config: dict[str, Any], n: int) -> bytes | bytearray:
    """The content of a file of ``n`` samples."""
    variable = [i for i, column in enumerate(columns) if _SIZES[column.encoding] is None]
    lengths = np.zeros(n, np.uint64)
    for column in columns:
        lengths += np.frombuffer(column.sizes, np.uint32)
    header = _dumped(config)
    begin = 4 * (2 + n) + len(header)
    offsets = begin + np.concatenate([[0], np.cumsum(lengths + 4 * len(variable))])
    data = bytearray(int(offsets[-1]))  # at its size at once: growing, it would stand in memory twice
    view = memoryview(data)
    at = 0
    for part in (struct.pack("<I", n), offsets.astype("<u4").tobytes(), header):
        view[at : at + len(part)] = part
        at += len(part)
    sizes = struct.Struct(f"<{len(variable)}I")
    for values in zip(*(column.values() for column in columns), strict=True):
        sizes.pack_into(data, at, *(len(values[i]) for i in variable))
        at += sizes.size
        for value in values:
            view[at : at + len(value)] = value
            at += len(value)
    return data


def merge_indexes(data: str, indexes: Sequence[str]) -> None:
    """Write ``index.json`` into the folder ``data``, over the files of all these indexes below it, in their order."""
    with storage.whole_file(storage.join(data, INDEX)) as file:
        _write_index(file, _moved(data, indexes))


def _moved(data: str, indexes: Sequence[str]) -> Iterable[bytes]:
    for url, content in zip(indexes, storage.read_files(indexes), strict=True):
        if content is None:
            raise FileNotFoundError(f"{url}: it was there when its shard was done, and is gone; run the command again")
        folder = storage.below(data, url).removesuffix(INDEX)
        for one in json.loads(content)["shards"]:
            for name in ("raw_data", "zip_data"):
                if one[name]:
                    one[name]["basename"] = folder + one[name]["basename"]
            yield _dumped(one)


def _write_index(index: IO[bytes], files: Iterable[bytes]) -> None:
    index.write(b'{"shards": [')
    for number, file in enumerate(files):
        index.write((b", " if number else b"") + file)
    index.write(b'], "version": 2}')


def _about(name: str, data: bytes | bytearray) -> dict[str, Any]:
    return {"basename": name, "bytes": len(data), "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}


def _dumped(value: dict[str, Any]) -> bytes:
    """As ``MDSWriter`` writes it."""
    return json.dumps(value, sort_keys=True).encode()


# --- values


def _encoding_of(type: pa.DataType) -> str:
    if pa.types.is_dictionary(type):
        return _encoding_of(type.value_type)
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        return "str"
    if pa.types.is_binary(type) or pa.types.is_large_binary(type) or pa.types.is_fixed_size_binary(type):
        return "bytes"
    if pa.types.is_integer(type) and type != pa.uint64():
        return "int"
    return "float64" if pa.types.is_floating(type) else "json"


def _encoded(values: pa.Array, encoding: str) -> list[Value]:
    """Each value of a column; None where it is null and the encoding has no word for that."""
    match encoding:
        case "str":
            return values.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()  # type: ignore[no-any-return]
        case "bytes":
            return [value or b"" for value in values.cast(pa.large_binary()).to_pylist()]
        case "json":
            return [orjson.dumps(value, default=plain) for value in values.to_pylist()]
    type, packed = (pa.int64(), _INT.pack) if encoding == "int" else (pa.float64(), _FLOAT.pack)
    return [None if value is None else packed(value) for value in values.cast(type).to_pylist()]


_INT, _FLOAT = struct.Struct("<q"), struct.Struct("<d")


class _Column:
    """The values of one column that a file will have: their bytes one after the other, and their sizes. As objects of
    their own, small values would take many times as much."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.data = bytearray()
        self.sizes = array("I")
        self._nulls = array("Q")

    def add(self, value: Value) -> None:
        """Add one; None is null."""
        if value is None:
            self._nulls.append(len(self.sizes))
        self.data += value or b""
        self.sizes.append(len(value or b""))

    def values(self) -> Iterator[memoryview]:
        """Each of them, empty where it is null."""
        view, at = memoryview(self.data), 0
        for size in self.sizes:
            yield view[at : at + size]
            at += size

    def without_nulls(self) -> _Column:
        """The same in the encoding that the column has in this file."""
        if not self._nulls:
            return self
        found, nulls = _Column("json"), iter(self._nulls)
        null = next(nulls)
        for number, value in enumerate(self.values()):
            if number == null:
                found.add(b"null")
                null = next(nulls, -1)
            else:
                found.add(_as_json(self.encoding, bytes(value)))
        return found


def _as_json(encoding: str, value: bytes) -> bytes:
    if encoding == "str":
        return orjson.dumps(value.decode())
    number = (_INT if encoding == "int" else _FLOAT).unpack(value)[0]
    return json.dumps(number).encode()  # not orjson, which makes null of NaN
