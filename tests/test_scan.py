"""A scan end to end: tags, accounting, resume after kills, stale outputs, full disks, exit statuses."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import COMMAND, ROOT, tropescan
from crawls import contents, read_tags, write_shard
from processes import killed_before_file

from classifiers.card import default_model
from classifiers.score import FastTextScorer
from classifiers.training import zeroed_memory
from jobs.lock import locked
from jobs.scan import make_job
from pipeline import storage
from pipeline.scan import check_folder, plan_inputs, plan_scan, split_done, write_scan_report
from pipeline.schema import tags_schema
from pipeline.tag import host_of, tag_shard
from pipeline.tasks import ReadOptions, ShardTask


def make_crawl(folder: Path) -> Path:
    for k in range(4):
        write_shard(folder / f"part{k % 2}" / f"{k}.jsonl.gz", 300 + 200 * k, k)
    return folder


@pytest.fixture
def own_crawl(tmp_path: Path) -> Path:
    """A crawl that the test may change."""
    return make_crawl(tmp_path / "crawl")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl for all tests that leave it as it is."""
    return make_crawl(tmp_path_factory.mktemp("crawl") / "crawl")


@pytest.fixture(scope="module")
def whole(crawl: Path) -> dict[str, bytes]:
    """What one worker makes of the crawl."""
    out = crawl.parent / "whole"
    assert one_worker(crawl, "--out", out).returncode == 0
    return contents(out)


def one_worker(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """A scan by one worker: where a test asks for no more, another is only one more Python that starts."""
    return tropescan("scan", *arguments, "--workers", 1, **options)


def test_every_document_is_tagged_in_its_place(crawl: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = tropescan("scan", crawl, "--out", out, "--workers", 2)
    assert done.returncode == 0, done.stderr
    files = [str(p.relative_to(out / "tags")) for p in sorted((out / "tags").rglob("*.parquet"))]
    assert files == [f"part{k % 2}/{k}.jsonl.gz.parquet" for k in (0, 2, 1, 3)]
    tags = pq.read_table(out / "tags" / "part1" / "3.jsonl.gz.parquet")
    assert tags["id"].to_pylist() == [f"3.jsonl.gz/{i}" for i in range(900)]
    assert tags["row"].to_pylist() == list(range(900))
    assert set(tags["host"].to_pylist()) == {"site0.example", "site1.example", "site2.example"}
    scorer = FastTextScorer.open(default_model())
    assert tags.schema.remove_metadata() == tags_schema(scorer.labels, lexicons=scorer.lexicons)
    metadata = tags.schema.metadata
    assert json.loads(metadata[b"tropescan.model"])["labels"] == list(scorer.labels)
    assert metadata[b"tropescan.shard"].endswith(b"part1/3.jsonl.gz")
    scan = json.loads((out / "scan.json").read_text())
    assert scan["figures"]["read"] == scan["figures"]["tagged"] == 300 + 500 + 700 + 900
    assert scan["figures"]["words"] == sum(read_tags(out)["words"].to_pylist())
    assert "tropescan scan" in scan["command"] and scan["model"]["digest"]


def test_scores_and_spans_are_the_scorers(crawl: Path, tmp_path: Path) -> None:
    assert one_worker(crawl, "--out", tmp_path / "out", "--span-threshold", 0.2).returncode == 0
    raw = gzip.decompress((crawl / "part0" / "2.jsonl.gz").read_bytes())
    texts = [json.loads(line) for line in raw.splitlines()]
    tags = pq.read_table(tmp_path / "out" / "tags" / "part0" / "2.jsonl.gz.parquet")
    scorer = FastTextScorer.open(default_model())
    batch = pa.RecordBatch.from_pydict({"text": pa.array([t["text"] for t in texts], pa.large_string())})
    assert tags["adverse"].combine_chunks().equals(scorer(batch).column("adverse"))
    assert tags["chars"].to_pylist() == [len(t["text"]) for t in texts]
    assert tags["bytes"].to_pylist() == [len(t["text"].encode()) for t in texts]
    assert tags["words"].to_pylist() == [len(t["text"].split()) for t in texts]
    spans = [(t["text"], s) for t, row in zip(texts, tags["spans"].to_pylist(), strict=True) for s in row]
    assert len(spans) > 100
    for text, span in spans:
        piece = text[span["start"] : span["end"]]
        assert piece == piece.strip() and len(piece.split()) <= len(text.split()) and span["score"] >= 0.2


def test_workers_do_not_change_the_output_and_a_second_run_does_nothing(
    crawl: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "three"
    tropescan("scan", crawl, "--out", out, "--workers", 3)
    assert contents(out) == whole
    before = {p: p.stat().st_mtime_ns for p in (out / "tags").rglob("*.parquet")}
    again = tropescan("scan", crawl, "--out", out)
    assert "4 of 4 shards were done before" in again.stderr and again.returncode == 0
    assert before == {p: p.stat().st_mtime_ns for p in (out / "tags").rglob("*.parquet")}
    assert contents(out) == whole


def test_a_shard_that_changed_is_done_again(own_crawl: Path, tmp_path: Path) -> None:
    one_worker(own_crawl, "--out", tmp_path / "out")
    write_shard(own_crawl / "part0" / "0.jsonl.gz", 10, 99)
    again = one_worker(own_crawl, "--out", tmp_path / "out")
    assert "3 of 4" in again.stderr
    assert json.loads((tmp_path / "out" / "scan.json").read_text())["figures"]["read"] == 10 + 500 + 700 + 900


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_and_run_again_gives_the_same(
    crawl: Path, whole: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    command = [*COMMAND, "scan", str(crawl)]
    command += ["--out", str(tmp_path / "out"), "--workers", "2"]
    source = random.Random(seed)
    for _ in range(3):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   start_new_session=True)  # fmt: skip
        time.sleep(source.uniform(0.4, 1.6))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert one_worker(crawl, "--out", tmp_path / "out").returncode == 0
    assert contents(tmp_path / "out") == whole


def finish(crawl: Path, out: Path, label: str | None = None, threshold: float | None = None) -> list[ShardTask]:
    """What a run in one process does; returns the shards that were to do."""
    job = make_job(str(out), None, window=128, stride=64, label=label, threshold=threshold, span_threshold=None,
                   strict=False, options=ReadOptions())  # fmt: skip
    storage.remove_unfinished(str(out))
    check_folder(job)
    tasks = plan_scan([str(crawl)])
    todo, _ = split_done(job, tasks)
    for task in todo:
        tag_shard(job, task)
    write_scan_report(job, tasks, [], "")
    return todo


def test_killed_between_any_two_writes(crawl: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """The process dies just before the k-th file gets its name, for every k, and is run again."""
    for k in range(9):
        out = tmp_path / f"out-{k}"
        killed_before_file(k, partial(finish, crawl, out))
        assert len(list(out.rglob("*unfinished*"))) == 1
        finish(crawl, out)
        assert contents(out) == whole


def test_tags_of_another_model_or_other_options_are_not_mixed(crawl: Path, tmp_path: Path) -> None:
    one_worker(crawl / "part0", "--out", tmp_path / "out")
    before = contents(tmp_path / "out")
    done = one_worker(crawl / "part0", "--out", tmp_path / "out", "--window", 64)
    assert done.returncode == 2 and "choose another --out" in done.stderr
    assert contents(tmp_path / "out") == before


def test_another_threshold_or_label_counts_the_tags_anew(crawl: Path, tmp_path: Path) -> None:
    """Thresholds are an opinion: what was scanned with one stands for every other, and no shard is read again."""
    assert len(finish(crawl, tmp_path / "out")) == 4
    for label, threshold in ((None, 0.3), ("ai", 0.9), ("ai", None)):
        assert finish(crawl, tmp_path / "out", label, threshold) == []
        finish(crawl, tmp_path / f"{label}-{threshold}", label, threshold)
        assert contents(tmp_path / "out") == contents(tmp_path / f"{label}-{threshold}")


def test_other_inputs_with_other_settings_are_refused(crawl: Path, tmp_path: Path) -> None:
    one_worker(crawl / "part0", "--out", tmp_path / "out")
    done = one_worker(crawl / "part1", "--out", tmp_path / "out", "--window", 64)
    assert done.returncode == 2 and "scan.json: made with another model" in done.stderr


def test_strict_fails_shards_that_were_done_before_without_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.jsonl").write_text('{"id":"1","text":"one"}\n{bad\n')
    (tmp_path / "in" / "good.jsonl").write_text('{"id":"2","text":"two"}\n')
    assert one_worker(tmp_path / "in", "--out", tmp_path / "out").returncode == 1
    strict = one_worker(tmp_path / "in", "--out", tmp_path / "out", "--strict")
    assert strict.returncode == 1 and "record 1" in strict.stderr
    assert "1 of 2 shards were done before" in strict.stderr and "1 documents read = 1 tagged + 0" in strict.stdout
    scan = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert scan["tags"] == ["good.jsonl"] and scan["figures"]["failed_shards"] == 1
    assert tropescan("report", tmp_path / "out", "--out", tmp_path / "page.html").stderr.count("of 1 documents") == 1
    assert one_worker(tmp_path / "in", "--out", tmp_path / "out").returncode == 1


def test_the_report_leaves_out_old_tags(own_crawl: Path, tmp_path: Path) -> None:
    """Of a shard that changed and could not be scanned again, and of one that is no input any more."""
    one_worker(own_crawl, "--out", tmp_path / "out")
    (own_crawl / "part0" / "0.jsonl.gz").unlink()
    (own_crawl / "part0" / "0.jsonl.gz").write_text('{"text": 5}\n')
    (own_crawl / "part0" / "2.jsonl.gz").unlink()
    assert one_worker(own_crawl, "--out", tmp_path / "out", "--strict").returncode == 1
    page = tropescan("report", tmp_path / "out", "--out", tmp_path / "page.html")
    assert "of 1,400 documents" in page.stderr and "2 tags files are left out" in page.stderr, page.stderr


def test_rejections_are_counted_and_the_status_says_so(tmp_path: Path) -> None:
    shard = tmp_path / "a.jsonl"
    shard.write_text('{"id":"1","text":"one"}\n{bad\n{"id":"3","text":null}\n{"id":"4","text":"four"}\n')
    done = one_worker(shard, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "4 documents read = 2 tagged + 2 rejected" in done.stdout
    report = json.loads((tmp_path / "out" / "reports" / "a.jsonl.json").read_text())
    assert report["figures"]["rejected"] == {"bad_json": 1, "null_text": 1}
    assert {e["row"] for e in report["rejection_examples"]} == {1, 2}
    assert pq.read_table(tmp_path / "out" / "tags" / "a.jsonl.parquet")["row"].to_pylist() == [0, 3]
    strict = one_worker(shard, "--out", tmp_path / "strict", "--strict")
    assert strict.returncode == 2 and "record 1" in strict.stderr
    assert not list((tmp_path / "strict").rglob("*.parquet"))


def test_one_bad_shard_does_not_stop_the_others(own_crawl: Path, tmp_path: Path) -> None:
    (own_crawl / "part0" / "broken.parquet").write_bytes(b"PAR1 this is no parquet file PAR1")
    done = one_worker(own_crawl, "--out", tmp_path / "out")
    assert done.returncode == 1
    scan = json.loads((tmp_path / "out" / "scan.json").read_text())
    assert scan["figures"]["tagged"] == 2400
    assert scan["figures"]["incomplete_shards"] + scan["figures"]["failed_shards"] == 1


def test_documents_of_a_stream_that_proves_broken_are_counted_and_said(tmp_path: Path) -> None:
    lines = b"".join(b'{"text": "%s"}\n' % random.Random(k).randbytes(500).hex().encode() for k in range(200))
    packed = bytearray(gzip.compress(lines))
    packed[-5] ^= 1  # the checksum's
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    out = tmp_path / "out"
    done = one_worker(tmp_path / "a.jsonl.gz", "--out", out)
    figures = json.loads((out / "scan.json").read_text())["figures"]
    assert done.returncode == 1 and figures["rejected"] == {"corrupt_stream": 1}
    assert figures["doubtful"] == figures["tagged"] > 180
    assert f"perhaps garbled: {figures['doubtful']}" in done.stdout
    assert tropescan("report", out, "--out", tmp_path / "page.html").returncode == 0
    assert f"{figures['doubtful']} of them came out of compressed streams" in (tmp_path / "page.html").read_text(
        "utf-8"
    )


def test_a_text_of_too_many_windows_is_rejected_alone(tmp_path: Path) -> None:
    with open(tmp_path / "a.jsonl", "w") as file:
        for text in ("The first.", "19 MB " * 3_200_000, "The last."):
            file.write(json.dumps({"text": text}) + "\n")
    done = one_worker(tmp_path / "a.jsonl", "--out", tmp_path / "out", "--window", 1, "--stride", 1)
    assert done.returncode == 1 and "--window 1 has room for texts of 16,777,216 bytes" in done.stderr
    assert "rejected too_large: 1" in done.stdout
    assert read_tags(tmp_path / "out")["row"].to_pylist() == [0, 2]


def test_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text":"x"}\n')
    (tmp_path / "not-a-model.bin").write_bytes(b"nothing")
    shard, out = tmp_path / "a.jsonl", tmp_path / "out"
    for arguments, words in [
        ([tmp_path / "missing", "--out", out], "missing"),
        ([shard], "--out"),
        ([shard, "--out", out, "--model", tmp_path / "not-a-model.bin"], "not-a-model.bin"),
        ([shard, "--out", out, "--window", 100], "multiple of stride"),
        ([shard, "--out", out, "--label", "ham"], "no label"),
        ([shard, "--out", out, "--threshold", 7], "threshold"),
        ([shard, "--out", out, "--threshold", "nan"], "threshold"),
        ([shard, "--out", out, "--span-threshold", "nan"], "threshold"),
        ([shard, "--out", out, "--stride", -1], "stride"),
        ([shard, "--out", "nosuchprotocol://x"], "nosuchprotocol"),
        ([shard, "--out", shard], "--out wants a folder"),
    ]:
        done = tropescan("scan", *arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def test_shards_of_one_name_in_two_folders_do_not_collide(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path / name / "x.jsonl.gz", 5, 1)
    tropescan(
        "scan", tmp_path / "a", tmp_path / "b" / "x.jsonl.gz", tmp_path / "a" / "x.jsonl.gz", "--out", tmp_path / "out"
    )
    assert len(list((tmp_path / "out" / "tags").rglob("*.parquet"))) == 2
    assert read_tags(tmp_path / "out").num_rows == 10


def names_of(*inputs: Path | str) -> dict[str, str]:
    return {task.url: task.name for task in plan_scan([str(given) for given in inputs])}


def test_names_of_shards_depend_on_the_set_of_inputs_only(tmp_path: Path) -> None:
    for name in ("a/x", "a/deep/y", "b/x", "b/deep/z"):
        write_shard(tmp_path / f"{name}.jsonl.gz", 5, 1)
    a, b = tmp_path / "a", tmp_path / "b"
    given = [a, b, a / "deep", a / "deep" / "y.jsonl.gz", f"{b}/deep/*.gz"]
    plan = names_of(*given)
    assert sorted(name.rpartition("/")[2] for name in plan.values()) == [f"{n}.jsonl.gz" for n in "xxyz"]
    for seed in range(5):
        assert names_of(*random.Random(seed).sample(given, len(given))) == plan
    assert plan[str(a / "deep" / "y.jsonl.gz")] == "deep/y.jsonl.gz"
    both = {plan[str(folder / "x.jsonl.gz")] for folder in (a, b)}
    assert len(both) == 2 and all(len(name) == len("0123456789ab/x.jsonl.gz") for name in both)
    write_shard(tmp_path / "c" / "other.jsonl.gz", 5, 1)
    assert names_of(*given, tmp_path / "c").items() > plan.items()


ODD_NAMES = [
    "with space", "line\nbreak", "naïve 雪 🙂", "x" * 240, "_under", ".dot", "a[1]*?", "quote'\"<b>",
    "lang=en/part", "\udcff",
]  # fmt: skip


def test_odd_file_names(tmp_path: Path) -> None:
    """Given as a folder, and the hidden ones by name; each is read, reported, and skipped when it is done."""
    for name in ODD_NAMES:
        write_shard(tmp_path / "in" / f"{name}.jsonl.gz", 2, 1)
    inputs = [tmp_path / "in", *(tmp_path / "in" / f"{name}.jsonl.gz" for name in ("_under", ".dot"))]
    done = tropescan("scan", *inputs, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert read_tags(tmp_path / "out").num_rows == 2 * len(ODD_NAMES)
    again = tropescan("scan", *inputs, "--out", tmp_path / "out")
    assert f"{len(ODD_NAMES)} of {len(ODD_NAMES)} shards were done before" in again.stderr, again.stderr
    page = tropescan("report", tmp_path / "out", "--out", tmp_path / "page.html")
    assert page.returncode == 0 and f"{2 * len(ODD_NAMES)} documents" in page.stderr, page.stderr


def test_a_dry_run_prints_the_plan_and_writes_nothing(crawl: Path, tmp_path: Path) -> None:
    done = tropescan("scan", crawl, "--out", tmp_path / "out", "--dry-run")
    plan = [json.loads(line) for line in done.stdout.splitlines()]
    assert [task["name"] for task in plan] == [
        "part1/3.jsonl.gz",
        "part0/2.jsonl.gz",
        "part1/1.jsonl.gz",
        "part0/0.jsonl.gz",
    ]
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_an_error_and_leaves_no_half_file(crawl: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    limit = 20_000  # the larger shards' tags are larger

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    out = tmp_path / "out"
    done = tropescan("scan", crawl, "--out", out, preexec_fn=limited)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "disk is full" in done.stderr and ".parquet" in done.stderr
    for path in (out / "tags").rglob("*"):
        assert path.is_dir() or pq.read_table(path).num_rows > 0
    assert one_worker(crawl, "--out", out).returncode == 0
    assert contents(out) == whole


def test_an_output_folder_that_cannot_be_made(crawl: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = one_worker(crawl, "--out", tmp_path / "file" / "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr and "file" in done.stderr


def write_long_crawl(folder: Path) -> None:
    """More than can be done before a signal comes."""
    write_shard(folder / "0.jsonl.gz", 10_000, 5)
    for k in range(1, 60):
        shutil.copy(folder / "0.jsonl.gz", folder / f"{k}.jsonl.gz")


def test_a_second_scan_into_the_folder_stops_and_a_killed_one_leaves_it_free(tmp_path: Path) -> None:
    write_long_crawl(tmp_path / "in")
    out = tmp_path / "out"
    command = [*COMMAND, "scan", str(tmp_path / "in")]
    process = subprocess.Popen([*command, "--out", str(out), "--workers", "1"], cwd=ROOT, stderr=subprocess.DEVNULL,
                               start_new_session=True)  # fmt: skip
    try:
        while not list(out.rglob("*unfinished*")) and process.poll() is None:
            time.sleep(0.02)
        second = one_worker(tmp_path / "in", "--out", f"{out}/", "--window", 64)
        assert second.returncode == 2 and "another run is writing into this folder" in second.stderr
        assert process.poll() is None and list(out.rglob("*unfinished*"))
    finally:
        os.kill(process.pid, signal.SIGKILL)  # its worker lives on for a moment
        process.wait()
    (tmp_path / "one.jsonl").write_text('{"text": "one"}\n')
    after = one_worker(tmp_path / "one.jsonl", "--out", out)
    assert after.returncode == 0, after.stderr


def test_a_folder_in_a_store_is_locked_on_this_machine() -> None:
    with locked("memory://some/out"), pytest.raises(ValueError, match="another run"), locked("memory://some/out/"):
        pass
    with locked("memory://some/out"), locked("memory://some/other"):
        pass


def _heed_interrupts() -> None:
    """Whoever runs the tests in the background of a shell has them started with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(folder: Path, out: Path, seconds: float | None) -> tuple[int, str]:
    """Ctrl-C to a scan so long after its folder is there, or once a shard is being tagged; status and messages."""
    command = [*COMMAND, "scan", str(folder)]
    process = subprocess.Popen([*command, "--out", str(out), "--workers", "2"], cwd=ROOT, text=True,
                               stderr=subprocess.PIPE, start_new_session=True, preexec_fn=_heed_interrupts)  # fmt: skip
    while not (list(out.rglob("*unfinished*")) if seconds is None else out.exists()) and process.poll() is None:
        time.sleep(0.01)
    time.sleep(seconds or 0)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_interrupting_ends_cleanly_at_any_moment(tmp_path: Path) -> None:
    """Also while the workers import, half a second and more."""
    write_long_crawl(tmp_path / "in")
    for seconds in (0.05, 0.2, 0.5, None):
        out = tmp_path / f"out-{seconds}"
        status, errors = interrupt(tmp_path / "in", out, seconds)
        assert status == 130, errors
        assert "Traceback" not in errors and errors.count("run the same command again to go on") == 1, errors
        assert not list(out.rglob("*unfinished*")) and not (out / "scan.json").exists()


def test_a_model_of_the_users_own(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext", reason="the fasttext package (extra train) is not installed")
    lines = [f"__label__{'id' if i % 2 else 'spam'} {'alpha' if i % 2 else 'beta'} gamma {i % 7}" for i in range(200)]
    (tmp_path / "t.txt").write_text("\n".join(lines))
    with zeroed_memory():
        trained = fasttext.train_supervised(str(tmp_path / "t.txt"), thread=1, dim=64, verbose=0)
    trained.save_model(str(tmp_path / "m.bin"))
    (tmp_path / "a.jsonl").write_text('{"id":"1","text":"alpha gamma"}\n{"id":"2","text":"unheard of"}\n')
    done = one_worker(tmp_path / "a.jsonl", "--out", tmp_path / "out", "--model", tmp_path / "m.bin")
    assert done.returncode == 0, done.stderr
    tags = read_tags(tmp_path / "out")
    assert tags["id"].to_pylist() == ["1", "2"]  # the label `id` gave way
    assert {"label_id", "label_id_window", "spam", "spam_window"} <= set(tags.schema.names)


def test_remote_inputs_and_outputs(tmp_path: Path) -> None:
    """In one process, since memory:// lives in it."""
    write_shard(tmp_path / "a.jsonl.gz", 50, 1)
    fs = fsspec.filesystem("memory")
    fs.pipe("/crawl/x/a.jsonl.gz", (tmp_path / "a.jsonl.gz").read_bytes())
    tasks = plan_scan(["memory://crawl"])
    assert [task.name for task in tasks] == ["x/a.jsonl.gz"]
    job = make_job("memory://scanned", None, window=128, stride=64, label=None, threshold=None, span_threshold=None,
                   strict=False, options=ReadOptions())  # fmt: skip
    tag_shard(job, split_done(job, tasks)[0][0])
    assert write_scan_report(job, tasks, [], "").tagged == 50
    assert split_done(job, tasks)[0] == []
    with fs.open("/scanned/tags/x/a.jsonl.gz.parquet") as file:
        assert pq.read_table(file).num_rows == 50


HOSTS = {
    "http://Example.COM/a": "example.com",
    "https://u:p@h.example:81/x": "h.example",
    "s3://bucket/k": "bucket",
    "https://h.example.": "h.example",
    "http://[::1]:80/": "[::1]",
    "https://münchen.example?q": "münchen.example",
    "https://a.example#@b.example": "a.example",
    "ftp://x@y@z/p": "y@z",
    "http://h:80@evil.example/": "evil.example",
    "http://[2001:db8::1]x/": "[2001:db8::1]",
    "http://[unclosed": "[unclosed",
    "http://a.example\n/x": "a.example\n",
    "http://:80/": None,
    "http:///path": None,
    "mailto:x@y": None,
    "": None,
    None: None,
}


def test_hosts() -> None:
    assert host_of(pa.array(list(HOSTS), pa.string())).to_pylist() == list(HOSTS.values())
    assert host_of(pa.nulls(2, pa.string())).to_pylist() == [None, None]


def test_output_below_the_input_is_not_scanned(tmp_path: Path) -> None:
    write_shard(tmp_path / "in" / "a.jsonl.gz", 5, 1)
    for out in (tmp_path / "in" / "out", tmp_path / "in"):
        for _ in range(2):
            done = one_worker(tmp_path / "in" / "a.jsonl.gz" if out.name == "in" else tmp_path / "in", "--out", out)
            assert done.returncode == 0, done.stderr
        assert json.loads((out / "scan.json").read_text())["figures"]["read"] == 5
        shutil.rmtree(tmp_path / "in" / "out", ignore_errors=True)


def test_an_empty_out_is_wrong_usage_and_another_input_of_the_name_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path / name / "x.jsonl.gz", 5, 1)
    assert one_worker(tmp_path / "a", "--out", "").returncode == 2
    assert one_worker(tmp_path / "a", "--out", tmp_path / "out").returncode == 0
    before = contents(tmp_path / "out")
    done = one_worker(tmp_path / "b", "--out", tmp_path / "out")
    assert done.returncode == 2 and "another input of that name" in done.stderr
    assert contents(tmp_path / "out") == before


def put(folder: Path, *names: str, content: bytes = b'{"text": "a document of some words"}\n') -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_files_left_out_by_their_names_are_counted_and_named_ones_are_read(tmp_path: Path) -> None:
    ext = put(tmp_path / "ext", "a.jsonl", "part-00000", "b.txt", "c.wet.gz.1", "part-1/d.jsonl", "part-1/e.txt")
    (ext / "part-1.gz").write_bytes(gzip.compress(b'{"text": "packed"}\n'))
    done = one_worker(ext, "--out", tmp_path / "folder")
    assert done.returncode == 0 and f"5 files are left out by their names or folders, {ext}/b.txt first" in done.stderr
    left = json.loads((tmp_path / "folder" / "scan.json").read_text())["left_out"]
    out = [str(ext / name) for name in ("b.txt", "c.wet.gz.1", "part-00000", "part-1.gz", "part-1/e.txt")]
    assert left == {"files": 5, "first": out}
    (tmp_path / "policy.toml").write_text('[[rule]]\nname = "long"\nwhen.words.min = 999\ndrop = "long"\n')
    applied = tropescan(
        "apply", ext, tmp_path / "folder", "--policy", tmp_path / "policy.toml", "--out", tmp_path / "kept"
    )
    assert applied.returncode == 0 and f"5 files are left out by their names or folders, {ext}/b.txt" in applied.stderr
    assert json.loads((tmp_path / "kept" / "apply.json").read_text())["left_out"] == left
    expanded = sorted(ext.glob("part*"))
    for inputs in ([f"{ext}/part*"], expanded):
        plan = plan_inputs([str(given) for given in inputs])
        assert {task.url for task in plan.tasks} == {
            str(ext / n) for n in ("part-00000", "part-1.gz", "part-1/d.jsonl")
        }
        assert plan.left_out == [str(ext / "part-1" / "e.txt")]
    assert one_worker(f"{ext}/part*", "--out", tmp_path / "quoted").returncode == 0
    assert json.loads((tmp_path / "quoted" / "scan.json").read_text())["figures"]["tagged"] == 3
    assert [task.name for task in plan_inputs([f"{ext}/**"]).tasks] == ["a.jsonl", "part-1/d.jsonl"]


def test_folders_that_tools_keep_for_themselves_are_no_input(tmp_path: Path) -> None:
    dolma = put(tmp_path / "dolma", "documents/a.jsonl.gz", "attributes/x/a.jsonl.gz")
    trove = put(tmp_path / "trove", "data/0.jsonl", "logs/executor.json", "logs/stats/00000.json", "logs/logs/t.log",
                "logs/completions/00000")  # fmt: skip
    scan = put(tmp_path / "scan", "b.jsonl", "old/scan.json", "old/tags/b.jsonl.parquet", "old/reports/b.jsonl.json")
    plain = put(tmp_path / "plain", "attributes/a.jsonl", "tags/b.jsonl", "logs/c.jsonl")
    for folder, names in (
        (dolma, ["documents/a.jsonl.gz"]),
        (trove, ["data/0.jsonl"]),
        (scan, ["b.jsonl"]),
        (plain, ["attributes/a.jsonl", "logs/c.jsonl", "tags/b.jsonl"]),
    ):
        plan = plan_inputs([str(folder)])
        assert sorted(task.name for task in plan.tasks) == names
        assert len(plan.left_out) == len([path for path in folder.rglob("*") if path.is_file()]) - len(names)
    assert [task.name for task in plan_inputs([str(dolma / "attributes")]).tasks] == ["x/a.jsonl.gz"]


def test_arrow_files_are_told_how_to_become_parquet(tmp_path: Path) -> None:
    table = pa.table({"text": ["a document"]})
    for name, kind in (("data-0.arrow", pa.ipc.new_stream), ("data-1.arrow", pa.ipc.new_file)):
        (tmp_path / "saved").mkdir(exist_ok=True)
        with kind(tmp_path / "saved" / name, table.schema) as writer:
            writer.write_table(table)
        one_worker(tmp_path / "saved" / name, "--out", tmp_path / name)
        report = json.loads((tmp_path / name / "reports" / f"{name}.json").read_text())
        assert report["figures"]["rejected"] == {"unknown_format": 1}
        assert "to_parquet" in report["rejection_examples"][0]["detail"]
    done = one_worker(tmp_path / "saved", "--out", tmp_path / "out")
    assert done.returncode == 2 and "load_from_disk(FOLDER).to_parquet(FILE)" in done.stderr


def test_after_a_scan_that_failed_wholly_its_advice_can_be_followed(tmp_path: Path) -> None:
    crawl, out = put(tmp_path / "crawl"), tmp_path / "out"
    crawl.mkdir()
    pq.write_table(pa.table({"body_of_it": ["a document of some words"]}), crawl / "a.parquet")
    done = one_worker(crawl, "--out", out)
    assert done.returncode == 2 and "name one with --text-column" in done.stderr, done.stderr
    assert one_worker(crawl, "--out", out, "--text-column", "body_of_it").returncode == 0
    again = one_worker(crawl, "--out", out, "--text-column", "body_of_it", "--window", 64)
    assert again.returncode == 2 and "made with another model, version or options" in again.stderr


def test_the_share_flagged_is_of_documents_in_the_models_language(tmp_path: Path) -> None:
    lines = [{"text": "The machine will kill them all.", "language": "en" if k < 2 else "de"} for k in range(8)]
    put(tmp_path, "a.jsonl", content="\n".join(map(json.dumps, lines)).encode())
    done = one_worker(tmp_path / "a.jsonl", "--out", tmp_path / "out", "--threshold", 0)
    assert "2 (100.000% of 2 documents not in another language than en;" in done.stdout, done.stdout


def test_a_shard_that_failed_is_named_once(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1]}), tmp_path / "a.parquet")
    done = one_worker(tmp_path / "a.parquet", "--out", tmp_path / "out")
    line = next(line for line in done.stderr.splitlines() if line.startswith("failed: "))
    assert line.count(str(tmp_path / "a.parquet")) == 1, line
