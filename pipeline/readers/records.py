"""WARC records: one by one, or many at once where their headers are alike, as nearly all are in a file.

Knows frames that hold a record each, as they should; `pipeline.readers.warc` cuts what is framed otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.compiled.compiling import compile_once, compiled
from pipeline.readers.kernel.headers import (
    DATE,
    ID,
    LANG,
    LENGTH,
    NO_FIELD,
    TEXT,
    URL,
    WHOLE_LINE,
    Layouts,
    find_fields,
    gather,
)
from pipeline.readers.payload import NOT_TEXT
from pipeline.readers.streams import Frames, Piece, places_of

BLOCK = 256 << 10
"""Bytes of an ordinary record."""
RECORD_END = b"\r\n\r\n"
_find_fields, _gather = compiled(find_fields), compiled(gather)
_FIELDS = {
    "warc-record-id": ID,
    "warc-target-uri": URL,
    "warc-date": DATE,
    "warc-identified-content-language": LANG,
    "content-length": LENGTH,
}
_NEEDED = {"warc-record-id", "warc-date", "content-length"}
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


@dataclass(frozen=True)
class Alike:
    """Consecutive records, each a whole frame of a piece from its frame ``first`` on, with known headers; ``found`` as
    `find_fields` leaves it, int64 (records, 6, 2)."""

    piece: Piece
    first: int
    found: NDArray[np.int64]

    def sizes(self, field: int) -> NDArray[np.int64]:
        """Bytes of a field, or of the block as `TEXT`, (records,)."""
        sizes: NDArray[np.int64] = self.found[:, field, 1] - self.found[:, field, 0]
        return sizes

    def texts(self) -> pa.LargeStringArray:
        """The blocks. They may be no UTF-8, which the array's `validate` finds."""
        return pa.LargeStringArray.from_buffers(*self._gathered(TEXT, np.int64))

    def column(self, field: int) -> pa.StringArray:
        """Values of a field, in ASCII; "" where a record has no such field."""
        return pa.StringArray.from_buffers(*self._gathered(field, np.int32))

    def _gathered(self, field: int, offsets: type[np.integer[Any]]) -> tuple[int, pa.Buffer, pa.Buffer]:
        gathered = np.empty(int(self.sizes(field).sum()), np.uint8)
        ends = np.empty(len(self.found) + 1, offsets)
        _gather(np.frombuffer(self.piece.data, np.uint8), self.found, field, gathered, ends)
        return len(self.found), pa.py_buffer(ends), pa.py_buffer(gathered)

    def records(self) -> Iterator[Record]:
        """The records one by one."""
        return filter(None, map(record_of, islice(self.piece.split(self.first), len(self.found))))


class KnownHeaders:
    """Headers that are known again: those with the same fields in the same order, `_SAME` with the same values."""

    def __init__(self) -> None:
        self._known: list[tuple[tuple[bytes, int], ...]] = []
        self._layouts: Layouts | None = None

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, header: bytes) -> None:
        """Know a header again, unless it is odd or lacks what is needed."""
        layout = _layout_of(header)
        if layout and layout not in self._known:
            _load_machine_code()
            self._known.append(layout)
            lines = [line for one in self._known for line in one]
            self._layouts = Layouts(
                np.frombuffer(b"".join(start for start, _ in lines), np.uint8),
                places_of([len(start) for start, _ in lines]),
                np.array([field for _, field in lines], np.int64),
                places_of([len(one) for one in self._known]),
            )

    def alike(self, piece: Piece, first: int) -> Alike | None:
        """The records from frame ``first`` on that have known headers before what can be text as it stands; None if
        that one has not."""
        if self._layouts is None or piece.frames is None:
            return None
        places = piece.frames.places[first:]
        found = np.empty((len(places) - 1, 6, 2), np.int64)
        n = _find_fields(np.frombuffer(piece.data, np.uint8), places, self._layouts, NOT_TEXT, BLOCK, found)
        return Alike(piece, first, found[:n]) if n else None


@cache
def _load_machine_code() -> None:
    def warm_up() -> None:
        known = KnownHeaders()
        known._layouts = Layouts(
            np.frombuffer(b"WARC/", np.uint8), places_of([5]), np.array([NO_FIELD]), places_of([1])
        )
        piece = Piece(b"none", 0, True, True, frames=Frames(places_of([4]), np.zeros(1, np.int64)))
        known.alike(piece, 0)
        nothing = Alike(piece, 0, np.zeros((1, 6, 2), np.int64))
        nothing.texts(), nothing.column(ID)

    compile_once("pipeline.readers.kernel", "headers", warm_up)


def _layout_of(header: bytes) -> tuple[tuple[bytes, int], ...] | None:
    """How each line of a header begins and which field follows; None for one that is odd or lacks what is needed."""
    _, *lines = header.removesuffix(RECORD_END).split(b"\r\n")
    if not all(map(_LINE.fullmatch, lines)):
        return None
    names = [line.partition(b":")[0] for line in lines]
    absent, layout = dict(_FIELDS), [(b"WARC/", NO_FIELD)]
    for line, name, key in zip(lines, names, _lower(tuple(str(n, "utf-8", "replace") for n in names)), strict=True):
        same = key in _SAME
        layout.append((line + b"\r\n" if same else name + b":", WHOLE_LINE if same else absent.pop(key, NO_FIELD)))
    return None if _NEEDED & absent.keys() else tuple(layout)


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
