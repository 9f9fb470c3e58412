"""WARC and WET: documents as they stand, everything else accounted for, and files broken at every kind of place."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import gzipped, http, page, read, record, shared, write, zstd

TEXTS = [f"Page {i}. " + " ".join(f"word{(i * 37 + k) % 91}" for k in range(60 + 40 * i)) for i in range(6)]
RECORDS = [record(i, text.encode()) for i, text in enumerate(TEXTS)]
IDS = [f"<urn:uuid:{i}>" for i in range(6)]
PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzipped, ".zst": zstd, "": bytes}


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("members", ["each", "all", "blocks"])
def test_wet_in_every_packing(tmp_path: Path, ending: str, members: str) -> None:
    whole = b"".join(RECORDS)
    blocks = [whole[at : at + 700] for at in range(0, len(whole), 700)]
    parts = {"each": RECORDS, "all": [whole], "blocks": blocks}[members]
    shard = read(write(tmp_path, f"a.warc.wet{ending}", b"".join(map(PACKERS[ending], parts))))
    assert shard.texts == TEXTS
    assert shard.ids == IDS
    assert shard.rejected == {} and shard.tally.complete
    assert shard.documents[2] == {
        "id": IDS[2], "text": TEXTS[2], "url": "https://site2.example/page", "date": "2024-05-06T07:08:09Z",
        "source": None, "lang": None, "row": 2,
    }  # fmt: skip


def test_wet_language_and_other_records(tmp_path: Path) -> None:
    content = b"".join([
        record(0, b"software: a test", "warcinfo"),
        record(1, "Blåbær".encode(), WARC_Identified_Content_Language="nor"),
        record(2, b"GET / HTTP/1.1\r\n\r\n", "request"),
        record(3, b"{}", "metadata"),
        record(4, b"", "revisit"),
        record(5, b"?", "unheard-of"),
        record(6, b"last"),
    ])  # fmt: skip
    shard = read(write(tmp_path, "a.warc", content))
    assert [(d["text"], d["lang"], d["row"]) for d in shard.documents] == [("Blåbær", "nor", 0), ("last", None, 1)]
    assert shard.tally.other_records == 5


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("version", [b"WARC/0.17", b"WARC/0.18", b"WARC/1.0", b"WARC/1.1"])
def test_header_variants(tmp_path: Path, newline: bytes, version: bytes) -> None:
    head = newline.join([
        version, b"warc-type: Conversion", b"WARC-RECORD-ID:<urn:x>", b"WARC-Target-URI: <http://a.example/>",
        b"folded: a", b" b: c", b"content-length:   5  ", b"", b"",
    ])  # fmt: skip
    shard = read(write(tmp_path, "a.warc", (head + b"hello" + newline * 2) * 3))
    assert shard.texts == ["hello"] * 3 and shard.rejected == {}
    assert shard.documents[0]["url"] == "http://a.example/"


def responses(tmp_path: Path, *blocks: bytes, **headers: str) -> Path:
    return write(
        tmp_path, "a.warc.gz", b"".join(gzipped(record(i, b, "response", **headers)) for i, b in enumerate(blocks))
    )


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (http(page("text").encode(), status="404 Not Found"), "http_status"),
        (http(b"", status="301 Moved", Location="/x"), "http_status"),
        (http(b"\x89PNG", Content_Type="image/png"), "media_type"),
        (http(b"{}", Content_Type="application/json"), "media_type"),
        (http(b"%PDF-1.4\n\0\x01\x02", Content_Type="text/plain"), "media_type"),
        (http(b"<html><body><img src=a></body></html>"), "empty_text"),
        (http(b""), "empty_text"),
        (page("no status line").encode(), "bad_http"),
        (b"", "bad_http"),
        (http(b"<div>" * 50_000 + b"bomb"), "too_complex"),
        (http(gzip.compress(b"<p>bomb</p>" * 3_000_000), Content_Encoding="gzip"), "too_large"),
        (http(gzipped(b"x" * 5000)[:-1500] + b"\0" * 99, Content_Encoding="br"), "bad_http"),
    ],
)
def test_responses_that_are_no_documents(tmp_path: Path, block: bytes, reason: str) -> None:
    good = http(page("A good page stands beside it.").encode())
    shard = read(responses(tmp_path, good, block, good))
    assert shard.rejected == {reason: 1}
    assert [d["row"] for d in shard.documents] == [0, 2]
    assert shard.tally.complete
    assert shard.tally.examples[0].offset == len(gzipped(record(0, good, "response")))


CHUNKED = b"10\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzipped,
    "deflate": zlib.compress,
    "deflate;raw": lambda data: zlib.compress(data)[2:-4],
    "x-gzip": gzipped,
    "GZIP": gzipped,
    "zstd": zstd,
    "br": brotli.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("decoded_already", [False, True])
def test_http_encodings(tmp_path: Path, encoding: str, chunked: bool, decoded_already: bool) -> None:
    body = page("Grüße aus der Maschine, die sich nicht abschalten lässt.").encode()
    headers = {"Content-Encoding": encoding.partition(";")[0]}
    packed = body if decoded_already else ENCODINGS[encoding](body)
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        if not decoded_already:
            packed = CHUNKED % (packed[:16], len(packed) - 16, packed[16:])
    shard = read(responses(tmp_path, http(packed, **headers)))
    assert shard.texts == ["Grüße aus der Maschine, die sich nicht abschalten lässt."]


def test_plain_text_and_resources(tmp_path: Path) -> None:
    content = b"".join([
        record(0, http("naïve".encode("latin-1"), Content_Type="text/plain; charset=ISO-8859-1"), "response"),
        record(1, page("A resource").encode(), "resource", Content_Type="text/html"),
        record(2, b"1 2", "response", Content_Type="text/dns"),
        record(3, b"broken \xff utf-8"),
        record(4, http(page("typeless").encode(), Content_Type=""), "response"),
    ])  # fmt: skip
    shard = read(write(tmp_path, "a.warc", content))
    assert shard.texts == ["naïve", "A resource", "broken \ufffd utf-8", "typeless"]
    assert shard.rejected == {"media_type": 1}


def cuts() -> list[tuple[str, int]]:
    """Kinds of places inside the fourth of six members, as offsets into the file."""
    start = sum(len(gzipped(r)) for r in RECORDS[:3])
    size = len(gzipped(RECORDS[3]))
    return [
        ("magic", start + 1), ("header", start + 8), ("first bytes", start + 14), ("middle", start + size // 2),
        ("before trailer", start + size - 8), ("in trailer", start + size - 3),
    ]  # fmt: skip


@pytest.mark.parametrize(("place", "at"), cuts())
def test_gzip_cut_short(tmp_path: Path, place: str, at: int) -> None:
    content = b"".join(map(gzipped, RECORDS))[:at]
    shard = read(write(tmp_path, "a.warc.gz", content))
    whole = 4 if place in ("before trailer", "in trailer") else 3
    assert shard.texts == TEXTS[:whole]
    assert shard.rejected == {"truncated_stream": 1}
    assert not shard.tally.complete
    example = shard.tally.examples[0]
    assert example.offset == sum(len(gzipped(r)) for r in RECORDS[:3]) and str(at) in example.detail


def test_gzip_cut_between_members_is_a_smaller_whole_file(tmp_path: Path) -> None:
    shard = read(write(tmp_path, "a.warc.gz", b"".join(map(gzipped, RECORDS[:3]))))
    assert len(shard.texts) == 3 and shard.rejected == {} and shard.tally.complete


@pytest.mark.parametrize("packing", ["zstd", "plain"])
@pytest.mark.parametrize("place", ["header", "block"])
def test_other_packings_cut_short(tmp_path: Path, packing: str, place: str) -> None:
    pack = PACKERS[".zst" if packing == "zstd" else ""]
    start = sum(len(pack(r)) for r in RECORDS[:3])
    at = start + (20 if place == "header" else len(pack(RECORDS[3])) - 30)
    shard = read(write(tmp_path, "a.warc", b"".join(map(pack, RECORDS))[:at]))
    assert shard.texts == TEXTS[:3]
    assert shard.rejected == {"truncated_stream" if packing == "zstd" else "truncated_record": 1}
    assert not shard.tally.complete
    assert shard.tally.examples[0].offset == start


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("seed", range(30))
def test_a_flipped_byte_costs_one_record(tmp_path: Path, ending: str, seed: int) -> None:
    pack = PACKERS[ending]
    start = sum(len(pack(r)) for r in RECORDS[:3])
    at = start + random.Random(seed).randrange(12, len(pack(RECORDS[3])) - 10)
    content = bytearray(b"".join(map(pack, RECORDS)))
    content[at] ^= 0x55
    shard = read(write(tmp_path, f"a.warc{ending}", bytes(content)))
    assert shard.texts == TEXTS[:3] + TEXTS[4:]
    assert [d["row"] for d in shard.documents] == [0, 1, 2, 4, 5]
    assert shard.rejected == {"corrupt_stream": 1}
    assert shard.tally.complete
    assert shard.tally.examples[0].offset == start


def test_a_wrong_checksum_costs_its_record(tmp_path: Path) -> None:
    members = list(map(gzipped, RECORDS))
    members[3] = members[3][:-8] + b"abcd" + members[3][-4:]
    shard = read(write(tmp_path, "a.warc.gz", b"".join(members)))
    assert shard.texts == TEXTS[:3] + TEXTS[4:]
    assert shard.rejected == {"corrupt_stream": 1}


def test_garbage_between_members(tmp_path: Path) -> None:
    members = list(map(gzipped, RECORDS))
    shard = read(write(tmp_path, "a.warc.gz", b"".join([*members[:2], b"rubbish" * 50, *members[2:]])))
    assert shard.texts == TEXTS and shard.rejected == {"garbage": 1} and shard.tally.complete


def test_zeros_after_members_are_padding(tmp_path: Path) -> None:
    shard = read(write(tmp_path, "a.warc.gz", b"".join(map(gzipped, RECORDS)) + bytes(100_000)))
    assert shard.texts == TEXTS and shard.rejected == {}


def test_garbage_between_records(tmp_path: Path) -> None:
    content = b"".join([*RECORDS[:2], b"\x00rubbish" * 50, *RECORDS[2:]])
    shard = read(write(tmp_path, "a.warc", content))
    assert shard.texts == TEXTS and shard.rejected == {"garbage": 1} and shard.tally.complete
    assert shard.tally.examples[0].offset == len(b"".join(RECORDS[:2]))


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("length", [50, 129, 131, 400, 10**7, 10**12, "abc", "", "-5", "12 34"])
def test_a_wrong_content_length_costs_one_record(tmp_path: Path, ending: str, length: object) -> None:
    block = b"a line of twelve " * 8
    bad = record(9, block, length=length)
    parts = [*RECORDS[:2], bad, *RECORDS[2:]]
    shard = read(write(tmp_path, f"a.warc{ending}", b"".join(map(PACKERS[ending], parts))))
    if length == 10**12 and not ending:
        assert shard.texts == TEXTS[:2] and not shard.tally.complete
        return
    assert shard.texts == TEXTS
    assert len(shard.rejected) == 1 and shard.tally.read == 7
    assert [d["row"] for d in shard.documents] == [0, 1, 3, 4, 5, 6]
    assert shard.tally.complete


@pytest.mark.parametrize("ending", PACKERS)
def test_a_record_without_a_type_is_rejected(tmp_path: Path, ending: str) -> None:
    parts = [RECORDS[0], RECORDS[1].replace(b"WARC-Type:", b"X-Type:"), RECORDS[2]]
    shard = read(write(tmp_path, f"a.warc{ending}", b"".join(map(PACKERS[ending], parts))))
    assert shard.texts == [TEXTS[0], TEXTS[2]] and shard.rejected == {"bad_record": 1}
    assert shard.tally.other_records == 0 and shard.tally.complete


def test_a_record_without_an_id_gets_one_of_its_content(tmp_path: Path) -> None:
    raw = RECORDS[0].replace(b"WARC-Record-ID", b"X-Other-ID")
    first, second = read(write(tmp_path, "a.warc", raw + raw.replace(b"site0", b"site7"))).ids
    assert first.startswith("sha256:") and len(first) == len("sha256:") + 32 and first != second


def test_a_damaged_member_of_many_records_is_not_complete(tmp_path: Path) -> None:
    members = [gzipped(b"".join(RECORDS[:3])), gzipped(b"".join(RECORDS[3:5])), gzipped(RECORDS[5])]
    content = bytearray(b"".join(members))
    content[len(members[0]) + 60] ^= 0xFF
    shard = read(write(tmp_path, "a.warc.gz", bytes(content)))
    assert shard.texts[:3] == TEXTS[:3] and shard.texts[-1] == TEXTS[5]
    assert shard.rejected == {"corrupt_stream": 1} and not shard.tally.complete
    assert shard.tally.doubtful == 0


@pytest.mark.parametrize("pack", [gzipped, zstd])
def test_what_came_out_of_a_stream_with_a_wrong_checksum_is_doubtful(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """One frame for many records, longer than a step of reading; where each has its own, only whole ones are read."""
    texts = [random.Random(k).randbytes(2000).hex() for k in range(400)]
    one = bytearray(pack(b"".join(record(k, text.encode()) for k, text in enumerate(texts))))
    one[-3] ^= 1
    shard = read(write(tmp_path, "a.warc", pack(RECORDS[0]) + one + pack(RECORDS[1])))
    assert shard.texts == [TEXTS[0], *texts[: len(shard.texts) - 2], TEXTS[1]] and len(shard.texts) > 360
    assert shard.rejected == {"corrupt_stream": 1} and not shard.tally.complete
    assert shard.tally.doubtful == len(shard.texts) - 2
    assert f"{shard.tally.doubtful} documents were read from it" in shard.tally.examples[0].detail
    members = [bytearray(pack(each)) for each in RECORDS]
    members[3][-5] ^= 1
    shard = read(write(tmp_path, "a.warc", b"".join(members)))
    assert shard.texts == TEXTS[:3] + TEXTS[4:] and shard.tally.doubtful == 0


def test_zstd_with_a_dictionary_frame(tmp_path: Path) -> None:
    samples = [record(i, TEXTS[i % 6].encode() + str(i).encode() * 20) for i in range(300)]
    trained = zstandard.train_dictionary(2000, samples)
    compressor = zstandard.ZstdCompressor(dict_data=trained)
    for dictionary in (trained.as_bytes(), zstd(trained.as_bytes())):
        first = b"\x5d\x2a\x4d\x18" + len(dictionary).to_bytes(4, "little") + dictionary
        shard = read(write(tmp_path, "a.warc.zst", first + b"".join(map(compressor.compress, RECORDS))))
        assert shard.texts == TEXTS and shard.rejected == {}


def test_too_large_is_said_without_holding_it(tmp_path: Path) -> None:
    large = record(1, b"large " * 2_000_000)
    video = record(2, http(bytes(80 << 20), Content_Type="video/mp4"), "response")
    html = record(3, http(b"<p>x" * (18 << 20)), "response")
    records = (RECORDS[0], large, video, html, RECORDS[5])
    path = write(tmp_path, "a.warc.gz", b"".join(gzip.compress(r, 1) for r in records))
    del records, large, video, html
    tracemalloc.start()
    shard = read(path, max_document_bytes=1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert shard.rejected == {"too_large": 2, "media_type": 1}
    assert [d["row"] for d in shard.documents] == [0, 4]
    assert peak < 32 << 20


def test_batches_are_bounded_and_large_documents_alone(tmp_path: Path) -> None:
    sizes = [3 << 20, 3 << 20, 3 << 20, 20 << 20, 10, 10]
    content = b"".join(record(i, b"x" * size) for i, size in enumerate(sizes))
    assert read(write(tmp_path, "a.warc", content)).sizes == [2, 1, 1, 2]
    assert read(write(tmp_path, "b.warc", RECORDS[0] * 25_000)).sizes == [10_000, 10_000, 5_000]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_broken_the_accounting_holds(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    pack = PACKERS[data.draw(st.sampled_from(sorted(PACKERS)))]
    content = bytearray(b"".join(map(pack, RECORDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "drop", "insert"])):
            case "flip":
                content[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del content[max(at, 10) :]
            case "drop":
                del content[max(at, 10) : max(at, 10) + data.draw(st.integers(1, 2000))]
            case _:
                content[at:at] = data.draw(st.binary(max_size=200))
    shard = read(write(tmp_path_factory.mktemp("broken"), "a.warc", bytes(content)))
    assert shard.tally.read <= 60


def test_real_files() -> None:
    whole = read(shared("shards", "warcfile.warc.gz"))
    assert (len(whole.documents), whole.tally.other_records, whole.rejected) == (16, 34, {})
    assert all(text.strip() and "\ufffd" not in text for text in whole.texts)
    quirks = read(shared("shards", "clueweb-quirk.warc.gz"))
    assert (len(quirks.documents), quirks.tally.other_records, quirks.rejected) == (29, 1, {})
    assert all("吉田カバン" in text for text in quirks.texts[:5])
    clipped = read(shared("shards", "clipped.warc.gz"))
    assert clipped.documents == [] and clipped.rejected == {"truncated_stream": 1} and not clipped.tally.complete
    blocks = read(shared("shards", "block-sized-records.warc.gz"))
    assert (blocks.documents, blocks.tally.other_records, blocks.tally.read) == ([], 3, 0)
