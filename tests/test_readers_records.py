"""Records whose headers are alike are read at once, and become what they become when each is read for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minicrawl.build import SHARDS
from reading import Shard, gzipped, page, read, record, write, zstd

from pipeline import readers
from pipeline.readers import batches, records, streams, warc
from pipeline.readers.kernel.headers import TEXT
from pipeline.readers.records import BLOCK, RECORD_END, KnownHeaders, parse_header
from pipeline.readers.streams import Frames, Piece, places_of

GOOD = [record(i, f"Tea for {i} robots, später 茶. ".encode() * (1 + i % 9)) for i in range(40)]
SPACES = [chr(i) for i in range(0x110000) if chr(i).isspace()]
PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzipped, ".zst": zstd, "": bytes}


def each_for_itself(path: Path, **options: int) -> Shard:
    """The shard, each frame in a piece of its own and read without knowing any header again."""

    def apart(*given: Any, begins: bytes, together: bool) -> Iterator[Piece]:
        return streams.pieces(*given, begins=begins)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warc, "LAYOUTS", 0)
        patch.setattr(readers, "pieces", apart)
        return read(path, **options)


def packed(folder: Path, records: Sequence[bytes], ending: str = ".gz") -> Path:
    return write(folder, f"a.warc{ending}", b"".join(map(PACKERS[ending], records)))


def read_for_themselves(path: Path) -> int:
    """How many records of a shard are read each for itself."""
    texts: list[object] = []

    def counted(*given: object) -> object:
        texts.append(given)
        return original(*given)  # type: ignore[arg-type]

    original = warc.text_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warc, "text_of", counted)
        read(path)
    return len(texts)


@pytest.mark.parametrize("path", sorted((SHARDS / "wet").iterdir()), ids=lambda path: path.name)
def test_the_mini_crawl(path: Path) -> None:
    shard = read(path)
    assert shard == each_for_itself(path) and len(shard.documents) > 20
    assert read_for_themselves(path) < len(shard.documents) / 2


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_headers_are_known_again(tmp_path: Path, ending: str) -> None:
    with_language = [record(i, b"Some tea.", WARC_Identified_Content_Language="eng") for i in range(40)]
    mixed = [some for pair in zip(GOOD, with_language, strict=True) for some in pair]
    odd = record(9, page("A page.").encode(), "resource", Content_Type="text/html")
    blank = record(9, b" ")
    path = packed(tmp_path, [*[blank] * 5, *GOOD, *mixed, odd, *mixed], ending)
    for_themselves = 5 + 1 + 1 + (ending == ".gz")
    assert read_for_themselves(path) == for_themselves, (
        "the blank, the first with a language, the page, the last member"
    )
    assert read(path) == each_for_itself(path)


def without(raw: bytes, name: bytes) -> bytes:
    return b"".join(line for line in raw.splitlines(keepends=True) if not line.startswith(name))


ODD = {
    **{f"blank {ord(space):x}": record(9, space.encode() * 3) for space in SPACES},
    **{f"{ord(space):x} before": record(9, f"{space}a".encode()) for space in SPACES},
    "empty": record(9, b""),
    "byte order mark": record(9, b"\xef\xbb\xbfmarked"),
    "another mark": record(9, "marked".encode("utf-16")),
    "only a mark": record(9, b"\xef\xbb\xbf"),
    "NUL": record(9, b"a\0b"),
    "NUL in a resource": record(9, b"a\0b", "resource", Content_Type="text/plain"),
    "NUL far on": record(9, b"a" * 5000 + b"\0"),
    "not UTF-8": record(9, b"caf\xe9 noir"),
    "latin-1": record(9, b"caf\xe9", Content_Type="text/plain; charset=latin-1"),
    "html": record(9, b"<p>text", Content_Type="text/html"),
    "image": record(9, b"text", Content_Type="image/png"),
    "resource": record(9, b"text", "resource"),
    "response": record(9, b"HTTP/1.1 200 OK\r\n\r\ntext", "response"),
    "other kind": record(9, b"text", "metadata"),
    "kind in capitals": record(9, b"text", "CONVERSION"),
    "no kind": without(record(9, b"text"), b"WARC-Type"),
    "no id": without(record(9, b"text"), b"WARC-Record-ID"),
    "no date": without(record(9, b"text"), b"WARC-Date"),
    "no URL": without(record(9, b"text"), b"WARC-Target-URI"),
    "no length": without(record(9, b"text"), b"Content-Length"),
    "empty values": record(9, b"text", WARC_Record_ID="", WARC_Date="", WARC_Target_URI=""),
    "URL in brackets": record(9, b"text", WARC_Target_URI="<https://a.example/>"),
    "spaces around values": record(9, b"text", WARC_Date="\t\x1c a\u2003b\u3000 ", WARC_Record_ID="\xa0x\r"),
    "colons": record(9, b"text", WARC_Record_ID="a:b\t:c"),
    "header not UTF-8": record(9, b"text").replace(b"site9", b"s\xef\xbf\xe9"),
    "letters": record(9, b"text", WARC_Target_URI="https://köln.example/茶"),
    "language of the page": record(9, b"<html lang='fr'>"),
    "empty language": record(9, b"<html lang='fr'>", WARC_Identified_Content_Language=""),
    "name in capitals": record(9, b"text").replace(b"WARC-Date", b"WARC-DATE"),
    "space after a name": record(9, b"text").replace(b"WARC-Date:", b"WARC-Date :"),
    "repeated": record(9, b"text").replace(b"WARC-Date:", b"WARC-Date: first\r\nWARC-Date:"),
    "repeated length": record(9, b"text").replace(b"Content-Length:", b"Content-Length: 4\r\nContent-Length:"),
    "folded": record(9, b"text").replace(b"WARC-Date: ", b"WARC-Date: a\r\n b: "),
    "no colon": record(9, b"text").replace(b"WARC-Date:", b"what\r\nWARC-Date:"),
    "no colon, newline alone": record(9, b"text").replace(b"WARC-Target", b"what\nWARC-Target"),
    "newlines alone": record(9, b"text").replace(b"\r\nWARC-Date", b"\nWARC-Date"),
    "all newlines alone": record(9, b"text").replace(b"\r\n", b"\n"),
    "version": record(9, b"text").replace(b"WARC/1.0", b"WARC/1.1 x"),
    "no version": record(9, b"text").replace(b"WARC/1.0\r\n", b""),
    "blank line within": record(9, b"text\r\n\r\ntext"),
    "two in one": record(9, b"text") + record(10, b"text"),
    "a record within": record(9, record(10, b"text")),
    "no length, twice": without(record(9, b"text"), b"Content-Length") * 2,
    "no end": record(9, b"text")[:-4],
    "no end, length that hides it": record(9, b"texttext", length=4)[:-4],
    "half an end": record(9, b"text")[:-2],
    "more after the end": record(9, b"text") + b"more\r\n\r\n",
    "large": record(9, b"large " * 60_000),
    "very large": record(9, b"large " * 900_000),
    "no member": b"",
    **{f"length {n}": record(9, b"text", length=n) for n in ("3", "5", "04", "+4", " 4", "4 ", "", "-4", "400")},
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_odd_among_what_is_alike(tmp_path: Path, odd: bytes) -> None:
    path = packed(tmp_path, [*GOOD[:20], odd, *GOOD[20:], odd, odd, *GOOD[:5]])
    assert read(path) == each_for_itself(path)
    assert read(path, max_document_bytes=200) == each_for_itself(path, max_document_bytes=200)
    first = packed(tmp_path, [odd, *GOOD, odd, *GOOD])
    assert read(first) == each_for_itself(first)


def test_half_a_character_is_none_though_the_next_record_has_the_other_half(tmp_path: Path) -> None:
    path = packed(tmp_path, [*GOOD, record(50, b"caf\xc3"), record(51, b"\xa9 noir"), *GOOD])
    shard = read(path)
    assert shard == each_for_itself(path) and "caf\ufffd" in shard.texts


def test_only_ordinary_records_are_read_together() -> None:
    known = KnownHeaders()
    known.learn(GOOD[0].partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    largest, large = record(0, b"x" * BLOCK), record(0, b"x" * (BLOCK + 1))
    records = [GOOD[1], largest, GOOD[2], large, GOOD[3]]
    frames = Frames(places_of(list(map(len, records))), np.arange(len(records)))
    piece = Piece(b"".join(records), 0, True, True, frames=frames)
    before, after = known.alike(piece, 0), known.alike(piece, 4)
    assert before and before.texts().to_pylist() == [one.partition(b"\r\n\r\n")[2][:-4].decode() for one in records[:3]]
    assert known.alike(piece, 3) is None
    assert after and after.sizes(TEXT).tolist() == [len(GOOD[3].partition(b"\r\n\r\n")[2]) - 4]
    assert [one.offset for one in after.records()] == [4]
    assert known.alike(piece._replace(frames=None), 0) is None


def test_batches_end_where_they_do_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path, GOOD * 20)
    monkeypatch.setattr(streams, "AT_ONCE", 2000)
    for rows, size in ((10_000, 8 << 20), (70, 8 << 20), (10_000, 9000)):
        monkeypatch.setattr(batches, "BATCH_ROWS", rows)
        monkeypatch.setattr(batches, "BATCH_BYTES", size)
        shard = read(path)
        assert shard == each_for_itself(path) and (len(shard.sizes) == 1) == (rows * size > 10_000 * (1 << 20))


def test_a_file_of_many_kinds_of_headers(tmp_path: Path) -> None:
    kinds = [record(i, b"text", **{f"X_{kind}": "x"}) for kind in range(10) for i in range(9)]
    path = packed(tmp_path, kinds * 2)
    assert read(path) == each_for_itself(path)
    assert read_for_themselves(path) == warc.LAYOUTS + 2 * 9 * (10 - warc.LAYOUTS)


def test_nothing_is_kept_of_long_headers() -> None:
    long = GOOD[0].replace(b"WARC-Date", b"".join(b"X-%d: \r\n" % i for i in range(9000)) + b"WARC-Date")
    header = long.partition(RECORD_END)[0] + RECORD_END
    known, before = KnownHeaders(), records._known_lower.cache_info().currsize
    known.learn(header)
    assert parse_header(header)["x-8999"] == "" and len(known) == 0
    assert records._known_lower.cache_info().currsize == before


def test_few_that_are_alike_are_read_one_by_one(tmp_path: Path) -> None:
    other = record(7, b"text", "metadata")
    few, many = [*GOOD[: warc.FEW - 1], other], [*GOOD[: warc.FEW], other]
    path = packed(tmp_path, [*few * 3, *many * 2])
    assert read(path) == each_for_itself(path)
    assert read_for_themselves(path) == 3 * (warc.FEW - 1)


def test_frames_without_a_header_are_searched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    class Counting:
        def search(self, buffer: bytearray, at: int) -> object:
            match = pattern.search(buffer, at)
            searched.append((match.end() if match else len(buffer)) - at)
            return match

    pattern = warc._HEADER_END
    monkeypatch.setattr(warc, "_HEADER_END", Counting())
    broken = [b"WARC/1.0 broken"] * 2000
    shard = read(packed(tmp_path, [*GOOD, *broken, *GOOD]))
    assert shard.rejected == {"bad_record": 2000} and len(shard.documents) == 2 * len(GOOD)
    assert sum(searched) < 200_000


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_a_file_holds(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    some = st.one_of(*[st.sampled_from(GOOD)] * 4, st.sampled_from(sorted(ODD.values(), key=len)[:-2]))
    pack = PACKERS[data.draw(st.sampled_from(sorted(PACKERS)))]
    content = bytearray(b"".join(map(pack, data.draw(st.lists(some, min_size=1, max_size=60)))))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, max(len(content) - 1, 0)))
        match data.draw(st.sampled_from(["flip", "cut", "drop", "insert"])):
            case "flip":
                content[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del content[at:]
            case "drop":
                del content[at : at + data.draw(st.integers(1, 2000))]
            case _:
                content[at:at] = data.draw(st.one_of(st.binary(max_size=200), st.just(pack(GOOD[3]))))
    path = write(tmp_path_factory.mktemp("any"), "a.warc", bytes(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "AT_ONCE", data.draw(st.sampled_from([1, 500, 5000, 1 << 20])))
        patch.setattr(batches, "BATCH_ROWS", data.draw(st.sampled_from([7, 10_000])))
        patch.setattr(batches, "BATCH_BYTES", data.draw(st.sampled_from([1000, 8 << 20])))
        assert read(path) == each_for_itself(path)


@pytest.mark.parametrize("odd", [b"WARC/", b"WARC/1.1 x\r\nWARC-Date: 1\r\n\r\n"])
def test_reading_ends_though_frames_begin_as_records_and_are_none(tmp_path: Path, odd: bytes) -> None:
    bad = record(9, b"text", length="what")
    path = packed(tmp_path, [*GOOD, bad, odd, *GOOD, bad, odd])
    assert read(path) == each_for_itself(path) and len(read(path).documents) == 2 * len(GOOD)
