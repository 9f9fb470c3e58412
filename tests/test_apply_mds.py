"""Corpora in the format of MosaicML's streaming, read by its own reader where that is installed, and by one of a few
lines that knows nothing but the format."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from crawls import contents
from made_scan import made_up_records, scan, write_lines, write_parquet
from processes import killed_before_file
from test_apply import DROP, MIXED, apply, figures, invoke, job_of, rows

from pipeline import storage
from pipeline.apply import mds
from pipeline.apply.plan import open_scan, plan_apply, write_apply_report
from pipeline.scan import split_done

NOTHING = '[[rule]]\nname = "none"\nwhen.words.min = 1000000\ndrop = "none"\n'
DECODERS: dict[str, Any] = {
    "str": bytes.decode, "bytes": bytes, "json": json.loads,
    "int": lambda data: struct.unpack("<q", data)[0], "float64": lambda data: struct.unpack("<d", data)[0],
}  # fmt: skip


def content_of(folder: Path, info: dict[str, Any]) -> bytes:
    """What a file holds, compared with what the index says of it."""
    stored = info["zip_data"] or info["raw_data"]
    data = (folder / stored["basename"]).read_bytes()
    if info["zip_data"]:
        assert (info["compression"], len(data)) == ("zstd:3", stored["bytes"])
        assert hashlib.sha256(data).hexdigest() == stored["hashes"]["sha256"]
        data = zstandard.ZstdDecompressor().decompress(data)
    assert len(data) == info["raw_data"]["bytes"]
    assert hashlib.sha256(data).hexdigest() == info["raw_data"]["hashes"]["sha256"]
    return data


def samples_of(folder: Path) -> Iterator[dict[str, Any]]:
    """All samples below an index, by the layout alone."""
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    for info in index["shards"]:
        data = content_of(folder, info)
        (n,) = struct.unpack_from("<I", data)
        offsets = struct.unpack_from(f"<{n + 1}I", data, 4)
        assert n == info["samples"] and offsets[-1] == len(data)
        config = json.loads(data[4 * (n + 2) : offsets[0]])
        assert config == {name: info[name] for name in config} and config["format"] == "mds"
        yield from (sample_of(data[offsets[i] : offsets[i + 1]], config) for i in range(n))


def sample_of(data: bytes, config: dict[str, Any]) -> dict[str, Any]:
    variable = config["column_sizes"].count(None)
    sizes, at, sample = iter(struct.unpack_from(f"<{variable}I", data)), 4 * variable, {}
    for name, encoding, size in zip(
        config["column_names"], config["column_encodings"], config["column_sizes"], strict=True
    ):
        size = next(sizes) if size is None else size
        sample[name] = DECODERS[encoding](data[at : at + size])
        at += size
    assert at == len(data)
    return sample


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl") / "crawl"
    write_parquet(folder / "a" / "0.parquet", made_up_records(200, 1))
    write_lines(folder / "b" / "0.jsonl", made_up_records(120, 3), between='{"text": null}\n\n{bad\n')
    return folder


@pytest.fixture(scope="module")
def scanned(crawl: Path) -> Path:
    return scan(crawl, crawl.parent / "scanned")


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mds, "FILE_BYTES", 20_000)


@pytest.mark.parametrize("to", ["mds", "mds.zstd"])
def test_samples_are_the_rows_of_parquet(
    crawl: Path, scanned: Path, tmp_path: Path, to: str, small_files: None
) -> None:
    for folder, format in ((tmp_path / "out", to), (tmp_path / "table", "parquet")):
        apply(crawl, scanned, folder, MIXED, to=format)
    found = list(samples_of(tmp_path / "out" / "data"))
    wanted = [row for name in ("a/0.parquet", "b/0.jsonl.parquet") for row in rows(tmp_path / "table" / "data" / name)]
    assert len(found) == figures(tmp_path / "out")["written"] == len(wanted) > 100
    own = ["id", "text", "url", "date", "weight", "loss_mask"]
    assert [{name: one[name] for name in own} for one in found] == [{name: row[name] for name in own} for row in wanted]
    of_parquet = [row for row in wanted if "meta" in row]
    assert found[: len(of_parquet)] == of_parquet  # nested values and nulls among them
    assert {type(one["n"]) for one in found[: len(of_parquet)]} == {int, type(None)}
    assert any(one["loss_mask"] for one in found)
    files = json.loads((tmp_path / "out" / "data" / "index.json").read_text())["shards"]
    assert len(files) > 4 and all(file["raw_data"]["bytes"] < 25_000 for file in files)


def test_the_index_of_all_is_that_of_each_shard_in_order(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", DROP, to="mds")
    data = tmp_path / "out" / "data"
    parts = [list(samples_of(data / name)) for name in ("a/0.parquet.mds", "b/0.jsonl.mds")]
    assert all(parts) and list(samples_of(data)) == [one for part in parts for one in part]
    summary = json.loads((tmp_path / "out" / "apply.json").read_text())
    assert summary["data"] == ["data/a/0.parquet.mds/index.json", "data/b/0.jsonl.mds/index.json"]
    assert summary["not_of_this_run"] == []
    apply(crawl / "a", scanned, tmp_path / "out", DROP, to="mds")
    assert list(samples_of(data)) == parts[0]
    left = json.loads((tmp_path / "out" / "apply.json").read_text())["not_of_this_run"]
    assert left == ["data/b/0.jsonl.mds/index.json", "data/b/0.jsonl.mds/shard.00000.mds"]


def table_of_every_type() -> pa.Table:
    return pa.table({
        "text": ["ein Text", "naïve 雪が", "x"], "small": pa.array([1, -2, 3], pa.int8()),
        "large": pa.array([2**63, 1, 0], pa.uint64()), "half": pa.array(np.array([0.5, 1, 2], np.float16)),
        "number": [0.5, None, math.inf], "plain": pa.array([0.1, 0.2, 0.3], pa.float32()), "truth": [True, False, None],
        "raw": [b"\x00\xff", None, b""], "mark": pa.array([b"ab", b"cd", b"ef"], pa.binary(2)),
        "kind": pa.array(["a", None, "a"]).dictionary_encode(), "none": pa.nulls(3),
        "day": pa.array([0, 1, None], pa.date32()), "nested": [{"k": [1, None]}, None, {"k": []}],
        "count": pa.array([7, None, -(2**62)], pa.int64()),
    })  # fmt: skip


def test_values_of_every_type_come_back(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(table_of_every_type(), tmp_path / "in" / "x.parquet")
    apply(tmp_path / "in", scan(tmp_path / "in", tmp_path / "scanned"), tmp_path / "out", NOTHING, to="mds")
    found = list(samples_of(tmp_path / "out" / "data"))
    wanted = table_of_every_type().to_pylist()
    for row in wanted:
        row["raw"] = row["raw"] or b""  # of bytes a null is empty
        row["day"] = row["day"] and row["day"].isoformat()
    assert found == wanted


def test_nulls_change_the_encoding_of_their_file_and_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mds, "FILE_BYTES", 300)
    numbers = [*range(20), None, *range(20)]
    (tmp_path / "in").mkdir()
    table = pa.table({"text": [f"text {i}" for i in range(41)], "n": pa.array(numbers, pa.int64())})
    pq.write_table(table, tmp_path / "in" / "x.parquet")
    apply(tmp_path / "in", scan(tmp_path / "in", tmp_path / "scanned"), tmp_path / "out", NOTHING, to="mds")
    index = json.loads((tmp_path / "out" / "data" / "index.json").read_text())
    encodings = [dict(zip(one["column_names"], one["column_encodings"], strict=True))["n"] for one in index["shards"]]
    assert encodings.count("json") == 1 and encodings.count("int") == len(encodings) - 1 > 2
    assert [one["n"] for one in samples_of(tmp_path / "out" / "data")] == numbers


def test_a_sample_of_more_than_four_gib_is_an_error_and_no_torn_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Vast(bytes):
        def __len__(self) -> int:
            return 1 << 32

    monkeypatch.setattr(mds, "_encoded", lambda array, encoding: [Vast(b"x")])
    written: list[str] = []
    writer = mds.MdsWriter(written.append, None, pa.schema([("text", pa.string())]), "x.parquet", compressed=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"x\.parquet: a document and its columns have 4,000 MiB or more"):
        writer.write(pa.RecordBatch.from_pydict({"text": ["x"]}))
    assert not written


def test_a_corpus_of_nothing_has_an_index(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", '[[rule]]\nname = "all"\ndrop = "all"\n', to="mds")
    assert json.loads((tmp_path / "out" / "data" / "index.json").read_text()) == {"version": 2, "shards": []}


def test_killed_between_any_two_files(crawl: Path, scanned: Path, tmp_path: Path, small_files: None) -> None:
    """The process dies just before the k-th file gets its name, and is run again; no index is ever there too soon."""
    apply(crawl, scanned, tmp_path / "whole", MIXED, to="mds")
    of_first = len(list((tmp_path / "whole" / "data" / "a" / "0.parquet.mds").iterdir()))
    assert of_first > 3
    for k in (0, 2, of_first - 1, of_first, of_first + 2, of_first + 5):
        out = tmp_path / f"out-{k}"
        killed_before_file(k, partial(apply, crawl, scanned, out, MIXED, to="mds"))
        for index in out.rglob("index.json"):
            assert list(samples_of(index.parent))
        apply(crawl, scanned, out, MIXED, to="mds")
        assert contents(out) == contents(tmp_path / "whole")


def test_tags_that_do_not_fit_leave_no_file(crawl: Path, tmp_path: Path, small_files: None) -> None:
    scanned = scan(crawl, tmp_path / "scanned")
    job, tasks = job_of(scanned, tmp_path / "out", MIXED, to="mds"), plan_apply([str(crawl)], open_scan(str(scanned)))
    tags = scanned / "tags" / "a" / "0.parquet.parquet"
    pq.write_table(pq.read_table(tags).slice(0, 150), tags)
    task = next(task for task in tasks if task.name == "a/0.parquet")
    with pytest.raises(ValueError, match="they end before record 150"):
        job.run(task)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_into_a_store(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", MIXED, to="mds.zstd")
    job = job_of(scanned, Path(""), MIXED, to="mds.zstd").into("memory://applied-mds")
    tasks = plan_apply([str(crawl)], open_scan(str(scanned)))
    for task in tasks:
        job.run(task)
    write_apply_report(job, tasks, [], "")
    assert split_done(job, tasks)[0] == []
    for path in (p for p in (tmp_path / "out" / "data").rglob("*") if p.is_file()):
        assert storage.read_bytes(f"memory://applied-mds/{path.relative_to(tmp_path / 'out')}") == path.read_bytes()


@pytest.mark.parametrize("engine", ["datatrove", "spark"])
def test_engines_agree_byte_for_byte(crawl: Path, scanned: Path, tmp_path: Path, engine: str) -> None:
    """Under a policy with every action but replacement."""
    (tmp_path / "own.jsonl").write_text('{"text": "good"}\n{"text": "better"}\n')
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"unknown": 0}, unk_token="unknown"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "p.toml").write_text(
        f'weight_as = "repeat"\ntokenizer = "{tmp_path}/tokenizer.json"\n'
        f'mix_in = {{ documents = "{tmp_path}/own.jsonl", rate = 0.1 }}\n{MIXED}'
    )
    for out, kind in (("one", "local"), ("two", engine)):
        done = invoke("apply", crawl, scanned, "--policy", tmp_path / "p.toml", "--to", "mds", "--quiet",
                      "--out", tmp_path / out, "--engine", kind, "--workers", 2)  # fmt: skip
        assert done.exit_code == 1, done.output  # of the bad lines
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one" / "data", tmp_path / "two" / "data")
    )
    assert one == two and len(one) == 5
    total = figures(tmp_path / "two")
    assert total == figures(tmp_path / "one") | {"seconds": total["seconds"]}
    assert total["edited"].keys() == {"condition", "excise", "mask"} and total["dropped"] and total["words_cut"]
    assert total["mixed_in"] and total["written"] - total["mixed_in"] > total["kept"]
    assert any(sample["loss_mask_tokens"] for sample in samples_of(tmp_path / "two" / "data"))


@pytest.mark.parametrize("to", ["mds", "mds.zstd"])
def test_its_own_library_reads_the_folder(
    crawl: Path, scanned: Path, tmp_path: Path, to: str, small_files: None
) -> None:
    streaming = pytest.importorskip("streaming", reason="mosaicml-streaming, which brings torch, is not installed")
    apply(crawl, scanned, tmp_path / "out", MIXED, to=to)
    data = tmp_path / "out" / "data"
    wanted = list(samples_of(data))
    if to == "mds":
        local = streaming.LocalDataset(str(data))
        assert [local[i] for i in range(len(local))] == wanted
    found = streaming.StreamingDataset(
        remote=str(data), local=str(tmp_path / "cache"), shuffle=False, batch_size=1, validate_hash="sha256"
    )
    assert [found[i] for i in range(len(found))] == wanted
