"""JSON lines: every packing, odd lines by reason and offset, columns named and guessed, long lines, torn files."""

from __future__ import annotations

import bz2
import hashlib
import json
import lzma
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import gzipped, read, shared, write, zstd

from pipeline.accounting import Tally
from pipeline.readers import ColumnError, long_strings
from pipeline.readers.json_values import loads
from pipeline.readers.jsonl import read_jsonl, split_lines
from pipeline.readers.streams import Damage, Piece
from pipeline.tasks import ReadOptions

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzipped, ".zst": zstd, ".bz2": bz2.compress, ".xz": lzma.compress,
}  # fmt: skip
ROWS = [{"id": f"doc-{i}", "text": f"Text {i} " + "çà et là " * (i * 7 % 50)} for i in range(200)]


def lines(*values: Any) -> bytes:
    return b"".join(v + b"\n" if isinstance(v, bytes) else json.dumps(v).encode() + b"\n" for v in values)


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("frames", [1, 3])
def test_every_packing(tmp_path: Path, ending: str, frames: int) -> None:
    whole = lines(*ROWS)
    step = len(whole) // frames + 1
    packed = b"".join(PACKERS[ending](whole[at : at + step]) for at in range(0, len(whole), step))
    shard = read(write(tmp_path, f"a.jsonl{ending}", packed))
    assert shard.texts == [row["text"] for row in ROWS]
    assert shard.ids == [row["id"] for row in ROWS]
    assert shard.rejected == {} and shard.tally.complete


ODD = {
    b'{"text": ': "bad_json",
    b"{'text': 'single quotes'}": "bad_json",
    b'{"text": "two"} {"text": "objects"}': "bad_json",
    b"not json": "bad_json",
    b"[" * 100_000: "bad_json",
    b'["text"]': "not_an_object",
    b'"text"': "not_an_object",
    b"12": "not_an_object",
    b"null": "not_an_object",
    b'{"id": "x"}': "null_text",
    b'{"text": null}': "null_text",
    b"{}": "null_text",
    b'{"text": 12}': "wrong_type",
    b'{"text": ["a"]}': "wrong_type",
    b'{"text": {"text": "a"}}': "wrong_type",
    b'{"text": "\xff\xfe"}': "not_utf8",
    b'{"text": "\xed\xa0\x80"}': "not_utf8",
}


@pytest.mark.parametrize(("odd", "reason"), ODD.items(), ids=[line[:20].decode("latin-1") for line in ODD])
def test_odd_lines_are_rejected_where_they_stand(tmp_path: Path, odd: bytes, reason: str) -> None:
    content = lines({"text": "first", "id": "é"}, odd, {"text": "last"})
    shard = read(write(tmp_path, "a.jsonl.gz", gzipped(content)))
    assert shard.texts == ["first", "last"]
    assert [d["row"] for d in shard.documents] == [0, 2]
    assert shard.rejected == {reason: 1} and shard.tally.complete
    example = shard.tally.examples[0]
    assert (example.row, example.offset) == (1, content.index(b"\n" + odd) + 1) and example.detail


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (rb'{"text": "a\ud800b", "n": NaN}', "a\ufffdb"),
        (rb'{"text": "\ud83d\ude00 \ude00\ud83d"}', "\U0001f600 \ufffd\ufffd"),
        (rb'{"text": "nul \u0000 in it"}', "nul \0 in it"),
        (b'{"text": "inf", "x": -Infinity, "y": 1e999}', "inf"),
        (b'\t {"text": "spaces around"} \r', "spaces around"),
        (b'{"text": ""}', ""),
        (b'{"text": "first", "text": "last wins"}', "last wins"),
        (
            '{"text": "line\u2028separator\x0b\u0085"}'.replace("\x0b", "\\u000b").encode(),
            "line\u2028separator\x0b\x85",
        ),
    ],
)
def test_lines_that_are_read_all_the_same(tmp_path: Path, line: bytes, text: str) -> None:
    shard = read(write(tmp_path, "a.jsonl", lines(line, {"text": "other"})))
    assert shard.texts == [text, "other"] and shard.rejected == {}


def test_blank_lines_bom_and_a_last_line_without_newline(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"text": "a"}\r\n\r\n  \n\n{"text": "b"}\n\t\n{"text": "c"}'
    shard = read(write(tmp_path, "a.jsonl", content))
    assert shard.texts == ["a", "b", "c"] and shard.tally.read == 3 and shard.tally.complete


def test_a_torn_last_line(tmp_path: Path) -> None:
    shard = read(write(tmp_path, "a.jsonl", lines(*ROWS)[:-9]))
    assert len(shard.texts) == 199 and shard.rejected == {"bad_json": 1} and not shard.tally.complete


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.9, -3])
def test_a_truncated_stream(tmp_path: Path, ending: str, keep: float) -> None:
    packed = PACKERS[ending](lines(*ROWS))
    at = len(packed) + int(keep) if keep < 0 else max(int(len(packed) * keep), 8)
    shard = read(write(tmp_path, f"a.jsonl{ending}", packed[:at]))
    assert shard.texts == [row["text"] for row in ROWS][: len(shard.texts)]
    assert shard.rejected == {"truncated_stream": 1} and not shard.tally.complete
    assert shard.tally.examples[0].offset == at


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_damaged_frame_among_others(tmp_path: Path, ending: str) -> None:
    frames = [PACKERS[ending](lines(*ROWS[i : i + 20])) for i in range(0, 200, 20)]
    broken = bytearray(frames[4])
    broken[len(broken) // 2 :] = b"\xff" * len(broken[len(broken) // 2 :])
    frames[4] = bytes(broken)
    shard = read(write(tmp_path, f"a.jsonl{ending}", b"".join(frames)))
    assert shard.texts[:80] == [row["text"] for row in ROWS[:80]]
    assert shard.texts[-100:] == [row["text"] for row in ROWS[100:]]
    assert shard.rejected == {"corrupt_stream": 1} and not shard.tally.complete
    assert shard.tally.doubtful == 0


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_what_a_damaged_stream_gave_before_is_doubtful(tmp_path: Path, ending: str) -> None:
    """A letter that is another: lines of JSON all the same, and only the checksum at the end tells."""
    rows = [{"text": random.Random(k).randbytes(2000).hex()} for k in range(400)]
    garbled = bytearray(PACKERS[ending](lines(*rows)))
    garbled[len(garbled) // 2] ^= 1
    first, last = PACKERS[ending](lines(*ROWS[:20])), PACKERS[ending](lines(*ROWS[20:]))
    shard = read(write(tmp_path, f"a.jsonl{ending}", first + garbled + last))
    texts, between = [row["text"] for row in ROWS], shard.texts[20 : 20 - len(ROWS)]
    assert shard.texts[:20] == texts[:20] and shard.texts[-len(texts) + 20 :] == texts[20:]
    assert len(between) > 200 and not {row["text"] for row in rows} >= set(between)  # garbled, and no one could tell
    assert shard.rejected["corrupt_stream"] == 1 and not shard.tally.complete
    assert shard.tally.doubtful == len(between)
    assert any(f"{len(between)} documents were read from it" in one.detail for one in shard.tally.examples)


def test_ids_are_kept_as_given_or_made_of_url_and_text(tmp_path: Path) -> None:
    big = b'{"id": 123456789012345678901234567890, "text": "big"}'
    content = lines({"id": 7, "text": "a"}, big, b'{"id": 1.50, "text": "f"}', {"id": "", "text": "e"},
                    {"url": "http://a.example", "text": "made"}, {"id": None, "text": "made"})  # fmt: skip
    ids = read(write(tmp_path, "a.jsonl", content)).ids
    assert ids[:4] == ["7", "123456789012345678901234567890", "1.50", ""]
    assert ids[4] == "sha256:" + hashlib.sha256(b"http://a.example\nmade").hexdigest()[:32]
    assert ids[5] == "sha256:" + hashlib.sha256(b"\nmade").hexdigest()[:32]


def test_columns_are_guessed(tmp_path: Path) -> None:
    content = lines({
        "raw_content": "the text", "doc_id": 3, "metadata": {"url": "http://u.example", "date": "2024"},
        "source": "a crawl", "language": "en", "timestamp": 1700000000,
    })  # fmt: skip
    assert read(write(tmp_path, "a.jsonl", content)).documents == [{
        "id": "3", "text": "the text", "url": "http://u.example", "date": "1700000000", "source": "a crawl",
        "lang": "en", "row": 0,
    }]  # fmt: skip


def test_columns_are_named(tmp_path: Path) -> None:
    content = lines({"text": "no", "a": {"b": {"c": "yes"}}, "k.v": "dotted", "x": "http://x.example"}, {"text": "no"})
    named = {"text_column": "a.b.c", "id_column": "k.v", "url_column": "x"}
    shard = read(write(tmp_path, "a.jsonl", content), **named)
    assert [(d["text"], d["id"], d["url"]) for d in shard.documents] == [("yes", "dotted", "http://x.example")]
    assert shard.rejected == {"null_text": 1}


@pytest.mark.parametrize("options", [{"text_column": "body"}, {"url_column": "meta.link"}, {}])
def test_missing_columns_are_named_with_those_there_are(tmp_path: Path, options: dict[str, str]) -> None:
    row = {"meta": {"x": 1}, ("text" if options else "words"): "a"}
    with pytest.raises(ColumnError, match=r"a\.jsonl: no column .*there are: meta, meta\.x, (text|words)"):
        read(write(tmp_path, "a.jsonl", lines(row)), **options)


def test_a_line_longer_than_allowed_is_not_held(tmp_path: Path) -> None:
    long = b'{"text": "' + random.Random(1).randbytes(20_000_000).hex().encode() + b'"}'
    content = lines({"text": "a"}, long, {"text": "b"}, {"text": "x" * 99_980}, long)
    path = write(tmp_path, "a.jsonl.zst", zstd(content))
    del long, content
    tracemalloc.start()
    shard = read(path, max_document_bytes=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [text[0] for text in shard.texts] == ["a", "b", "x"]
    assert shard.rejected == {"too_large": 2}
    assert peak < 24 << 20


def test_batches_are_bounded_and_large_documents_alone(tmp_path: Path) -> None:
    sizes = [3 << 20, 3 << 20, 3 << 20, 20 << 20, 10, 10]
    content = lines(*({"text": "x" * size} for size in sizes))
    assert read(write(tmp_path, "a.jsonl", content)).sizes == [2, 1, 1, 2]
    shard = read(write(tmp_path, "b.jsonl", lines(*[{"text": "x"}] * 25_000)))
    assert sum(shard.sizes) == 25_000 and max(shard.sizes) <= 10_000 + 1024 * 1024 // 14


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40), st.integers(1, 50))
def test_lines_do_not_depend_on_pieces(raw: list[bytes], step: int, longest: int) -> None:
    whole = b"\n".join(raw)
    pieces = [Piece(whole[at : at + step], 0, at == 0) for at in range(0, len(whole), step)]
    found = [line for block in split_lines(pieces, longest=longest) for line in block.lines]
    expected = [line if len(line) <= longest else b"" for line in whole.split(b"\n")]
    if expected and not whole.endswith(b"\n") and whole:
        assert [bytes(line).removeprefix(b"\xef\xbb\xbf") for line in found] == [
            line.removeprefix(b"\xef\xbb\xbf") for line in expected
        ]


def test_a_whole_line_before_damage_is_kept_and_the_damage_counted() -> None:
    damage = Damage("corrupt_stream", 0, 30, "it breaks", resumes=False)
    pieces = [Piece(lines({"text": "a"}) + b'{"text": "b"}', 0, True), Piece(b"", 0, damage=damage)]
    tally = Tally()
    found = [text for batch in read_jsonl(pieces, ReadOptions(), tally, where="x") for text in batch.documents["text"]]
    assert [text.as_py() for text in found] == ["a", "b"]
    assert tally.rejected == {"corrupt_stream": 1} and not tally.complete


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(sorted(ODD)), st.text(max_size=20)), min_size=1, max_size=30))
def test_a_block_read_at_once_gives_what_single_lines_give(
    tmp_path_factory: pytest.TempPathFactory, values: list[bytes | str]
) -> None:
    rows = [v if isinstance(v, bytes) else {"text": v, "id": i, "url": v} for i, v in enumerate(values)]
    folder = tmp_path_factory.mktemp("lines")
    start = lines({"text": "start", "id": "s", "url": "u"})
    together = read(write(folder, "a.jsonl", start + lines(*rows)))
    frames = [zstd(start), *(zstd(lines(row)) for row in rows)]
    alone = read(write(folder, "a.jsonl.zst", b"".join(frames)))
    assert together.documents == alone.documents
    assert together.tally.examples == alone.tally.examples


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_values_are_what_the_standard_library_reads(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == json.loads(json.dumps(value)) or "e" in repr(value)


def test_real_corpus() -> None:
    path = shared("corpus", "pauseai.jsonl.gz")
    shard = read(path)
    assert len(shard.documents) == 128 and shard.rejected == {} and len(set(shard.ids)) == 128


@settings(max_examples=300)
@given(st.text(st.sampled_from('a"\\/é雪😀\n\0u'), max_size=80), st.booleans(), st.integers(12, 40))
def test_long_strings_are_decoded_in_stretches(text: str, ascii: bool, stretch: int) -> None:
    line = json.dumps({"n": 1, "text": text, "x": 'q"'}, ensure_ascii=ascii).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_strings, "LARGE_LINE", 5)
        patch.setattr(long_strings, "LONG_STRING", 8)
        patch.setattr(long_strings, "STRETCH", stretch)
        short, strings = long_strings.shorten(line)
        value = loads(short)
        if value["text"] in strings:
            assert bytes(long_strings.decode_string(bytearray(line), *strings[value["text"]])).decode() == text
        else:
            assert value["text"] == text
        assert value["n"] == 1 and value["x"] == 'q"'


def test_a_large_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_strings, "LARGE_LINE", 1 << 20)
    monkeypatch.setattr(long_strings, "LONG_STRING", 1 << 19)
    monkeypatch.setattr(long_strings, "STRETCH", 12_345)
    text = 'an "odd" \\ line\n雪😀 ' * 60_000
    for ascii in (True, False):
        row = json.dumps({"id": text[:600_000], "text": text, "url": "http://a.example"}, ensure_ascii=ascii).encode()
        torn = row.replace("雪".encode(), b"\xff").replace(b"\\u96ea", b"\\u96")
        shard = read(write(tmp_path, "a.jsonl", lines({"text": "first"}, row, row[:-9], torn, {"text": "last"})))
        assert shard.texts == ["first", text, "last"] and [d["row"] for d in shard.documents] == [0, 1, 4]
        assert shard.ids[1] == text[:600_000] and shard.documents[1]["url"] == "http://a.example"
        assert shard.rejected == ({"bad_json": 2} if ascii else {"bad_json": 1, "not_utf8": 1})
