"""JSON lines to documents: one object a line, the text and the rest in its fields.

orjson reads the lines; what it refuses goes to the standard library, which takes NaN and lone surrogates.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from pipeline.accounting import Tally
from pipeline.readers.batches import BatchBuilder
from pipeline.readers.columns import Columns, choose
from pipeline.readers.streams import Damage, Piece
from pipeline.tasks import ReadOptions

BOM = b"\xef\xbb\xbf"
SAMPLE_LINES = 200
SAMPLE_BYTES = 4 << 20
"""Columns are chosen by the names in so many lines from the first object on."""


class Line(NamedTuple):
    """``offset`` of the line in the decompressed file. ``size`` alone is known of a line too long to be held; a line
    torn by ``damage`` holds what stood before it; ``last`` marks a last line without a newline."""

    offset: int
    data: bytes | bytearray
    size: int
    last: bool = False
    damage: Damage | None = None


def read_jsonl(
    pieces: Iterable[Piece], options: ReadOptions, tally: Tally, *, where: str
) -> Iterator[pa.RecordBatch]:
    """DOCUMENTS batches of a file of JSON lines. Raises `ColumnError` if it has no column for text or lacks a column
    that ``options`` name."""
    lines = split_lines(pieces, longest=options.max_document_bytes)
    reader = _Reader(tally)
    while sample := _sample(lines):
        columns = _columns(sample, options, where)
        for line in chain(_released(sample), lines if columns else ()):
            yield from reader.read(line, columns, options.max_document_bytes)
    if len(reader.builder):
        yield reader.builder.take()


def split_lines(pieces: Iterable[Piece], *, longest: int) -> Iterator[Line]:
    """Lines without their newline. One longer than ``longest`` bytes is counted, not held."""
    rest, size, offset = bytearray(), 0, 0
    for piece in pieces:
        if piece.damage:
            yield Line(offset, rest, size, damage=piece.damage)
            offset, rest, size = offset + size, bytearray(), 0
            continue
        head, *others = piece.data.split(b"\n")
        size += len(head)
        if size <= longest:
            rest += head
        else:
            rest = bytearray()
        if not others:
            continue
        yield Line(offset, rest, size)
        offset += size + 1
        *whole, tail = others
        for data in whole:
            yield Line(offset, data if len(data) <= longest else b"", len(data))
            offset += len(data) + 1
        rest, size = bytearray(tail), len(tail)
    if size:
        yield Line(offset, rest, size, last=True)


def _sample(lines: Iterator[Line]) -> deque[Line]:
    sample: deque[Line] = deque()
    size = 0
    for line in lines:
        sample.append(line)
        size += len(line.data)
        if len(sample) >= SAMPLE_LINES or size >= SAMPLE_BYTES:
            break
    return sample


def _released(sample: deque[Line]) -> Iterator[Line]:
    """The lines, each let go when it is read: one may be large."""
    while sample:
        yield sample.popleft()


def _columns(sample: Iterable[Line], options: ReadOptions, where: str) -> Columns | None:
    """None when no line of the sample is an object."""
    paths: set[tuple[str, ...]] = set()
    for line in sample:
        try:
            value = loads(_trimmed(line))
        except ValueError:
            continue
        paths.update(_paths(value))
    return choose(options, paths, where=where) if paths else None


def _paths(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (name,)
            yield from ((name, *path) for path in _paths(inner))


def loads(data: bytes | bytearray) -> Any:
    """The value of a JSON text, lone surrogates replaced by U+FFFD. Raises `ValueError` if it is none, and
    `UnicodeDecodeError` if it is not UTF-8."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.decode()
    try:
        return _without_surrogates(json.loads(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value


def _trimmed(line: Line) -> bytes | bytearray:
    return line.data[len(BOM) :] if line.offset == 0 and line.data.startswith(BOM) else line.data


class _Reader:
    """Lines to documents, in order, into a builder."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.builder = BatchBuilder()

    def read(self, line: Line, columns: Columns | None, longest: int) -> Iterator[pa.RecordBatch]:
        """Add or reject a line; yields a batch when one is full."""
        if line.size > longest:
            self._tally.reject("too_large", line.offset, f"a line of {line.size} bytes; at most {longest} are read")
        elif (value := self._value(line)) is not None and columns:
            text = self._text(value, columns, line)
            if text is not None:
                if self.builder.full_with(line.size):
                    yield self.builder.take()
                self._add(value, text, columns, line)
        if line.damage:
            self._count(line.damage)

    def _value(self, line: Line) -> dict[str, Any] | None:
        """The object in a line; None if it is blank or rejected, or torn by damage that is counted elsewhere."""
        data = _trimmed(line)
        if not data or data.isspace():
            return None
        try:
            value = loads(data)
        except ValueError as error:
            self._refuse(line, error)
            return None
        if isinstance(value, dict):
            return value
        self._tally.reject("not_an_object", line.offset, f"a line holds a JSON {type(value).__name__}")
        return None

    def _refuse(self, line: Line, error: ValueError) -> None:
        if line.damage:
            return
        reason = "not_utf8" if isinstance(error, UnicodeDecodeError) else "bad_json"
        if line.last:
            self._tally.cut_short(reason, line.offset, f"{error}; the last line has no newline: the file is cut short")
        else:
            self._tally.reject(reason, line.offset, str(error))

    def _text(self, value: dict[str, Any], columns: Columns, line: Line) -> str | None:
        text = _at(value, columns.text)
        if isinstance(text, str):
            return text
        name = ".".join(columns.text)
        if text is None:
            self._tally.reject("null_text", line.offset, f"{name} is null or missing")
        else:
            self._tally.reject("wrong_type", line.offset, f"{name} is a JSON {type(text).__name__}, not text")
        return None

    def _add(self, value: dict[str, Any], text: str, columns: Columns, line: Line) -> None:
        id = _at(value, columns.id)
        if isinstance(id, float):
            # orjson rounds numbers beyond 64 bits.
            id = _at(json.loads(_trimmed(line), parse_float=str, parse_int=str), columns.id)
        self.builder.add(
            row=self._tally.accept(),
            text=text,
            size=line.size,
            id=_as_string(id),
            url=_as_string(_at(value, columns.url)),
            date=_as_string(_at(value, columns.date)),
            source=_as_string(_at(value, columns.source)),
            lang=_as_string(_at(value, columns.lang)),
        )

    def _count(self, damage: Damage) -> None:
        """How many lines a damaged frame held is not known: the shard is not complete, even if reading resumes."""
        self._tally.cut_short(damage.reason, damage.offset, damage.detail)


def _at(value: Any, path: tuple[str, ...] | None) -> Any:
    if path is None:
        return None
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _as_string(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, (int, float)) else json.dumps(value, ensure_ascii=False)
