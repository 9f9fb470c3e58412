"""JSON lines to documents: one object a line, the text and the rest in its fields. Knows lines, not files."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

import orjson

from pipeline.accounting import Tally
from pipeline.readers.batches import OTHERS, BatchBuilder, Records, Text, digest_id
from pipeline.readers.columns import Columns, choose
from pipeline.readers.json_values import loads
from pipeline.readers.long_strings import LARGE_LINE, decode_strings, shorten
from pipeline.readers.streams import Damage, Piece
from pipeline.tasks import ReadOptions

BOM = b"\xef\xbb\xbf"
BLANKS = 64
"""So many bytes tell what an endless line is."""
SAMPLE_BYTES = 1 << 20
"""Columns are chosen by the names in so many bytes of lines, and in more where these hold no object."""


class Block(NamedTuple):
    """Successive lines without their newlines, from byte ``offset`` of the decompressed file on.

    A line that did not fit into one piece stands alone: ``size`` is then all that is known of it if it is too long to
    be held, ``damage`` tore it, and ``last`` says that no newline ended it. ``frame`` is the offset, in the file as
    stored, of a compressed frame that begins in these lines and comes in several pieces.
    """

    offset: int
    lines: Sequence[Text]
    size: int
    last: bool = False
    damage: Damage | None = None
    frame: int | None = None


def read_jsonl(
    pieces: Iterable[Piece],
    options: ReadOptions,
    tally: Tally,
    *,
    where: str,
    newline: bytes = b"\n",
    whole: bool = False,
) -> Iterator[Records]:
    """Batches of a file of JSON lines, with the lines if ``whole``. Raises `ColumnError` if it has no column for text
    or lacks one that ``options`` name."""
    blocks = split_lines(pieces, longest=options.max_document_bytes, newline=newline)
    reader = _Reader(tally, options.max_document_bytes, whole=whole)
    while sample := _sample(blocks):
        columns = _columns(sample, options, where)
        for block in chain(_released(sample), blocks if columns else ()):
            yield from reader.read(block, columns)
    if len(reader.builder):
        yield reader.take()


def split_lines(pieces: Iterable[Piece], *, longest: int, newline: bytes = b"\n") -> Iterator[Block]:
    """Lines in blocks; one longer than ``longest`` bytes is counted, not held."""
    rest, size, offset, frame = bytearray(), 0, 0, None
    for piece in pieces:
        if piece.first and not piece.last:
            frame = piece.offset
        head, *lines = _split(piece.data, newline)
        size += len(head)
        if size <= longest:
            rest += head
        else:
            rest = bytearray()
        if piece.damage or lines:
            line = _without_bom(rest) if offset == 0 else rest
            yield Block(offset, [line], size, damage=piece.damage, frame=frame)
            offset += size if piece.damage else size + 1
            rest, size, frame = bytearray(), 0, None
        if len(lines) > 1:
            block = Block(offset, lines[:-1], len(piece.data) - len(head) - len(lines[-1]) - 1)
            yield from _held(block, longest)
            offset += block.size
        if lines:
            rest, size = bytearray(lines[-1] if len(lines[-1]) <= longest else b""), len(lines[-1])
    if size:
        yield Block(offset, [_without_bom(rest) if offset == 0 else rest], size, last=True)


def _split(data: bytes, newline: bytes) -> list[memoryview]:
    """As `bytes.split`, without a copy of each line."""
    view, lines, at = memoryview(data), [], 0
    while (end := data.find(newline, at)) >= 0:
        lines.append(view[at:end])
        at = end + len(newline)
    return [*lines, view[at:]]


def _without_bom(line: bytearray) -> bytearray:
    if line.startswith(BOM):
        del line[: len(BOM)]
    return line


def _held(block: Block, longest: int) -> Iterator[Block]:
    if block.size <= longest or max(map(len, block.lines)) <= longest:
        yield block
        return
    for offset, line in _each(block):
        yield Block(offset, [line if len(line) <= longest else b""], len(line))


def _each(block: Block) -> Iterator[tuple[int, bytes | bytearray]]:
    offset = block.offset
    for line in block.lines:
        yield offset, _bytes(line)
        offset += len(line) + 1


def _bytes(line: Text) -> bytes | bytearray:
    """A line that has the methods of bytes; a long one, which is a bytearray, is not copied."""
    return bytes(line) if isinstance(line, memoryview) else line


def _sample(blocks: Iterator[Block]) -> deque[Block]:
    sample: deque[Block] = deque()
    size = 0
    for block in blocks:
        sample.append(block)
        size += sum(map(len, block.lines))
        if size >= SAMPLE_BYTES:
            break
    return sample


def _released(sample: deque[Block]) -> Iterator[Block]:
    """The blocks, each let go when it is read: one may be large."""
    while sample:
        yield sample.popleft()


def _columns(sample: Iterable[Block], options: ReadOptions, where: str) -> Columns | None:
    """None when no line of the sample is an object."""
    paths: set[tuple[str, ...]] = set()
    for line in (line for block in sample for line in block.lines):
        with suppress(ValueError):
            paths.update(_paths(loads(shorten(_bytes(line)).line)))
    return choose(options, paths, where=where) if paths else None


def _paths(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (name,)
            yield from ((name, *path) for path in _paths(inner))


class _Reader:
    """Blocks to documents, in order, into a builder."""

    def __init__(self, tally: Tally, longest: int, *, whole: bool) -> None:
        self._tally, self._longest, self._whole = tally, longest, whole
        self._text: tuple[str, ...] = ("text",)
        self._id: tuple[str, ...] | None = None
        self._frame: tuple[int | None, int] = None, 0
        self.builder = BatchBuilder()

    def take(self) -> Records:
        """The batch so far."""
        return self.builder.take_records(self._text, self._id)

    def read(self, block: Block, columns: Columns | None) -> Iterator[Records]:
        """Add or reject the lines of a block; yields a batch when one is full."""
        if self.builder.full_with(block.size):
            yield self.take()
        if block.frame is not None:
            self._frame = block.frame, self._tally.accepted
        if columns:
            self._text, self._id = columns.text, columns.id
        ordinary = block.size <= LARGE_LINE and not block.damage
        if columns and ordinary and self._read_at_once(block.lines, columns):
            return
        if block.size > self._longest and len(block.lines) == 1:
            self._tally.reject("too_large", block.offset, f"a line of {block.size} bytes; at most {self._longest}")
            return
        for offset, line in _each(block):
            self._read_line(line, offset, block, columns)
        if block.damage:
            # How many lines a damaged frame held is not known: the shard is not complete, even if reading resumes.
            self._tally.cut_short(
                block.damage.reason, block.damage.offset, block.damage.detail + self._doubt(block.damage)
            )

    def _doubt(self, damage: Damage) -> str:
        frame, accepted_before = self._frame
        return self._tally.doubt(accepted_before) if damage.garbles and damage.frame == frame else ""

    def _read_at_once(self, lines: Sequence[Text], columns: Columns) -> bool:
        """Add all lines, or none and return False if one of them is not as it should be."""
        values: list[dict[str, Any]] = []
        texts: list[bytes] = []
        try:
            for line in lines:
                value = orjson.loads(line)
                # Not later: now it is in the processor's cache.
                texts.append(_text(value, columns.text).encode())
                values.append(value)
        except (ValueError, LookupError, AttributeError, TypeError):  # no JSON, no such name, no object, no string
            return False
        if float in set(map(type, _column(values, columns.id))):
            return False
        others = {name: _strings(_column(values, getattr(columns, name))) for name in OTHERS}
        others["id"] = _with_ids(others["id"], others["url"], texts)
        first = self._tally.accept_many(len(values))
        kept = lines if self._whole else ()
        self.builder.extend(range(first, first + len(values)), b"".join(texts), list(map(len, texts)), others, kept)
        return True

    def _read_line(self, line: bytes | bytearray, offset: int, block: Block, columns: Columns | None) -> None:
        if not line or line.isspace():
            return
        if len(line) > LARGE_LINE and line[:BLANKS].lstrip().startswith(b"["):
            self._tally.reject("not_an_object", offset, f"a JSON array of {len(line)} bytes; write one object a line")
            return
        kept = bytes(line) if self._whole else None  # decoding writes over a long line
        short, strings = shorten(line)
        try:
            value = loads(short)
            texts = decode_strings(line, strings)
        except ValueError as error:
            self._refuse(offset, error, block)
            return
        if not isinstance(value, dict) or columns is None:
            self._tally.reject("not_an_object", offset, f"a line holds a JSON {type(value).__name__}")
            return
        text = _at(value, columns.text)
        if isinstance(text, str):
            self._add(value, texts, columns, short, kept)
        elif text is None:
            self._tally.reject("null_text", offset, f"{'.'.join(columns.text)} is null or missing")
        else:
            detail = f"{'.'.join(columns.text)} is a JSON {type(text).__name__}, not text"
            self._tally.reject("wrong_type", offset, detail)

    def _refuse(self, offset: int, error: ValueError, block: Block) -> None:
        reason = "not_utf8" if isinstance(error, UnicodeDecodeError) else "bad_json"
        if block.damage:
            return
        if block.last:
            self._tally.cut_short(reason, offset, f"{error}; the last line has no newline: the file is cut short")
        else:
            self._tally.reject(reason, offset, str(error))

    def _add(
        self,
        value: dict[str, Any],
        long: dict[str, memoryview],
        columns: Columns,
        line: bytes | bytearray,
        original: bytes | None,
    ) -> None:
        """``long`` has the strings for which placeholders stand in ``value``."""
        id = _at(value, columns.id)
        if isinstance(id, float):
            # orjson rounds numbers beyond 64 bits.
            id = _at(json.loads(line, parse_float=str, parse_int=str), columns.id)
        others = {name: _as_string(_at(value, getattr(columns, name))) for name in OTHERS} | {"id": _as_string(id)}
        others = {name: str(long[v], "utf-8") if v in long else v for name, v in others.items() if v is not None}
        text: str = _at(value, columns.text)
        self.builder.add(
            self._tally.accept(), long[text] if text in long else text.encode(), original=original, **others
        )


def _at(value: Any, path: tuple[str, ...] | None) -> Any:
    if path is None:
        return None
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _text(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def _column(values: list[dict[str, Any]], path: tuple[str, ...] | None) -> list[Any]:
    if path is None:
        return [None] * len(values)
    if len(path) == 1:
        return [value.get(path[0]) for value in values]
    return [_at(value, path) for value in values]


def _strings(values: list[Any]) -> list[str | None]:
    return values if set(map(type, values)) <= {str, type(None)} else [_as_string(value) for value in values]


def _with_ids(ids: list[str | None], urls: list[str | None], texts: list[bytes]) -> list[str | None]:
    """Ids as given; made from URL and text where there is none."""
    if None not in ids:
        return ids
    return [digest_id(url, text) if id is None else id for id, url, text in zip(ids, urls, texts, strict=True)]


def _as_string(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, (int, float)) else json.dumps(value, ensure_ascii=False)
