"""Parquet: types and codecs of text, nested and missing columns, rows that hold no text, torn and corrupt files."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import batches_of, read, write

from pipeline.accounting import Tally
from pipeline.readers import ColumnError

TEXTS = [f"Row {i}: " + "the reactor hums; ça va " * (i % 40) for i in range(3000)]
IDS = [f"id-{i}" for i in range(3000)]


def table(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_codecs(tmp_path: Path, codec: str) -> None:
    shard = read(table(tmp_path / "a.parquet", {"text": TEXTS, "id": IDS}, compression=codec, row_group_size=1000))
    assert shard.texts == TEXTS and shard.ids == IDS and shard.rejected == {}


TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary_view(), pa.binary(), pa.large_binary(),
         pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())]  # fmt: skip


@pytest.mark.parametrize("type", TYPES, ids=str)
@pytest.mark.parametrize("encoded", [False, True])
def test_types_of_text_and_nulls(tmp_path: Path, type: pa.DataType, encoded: bool) -> None:
    values = [None if i % 3 == 1 else f"värde {i % 100}" for i in range(1000)]
    if isinstance(type, pa.DictionaryType):
        array = pa.array(values, type.value_type).dictionary_encode().cast(type)
    else:
        array = pa.array(values, type)
    shard = read(table(tmp_path / "a.parquet", {"text": array}, use_dictionary=encoded))
    assert shard.texts == [value for value in values if value is not None]
    assert [d["row"] for d in shard.documents] == [i for i, value in enumerate(values) if value is not None]
    assert shard.rejected == {"null_text": 333}
    assert [example.row for example in shard.tally.examples[:3]] == [1, 4, 7]


@pytest.mark.parametrize("type", [pa.binary(), pa.large_binary()], ids=str)
def test_bytes_that_are_no_utf8(tmp_path: Path, type: pa.DataType) -> None:
    values = [b"good", b"bad \xff", None, "gøød".encode(), b"\xed\xa0\x80"]
    shard = read(table(tmp_path / "a.parquet", {"text": pa.array(values, type)}))
    assert shard.texts == ["good", "gøød"] and shard.rejected == {"not_utf8": 2, "null_text": 1}
    assert [d["row"] for d in shard.documents] == [0, 3]


def test_a_string_column_that_is_no_utf8(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"bad \xff\xfe", b"end"], pa.binary())
    lying = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    shard = read(table(tmp_path / "a.parquet", {"text": lying, "url": lying, "id": lying}))
    assert shard.texts == ["good", "end"] and shard.rejected == {"not_utf8": 1}


def test_nested_columns_and_guesses(tmp_path: Path) -> None:
    rows = [{"url": "http://a.example", "warc_record_id": "<urn:1>"}, None, {"url": None, "warc_record_id": "<urn:3>"}]
    columns = {
        "raw_content": ["a", "b", "c"], "metadata": rows, "language": pa.array(["en", "de", None]).dictionary_encode(),
        "date": pa.array([datetime.datetime(2024, 5, 6, 7, 8, 9), None, None], pa.timestamp("us")),
        "unused": [[1, 2], [3], []],
    }  # fmt: skip
    documents = read(table(tmp_path / "a.parquet", columns)).documents
    assert documents[0] == {
        "id": "<urn:1>", "text": "a", "url": "http://a.example", "date": "2024-05-06T07:08:09.000000", "source": None,
        "lang": "en", "row": 0,
    }  # fmt: skip
    assert documents[1]["id"].startswith("sha256:") and documents[1]["url"] is None
    assert documents[2]["id"] == "<urn:3>"


def test_text_in_a_struct_by_name(tmp_path: Path) -> None:
    rows = [{"body": {"text": f"t{i}"}, "n": i} if i % 2 else None for i in range(10)]
    shard = read(
        table(tmp_path / "a.parquet", {"doc": rows, "text": ["no"] * 10}),
        text_column="doc.body.text",
        id_column="doc.n",
    )
    assert shard.texts == ["t1", "t3", "t5", "t7", "t9"] and shard.ids == ["1", "3", "5", "7", "9"]
    assert shard.rejected == {"null_text": 5}


def test_a_name_with_dots_in_it(tmp_path: Path) -> None:
    shard = read(table(tmp_path / "a.parquet", {"a.text": ["x"], "text": ["no"]}), text_column="a.text")
    assert shard.texts == ["x"]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([1, 2**63 - 1]), ["1", str(2**63 - 1)]),
        (pa.array([uuid.UUID(int=1).bytes, b"\xff" * 16], pa.binary(16)), ["\0" * 15 + "\1", "ff" * 16]),
        (pa.array([b"x", b"\xff"], pa.binary()), ["x", "ff"]),
        (pa.array(["x", ""]), ["x", ""]),
    ],
)
def test_ids_as_given(tmp_path: Path, ids: pa.Array, expected: list[str]) -> None:
    assert read(table(tmp_path / "a.parquet", {"text": ["a", "b"], "id": ids})).ids == expected


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"words": ["a"]}, {}, "no column with a usual name for text.*there are: words"),
        ({"text": ["a"]}, {"text_column": "body"}, "no column 'body' for text; there are: text"),
        ({"text": ["a"]}, {"url_column": "meta.url"}, "no column 'meta.url' for url"),
        ({"text": ["a"], "u": [["x"]]}, {"url_column": "u"}, "column 'u' is list.*, not a value for url"),
        ({"text": [1]}, {}, "column 'text' is int64, not text"),
        ({"text": [["a"]]}, {}, "column 'text' is list.*, not text"),
    ],
)
def test_columns_that_will_not_do(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, str], message: str
) -> None:
    with pytest.raises(ColumnError, match=rf"a\.parquet: {message}"):
        read(table(tmp_path / "a.parquet", columns), **options)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(ColumnError, match="two columns of one name: text"):
        read(tmp_path / "a.parquet")


def test_a_guessed_column_that_is_a_list_is_left_out(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", {"text": ["a"], "lang": [["en", "de"]]})
    assert read(path).documents[0]["lang"] is None


def test_a_checksum_of_a_page_is_verified(tmp_path: Path) -> None:
    columns = {"text": TEXTS[:100]}
    path = table(tmp_path / "a.parquet", columns, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"Row 50") + 2] ^= 1
    shard = read(write(tmp_path, "b.parquet", bytes(content)))
    assert shard.documents == [] and shard.rejected == {"corrupt_page": 100}


def test_no_rows_and_only_nulls(tmp_path: Path) -> None:
    empty = read(table(tmp_path / "a.parquet", {"text": pa.array([], pa.string())}))
    assert empty.documents == [] and empty.rejected == {} and empty.tally.complete
    nulls = read(table(tmp_path / "b.parquet", {"text": pa.nulls(5)}))
    assert nulls.documents == [] and nulls.rejected == {"null_text": 5}


@pytest.mark.parametrize("keep", [4, 100, 0.5, -1, -20])
def test_a_torn_file(tmp_path: Path, keep: float) -> None:
    whole = table(tmp_path / "a.parquet", {"text": TEXTS}).read_bytes()
    at = int(len(whole) * keep) if 0 < keep < 1 else int(keep) % len(whole)
    shard = read(write(tmp_path, "b.parquet", whole[:at]))
    assert shard.documents == [] and shard.rejected == {"torn_footer": 1} and not shard.tally.complete


def test_a_corrupt_page_costs_its_row_group_at_most(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.parquet", {"text": TEXTS, "id": IDS}, row_group_size=500, use_dictionary=False, compression="zstd"
    )
    chunk = pq.ParquetFile(path).metadata.row_group(2).column(0)
    content = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    content[start + 40 : start + chunk.total_compressed_size - 5] = b"\xa5" * (chunk.total_compressed_size - 45)
    shard = read(write(tmp_path, "b.parquet", bytes(content)))
    assert shard.texts == TEXTS[:1000] + TEXTS[1500:]
    assert shard.rejected == {"corrupt_page": 500}
    assert [d["row"] for d in shard.documents] == [*range(1000), *range(1500, 3000)]
    assert shard.tally.examples[0].offset == start


@pytest.mark.parametrize("seed", range(40))
def test_whatever_byte_is_broken_the_accounting_holds(tmp_path: Path, seed: int) -> None:
    content = bytearray(
        table(tmp_path / "a.parquet", {"text": TEXTS[:800], "id": IDS[:800]}, row_group_size=200).read_bytes()
    )
    at = len(content) * seed // 40
    content[at] ^= 0xFF
    shard = read(write(tmp_path, "b.parquet", bytes(content)))
    assert shard.tally.read in (1, 800) or not shard.tally.complete


def test_too_large(tmp_path: Path) -> None:
    shard = read(table(tmp_path / "a.parquet", {"text": ["a", "b" * 2000, "é" * 600, "c"]}), max_document_bytes=1000)
    assert shard.texts == ["a", "c"] and shard.rejected == {"too_large": 2}


def test_batches_are_bounded_and_large_documents_alone(tmp_path: Path) -> None:
    sizes = [3 << 20, 3 << 20, 3 << 20, 20 << 20, 10, 10]
    shard = read(table(tmp_path / "a.parquet", {"text": ["x" * size for size in sizes]}))
    assert max(shard.sizes) <= 2 and [len(text) for text in shard.texts] == sizes
    assert max(read(table(tmp_path / "b.parquet", {"text": ["x"] * 25_000})).sizes) == 10_000


@pytest.mark.parametrize("repeats", [300, 2000])
def test_a_text_repeated_without_end_is_not_held_as_often(tmp_path: Path, repeats: int) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0] * repeats, pa.int32()), pa.array(["y" * (1 << 20)]))
    path = table(tmp_path / "a.parquet", {"text": column})
    assert path.stat().st_size < 2 << 20
    before = pa.total_allocated_bytes()
    largest = 0
    for batch in batches_of(str(path), Tally()):
        largest = max(largest, pa.total_allocated_bytes() - before)
        del batch
    assert largest < 100 << 20
