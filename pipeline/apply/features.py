"""The columns of a corpus as Hugging Face's ``datasets`` wants them stated: of JSON it would take them from the first
documents, where a list that is empty, or a null, has no type yet.

Knows Arrow and the formats; nothing of policies.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.json as paj
import pyarrow.parquet as pq
import zstandard

from pipeline import storage

SAMPLE_FILES, SAMPLE_BYTES = 16, 10 << 20
"""Columns are those in the beginnings of so many files; ``datasets`` looks at as many bytes, of the first file."""
Feature = dict[str, Any]


def features_of(urls: Sequence[str], added: Sequence[pa.Field]) -> list[Feature] | None:
    """The columns of these files, all Parquet, all JSON lines or all tar, as a card's ``features``; ``added`` are those
    whose types are known. None if the files have no columns in common that ``datasets`` has types for."""
    chosen = np.unique(np.linspace(0, len(urls) - 1, min(len(urls), SAMPLE_FILES)).astype(int))
    try:
        found = [schema for i in chosen if (schema := _schema_of(urls[i], added)) is not None]
        whole = pa.unify_schemas(found, promote_options="permissive")
        return [{"name": field.name, **_feature(field.type)} for field in whole]
    except (pa.ArrowException, TypeError):
        return None


def _schema_of(url: str, added: Sequence[pa.Field]) -> pa.Schema | None:
    """Of one file; None if no document is in it."""
    with closing(storage.open_input(url)) as file:
        if url.endswith(".parquet"):
            return pq.read_schema(file).remove_metadata()
        if not url.endswith(".tar"):
            return _of_lines(_head(file), added)
        rest = _of_lines(b"\n".join(_records(file)), added)
    if rest is None:
        return None
    texts = [pa.field(name, pa.string()) for name in ("__key__", "__url__", "txt")]
    return pa.schema([*texts, pa.field("json", pa.struct(list(rest)))])


def _head(file: IO[bytes]) -> bytes:
    """Whole lines from a file's beginning: as many as `SAMPLE_BYTES` have, at least one."""
    with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
        lines = io.BufferedReader(stream)
        return b"".join(lines.readlines(SAMPLE_BYTES))


def _records(file: IO[bytes]) -> Iterator[bytes]:
    """What a tar file has of its first documents beside their texts."""
    with tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            if member.name.endswith(".json") and (content := tar.extractfile(member)) is not None:
                yield content.read()
            if member.offset_data > SAMPLE_BYTES:
                return


def _of_lines(lines: bytes, added: Sequence[pa.Field]) -> pa.Schema | None:
    if not lines:
        return None
    options = paj.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    schema = paj.read_json(io.BytesIO(lines), read_options=options).schema
    known = {field.name: field for field in added}
    return pa.schema([*(field for field in schema if field.name not in known), *added])


def _feature(type: pa.DataType) -> Feature:
    """A type in the words of ``datasets``. Raises `TypeError` if it has none for it."""
    if pa.types.is_struct(type):
        return {"struct": [{"name": field.name, **_feature(field.type)} for field in type]}
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        inner = _feature(type.value_type)
        short = inner.get("dtype") or inner.get("struct") or inner
        return {"list" if pa.types.is_list(type) else "large_list": short}
    if pa.types.is_dictionary(type):
        return _feature(type.value_type)
    if pa.types.is_nested(type) or pa.types.is_fixed_size_binary(type):
        raise TypeError(f"no feature for {type}")
    return {"dtype": _NAMES.get(str(type), str(type))}


_NAMES = {
    "float": "float32", "double": "float64", "halffloat": "float16", "date32[day]": "date32", "date64[ms]": "date64",
}  # fmt: skip
"""Where the names of Arrow are not those of ``datasets``."""
