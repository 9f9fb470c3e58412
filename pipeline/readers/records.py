"""WARC records: one by one, or many at once where their headers are alike, as nearly all are in a file.

Knows frames that hold a record each, as they should; `pipeline.readers.warc` cuts what is framed otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from pipeline.readers.payload import TEXT_START
from pipeline.readers.streams import Piece

BLOCK = 256 << 10
"""Bytes of an ordinary record."""
RECORD_END = b"\r\n\r\n"
_GROUPS = {
    "warc-record-id": "id",
    "warc-target-uri": "url",
    "warc-date": "date",
    "warc-identified-content-language": "lang",
    "content-length": "length",
}
_NEEDED = frozenset({"id", "date", "length"})
_SAME = frozenset({"warc-type", "content-type"})
"""What these say decides how a record is read."""
_FIELD = re.compile(r"\n([^:\n]*):([^\n]*)")
_LINE = re.compile(rb"[^:\n]*:.*")


class Record(NamedTuple):
    """One WARC record that may be a document.

    ``offset`` in the file as stored, of the record or of its compressed frame; ``kind``, its WARC-Type in lower case;
    ``headers`` by lower-case name; ``size`` of its block in bytes; and ``block`` itself, or only its start if it is
    too large to be held.
    """

    offset: int
    kind: str
    headers: dict[str, str]
    block: bytes | memoryview
    size: int


class Alike:
    """Consecutive records, a whole frame each, whose headers have one of a few layouts (`layout_of`)."""

    def __init__(self, layouts: Sequence[re.Pattern[bytes]]) -> None:
        self._layouts = layouts
        self._pieces: list[Piece] = []
        self._values: list[tuple[bytes, ...]] = []
        self.blocks: list[bytes] = []
        self.size = 0

    def add(self, piece: Piece) -> bool:
        """Add the record that a piece is; False if it is none that is alike. All that is taken from it is taken now:
        it was just made, and the processor has it at hand."""
        data = piece.data
        for layout in self._layouts:
            if found := layout.match(data):
                break
        else:
            return False
        block = data[found.end() : -len(RECORD_END)]
        framed = piece.first and piece.last and data.endswith(RECORD_END) and found["length"] == b" %d" % len(block)
        if not framed or len(block) > BLOCK:
            return False
        self._pieces.append(piece)
        self._values.append(found.group("id", "url", "date", "lang"))
        self.blocks.append(block)
        self.size += len(block)
        return True

    def columns(self) -> list[list[str]]:
        """Ids, URLs as they are given, dates and languages; "" where a record has no such field; an id and a date
        all have. Raises `UnicodeDecodeError` if one is not UTF-8."""
        columns = zip(*self._values, strict=True)
        return [list(map(str.strip, b"\n".join(values).decode().split("\n"))) for values in columns]

    def records(self) -> Iterator[Record]:
        """The records one by one."""
        return filter(None, map(record_of, self._pieces))


def layout_of(header: bytes) -> re.Pattern[bytes] | None:
    """What matches headers that have the same fields in the same order, `_SAME` with the same values, before what can
    be text as it stands; with a group for each of `_GROUPS` (empty where there is no such field). None for a header
    that is odd or lacks what is needed.
    """
    _, *lines = header.removesuffix(RECORD_END).split(b"\r\n")
    if not all(map(_LINE.fullmatch, lines)):
        return None
    names = [line.partition(b":")[0] for line in lines]
    absent, pattern = list(_GROUPS.values()), [rb"WARC/.*"]
    for line, name, key in zip(lines, names, _lower(tuple(str(n, "utf-8", "replace") for n in names)), strict=True):
        group = _GROUPS.get(key, "")
        if key in _SAME:
            pattern.append(re.escape(line))
        elif group in absent:
            absent.remove(group)
            pattern.append(rb"%s:(?P<%s>.*)" % (re.escape(name), group.encode()))
        else:
            pattern.append(re.escape(name) + rb":.*")
    empty = "".join(f"(?P<{group}>)" for group in absent).encode()
    return None if _NEEDED & set(absent) else re.compile(b"\r\n".join(pattern) + RECORD_END + TEXT_START + empty)


def record_of(piece: Piece) -> Record | None:
    """The record that a piece is, if it is a whole frame with one record as it should be."""
    data = piece.data
    end = data.find(RECORD_END) + 4
    if not (piece.first and piece.last and end > 3 and data.startswith(b"WARC/") and data.endswith(RECORD_END)):
        return None
    headers, size = parse_header(data[:end]), len(data) - end - 4
    kind = headers.get("warc-type", "").lower()
    if not kind or headers.get("content-length") != str(size):
        return None
    return Record(piece.offset, kind, headers, data[end:-4], size)


def parse_header(data: bytes) -> dict[str, str]:
    """Fields of a header by lower-case name; of a repeated one the first. The version line is left out."""
    found = _FIELD.findall(data.decode("utf-8", "replace"))
    names, values = zip(*reversed(found), strict=True) if found else ((), ())
    return dict(zip(_lower(names), map(str.strip, values), strict=True))


@lru_cache(maxsize=256)
def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of fields; nearly all records of a file have the same."""
    return tuple(name.rstrip().lower() for name in names)
