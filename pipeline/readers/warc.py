"""WARC and WET files to documents: framing, what damage costs, and which records are documents.

The framing is ours and not fastwarc's because the latter ends in silence where a file is cut short and gives up at the
first broken record; fastwarc reads the HTTP part of each record (`pipeline.readers.payload`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.accounting import Tally
from pipeline.readers.batches import BatchBuilder
from pipeline.readers.detect import RECORD
from pipeline.readers.extract import language_of_page
from pipeline.readers.kernel.headers import DATE, ID, LANG, TEXT, URL
from pipeline.readers.payload import HEAD, Payload, Refusal, are_texts, payload_of, text_of
from pipeline.readers.records import BLOCK, RECORD_END, Alike, KnownHeaders, Record, parse_header, record_of
from pipeline.readers.streams import Damage, Piece
from pipeline.schema import DOCUMENTS
from pipeline.tasks import ReadOptions

HEADER_BYTES = 1 << 20
DOCUMENT_TYPES = frozenset({"response", "resource", "conversion"})
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_NOT_NEWLINE = re.compile(rb"[^\r\n]")
_MARKER_BYTES = 128
LAYOUTS = 4
"""Of headers that are known again in a file; one of more kinds has little that is alike."""
FEW = 8
"""Records alike that are fewer are read one by one, which is faster then."""


def read_warc(
    pieces: Iterable[Piece], options: ReadOptions, tally: Tally, *, compressed: bool
) -> Iterator[pa.RecordBatch]:
    """DOCUMENTS batches of a WARC or WET file."""
    builder = BatchBuilder()
    for found in records(pieces, tally, options, compressed=compressed):
        if isinstance(found, Alike) and len(found.found) >= FEW and (columns := _columns(found, options)):
            yield from _add_at_once(found, columns, builder, tally)
            continue
        for record in found.records() if isinstance(found, Alike) else (found,):
            text = text_of(record.kind, record.headers, record.block, record.size, options)
            if isinstance(text, Refusal):
                tally.reject(text.reason, record.offset, text.detail)
                continue
            if builder.full_with(len(text)):
                yield builder.take()
            headers = record.headers
            builder.add(
                tally.accept(),
                text,
                id=headers.get("warc-record-id"),
                url=_url(headers.get("warc-target-uri", "")),
                date=headers.get("warc-date"),
                lang=_lang(headers.get("warc-identified-content-language"), record.block),
            )
    if len(builder):
        yield builder.take()


def _columns(alike: Alike, options: ReadOptions) -> list[pa.Array] | None:
    """All columns of `DOCUMENTS` but the last, ``row``; None if one of the records is not text as it stands."""
    texts = alike.texts()
    if alike.sizes(TEXT).max() > options.max_document_bytes or not are_texts(texts):
        return None
    urls, langs = alike.column(URL), alike.column(LANG)
    if not alike.sizes(URL).all():
        urls = pc.if_else(pc.equal(urls, ""), None, urls)
    if not alike.sizes(LANG).all():
        blocks = texts.cast(pa.large_binary()).to_pylist()
        langs = pa.array(map(_lang, langs.to_pylist(), blocks), pa.string())
    return [alike.column(ID), texts, urls, alike.column(DATE), pa.nulls(len(texts), pa.string()), langs]


def _add_at_once(
    alike: Alike, columns: list[pa.Array], builder: BatchBuilder, tally: Tally
) -> Iterator[pa.RecordBatch]:
    """Add documents to batches, which are cut where they would be if the documents came one by one."""
    sizes, start = alike.sizes(TEXT), 0
    while start < len(sizes):
        n = builder.room_for(sizes[start:])
        if n:
            row = tally.accept_many(n)
            part = [*(column.slice(start, n) for column in columns), pa.array(np.arange(row, row + n))]
            builder.append(pa.RecordBatch.from_arrays(part, schema=DOCUMENTS), int(sizes[start : start + n].sum()))
        start += n
        if start < len(sizes):
            yield builder.take()


def _url(target: str) -> str | None:
    return target.strip("<>") or None


def _lang(identified: str | None, block: bytes | memoryview) -> str | None:
    return identified or language_of_page(block)


def records(
    pieces: Iterable[Piece], tally: Tally, options: ReadOptions, *, compressed: bool
) -> Iterator[Record | Alike]:
    """Records of the types that can be documents, in order; the others and all that is broken go into ``tally``.
    Blocks that are too large for what they carry are not held."""
    iterator = iter(pieces)
    framer = _Framer(tally, options)
    resumes = True
    while resumes:
        window = _Window(iterator, compressed)
        yield from framer.records(window)
        resumes = window.damage is not None and window.damage.resumes


class _Window:
    """Contiguous decompressed bytes, from the first not yet taken on; ended by damage or the end of the file.

    Places are counted in the buffer; ``at`` is the first not yet taken, and ``take`` and ``fill`` move the others.
    ``closed`` says that what is held ends with a frame that is whole.
    """

    def __init__(self, pieces: Iterator[Piece], compressed: bool) -> None:
        self._pieces, self._compressed = pieces, compressed
        self._piece: Piece | None = None
        self._frame = 0
        self._before = 0
        self._frames: deque[tuple[int, int]] = deque()
        self._starts: deque[int] = deque()
        self.buffer = bytearray()
        self.at = 0
        self.closed = self.ended = False
        self.damage: Damage | None = None

    @property
    def held(self) -> int:
        """How many bytes are held that are not taken."""
        return len(self.buffer) - self.at

    def fill(self, n: int) -> bool:
        """Hold at least ``n`` bytes; False if there are fewer, or another record's frame begins within them."""
        if self.held < n and not self.ended:
            self._before += self.at
            del self.buffer[: self.at]
            self.at = 0
            while self.held < n and self.inside(n) is None and (ahead := self.ahead()):
                self.hold(ahead[0].frame(ahead[1]))
                self.leave(1)
        return self.held >= n

    def inside(self, n: int) -> int | None:
        """How far on, within the next ``n`` bytes but not at once, a frame begins that starts with a record."""
        place = self._before + self.at
        while self._starts and self._starts[0] <= place:
            self._starts.popleft()
        return self._starts[0] - place if self._starts and self._starts[0] < place + n else None

    def take(self, n: int) -> None:
        """Leave ``n`` bytes that are held behind."""
        self.at += n
        place = self._before + self.at
        while len(self._frames) > 1 and self._frames[1][0] <= place:
            self._frames.popleft()

    def take_all(self) -> None:
        """Leave all behind that is held."""
        self.take(self.held)

    def skip(self, n: int) -> bool:
        """Take ``n`` bytes without holding them, or up to another record's frame; False if the window ends before."""
        while self.held < n and self.inside(n) is None:
            n -= self.held
            self.take_all()
            if not self.fill(1):
                return False
        self.take(self.inside(n) or n)
        return True

    def starts_with(self, prefix: bytes) -> bool:
        return self.buffer.startswith(prefix, self.at)

    def find(self, pattern: re.Pattern[bytes], past: int = 0) -> int | None:
        """How far on the pattern matches, at least ``past`` bytes, in what is held."""
        match = pattern.search(self.buffer, self.at + past)
        return match.start() - self.at if match else None

    def bytes(self, start: int, stop: int) -> bytes:
        """Some of the next bytes."""
        with memoryview(self.buffer) as view:
            return bytes(view[self.at + start : self.at + stop])

    def cut_out(self, start: int, stop: int) -> memoryview:
        """Some of the next bytes, without a copy: the buffer is given away, and what it holds after ``stop`` begins
        the next. All up to ``stop`` is taken."""
        given, start, stop = self.buffer, self.at + start, self.at + stop
        self._before += stop
        self.buffer, self.at = given[stop:], 0
        self.take(0)
        return memoryview(given)[start:stop]

    def offset(self, i: int = 0) -> int:
        """Of the ``i``-th next byte in the file as stored; if that is compressed, of its frame."""
        place = self._before + self.at + i
        start, offset = self._frames[0]
        if i:
            start, offset = next(frame for frame in reversed(self._frames) if frame[0] <= place)
        return offset if self._compressed else offset + place - start

    @property
    def at_frame(self) -> bool:
        """Whether a frame begins with the next byte."""
        return not self._compressed or self._frames[0][0] == self._before + self.at

    def ahead(self) -> tuple[Piece, int] | None:
        """The piece after what is held, and which of its frames comes first; None if the window ends there."""
        if self._piece is None and not self.ended:
            piece = next(self._pieces, None)
            if piece is None or piece.damage:
                self.damage = piece.damage if piece else self.damage
                self.ended = True
            else:
                self._piece, self._frame = piece, 0
        return (self._piece, self._frame) if self._piece else None

    def leave(self, n: int) -> None:
        """Go ``n`` frames of that piece on."""
        self._frame += n
        if self._piece and self._frame == self._piece.n_frames:
            self._piece = None

    def hold(self, frame: Piece) -> None:
        """Add a frame, or part of one, at the end."""
        if frame.first or not self._frames:
            place = self._before + len(self.buffer)
            self._frames.append((place, frame.offset))
            if self._compressed and frame.data.startswith(b"WARC/"):
                self._starts.append(place)
        self.buffer += frame.data
        self.closed = frame.last


class _Framer:
    """Cuts windows into records."""

    def __init__(self, tally: Tally, options: ReadOptions) -> None:
        self._tally, self._options = tally, options
        self._one_per_frame = True
        self._known = KnownHeaders()
        self._frame: tuple[int, int] = -1, 0

    def records(self, window: _Window) -> Iterator[Record | Alike]:
        """The records of one window; at its end, its damage is counted."""
        while window.held or not window.ended:
            if not window.held:
                yield from self._whole_frames(window)
            if not self._skip_newlines(window):
                continue
            if not window.starts_with(b"WARC/"):
                self._resynchronise(window, "garbage", "no WARC record where one should begin", past=0)
                continue
            self._one_per_frame &= window.at_frame
            yield from self._record(window)
        if damage := window.damage:
            detail = f"{damage.detail} (seen at byte {damage.offset}){self._doubt(damage)}"
            if damage.resumes:
                self._tally.reject(damage.reason, damage.frame, detail)
                self._tally.complete &= self._one_per_frame
            else:
                self._tally.cut_short(damage.reason, damage.frame, detail)

    def _doubt(self, damage: Damage) -> str:
        frame, accepted_before = self._frame
        return self._tally.doubt(accepted_before) if damage.garbles and damage.frame == frame else ""

    def _whole_frames(self, window: _Window) -> Iterator[Record | Alike]:
        """Records that are a frame each, as they should be, at little cost; the first frame that is none is held."""
        while ahead := window.ahead():
            piece, first = ahead
            if alike := self._known.alike(piece, first):
                window.leave(len(alike.found))
                yield alike
                continue
            frame = piece.frame(first)
            window.leave(1)
            record = record_of(frame)
            if record is None:
                window.hold(frame)
                return
            if record.kind in DOCUMENT_TYPES:
                yield record
                self._learn(record, frame.data)
            else:
                self._tally.other_records += 1

    def _learn(self, record: Record, data: bytes) -> None:
        """Know headers like that of a record again, if what it holds can be text as it stands."""
        if record.kind == "response" or len(self._known) == LAYOUTS:
            return
        payload = payload_of(record.kind, record.headers, record.block)
        if isinstance(payload, Payload) and payload.is_utf8:
            self._known.learn(data[: data.find(RECORD_END) + len(RECORD_END)])

    def _skip_newlines(self, window: _Window) -> bool:
        """Go to the next byte that is no newline; False if none is held."""
        place = window.find(_NOT_NEWLINE)
        window.take(window.held if place is None else place)
        return window.fill(5) or window.held > 0 if place is not None else False

    def _record(self, window: _Window) -> Iterator[Record]:
        end = self._header_end(window)
        if end is None:
            return
        headers = parse_header(window.bytes(0, end))
        kind, length = headers.get("warc-type", "").lower(), headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 19):
            self._resynchronise(window, "bad_record", f"Content-Length is {length!r}", past=end)
            return
        size = int(length)
        held = self._held(window, end, size, kind, headers)
        if held == size and not self._whole(window, end, size):
            return
        offset = window.offset()
        if offset != self._frame[0]:
            self._frame = offset, self._tally.accepted
        if kind in DOCUMENT_TYPES and BLOCK < held == size:
            yield Record(offset, kind, headers, window.cut_out(end, end + size), size)
            return
        if kind in DOCUMENT_TYPES:
            yield Record(offset, kind, headers, window.bytes(end, end + held), size)
        elif kind:
            self._tally.other_records += 1
        else:
            self._tally.reject("bad_record", offset, "a record without a WARC-Type")
        if not window.skip(end + size) and window.damage is None:
            self._tally.cut_short("truncated_record", offset, f"the file ends inside a block of {size} bytes")

    def _held(self, window: _Window, end: int, size: int, kind: str, headers: dict[str, str]) -> int:
        """How much of a block to hold: all, or only its head if it is no document or too large for one."""
        if size <= BLOCK:
            return size
        window.fill(end + HEAD)
        if kind in DOCUMENT_TYPES:
            payload = payload_of(kind, headers, window.bytes(end, end + HEAD))
            if not isinstance(payload, Refusal) and size <= payload.start + payload.largest(self._options):
                return size
        return min(HEAD, window.held - end)

    def _header_end(self, window: _Window) -> int | None:
        """Length of the header with its blank line; None if it has no end (which is counted)."""
        while not (match := _HEADER_END.search(window.buffer, window.at)):
            if window.held > HEADER_BYTES:
                self._resynchronise(window, "bad_record", "a header without an end", past=5)
                return None
            if not window.fill(window.held + 1):
                self._torn(window, 5, "a header")
                return None
        return match.end() - window.at

    def _whole(self, window: _Window, end: int, size: int) -> bool:
        """Whether a record's block is there and ends where its Content-Length says; counts it if not."""
        stop = end + size
        if not (window.fill(stop) and window.closed):
            window.fill(stop + 16)
        if window.inside(stop) is not None or window.held < stop:
            self._torn(window, end, f"a block of {size} bytes")
            return False
        damage = window.damage
        if damage and damage.reason == "corrupt_stream" and window.offset(stop - 1) == damage.frame:
            window.take_all()
            return False
        after = window.bytes(stop, stop + 16)
        rest = after.lstrip(b"\r\n")
        if rest and not rest.startswith(b"WARC/") and len(after) - len(rest) < 2:
            self._resynchronise(window, "bad_record", f"the block does not end at Content-Length ({size})", past=end)
            return False
        return True

    def _torn(self, window: _Window, past: int, what: str) -> None:
        """A record that breaks off: at the next record's frame, at damage (counted there), or at the file's end,
        where the next record may stand inside what it claims for itself."""
        following = window.inside(window.held + 1)
        if following is None and window.damage is None:
            following = window.find(RECORD, past)
        if following is not None:
            self._tally.reject("bad_record", window.offset(), f"{what} would reach into the next record")
            window.take(following)
            return
        if window.damage is None:
            self._tally.cut_short("truncated_record", window.offset(), f"the file ends inside {what}")
        window.take_all()

    def _resynchronise(self, window: _Window, reason: str, detail: str, *, past: int) -> None:
        """Count what stands here, and go to the next record that begins after the first ``past`` bytes."""
        self._tally.reject(reason, window.offset(), detail)
        while True:
            places = (window.find(RECORD, past), window.inside(window.held + 1))
            if found := [place for place in places if place is not None]:
                window.take(min(found))
                return
            window.take(max(window.held - _MARKER_BYTES, 0))
            past = 0
            if not window.fill(window.held + 1) and window.inside(window.held + 1) is None:
                window.take_all()
                return
