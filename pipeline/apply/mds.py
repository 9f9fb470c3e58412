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
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import IO, Any

import orjson
import pyarrow as pa
import zstandard

from pipeline import storage
from pipeline.apply.lines import plain

FILE_BYTES = 64 << 20
"""A file ends before the sample that would make it larger, as with ``MDSWriter``: what a reader fetches at once."""
_MOST = 4000 << 20
"""Bytes of values in a file: the offsets, which have 32 bits, reach 4096 MiB."""
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
        self._held: list[tuple[Value, ...]] = []
        self._bytes = 0
        self._files: list[dict[str, Any]] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        columns = [_encoded(batch.column(n), e) for n, e in zip(self._names, self._encodings, strict=True)]
        for sample in zip(*columns, strict=True):
            size = 4 + sum(4 + len(value or b"null") for value in sample)
            if self._held and self._bytes + size > FILE_BYTES:
                self._flush()
            self._held.append(sample)
            self._bytes += size

    def close(self) -> None:
        """Write what is held, and the index."""
        if self._held:
            self._flush()
        _write_index(self._index, map(_dumped, self._files))

    def _flush(self) -> None:
        held = zip(*self._held, strict=True)
        columns = [_without_nulls(encoding, values) for encoding, values in zip(self._encodings, held, strict=True)]
        config = self._config([encoding for encoding, _ in columns])
        data = self._joined([values for _, values in columns], config)
        name = f"shard.{len(self._files):05d}.mds"
        file = {**config, "samples": len(self._held), "raw_data": _about(name, data), "zip_data": None}
        if self._compressed:
            name, data = f"{name}.zstd", zstandard.ZstdCompressor(_LEVEL, write_checksum=True).compress(data)
            file["zip_data"] = _about(name, data)
        self._create(name).write(data)
        self._files.append(file)
        self._held, self._bytes = [], 0

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

    def _joined(self, columns: Sequence[Sequence[bytes]], config: dict[str, Any]) -> bytes:
        """The content of a file."""
        if sum(sum(map(len, values)) for values in columns) > _MOST:
            raise ValueError(
                f"{self._where}: a document and its columns have {_MOST >> 20:,} MiB or more, which a file of MDS "
                "cannot hold; choose another --to"
            )
        variable = [i for i, size in enumerate(config["column_sizes"]) if size is None]
        sizes = struct.Struct(f"<{len(variable)}I")
        samples = [sizes.pack(*(len(one[i]) for i in variable)) + b"".join(one) for one in zip(*columns, strict=True)]
        header = _dumped(config)
        begin = 4 * (2 + len(samples)) + len(header)
        offsets = list(accumulate(map(len, samples), initial=begin))
        return b"".join([struct.pack(f"<{1 + len(offsets)}I", len(samples), *offsets), header, *samples])


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


def _about(name: str, data: bytes) -> dict[str, Any]:
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


def _encoded(array: pa.Array, encoding: str) -> list[Value]:
    """Each value of a column; None where it is null and the encoding has no word for that."""
    match encoding:
        case "str":
            return array.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()  # type: ignore[no-any-return]
        case "bytes":
            return [value or b"" for value in array.cast(pa.large_binary()).to_pylist()]
        case "json":
            return [orjson.dumps(value, default=plain) for value in array.to_pylist()]
    type, packed = (pa.int64(), _INT.pack) if encoding == "int" else (pa.float64(), _FLOAT.pack)
    return [None if value is None else packed(value) for value in array.cast(type).to_pylist()]


_INT, _FLOAT = struct.Struct("<q"), struct.Struct("<d")


def _without_nulls(encoding: str, values: tuple[Value, ...]) -> tuple[str, list[bytes]]:
    """The encoding that a column of one file has, and its values in it."""
    if None not in values:
        return encoding, [value for value in values if value is not None]
    return "json", [b"null" if value is None else _as_json(encoding, value) for value in values]


def _as_json(encoding: str, value: bytes) -> bytes:
    if encoding == "str":
        return orjson.dumps(value.decode())
    number = (_INT if encoding == "int" else _FLOAT).unpack(value)[0]
    return json.dumps(number).encode()  # not orjson, which makes null of NaN
