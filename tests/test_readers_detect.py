"""Formats by content, names only as a hint; what is no shard is said to be none."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import gzipped, read, record, write, zstd

from pipeline.readers import Format, detect_format, is_shard

JSONL = b'{"text": "a"}\n' * 3
WARC = record(1, b"text")
BUFFER = io.BytesIO()
pq.write_table(pa.table({"text": ["a"]}), BUFFER)
PARQUET = BUFFER.getvalue()


@pytest.mark.parametrize("name", ["shard", "shard.bin", "shard.warc.gz", "shard.jsonl", "shard.parquet"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (JSONL, Format.JSONL),
        (gzipped(JSONL), Format.JSONL),
        (zstd(JSONL), Format.JSONL),
        (bz2.compress(JSONL), Format.JSONL),
        (lzma.compress(JSONL), Format.JSONL),
        (b"\xef\xbb\xbf\n " + JSONL, Format.JSONL),
        (WARC, Format.WARC),
        (gzipped(WARC), Format.WARC),
        (zstd(WARC), Format.WARC),
        (PARQUET, Format.PARQUET),
        (PARQUET[:40], Format.PARQUET),
        (b"filedesc://x.arc 0.0.0.0 20100101 text/plain 70\n1 0 x\n", Format.ARC),
        (b"\x7fELF" + bytes(500), Format.UNKNOWN),
        (gzipped(bytes(5000)), Format.UNKNOWN),
        (b'[{"text": "a"}]', Format.UNKNOWN),
        (b'{\n  "text": "a"\n}', Format.UNKNOWN),
        (b'{\r\n  "text": "a"\n}', Format.UNKNOWN),
    ],
)
def test_by_content(tmp_path: Path, name: str, content: bytes, expected: Format) -> None:
    assert detect_format(str(write(tmp_path, name, content))) == expected


@pytest.mark.parametrize("pack", [bytes, gzipped, zstd])
@pytest.mark.parametrize("content", [JSONL, WARC])
def test_archives_are_no_lines_with_some_garbage_in_front(
    tmp_path: Path, pack: Callable[[bytes], bytes], content: bytes
) -> None:
    """They can hold their members as they are."""
    zipped, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.jsonl", content)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    for archived in (zipped, tarred):
        shard = read(write(tmp_path, "a.jsonl", pack(archived.getvalue())))
        assert shard.documents == [] and shard.rejected == {"unknown_format": 1}
        assert "unpack it" in shard.tally.examples[0].detail


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", b"torn line}\n" + JSONL, Format.JSONL),
        ("a.jsonl", b"\xff\xfe" + JSONL, Format.JSONL),
        ("a.jsonl", b"\xff\xfe" + JSONL.decode().encode("utf-16-le"), Format.UNKNOWN),
        ("a.warc", b"rubbish\n" + WARC, Format.WARC),
        ("a.warc.gz", gzipped(WARC)[:15] + b"\xff" * 20 + gzipped(WARC), Format.WARC),
        ("a.jsonl.gz", gzipped(JSONL)[:14], Format.JSONL),
        ("a.txt", b"plain text\n", Format.UNKNOWN),
        ("a.warc.gz", b"<html>error</html>", Format.UNKNOWN),
        ("a.jsonl", "é".encode() * 40_000, Format.JSONL),
        ("a.jsonl", b"x" + "é".encode() * 40_000, Format.JSONL),
    ],
)
def test_names_help_where_content_says_nothing(tmp_path: Path, name: str, content: bytes, expected: Format) -> None:
    assert detect_format(str(write(tmp_path, name, content))) == expected


FIRST_LINES = {
    b"[1,2]": "not_an_object",
    b"[]": "not_an_object",
    b"12": "not_an_object",
    b"{": "bad_json",
    b"[": "bad_json",
    b'{"text": "torn': "bad_json",
    b'{"text": "torn",': "bad_json",
    b'["torn",': "bad_json",
    b"caf\xe9 in Latin-1": "not_utf8",
    b'{"text": "caf\xe9"}': "not_utf8",
    b"\xff\xfe": "not_utf8",
    b"\0" * 70_000: "bad_json",
    b"rubbish " * 20_000: "bad_json",
    b"[" + b"1," * 100_000 + b"1]": "not_an_object",
    b"\xe9" * 1_500_000: "not_utf8",
    b"\x93NUMPY": "not_utf8",
}


@pytest.mark.parametrize("name", ["a.jsonl", "a.json.gz", "a", "a.warc"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("first", "reason"), FIRST_LINES.items(), ids=[repr(line[:12]) for line in FIRST_LINES])
def test_a_bad_first_line_costs_itself(tmp_path: Path, name: str, count: int, first: bytes, reason: str) -> None:
    content = b"\n" + (first + b"\n") * count + b"\n" + JSONL
    shard = read(write(tmp_path, name, gzipped(content) if name.endswith("gz") else content))
    assert shard.texts == ["a"] * 3
    assert shard.rejected == {reason: count}
    assert [(e.row, e.offset) for e in shard.tally.examples] == [(i, 1 + i * (len(first) + 1)) for i in range(count)]
    assert [d["row"] for d in shard.documents] == [count, count + 1, count + 2]


ONE_VALUE = [
    [{"text": "a"}, {"text": "b"}],
    [{"text": "a"}],
    {"text": "a", "meta": {"n": [1, {"text": "inside"}]}},
    [{"text": f"many {i}"} for i in range(9_000)],
]


@pytest.mark.parametrize("value", ONE_VALUE, ids=["two", "one", "object", "many"])
@pytest.mark.parametrize("indent", [0, 1, 4])
def test_one_value_over_several_lines_is_no_jsonl(tmp_path: Path, value: object, indent: int) -> None:
    content = json.dumps(value, indent=indent).encode()
    for layout in (content, content + b"\n", b"\xef\xbb\xbf\n" + content.replace(b"\n", b"\r\n")):
        shard = read(write(tmp_path, "a.json", layout))
        assert shard.rejected == {"unknown_format": 1} and not shard.tally.complete
        assert "one object a line" in shard.tally.examples[0].detail or "one a line" in shard.tally.examples[0].detail


def test_an_array_with_one_object_a_line_is_no_jsonl(tmp_path: Path) -> None:
    rows = [b'{"text": "%d"}' % i for i in range(9_000)]
    for content in (b"[\n" + b",\n".join(rows) + b"\n]\n", b"[" + b"\n,".join(rows) + b"]", b"[\n%s\n]" % rows[0]):
        assert "array" in read(write(tmp_path, "a.jsonl", content)).tally.examples[0].detail


def test_a_small_array_on_the_only_line_is_no_jsonl(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.jsonl", b'[{"text": "a"}]\n')).rejected == {"unknown_format": 1}


def test_lines_that_end_with_a_carriage_return(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.jsonl", JSONL.replace(b"\n", b"\r"))).texts == ["a"] * 3
    shard = read(write(tmp_path, "a.jsonl", (b"rubbish\n" + JSONL).replace(b"\n", b"\r")))
    assert shard.texts == ["a"] * 3 and shard.rejected == {"bad_json": 1}


@pytest.mark.parametrize("name", ["a.warc", "a", "a.jsonl"])
@pytest.mark.parametrize("size", [10, 100_000])
def test_garbage_in_front_of_a_warc_costs_itself(tmp_path: Path, name: str, size: int) -> None:
    shard = read(write(tmp_path, name, b"\0\xffrubbish\n" * (size // 10) + WARC * 2))
    assert shard.texts == ["text", "text"] and shard.rejected == {"garbage": 1}


def test_a_damaged_first_frame_does_not_hide_the_format(tmp_path: Path) -> None:
    damaged = gzipped(JSONL)[:20] + b"\xff" * 50
    shard = read(write(tmp_path, "a", damaged + gzipped(JSONL)))
    assert shard.texts == ["a"] * 3 and shard.rejected == {"corrupt_stream": 1} and not shard.tally.complete


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.warc.gz", "a.parquet", "a.jsonl", "a"])
def test_garbage_is_one_rejection(tmp_path: Path, name: str) -> None:
    shard = read(write(tmp_path, name, bytes(range(256)) * 5000))
    assert shard.documents == [] and shard.rejected == {"unknown_format": 1} and not shard.tally.complete


def test_hints_say_what_to_do(tmp_path: Path) -> None:
    for content, hint in ((b'[{"text": "a"}]', "JSON array"), (b'{\n"text": "a"}', "several lines")):
        shard = read(write(tmp_path, "a.json", content))
        assert shard.rejected == {"unknown_format": 1} and hint in shard.tally.examples[0].detail


@pytest.mark.parametrize(
    ("name", "rejected"),
    [
        ("a.jsonl", {}), ("a.warc", {}), ("a.jsonl.gz", {"unknown_format": 1}), ("a.warc.gz", {"unknown_format": 1}),
        ("a.jsonl.zst", {"unknown_format": 1}), ("a.parquet", {"torn_footer": 1}), ("a", {"unknown_format": 1}),
    ],
)  # fmt: skip
def test_zero_bytes(tmp_path: Path, name: str, rejected: dict[str, int]) -> None:
    shard = read(write(tmp_path, name, b""))
    assert shard.documents == [] and shard.rejected == rejected and shard.tally.complete == (not rejected)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.warc.gz", "a.jsonl.zst"])
def test_a_compressed_file_of_nothing_is_an_empty_shard(tmp_path: Path, name: str) -> None:
    shard = read(write(tmp_path, name, (zstd if "zst" in name else gzipped)(b"")))
    assert shard.documents == [] and shard.rejected == {} and shard.tally.complete


def test_names_of_shards() -> None:
    for name in ("a.warc", "a.WARC.gz", "b.warc.wet.gz", "a.jsonl", "x.json.zst", "a.ndjson.xz", "train-00000.parquet"):
        assert is_shard(f"s3://bucket/folder/{name}"), name
    for name in ("README.md", "_SUCCESS", ".a.jsonl.crc", "a.jsonl.sha256", "a.png", "dataset_info.json",
                 "a.parquet.crc", "wet.paths.gz", "data", "a.idx"):  # fmt: skip
        assert not is_shard(f"folder/{name}"), name


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"no-such-file\.warc"):
        detect_format("no-such-file.warc")
