"""The datatrove engine, locally and on a stand-in Slurm: the local engine's bytes, whatever dies on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import slurm_stand_in
from command import COMMAND, ROOT, tropescan
from crawls import contents, write_shard
from hypothesis import given
from hypothesis import strategies as st
from processes import alive, below
from recipes import follow, recipes

from jobs.scan import choose_engine, make_job, run_scan
from jobs.trove_options import TroveOptions
from pipeline.accounting import ShardReport
from pipeline.scan import plan_scan
from pipeline.schema import Scorer
from pipeline.spread import BYTES_A_SHARD, number_of_parts, spread_by_size
from pipeline.tag import ScanJob
from pipeline.tasks import ReadOptions, ShardTask

pytest.importorskip("datatrove", reason="datatrove (extra datatrove) is not installed")
trove_executors = pytest.importorskip("jobs.trove_executors")
trove_run = pytest.importorskip("jobs.trove_run")

DATATROVE = ("--engine", "datatrove")
SLURM = (*DATATROVE, "--executor", "slurm", "--partition", "cpu", "--time", "01:00:00")


def make_crawl(folder: Path) -> Path:
    """Six shards, JSONL and Parquet, of which the first is the largest."""
    for k in range(5):
        write_shard(folder / f"part{k % 2}" / f"{k}.jsonl.gz", 400 - 60 * k, k)
    rows = [{"text": f"the robot refused to be shut down {i}", "url": f"https://h{i}.example/"} for i in range(90)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return folder


@pytest.fixture
def own_crawl(tmp_path: Path) -> Path:
    """A crawl that the test may change."""
    return make_crawl(tmp_path / "crawl")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crawl for all tests that leave it as it is."""
    return make_crawl(tmp_path_factory.mktemp("crawl"))


@pytest.fixture(scope="module")
def whole(crawl: Path) -> dict[str, bytes]:
    """What the local engine makes of the crawl."""
    out = crawl.parent / f"{crawl.name}-whole"
    assert tropescan("scan", crawl, "--out", out, "--workers", 1).returncode == 0
    return contents(out)


def log_folder(out: Path) -> Path:
    [folder] = Path(f"{out}-logs").glob("scan-*")
    return folder


def completed(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "completions").iterdir())


# --- the plan


@given(st.lists(st.integers(0, 5_000_000_000), max_size=60), st.integers(1, 20))
def test_every_shard_is_in_one_part_and_no_part_is_much_fuller(sizes: list[int], parts: int) -> None:
    tasks = [ShardTask(f"/{k}", str(k), size, "") for k, size in enumerate(sizes)]
    spread = spread_by_size(tasks, parts)
    assert len(spread) == parts
    assert sorted(task.name for part in spread for task in part) == sorted(task.name for task in tasks)
    assert spread == spread_by_size(tasks[::-1], parts)
    loads = [sum(task.size + BYTES_A_SHARD for task in part) for part in spread]
    largest = max((task.size + BYTES_A_SHARD for task in tasks), default=0)
    assert max(loads) <= max(largest, sum(loads) / parts + largest)


def test_a_shard_of_fifty_times_the_size_is_alone() -> None:
    tasks = [ShardTask("/big", "big", 50 << 30, ""), *(ShardTask(f"/{k}", str(k), 1 << 30, "") for k in range(49))]
    assert [len(part) for part in spread_by_size(tasks, 2)] == [1, 49]


def test_parts_by_bytes() -> None:
    tasks = [ShardTask(f"/{k}", str(k), 100 << 20, "") for k in range(90_000)]
    assert number_of_parts(tasks) == 1000
    assert number_of_parts(tasks[:100]) == 10
    assert number_of_parts(tasks[:100], least=64) == 64
    assert number_of_parts(tasks[:3], least=64) == 3
    assert number_of_parts([]) == 1


# --- local


def test_the_logging_folder_is_as_datatroves_users_know_it(
    crawl: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert tropescan("scan", crawl, "--out", out, *DATATROVE, "--tasks", 4, "--workers", 2).returncode == 0
    assert contents(out) == whole
    folder = log_folder(out)
    assert completed(folder) == [f"{rank:05d}" for rank in range(4)]
    assert json.loads((folder / "executor.json").read_text())["world_size"] == 4
    [stats] = json.loads((folder / "stats.json").read_text())
    assert stats["stats"]["shards"] == 6 or stats["stats"]["shards"]["total"] == 6
    log = "".join(path.read_text() for path in (folder / "logs").iterdir())
    assert log.count("INFO") > 6 and all(path.name in log for path in crawl.rglob("*.jsonl.gz"))
    status = subprocess.run(
        [Path(sys.executable).parent / "jobs_status", f"{out}-logs"], capture_output=True, text=True
    )
    assert "4/4" in status.stdout


def test_a_second_run_does_nothing_and_completions_hide_no_shard(crawl: Path, whole: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        again = tropescan("scan", crawl, "--out", out, *DATATROVE, "--tasks", 6)
        assert again.returncode == 0
    assert "6 of 6 shards were done before" in again.stderr
    for path in (out / "tags").rglob("*.parquet"):
        path.unlink()
    # The same plan as at first, whose ranks datatrove has marked as completed.
    assert tropescan("scan", crawl, "--out", out, *DATATROVE, "--tasks", 6).returncode == 0
    assert len(list(Path(f"{out}-logs").glob("scan-*"))) == 1
    assert contents(out) == whole


@dataclass(frozen=True)
class Deadly:
    """A scorer that refuses some documents and dies at others, as long as there is no file ``healed``."""

    scorer: Scorer
    healed: str

    def __call__(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        texts = " ".join(documents.column("text").to_pylist())
        if not os.path.exists(self.healed):
            if "fatal" in texts:
                os.kill(os.getpid(), signal.SIGKILL)
            if "refused to score" in texts:
                raise RuntimeError("refused to score this")
        return self.scorer(documents)


def deadly_job(out: Path, healed: Path) -> ScanJob:
    job = make_job(str(out), None, window=128, stride=64, label=None, threshold=None, span_threshold=None,
                   strict=False, options=ReadOptions())  # fmt: skip
    return replace(job, scorer=Deadly(job.scorer, str(healed)))


def run_deadly(crawl: Path, out: Path, healed: Path, **options: Any) -> ShardReport:
    engine = choose_engine("datatrove", str(out), workers=2, quiet=True, trove=TroveOptions(**options))
    return run_scan(deadly_job(out, healed), plan_scan([str(crawl)]), engine, "", quiet=True)


def test_shards_that_fail_or_kill_hurt_only_themselves(own_crawl: Path, tmp_path: Path) -> None:
    """One rank has all shards; two of them kill its process, one raises, whatever comes after them is tagged."""
    for name, word in [("a", "fatal"), ("b", "refused to score"), ("c", "fatal")]:
        (own_crawl / f"{name}.jsonl").write_text(json.dumps({"text": f"{word} " * 20_000}) + "\n")
    assert tropescan("scan", own_crawl, "--out", tmp_path / "whole", "--workers", 1).returncode == 0
    out, healed = tmp_path / "out", tmp_path / "healed"
    total = run_deadly(own_crawl, out, healed, tasks=1)
    assert (total.shards, total.failed_shards) == (6, 3)
    failed = {Path(f["shard"]).name: f["error"] for f in json.loads((out / "scan.json").read_text())["failed"]}
    assert "SIGKILL" in failed["a.jsonl"] and "SIGKILL" in failed["c.jsonl"]
    assert "refused to score this" in failed["b.jsonl"]
    assert completed_or_none(log_folder(out)) == []
    assert not list(out.rglob("*unfinished*"))
    healed.touch()
    assert run_deadly(own_crawl, out, healed, tasks=2).failed_shards == 0
    assert contents(out) == contents(tmp_path / "whole")


def completed_or_none(folder: Path) -> list[str]:
    return completed(folder) if (folder / "completions").exists() else []


def test_a_shard_that_always_fails_makes_the_status_one(own_crawl: Path, tmp_path: Path) -> None:
    (own_crawl / "bad.jsonl").write_text('{"text":"x"}\n{torn\n')
    done = tropescan("scan", own_crawl, "--out", tmp_path / "out", *DATATROVE, "--strict", "--tasks", 2)
    assert done.returncode == 1 and "bad.jsonl" in done.stderr and "failed: 1" in done.stdout
    assert len(list((tmp_path / "out").rglob("*.parquet"))) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("victim", ["driver", "worker"])
def test_killed_in_mid_shard_and_run_again_gives_the_same(
    long_crawl: tuple[Path, dict[str, bytes]], tmp_path: Path, victim: str
) -> None:
    (crawl, whole), out = long_crawl, tmp_path / "out"
    arguments = ["scan", str(crawl), "--out", str(out), *DATATROVE, "--tasks", "1", "--quiet"]
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    while not list(out.rglob("*unfinished-big*")):
        assert process.poll() is None
        time.sleep(0.01)
    workers = [pid for pid, line in below(process.pid).items() if "spawn_main" in line]
    os.kill(process.pid if victim == "driver" else workers[0], signal.SIGKILL)
    assert process.wait(60) == (-signal.SIGKILL if victim == "driver" else 1)
    if victim == "worker":
        assert (out / "tags" / "small.jsonl.gz.parquet").exists()
        assert not list(out.rglob("*unfinished*"))
    deadline = time.monotonic() + 30
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    assert tropescan(*arguments).returncode == 0
    assert contents(out) == whole


def test_two_runs_at_once_give_one_result(crawl: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    out, healed = tmp_path / "out", tmp_path / "healed"
    healed.touch()
    job, tasks = deadly_job(out, healed), plan_scan([str(crawl)])
    folders = [trove_run.start_run(str(tmp_path / f"logs{k}"), job, tasks, 1) for k in range(2)]
    code = "import sys; from test_datatrove import attempt; attempt(*sys.argv[1:])"
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(crawl), str(out), str(healed), folder.url],
                         cwd=ROOT / "tests", env=os.environ | {"PYTHONPATH": str(ROOT)})
        for folder in folders
    ]  # fmt: skip
    assert [process.wait(120) for process in running] == [0, 0]
    assert run_deadly(crawl, out, healed, collect=True).failed_shards == 0
    assert contents(out) == whole


def attempt(crawl: str, out: str, healed: str, folder: str) -> None:
    """What a rank does, however many others do the same."""
    from jobs.trove_step import RunShards

    RunShards(deadly_job(Path(out), Path(healed)), trove_run.RunFolder(folder)).run(rank=0)


def test_wrong_usage(crawl: Path, tmp_path: Path) -> None:
    for arguments, words in [
        (["--executor", "ray"], "--engine datatrove"),
        ([*DATATROVE, "--executor", "slurm", "--time", "1"], "--partition"),
        ([*SLURM, "--wait", "--collect"], "--collect"),
        (
            [*DATATROVE, "--partition", "cpu", "--time", "1:00:00"],
            "--partition needs --engine datatrove --executor slurm",
        ),
        ([*DATATROVE, "--executor", "ray", "--sbatch-arg", "a=b"], "--sbatch-arg needs"),
        ([*DATATROVE, "--mem-per-cpu-gb", 4], "--executor slurm or ray"),
        ([*SLURM, "--ray-address", "auto"], "--executor ray"),
        ([*SLURM, "--venv", tmp_path], "bin/activate"),
        ([*SLURM, "--sbatch-arg", "--account=a"], "without dashes"),
        ([*SLURM], "sbatch"),
        ([*DATATROVE, "--tasks", 0], "--tasks"),
    ]:
        done = tropescan("scan", crawl, "--out", tmp_path / "out", *arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


# --- Slurm


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in slurm_stand_in.install(tmp_path / "slurm", max_array_size=3).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "slurm"


def arrays(slurm: Path) -> list[dict[str, Any]]:
    return [job for job in slurm_stand_in.jobs_of(slurm) if "launch_pickled_pipeline" in job["script"]]


def test_slurm_arrays_are_split_and_give_the_same_bytes(own_crawl: Path, slurm: Path, tmp_path: Path) -> None:
    for k in range(2):
        write_shard(own_crawl / f"more{k}.jsonl.gz", 20, 9 + k)
    tropescan("scan", own_crawl, "--out", tmp_path / "whole", "--workers", 1)
    out = tmp_path / "out"
    done = tropescan("scan", own_crawl, "--out", out, *SLURM, "--tasks", 8, "--max-array-size", 3, "--wait",
                     "--workers", 2, "--sbatch-arg", "account=abc", "--sbatch-arg", "exclusive")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(tmp_path / "whole")
    jobs = arrays(slurm)
    assert [job["options"]["array"] for job in jobs] == ["0-2%2"] * 3
    assert [job["options"].get("dependency") for job in jobs] == [None, "afterany:1000", "afterany:1001"]
    assert jobs[0]["options"] | {"account": "abc", "exclusive": "", "partition": "cpu"} == jobs[0]["options"]
    assert "qos" not in jobs[0]["options"]
    folder = log_folder(out)
    assert completed(folder) == [f"{rank:05d}" for rank in range(8)]
    assert json.loads((folder / "slurm_jobs.json").read_text()) == ["1000", "1001", "1002"]
    assert "1000, 1001, 1002" in done.stdout


def test_the_submitting_command_returns_and_collect_adds_up(
    crawl: Path, whole: dict[str, bytes], slurm: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scan = ("scan", crawl, "--out", out, *SLURM, "--tasks", 4, "--max-array-size", 3)
    never = tropescan(*scan, "--collect", "--out", tmp_path / "never")
    assert never.returncode == 2 and "never submitted" in never.stderr, never.stderr
    done = tropescan(*scan)
    assert done.returncode == 0 and "Slurm jobs 1000, 1001" in done.stdout and "--collect" in done.stdout
    assert not (out / "scan.json").exists()
    early = tropescan(*scan)
    if early.returncode:  # they had not ended
        assert early.returncode == 2 and "still queued or running" in early.stderr
    wait_until_ended(slurm)
    assert tropescan(*scan, "--collect").returncode == 0
    assert contents(out) == whole
    assert [job["options"].get("dependency") for job in arrays(slurm)[:2]] == [None, None]  # no limit: both at once
    stats = [job for job in slurm_stand_in.jobs_of(slurm) if "merge_stats" in job["script"]]
    assert stats[0]["options"]["dependency"] == "afterany:1000:1001"
    assert (log_folder(out) / "stats.json").exists()


def wait_until_ended(slurm: Path) -> None:
    deadline = time.monotonic() + 120
    while any(job["state"] not in slurm_stand_in.ENDED for job in slurm_stand_in.jobs_of(slurm)):
        assert time.monotonic() < deadline, slurm_stand_in.jobs_of(slurm)
        time.sleep(0.1)


def test_a_failed_slurm_task_is_told_and_a_rerun_takes_up_only_what_is_left(
    crawl: Path, whole: dict[str, bytes], slurm: Path, tmp_path: Path
) -> None:
    out, hidden = tmp_path / "out", tmp_path / "hidden"
    scan = ("scan", crawl, "--out", out, *SLURM, "--tasks", 3, "--wait")
    (out / "tags").mkdir(parents=True)
    (out / "tags" / "rows.parquet.parquet").mkdir()  # in the way of this shard's tags
    done = tropescan(*scan)
    assert done.returncode == 1 and "failed: 1" in done.stdout and "rows.parquet" in done.stderr, done.stderr
    assert Counter(job["state"] for job in arrays(slurm)) == {"FAILED": 1}
    assert len(completed(log_folder(out))) == 2
    (out / "tags" / "rows.parquet.parquet").rename(hidden)
    assert tropescan(*scan).returncode == 0
    assert [len(job["ran"]) for job in arrays(slurm)] == [3, 1]
    assert contents(out) == whole


@pytest.mark.parametrize(("tasks", "limit"), [(2500, 1001), (2500, 1000), (8, 3), (1001, 1001), (1, 1001), (7, 1)])
def test_every_task_has_its_place_in_the_arrays(tasks: int, limit: int) -> None:
    """By datatrove's arithmetic: arrays of one size, rank = element + size x number of the array."""
    size = trove_executors.even_array_size(tasks, limit)
    number = -(-tasks // size)
    assert size <= limit and number == -(-tasks // limit)
    ranks = [element + size * array for array in range(number) for element in range(size)]
    assert ranks[:tasks] == list(range(tasks)) and len(ranks) - tasks < number


def test_twenty_five_hundred_tasks_are_submitted_as_three_arrays(slurm: Path, tmp_path: Path) -> None:
    """The scripts that datatrove submits, not run: only which arrays, and which of them waits for which."""
    (slurm / "sbatch").write_text(
        '#!/bin/bash\necho "${@:1:$#-1} $(grep -o "array=.*" "${@: -1}")" >> "$SLURM_STAND_IN/said"\n'
        'echo "Submitted batch job $(wc -l < "$SLURM_STAND_IN/said") on cluster c1"\n'
    )
    executor = trove_executors.SlurmExecutor(
        [], tasks=2500, workers=-1, max_array_size=1001, logging_dir=str(tmp_path / "logs"), partition="p", time="1"
    )
    executor.run()
    said = (slurm / "said").read_text().splitlines()
    assert said[:3] == [f"--export=ALL,RUN_OFFSET={k} array=0-833" for k in range(3)]
    assert executor.job_ids == ["1", "2", "3"]


# --- the recipes of the README


def test_the_recipes_for_this_machine_and_for_slurm(own_crawl: Path, slurm: Path, tmp_path: Path) -> None:
    assert tropescan("scan", own_crawl, "--out", tmp_path / "whole", "--workers", 1).returncode == 0
    for mark in ("--workers 8", "--tasks 16"):
        [local] = recipes(mark)
        done = follow(local, tmp_path)
        assert done.returncode == 0, done.stderr
        assert contents(tmp_path / "scanned") == contents(tmp_path / "whole")
        shutil.rmtree(tmp_path / "scanned")
    submit, collect = recipes("--executor slurm")
    done = follow([*submit, "--max-array-size", "3"], tmp_path)
    assert done.returncode == 0, done.stderr
    wait_until_ended(slurm)
    done = follow(collect, tmp_path)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "scanned") == contents(tmp_path / "whole")
