"""Compressed streams by frame: offsets, damage, what resumes after it, and bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import gzipped, zstd

from pipeline.accounting import Tally
from pipeline.readers import streams
from pipeline.readers.streams import Compression, Piece, Source, compression_of, pieces

PACKERS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: bytes,
    Compression.GZIP: gzipped,
    Compression.ZSTD: zstd,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
}


class Dribble(io.BytesIO):
    """A file that gives few bytes at a time, as networks do."""

    def read(self, n: int | None = -1) -> bytes:
        return super().read(min(n or 0, 7) if n != -1 else 7)


def read(
    content: bytes, *, begins: bytes = b"", file: type[io.BytesIO] = io.BytesIO, together: bool = False
) -> list[Piece]:
    tally = Tally()
    source = Source(file(content), "test", tally, size=len(content))
    found = list(pieces(source, compression_of(content), begins=begins, together=together))
    assert tally.input_bytes == len(content)
    return found


def apart(found: list[Piece]) -> list[Piece]:
    return [frame for piece in found for frame in piece.split()]


@pytest.mark.parametrize("compression", PACKERS)
def test_compression_by_magic_number(compression: Compression) -> None:
    assert compression_of(PACKERS[compression](b"text")) is compression


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(PACKERS)[1:]), st.lists(st.binary(max_size=300), min_size=1, max_size=8))
def test_frames_keep_their_offsets(compression: Compression, contents: list[bytes]) -> None:
    frames = [PACKERS[compression](content) for content in contents]
    offsets = [sum(map(len, frames[:i])) for i in range(len(frames))]
    expected = [Piece(c, o, True, True) for c, o in zip(contents, offsets, strict=True) if c]
    assert read(b"".join(frames)) == expected
    assert read(b"".join(frames), file=Dribble) == expected
    assert apart(read(b"".join(frames), together=True)) == expected


@pytest.mark.parametrize("compression", list(PACKERS)[1:])
def test_a_long_frame_comes_in_pieces(compression: Compression) -> None:
    content = b"".join(b"%d " % i for i in range(300_000))
    found = read(PACKERS[compression](content))
    assert b"".join(piece.data for piece in found) == content and len(found) > 1
    assert [piece.first for piece in found] == [True] + [False] * (len(found) - 1)
    assert [piece.last for piece in found] == [False] * (len(found) - 1) + [True]


def test_resuming_passes_over_what_only_looks_like_a_frame() -> None:
    broken = gzipped(b"WARC/ one")[:-8] + b"\x1f\x8b\x08 no frame" + gzipped(b"inner") + b"\x1f\x8b\x08"
    content = gzipped(b"WARC/ zero") + broken + gzipped(b"WARC/ two")
    found = read(content, begins=b"WARC/")
    assert [piece.data for piece in found if not piece.damage] == [b"WARC/ zero", b"WARC/ two"]
    damage = next(piece.damage for piece in found if piece.damage)
    assert damage.reason == "corrupt_stream" and damage.resumes and damage.frame == len(gzipped(b"WARC/ zero"))


def test_damage_far_inside_a_frame_is_found_to_resume() -> None:
    large = bytearray(gzip.compress(bytes(range(256)) * 20_000 + b"".join(b"%d" % i for i in range(900_000)), 1))
    large[-200_000:-100_000] = b"\xff" * 100_000
    found = read(bytes(large) + gzipped(b"after"))
    assert found[-1].data == b"after"
    assert [piece.damage.resumes for piece in found if piece.damage] == [True]


def test_nothing_to_resume_at() -> None:
    content = bytearray(gzip.compress(b"".join(b"%d" % i for i in range(900_000)), 1))
    content[500_000:600_000] = b"\xff" * 100_000
    *_, last = read(bytes(content))
    assert last.damage and last.damage.reason == "corrupt_stream" and not last.damage.resumes


@pytest.mark.parametrize("skipped", [b"", b"anything", b"\x28\xb5\x2f\xfd", bytes(9000)])
def test_skippable_zstd_frames_are_skipped(skipped: bytes) -> None:
    frame = b"\x5a\x2a\x4d\x18" + len(skipped).to_bytes(4, "little") + skipped
    found = read(frame + zstd(b"one") + frame * 2 + zstd(b"two") + frame)
    assert [piece.data for piece in found] == [b"one", b"two"] and not any(piece.damage for piece in found)


def test_a_broken_frame_that_swallows_those_after_it_does_not_hide_them() -> None:
    # Deflate blocks without an end: stored, of 65,535 bytes, again and again.
    header = gzipped(b"")[:10]
    swallowing = header + b"\0\xff\xff\0\0" + b"x" * 100
    found = read(gzipped(b"one") + swallowing + gzipped(b"two"))
    assert [piece.data for piece in found if piece.first and piece.last] == [b"one", b"two"]
    assert [piece.damage.reason for piece in found if piece.damage] == ["corrupt_stream"]


@pytest.mark.parametrize("size", [0, 10, 10**9])
def test_a_zstd_dictionary_that_is_none(size: int) -> None:
    content = streams.ZSTD_DICTIONARY + size.to_bytes(4, "little") + b"\x28\xb5\x2f\xfd rubbish" + zstd(b"text")
    assert read(content)


@pytest.mark.parametrize("compression", [Compression.BZIP2, Compression.XZ, Compression.GZIP])
def test_a_bomb_comes_in_bounded_pieces(compression: Compression) -> None:
    bomb = PACKERS[compression](bytes(60 << 20))
    tracemalloc.start()
    source = Source(io.BytesIO(bomb), "test", Tally())
    assert sum(len(piece.data) for piece in pieces(source, compression)) == 60 << 20
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()


def test_a_file_that_ends_before_its_size_is_an_error() -> None:
    source = Source(io.BytesIO(b"short"), "far-away", Tally(), size=10)
    with pytest.raises(OSError, match="far-away: reading ended at byte 5 of 10"):
        list(pieces(source, Compression.NONE))


def test_what_clients_raise_is_an_error_with_a_name() -> None:
    class Failing(io.BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            raise RuntimeError("session closed")

    with pytest.raises(OSError, match=r"far-away: reading or writing failed \(RuntimeError: session closed\)"):
        Source(Failing(), "far-away", Tally()).peek(3)


MEMBERS = [gzip.compress(b"%d " % i * (1 + i % 50)) for i in range(200)]
STORED = gzip.compress(b"inside: " + MEMBERS[3] * 3, 0)
"""Members stand in it as they are."""
SIZE = (1000 - (1000 >> 8)).to_bytes(4, "little")
"""What is missing in the size that is read of a member of 1000 bytes before a zero."""
BETWEEN = {
    "nothing": b"", "an empty member": gzip.compress(b""), "zeros": b"\0" * 5, "a zero": b"\0", "garbage": b"what",
    "members within": STORED, "many members within": STORED * 30, "half a member": MEMBERS[7][:-9],
    "another size": MEMBERS[7][:-4] + b"\1\0\0\0", "another checksum": MEMBERS[7][:-8] + b"abcd" + MEMBERS[7][-4:],
    "a size that others make up for": MEMBERS[7][:-4] + (99).to_bytes(4, "little"), "a start": b"\x1f\x8b\x08",
    "incompressible": gzip.compress(bytes(range(256)) * 9),
    "a bomb": gzip.compress(bytes(9 << 20)), "a bomb that lies": gzip.compress(bytes(9 << 20))[:-4] + b"\5\0\0\0",
}  # fmt: skip


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
@pytest.mark.parametrize("most", [1, 3000, 1 << 20])
def test_members_together_are_what_they_are_apart(between: bytes, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "AT_ONCE", most)
    content = b"".join([*MEMBERS[:50], between, *MEMBERS[50:], between, between, *MEMBERS[:20]])
    found = read(content, together=True)
    assert apart(found) == read(content)
    assert (len(found) < 60) == (most > 1000)


def test_members_that_end_often_are_not_searched_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    original = streams._Members

    def counted(chunk: bytes) -> object:
        searched.append(len(chunk))
        return original(chunk)

    monkeypatch.setattr(streams, "_Members", counted)
    content = b"".join(member + b"garbage" for member in MEMBERS * 20)
    assert len(read(content, together=True)) == 2 * 20 * len(MEMBERS)
    assert sum(searched) <= 2 * len(content)


def test_few_frames_come_together_however_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_FRAMES", 30)
    found = read(zstd(b"x") * 100, together=True)
    assert [piece.n_frames for piece in found] == [30, 30, 30, 10]


def test_sizes_that_make_up_for_each_other_are_seen_by_how_members_begin() -> None:
    first = gzip.compress(b"WARC/" + b"a" * 995) + b"\0"
    second = gzip.compress(b"WARC/" + SIZE + b"\x1f\x8b\x08", 0)
    content = gzip.compress(b"WARC/") + first + second + gzip.compress(b"WARC/ more") * 3
    found = read(content, begins=b"WARC/", together=True)
    assert apart(found) == read(content, begins=b"WARC/")
