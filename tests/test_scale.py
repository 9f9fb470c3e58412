"""What one process does for all shards of a large scan: right at a size that a test can bear, in few requests."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from jobs.scan import make_job
from jobs.trove_run import find_failures
from pipeline import storage
from pipeline.scan import LISTED, Failure, split_done, write_scan_report
from pipeline.tasks import ReadOptions, ShardTask
from tests.bench import scale


def test_the_simulation_at_a_hundredth_of_its_size(tmp_path: Path) -> None:
    """And within a hundredth of the memory, what every process of its kind takes aside."""
    scale.simulate(tmp_path / "before", 10)  # opens the model
    tracemalloc.start()
    try:
        took = scale.simulate(tmp_path / "measured", 900)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(took) == 6
    assert peak < scale.MOST_BYTES / 100


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often fsspec's store in memory is asked for what; it is empty before and after."""
    calls: Counter[str] = Counter()
    for name in ("cat", "find", "isfile", "exists", "open", "ls"):
        monkeypatch.setattr(MemoryFileSystem, name, _counted(name, getattr(MemoryFileSystem, name), calls))
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    yield calls


def _counted(name: str, method: Any, calls: Counter[str]) -> Any:
    def counted(self: Any, *arguments: Any, **more: Any) -> Any:
        calls[name] += 1
        return method(self, *arguments, **more)

    return counted


def test_a_store_is_asked_for_many_reports_at_once(asked: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, data: bytes, *, new_folder: bool) -> None:
        MemoryFileSystem().pipe_file(str(path).removeprefix("memory:/"), data)

    monkeypatch.setattr(scale, "_write", write)
    job = make_job("memory://bucket/out", None, window=128, stride=64, label=None, threshold=None,
                   span_threshold=None, strict=False, options=ReadOptions())  # fmt: skip
    tasks = [ShardTask(f"s3://crawl/{k}.wet.gz", f"part/{k}.wet.gz", 1, "") for k in range(2500)]
    scale.make_reports(job, tasks[:2300])
    MemoryFileSystem().rm_file("/bucket/out/tags/part/7.wet.gz.parquet")
    asked.clear()
    todo, done = split_done(job, tasks)
    assert [task.name for task in todo] == ["part/7.wet.gz", *(f"part/{k}.wet.gz" for k in range(2300, 2500))]
    assert len(done) == 2299 and asked["cat"] == 3 and asked["find"] == 1
    asked.clear()
    assert write_scan_report(job, tasks, [], "").tagged == 2300 * scale.FIGURES.tagged
    assert asked["cat"] == 3 and asked["open"] == 1  # that of scan.json
    asked.clear()
    assert len(find_failures(job, tasks, "memory://bucket/logs")) == 201
    assert asked["cat"] == 3 and asked["find"] == 1  # of the tags; there is no logging folder


def test_a_summary_names_so_many_failed_shards_and_no_more(tmp_path: Path) -> None:
    job = make_job(str(tmp_path), None, window=128, stride=64, label=None, threshold=None,
                   span_threshold=None, strict=False, options=ReadOptions())  # fmt: skip
    failures = [Failure(ShardTask(f"/{k}", str(k), 1, ""), "torn") for k in range(LISTED + 50)]
    total = write_scan_report(job, [failure.task for failure in failures], failures, "")
    content = json.loads((tmp_path / "scan.json").read_text())
    assert total.failed_shards == LISTED + 50
    assert (len(content["failed"]), content["failed_not_listed"]) == (LISTED, 50)


def test_what_a_store_refuses_is_no_missing_file(asked: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Any, paths: list[str], **_: Any) -> dict[str, Any]:
        return {path: PermissionError("access denied") for path in paths}

    monkeypatch.setattr(MemoryFileSystem, "cat", refused)
    with pytest.raises(OSError, match="memory://bucket/a: access denied"):
        list(storage.read_files(["memory://bucket/a"]))


def test_many_local_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert list(storage.read_files([str(tmp_path / "a"), str(tmp_path / "b")])) == [b"x", None]
    assert storage.existing([str(tmp_path / "a"), str(tmp_path)]) == {str(tmp_path / "a")}
