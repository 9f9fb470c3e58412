"""WARC and WET files to documents: framing, what damage costs, and which records are documents.

The framing is ours and not fastwarc's because the latter ends in silence where a file is cut short and gives up at the
first broken record; fastwarc reads the HTTP part of each record (`pipeline.readers.payload`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.accounting import Tally
from pipeline.readers.batches import BatchBuilder
from pipeline.readers.payload import HELD_PAYLOAD, Refusal, text_of
from pipeline.readers.streams import Damage, Piece
from pipeline.tasks import ReadOptions

HEADER_BYTES = 1 << 20
DOCUMENT_TYPES = frozenset({"response", "resource", "conversion"})
LARGE_HEAD = 256 << 10
"""Bytes held of a block that is too large, to say what it is."""
_RECORD = re.compile(rb"WARC/[01]\.[0-9]{1,2}[ \t]*\r?\n[A-Za-z][A-Za-z0-9-]*:")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_MARKER_BYTES = 128


@dataclass(frozen=True)
class Record:
    """One WARC record that may be a document. ``headers`` by lower-case name; ``offset`` in the file as stored, of the
    record or of its compressed frame. ``size`` is its block's length in bytes; ``block`` holds the block, or only its
    start if it is too large to be held."""

    offset: int
    headers: dict[str, str]
    block: bytes
    size: int

    @property
    def kind(self) -> str:
        """WARC-Type, in lower case."""
        return self.headers.get("warc-type", "").lower()


def read_warc(
    pieces: Iterable[Piece], options: ReadOptions, tally: Tally, *, compressed: bool
) -> Iterator[pa.RecordBatch]:
    """DOCUMENTS batches of a WARC or WET file."""
    builder = BatchBuilder()
    for record in records(pieces, tally, compressed=compressed, longest=options.max_document_bytes):
        text = text_of(record.kind, record.headers, record.block, record.size, options)
        if isinstance(text, Refusal):
            tally.reject(text.reason, record.offset, text.detail)
            continue
        if builder.full_with(len(text)):
            yield builder.take()
        headers = record.headers
        builder.add(
            row=tally.accept(),
            text=text,
            size=len(text),
            id=headers.get("warc-record-id"),
            url=headers.get("warc-target-uri", "").strip("<>") or None,
            date=headers.get("warc-date"),
            lang=headers.get("warc-identified-content-language"),
        )
    if len(builder):
        yield builder.take()


def records(pieces: Iterable[Piece], tally: Tally, *, compressed: bool, longest: int) -> Iterator[Record]:
    """Records of the types that can be documents, in order; the others and all that is broken go into ``tally``.
    Blocks over ``longest`` bytes (over `HELD_PAYLOAD` where they carry HTTP) are not held."""
    iterator = iter(pieces)
    framer = _Framer(tally, longest)
    resumes = True
    while resumes:
        window = _Window(iterator, compressed)
        yield from framer.records(window)
        resumes = window.damage is not None and window.damage.resumes


class _Window:
    """Contiguous decompressed bytes, from the first not yet taken on; ended by damage or the end of the file."""

    def __init__(self, pieces: Iterator[Piece], compressed: bool) -> None:
        self._pieces, self._compressed = pieces, compressed
        self._base = 0
        self._frames: deque[tuple[int, int]] = deque()
        self._starts: deque[int] = deque()
        self.buffer = bytearray()
        self.ended = False
        self.damage: Damage | None = None

    def fill(self, n: int) -> bool:
        """Hold at least ``n`` bytes; False if there are fewer, or another record's frame begins within them."""
        while len(self.buffer) < n and not self.ended and self.inside(n) is None:
            self._more()
        return len(self.buffer) >= n

    def inside(self, n: int) -> int | None:
        """Where within the next ``n`` bytes, but not at their start, a frame begins that starts with a record."""
        while self._starts and self._starts[0] <= self._base:
            self._starts.popleft()
        return self._starts[0] - self._base if self._starts and self._starts[0] < self._base + n else None

    def drop(self, n: int) -> None:
        """Take ``n`` bytes that are held."""
        del self.buffer[:n]
        self._base += n
        while len(self._frames) > 1 and self._frames[1][0] <= self._base:
            self._frames.popleft()

    def skip(self, n: int) -> bool:
        """Take ``n`` bytes without holding them, or up to another record's frame; False if the window ends before."""
        while len(self.buffer) < n and self.inside(n) is None:
            n -= len(self.buffer)
            self.drop(len(self.buffer))
            if self.ended:
                return False
            self._more()
        self.drop(min(n, self.inside(n) or n))
        return True

    @property
    def offset(self) -> int:
        """Of the first byte, in the file as stored; of its frame if that is compressed."""
        return self.offset_at(0)

    def offset_at(self, i: int) -> int:
        """Of byte ``i`` of the buffer."""
        start, offset = next(f for f in reversed(self._frames) if f[0] <= self._base + i)
        return offset if self._compressed else offset + self._base + i - start

    @property
    def at_frame(self) -> bool:
        """Whether a frame begins with the first byte."""
        return not self._compressed or (bool(self._frames) and self._frames[0][0] == self._base)

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None or piece.damage:
            self.ended, self.damage = True, piece.damage if piece else None
            return
        end = self._base + len(self.buffer)
        if piece.first or not self._frames:
            self._frames.append((end, piece.offset))
            if self._compressed and piece.data.startswith(b"WARC/"):
                self._starts.append(end)
        self.buffer += piece.data


class _Framer:
    """Cuts windows into records."""

    def __init__(self, tally: Tally, longest: int) -> None:
        self._tally, self._longest = tally, longest
        self._one_per_frame = True

    def records(self, window: _Window) -> Iterator[Record]:
        """The records of one window; at its end, its damage is counted."""
        while self._skip_newlines(window):
            if not window.buffer.startswith(b"WARC/"):
                window.fill(_MARKER_BYTES)
                self._resynchronise(window, "garbage", "no WARC record where one should begin", past=0)
                continue
            self._one_per_frame &= window.at_frame
            yield from self._record(window)
        if damage := window.damage:
            detail = f"{damage.detail} (seen at byte {damage.offset})"
            if damage.resumes:
                self._tally.reject(damage.reason, damage.frame, detail)
                self._tally.complete &= self._one_per_frame
            else:
                self._tally.cut_short(damage.reason, damage.frame, detail)

    def _skip_newlines(self, window: _Window) -> bool:
        """Go to the next byte that is no newline; False at the window's end."""
        while window.fill(5) or window.buffer:
            newlines = len(window.buffer) - len(window.buffer.lstrip(b"\r\n")) if window.buffer[0] in b"\r\n" else 0
            window.drop(newlines)
            if window.buffer and (not newlines or window.fill(5) or window.ended):
                return True
        return False

    def _record(self, window: _Window) -> Iterator[Record]:
        end = self._header_end(window)
        if end is None:
            return
        headers = parse_header(bytes(window.buffer[:end]))
        kind, length = headers.get("warc-type", "").lower(), headers.get("content-length", "")
        if not re.fullmatch("[0-9]{1,18}", length):
            self._resynchronise(window, "bad_record", f"Content-Length is {length!r}", past=end)
            return
        size = int(length)
        held = self._longest if kind == "conversion" else min(self._longest, HELD_PAYLOAD)
        if size <= held:
            if not self._whole(window, end, size):
                return
            held = size
        else:
            held = min(held, LARGE_HEAD)
            window.fill(end + held)
        with memoryview(window.buffer) as view:
            record = Record(window.offset, headers, bytes(view[end : end + held]), size)
        if kind in DOCUMENT_TYPES:
            yield record
        else:
            self._tally.other_records += 1
        if not window.skip(end + size) and window.damage is None:
            self._cut_short(window, record.offset, size)

    def _header_end(self, window: _Window) -> int | None:
        """Length of the header with its blank line; None if it has no end (which is counted)."""
        start = 0
        while not (match := _HEADER_END.search(window.buffer, start)):
            start = max(len(window.buffer) - 3, 0)
            if len(window.buffer) > HEADER_BYTES:
                self._resynchronise(window, "bad_record", "a header without an end", past=5)
                return None
            if not window.fill(len(window.buffer) + 1):
                return self._torn(window, 5, "a header")
        return match.end()

    def _whole(self, window: _Window, end: int, size: int) -> bool:
        """Whether a record's block is there and ends where its Content-Length says; counts it if not."""
        window.fill(end + size + 16)
        if window.inside(end + size) is not None or len(window.buffer) < end + size:
            self._torn(window, end, f"a block of {size} bytes")
            return False
        damage = window.damage
        if damage and damage.reason == "corrupt_stream" and window.offset_at(end + size - 1) == damage.frame:
            window.drop(len(window.buffer))
            return False
        after = bytes(window.buffer[end + size : end + size + 16])
        rest = after.lstrip(b"\r\n")
        if rest and not rest.startswith(b"WARC/") and len(after) - len(rest) < 2:
            self._resynchronise(window, "bad_record", f"the block does not end at Content-Length ({size})", past=end)
            return False
        return True

    def _torn(self, window: _Window, past: int, what: str) -> None:
        """A record that breaks off: at the next record's frame, at damage (counted there), or at the file's end,
        where the next record may stand inside what it claims for itself."""
        following = window.inside(len(window.buffer) + 1)
        if following is None and window.damage is None and (match := _RECORD.search(window.buffer, past)):
            following = match.start()
        if following is not None:
            self._tally.reject("bad_record", window.offset, f"{what} would reach into the next record")
            window.drop(following)
        elif window.damage:
            window.drop(len(window.buffer))
        else:
            self._tally.cut_short("truncated_record", window.offset, f"the file ends inside {what}")
            window.drop(len(window.buffer))

    def _cut_short(self, window: _Window, offset: int, size: int) -> None:
        self._tally.cut_short("truncated_record", offset, f"the file ends inside a block of {size} bytes")
        window.drop(len(window.buffer))

    def _resynchronise(self, window: _Window, reason: str, detail: str, *, past: int) -> None:
        """Count what stands here, and go to the next record that begins after the first ``past`` bytes."""
        self._tally.reject(reason, window.offset, detail)
        while not (match := _RECORD.search(window.buffer, past)):
            window.drop(max(len(window.buffer) - _MARKER_BYTES, 0))
            past = 0
            if not window.fill(len(window.buffer) + 1):
                window.drop(window.inside(len(window.buffer) + 1) or len(window.buffer))
                return
        window.drop(match.start())


def parse_header(data: bytes) -> dict[str, str]:
    """Fields of a header by lower-case name; of a repeated one the first. The version line is left out."""
    headers: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").split("\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers
