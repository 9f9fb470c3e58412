"""JSON lines of many megabytes, read by Arrow straight into UTF-8.

As a Python string a text takes up to four bytes a character beside the line itself; this way the two take three times
the text's size at most. What Arrow does not take as it should be is left to the ordinary reader.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.json

LARGE_LINE = 32 << 20
Path = tuple[str, ...]


def is_large(line: bytes | bytearray) -> bool:
    """Whether a line is better read here."""
    return len(line) > LARGE_LINE


def paths_in(line: bytes | bytearray) -> set[Path]:
    """Paths of the columns of an object; none if Arrow cannot read it."""
    table = _read(line, pyarrow.json.ParseOptions(newlines_in_values=False))
    return set(_paths(table.schema)) if table is not None else set()


def strings_in(line: bytes | bytearray, paths: Collection[Path]) -> dict[Path, bytes | None] | None:
    """The values at ``paths``, in UTF-8, None where null or missing; None altogether if they are not all strings, or
    the line is not one object in valid UTF-8."""
    schema = pa.schema([pa.field(name, _type(inner)) for name, inner in _tree(paths).items()])
    options = pyarrow.json.ParseOptions(
        explicit_schema=schema, unexpected_field_behavior="ignore", newlines_in_values=False
    )
    table = _read(line, options)
    return {path: _value(table, path) for path in paths} if table is not None else None


def _read(line: bytes | bytearray, options: pyarrow.json.ParseOptions) -> pa.Table | None:
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=len(line) + 1)
    try:
        table = pyarrow.json.read_json(pa.BufferReader(line), reading, options)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError):
        return None
    return table if table.num_rows == 1 else None


def _paths(fields: pa.Schema | pa.StructType, above: Path = ()) -> Iterator[Path]:
    for field in fields:
        yield (*above, field.name)
        if pa.types.is_struct(field.type):
            yield from _paths(field.type, (*above, field.name))


def _tree(paths: Collection[Path]) -> dict[str, set[Path]]:
    tree: dict[str, set[Path]] = {}
    for name, *rest in paths:
        tree.setdefault(name, set()).add(tuple(rest))
    return tree


def _type(paths: set[Path]) -> pa.DataType:
    if () in paths:
        return pa.large_string()
    return pa.struct([pa.field(name, _type(inner)) for name, inner in _tree(paths).items()])


def _value(table: pa.Table, path: Path) -> bytes | None:
    scalar = table.column(path[0])[0]
    for name in path[1:]:
        scalar = scalar[name] if scalar.is_valid else scalar
    return scalar.as_buffer().to_pybytes() if scalar.is_valid else None
