"""Stored bytes to decompressed pieces, frame by frame (gzip members, zstd frames), with the file offset of each frame.

A damaged frame ends a stretch of pieces with a `Damage`; reading resumes at the next frame that decompresses.
Knows nothing of records: the readers decide what damage costs.
"""

from __future__ import annotations

import bz2
import io
import lzma
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import pairwise
from typing import IO, NamedTuple, Protocol, cast

import numpy as np
import zstandard
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from pipeline.accounting import Tally
from pipeline.remote import explain

CHUNK = 1 << 20
STEP = 4 << 10
"""Compressed bytes given to a decompressor at once. Bounds what a bomb can return in one call: deflate makes at most
4 MB of it, zstd 128 MB. What follows the end of a short frame (`unused_data`) is copied, so more would be slower."""
PIECE = 128 << 10
"""Frames up to about this size, decompressed, come in one piece; longer ones in several, but for gzip members that lie
whole in a chunk, which come in one up to `LONGEST_STEP`."""
LONGEST_STEP = 4 << 20
AT_ONCE = 1 << 20
"""Frames of up to so many bytes together, decompressed, come in one piece where that is asked for: they stay in the
processor's cache while they are read."""
MOST_FRAMES = 1 << 14
"""Frames that are put together: each takes some hundred bytes besides its data."""
LARGEST_DICTIONARY = 64 << 20
ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"
"""Magic number of the skippable frame that carries a WARC file's dictionary (IIPC, WARC Zstandard 1.0)."""


class Compression(StrEnum):
    """How a file is compressed, by its magic number."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


class Damage(NamedTuple):
    """Where a compressed stream breaks. ``frame`` and ``offset`` are byte offsets in the file as stored: of the frame
    that breaks, and of the place where that shows. ``resumes`` says that a later frame can be read."""

    reason: str
    frame: int
    offset: int
    detail: str
    resumes: bool

    @property
    def garbles(self) -> bool:
        """Whether what was decompressed of the frame before may be wrong; of a file cut short it is right."""
        return self.reason == "corrupt_stream"


class Piece(NamedTuple):
    """Some decompressed bytes, never empty but with ``damage``. ``offset`` is that of their frame in the file as
    stored, and without compression their own. ``first`` and ``last`` mark the first of a frame and the last of one
    that is whole, its checksum right. Where it is several whole frames, ``frames`` says where they are."""

    data: bytes
    offset: int
    first: bool = False
    last: bool = False
    damage: Damage | None = None
    frames: Frames | None = None

    @property
    def n_frames(self) -> int:
        """Of how many frames it is, or is part."""
        return len(self.frames.offsets) if self.frames else 1

    def frame(self, i: int) -> Piece:
        """The ``i``-th of its frames by itself."""
        if self.frames is None:
            return self
        start, stop = self.frames.places[i : i + 2].tolist()
        return Piece(self.data[start:stop], int(self.frames.offsets[i]), first=True, last=True)

    def split(self, first: int = 0) -> Iterator[Piece]:
        """Each of its frames by itself, from the ``first`` on."""
        return map(self.frame, range(first, self.n_frames))


class Frames(NamedTuple):
    """Where whole frames stand that come in one piece: ``places`` int64 (frames + 1,) in its data, ``offsets`` int64
    (frames,) in the file as stored."""

    places: NDArray[np.int64]
    offsets: NDArray[np.int64]


class Source:
    """A file read once from start to end; what was read is counted in ``tally.input_bytes``."""

    def __init__(self, file: IO[bytes], url: str, tally: Tally, *, size: int | None = None) -> None:
        self._file, self._url, self._tally, self._size = file, url, tally, size
        self._head = b""

    def peek(self, n: int) -> bytes:
        """The first ``n`` bytes of the file, or all if it has fewer; before the first `read`."""
        while len(self._head) < n and (data := self._next(n - len(self._head))):
            self._head += data
        return self._head

    def read(self) -> bytes:
        """The next bytes, empty at the end. Raises `OSError` if reading fails or the file ends before its size."""
        data, self._head = (self._head, b"") if self._head else (self._next(CHUNK), b"")
        self._tally.input_bytes += len(data)
        if not data and self._size is not None and self._tally.input_bytes < self._size:
            raise OSError(
                f"{self._url}: reading ended at byte {self._tally.input_bytes} of {self._size}: "
                "the connection broke or the file changed; run again"
            )
        return data

    def _next(self, n: int) -> bytes:
        try:
            return self._file.read(n)
        except Exception as error:  # Remote stores raise what their clients raise, seldom an OSError.
            raise explain(self._url, error) from error

    def drain(self) -> None:
        """Read the rest and let it go."""
        while self.read():
            pass


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: memoryview | bytes, /) -> bytes: ...


class _Bounded:
    """bzip2 and xz pack a million to one: their output is taken in bounded pieces."""

    def __init__(self, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._decoder = decoder

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    @property
    def more(self) -> bool:
        return not (self._decoder.eof or self._decoder.needs_input)

    def decompress(self, data: memoryview | bytes, /) -> bytes:
        return self._decoder.decompress(data, LONGEST_STEP)


_GZIP_MEMBER = b"\x1f\x8b\x08"
_MAGIC = {
    Compression.GZIP: (_GZIP_MEMBER,),
    Compression.ZSTD: (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),
    Compression.BZIP2: tuple(b"BZh%d" % n for n in range(1, 10)),
    Compression.XZ: (b"\xfd7zXZ\x00",),
}
_ERRORS = (cast("type[Exception]", isal_zlib.error), zstandard.ZstdError, lzma.LZMAError, EOFError, OSError, ValueError)


def compression_of(head: bytes) -> Compression:
    """By the magic number at the start of a file."""
    return next((c for c, magics in _MAGIC.items() if head.startswith(magics)), Compression.NONE)


def compression_in(data: bytes, expected: Compression) -> Compression:
    """``expected`` if a magic number of it stands anywhere in the data."""
    return expected if any(magic in data for magic in _MAGIC[expected]) else Compression.NONE


def pieces(source: Source, compression: Compression, *, begins: bytes = b"", together: bool = False) -> Iterator[Piece]:
    """The decompressed content in order. ``begins`` is what the content starts with: if the first frame starts so,
    reading resumes after damage only at a frame that does too. With ``together`` short frames come `AT_ONCE`."""
    if compression is not Compression.NONE:
        found = _Frames(source, compression, begins, together=together).pieces()
        yield from _joined(found) if together else found
        return
    offset = 0
    while data := source.read():
        yield Piece(data, offset, first=offset == 0)
        offset += len(data)


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Pieces with short frames that follow each other in one."""
    held: list[Piece] = []
    size = 0
    for piece in pieces:
        short = piece.first and piece.last and not piece.frames
        if held and not (short and size + len(piece.data) <= AT_ONCE and len(held) < MOST_FRAMES):
            yield _together(held)
            held, size = [], 0
        if not short:
            yield piece
            continue
        held.append(piece)
        size += len(piece.data)
    if held:
        yield _together(held)


def _together(pieces: list[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    places = places_of([len(piece.data) for piece in pieces])
    frames = Frames(places, np.array([piece.offset for piece in pieces], np.int64))
    return Piece(b"".join(piece.data for piece in pieces), pieces[0].offset, True, True, frames=frames)


def places_of(sizes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where things of so many bytes begin that stand one after the other, and where the last ends."""
    places = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=places[1:])
    return places


class _Stored:
    """The stored bytes with a place in them; the chunk before the present one is kept to look back for a frame."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._before = self.chunk = b""
        self._start = self.place = 0

    @property
    def offset(self) -> int:
        return self._start + self.place

    def step(self) -> memoryview:
        """The next few bytes, taken; empty at the end."""
        if self.place == len(self.chunk):
            self._next()
        view = memoryview(self.chunk)[self.place : self.place + STEP]
        self.place += len(view)
        return view

    def peek(self, n: int) -> bytes:
        """The next ``n`` bytes, not taken; fewer at the end."""
        while len(self.chunk) - self.place < n and (more := self._source.read()):
            self._start += self.place
            self._before, self.chunk, self.place = self.chunk[: self.place], self.chunk[self.place :] + more, 0
        return self.chunk[self.place : self.place + n]

    def find(self, magics: tuple[bytes, ...], earliest: int) -> bool:
        """Go to the first of ``magics`` at or after offset ``earliest`` (or as far back as bytes are kept)."""
        self._look_back(earliest)
        while True:
            found = [at for at in (self.chunk.find(m, self.place) for m in magics) if at >= 0]
            if found:
                self.place = min(found)
                return True
            self.place = max(self.place, len(self.chunk) - 5)
            if len(self.peek(6)) < 6:
                self.place = len(self.chunk)
                return False

    def _look_back(self, earliest: int) -> None:
        if earliest < self._start:
            self.chunk, self._start = self._before + self.chunk, self._start - len(self._before)
            self._before = b""
        self.place = max(earliest - self._start, 0)

    def _next(self) -> None:
        data = self._source.read()
        if data:
            self._start += len(self.chunk)
            self._before, self.chunk, self.place = self.chunk, data, 0


def _member_starts(chunk: bytes) -> NDArray[np.int64]:
    """Where gzip members may begin in a chunk; found by its first byte first, which is twice as fast as a search."""
    stored = np.frombuffer(chunk, np.uint8)
    starts = np.flatnonzero(stored[: 1 - len(_GZIP_MEMBER)] == _GZIP_MEMBER[0])
    for k, byte in enumerate(_GZIP_MEMBER):
        starts = starts[stored[starts + k] == byte]
    return starts


class _Run(NamedTuple):
    """Gzip members one after the other: where each begins and the last ends in its chunk, (members + 1,), and their
    sizes decompressed, as the ends of them say, if members they are."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def is_in(self, data: bytes, begins: bytes) -> bool:
        """Whether they can be the members that hold this, each of which ``begins`` so. Sizes alone may be right though
        the members are others: zeros after one change what is read as its size, and what looks like the start of one
        within another may make up for that."""
        places = places_of(self.sizes)
        if len(data) != places[-1] or self.sizes.min() < max(len(begins), 1):
            return False
        found = np.frombuffer(data, np.uint8)[places[:-1, None] + np.arange(len(begins))]
        return bool((found == np.frombuffer(begins, np.uint8)).all())


class _Members:
    """Where gzip members may begin in a chunk; the last, whose end is not known, is in no run."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk, self._starts = chunk, _member_starts(chunk)
        ends = np.frombuffer(chunk, np.uint8)[self._starts[1:, None] + np.arange(-4, 0)]
        self._sizes = ends.view("<u4")[:, 0].astype(np.int64)
        self._places = places_of(self._sizes)

    def runs(self, place: int, most: int) -> Iterator[_Run]:
        """Runs of up to ``most`` bytes decompressed, or of one member, from the one at a place on, if one begins there.
        It takes little time to begin anew behind each of thousands that are damaged."""
        first = int(np.searchsorted(self._starts, place))
        while first < len(self._sizes) and self._starts[first] == place:
            stop = int(np.searchsorted(self._places, self._places[first] + most, side="right")) - 1
            stop = max(stop, first + 1)
            yield _Run(self._starts[first : stop + 1], self._sizes[first:stop])
            first, place = stop, int(self._starts[stop])


def _inflated(member: bytes) -> bytes | None:
    """What a gzip member holds, if it is one and whole, with nothing behind it, and not too long."""
    decoder = isal_zlib.decompressobj(31)
    try:
        data: bytes = decoder.decompress(member, LONGEST_STEP)
    except _ERRORS:
        return None
    return data if decoder.eof and not decoder.unused_data else None


class _Frames:
    """Frames one after the other out of a compressed file."""

    def __init__(self, source: Source, compression: Compression, begins: bytes, *, together: bool) -> None:
        self._stored = _Stored(source)
        self._most = AT_ONCE if together else 0
        self._found = _Members(b"")
        self._compression = compression
        self._begins = begins
        self._zstd = zstandard.ZstdDecompressor(max_window_size=1 << 31)

    def pieces(self) -> Iterator[Piece]:
        self._take_dictionary()
        frames, magics = 0, _MAGIC[self._compression]
        while head := self._stored.peek(6):
            frame = self._stored.offset
            if head.startswith(magics) or any(magic.startswith(head) for magic in magics):
                if frames and (yield from self._members()):
                    continue
                damage = yield from self._frame(frame, check=frames == 0)
                frames += 1
            elif self._skip_zeros():
                continue
            else:
                damage = self._damage("garbage", frame, f"no {self._compression} frame where one should begin")
            if damage:
                yield Piece(b"", frame, damage=damage)

    def _members(self) -> Generator[Piece, None, bool]:
        """Short gzip members that lie whole in the present chunk, each in one call, which takes half the time, or many
        in one; ends at what is long, damaged or no member, and returns whether there were any before that."""
        stored, any_yet = self._stored, False
        for run in self._in_chunk().runs(stored.place, self._most):
            before = stored.offset - stored.place
            if data := self._inflated_at_once(run):
                stored.place, any_yet = int(run.starts[-1]), True
                frames = Frames(places_of(run.sizes), before + run.starts[:-1])
                yield Piece(data, int(frames.offsets[0]), True, True, frames=frames)
                continue
            for begin, end in pairwise(run.starts.tolist()):
                if not (data := _inflated(stored.chunk[begin:end])):
                    return any_yet
                stored.place, any_yet = end, True
                yield Piece(data, before + begin, True, True)
        return any_yet

    def _in_chunk(self) -> _Members:
        """Members in the present chunk, which is searched once."""
        chunk = self._stored.chunk if self._compression is Compression.GZIP else b""
        if chunk is not self._found.chunk:
            self._found = _Members(chunk)
        return self._found

    def _inflated_at_once(self, run: _Run) -> bytes | None:
        """What gzip members hold; None if there is but one, or if they are others than they seem. So that a file in
        which much looks like a member, and is none, is not tried for long, fewer are tried then."""
        if len(run.sizes) < 2:
            return None
        stored = io.BytesIO(self._stored.chunk[run.starts[0] : run.starts[-1]])
        with suppress(*_ERRORS), igzip.IGzipFile(fileobj=stored) as file:
            data: bytes = file.read(int(run.sizes.sum()) + 1)
            if run.is_in(data, self._begins):
                return data
        self._most //= 2
        return None

    def _frame(self, frame: int, *, check: bool) -> Generator[Piece, None, Damage | None]:
        """A frame as one piece, or as several if it is large; returns the damage, if any."""
        decoder, damage, first = self._decoder(), None, True
        parts: list[bytes] = []
        size = 0
        while not decoder.eof and not damage:
            data, damage = self._step(decoder, frame)
            size += len(data)
            parts.append(data)
            if size >= PIECE or (size and (damage or decoder.eof)):
                whole = b"".join(parts)
                if check and first and not whole.startswith(self._begins):
                    self._begins = b""
                yield Piece(whole, frame, first, decoder.eof)
                parts, size, first = [], 0, False
        if not damage:
            self._stored.place -= len(decoder.unused_data)
        return damage

    def _step(self, decoder: _Decoder, frame: int) -> tuple[bytes, Damage | None]:
        """What the next few bytes decompress to, and the damage that shows in them."""
        step: memoryview | bytes = b""
        if not (isinstance(decoder, _Bounded) and decoder.more):
            step = self._stored.step()
            if not step:
                return b"", self._endless(frame)
        try:
            return decoder.decompress(step), None
        except _ERRORS as error:
            return b"", self._damage("corrupt_stream", frame, f"{self._compression} frame: {error}")

    def _endless(self, frame: int) -> Damage:
        """A frame that the file's end cuts short, or one so broken that it swallowed those after it."""
        damage = self._damage("corrupt_stream", frame, f"{self._compression} frame: it does not end where it should")
        if damage.resumes:
            return damage
        return damage._replace(reason="truncated_stream", detail=f"the file ends inside a {self._compression} frame")

    def _damage(self, reason: str, frame: int, detail: str) -> Damage:
        offset = self._stored.offset
        return Damage(reason, frame, offset, detail, self._resume(frame + 1))

    def _resume(self, earliest: int) -> bool:
        """Go to the next frame that can be read."""
        while self._stored.find(_MAGIC[self._compression], earliest):
            earliest = self._stored.offset + 1
            if self._readable():
                return True
        return False

    def _readable(self) -> bool:
        try:
            data = self._decoder().decompress(memoryview(self._stored.peek(STEP)))
        except _ERRORS:
            return False
        return bool(data) and data.startswith(self._begins)

    def _skip_zeros(self) -> bool:
        """Zeros after a frame are padding (gzip allows it); taken when there are some."""
        skipped = False
        while (step := self._stored.peek(STEP)) and not step.strip(b"\0"):
            self._stored.place += len(step)
            skipped = True
        return skipped

    def _decoder(self) -> _Decoder:
        match self._compression:
            case Compression.GZIP:
                return isal_zlib.decompressobj(31)
            case Compression.ZSTD:
                return self._zstd.decompressobj()
            case Compression.BZIP2:
                return _Bounded(bz2.BZ2Decompressor())
            case _:
                return _Bounded(lzma.LZMADecompressor())

    def _take_dictionary(self) -> None:
        """The dictionary of a WARC file, itself compressed or not, is the content of a frame before all others."""
        if self._compression is not Compression.ZSTD or self._stored.peek(4) != ZSTD_DICTIONARY:
            return
        size = int.from_bytes(self._stored.peek(8)[4:], "little")
        if size > LARGEST_DICTIONARY:
            return
        content = self._stored.peek(8 + size)[8:]
        self._stored.place += 8 + len(content)
        try:
            if content.startswith(b"\x28\xb5\x2f\xfd"):
                content = zstandard.ZstdDecompressor().decompress(content, max_output_size=LARGEST_DICTIONARY)
            dictionary = zstandard.ZstdCompressionDict(content)
        except _ERRORS:
            return  # Then no frame that needs it decompresses.
        self._zstd = zstandard.ZstdDecompressor(dictionary, max_window_size=1 << 31)
