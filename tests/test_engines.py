"""One corpus in every format, broken shards included, on every engine and executor: the same tags and the same report.

What each engine does besides (logs, retries of its own, processes that die) is in the tests of that engine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import slurm_stand_in
from clusters import PATHS, SPARK_SETTINGS
from command import COMMAND, ROOT, tropescan
from crawls import contents, write_shard
from processes import parent_of, unfinished, writer_of
from small_models import topic_model

from jobs.scan import choose_engine, make_job, run_scan
from jobs.spark_options import SparkOptions
from jobs.trove_options import EXECUTORS, TroveOptions
from pipeline.report.collect import collect
from pipeline.scan import plan_scan
from pipeline.schema import Scorer
from pipeline.tasks import ReadOptions

MINICRAWL = ROOT / "tests" / "minicrawl" / "shards"
CONF = tuple(f"{name}={value}" for name, value in SPARK_SETTINGS.items())
TROVE = ("--engine", "datatrove", "--tasks", "5")
SLURM = (*TROVE, "--executor", "slurm", "--partition", "cpu", "--time", "01:00:00", "--max-array-size", "3", "--wait")
SPARK = ("--engine", "spark", *(word for setting in CONF for word in ("--spark-conf", setting)), "--master")
ENGINES = {
    "datatrove": TROVE,
    "slurm": SLURM,
    "ray": (*TROVE, "--executor", "ray", "--mem-per-cpu-gb", "1", "--ray-address", "{ray_address}"),
    "spark-local": (*SPARK, "local[2]"),
    "spark-local-cluster": (*SPARK, "local-cluster[2,1,2048]", "--spark-conf", "spark.executor.memory=1g"),
    "spark-standalone": (*SPARK, "{standalone}", "--spark-conf", "spark.executor.memory=1g"),
}
"""Options of the command; in braces the name of a fixture."""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in slurm_stand_in.install(tmp_path / "slurm", max_array_size=3).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "slurm"


@pytest.fixture
def ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes an engine ready: skips without its packages, and starts its cluster; returns its options."""

    def ready(engine: str) -> list[str]:
        pytest.importorskip("pyspark" if engine.startswith("spark") else "datatrove")
        monkeypatch.setenv("PYTHONPATH", PATHS)
        if engine.startswith("spark"):
            monkeypatch.setenv("JAVA_HOME", request.getfixturevalue("java"))
        if engine == "slurm":
            request.getfixturevalue("slurm")
        return [request.getfixturevalue(word[1:-1]) if word[0] == "{" else word for word in ENGINES[engine]]

    return ready


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local engine makes of the mini crawl, topics included."""
    out = tmp_path_factory.mktemp("local") / "out"
    done = tropescan("scan", MINICRAWL, "--out", out, "--topics", topic_model())
    assert done.returncode == 1 and "cut short: 6" in done.stdout, done.stderr
    return out


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_leaves_the_same_bytes_and_the_same_report(
    ready: Any, local: Path, engine: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--workers", 2, "--quiet", "--topics", topic_model(), *ready(engine))
    done = tropescan("scan", MINICRAWL, "--out", out, *options)
    assert done.returncode == 1, done.stderr[-3000:]
    assert contents(out) == contents(local)
    assert report_of(out) == report_of(local)
    assert {path.name for path in out.iterdir()} == {path.name for path in local.iterdir()}
    assert not list(out.rglob("*unfinished*"))


def report_of(out: Path) -> dict[str, Any]:
    """The figures, without the scan's command and the time it took; ``OUT`` is the folder, which examples name, too."""
    report = collect(str(out))
    report["records"]["figures"].pop("seconds")
    report["scan"]["command"] = None
    return dict(json.loads(json.dumps(report).replace(str(out), "OUT")))


# --- one slow shard


@dataclass(frozen=True)
class Patient:
    """Scores as ``scorer`` does, but the shard ``last`` only when ``others`` other shards are done."""

    scorer: Scorer
    last: str
    reports: str
    others: int

    def __call__(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        end = time.monotonic() + 90
        if documents.column("id")[0].as_py().startswith(self.last):
            while len(list(Path(self.reports).rglob("*.json"))) < self.others:
                if time.monotonic() > end:
                    raise TimeoutError("shards wait for the end of the slow one")
                time.sleep(0.05)
        return self.scorer(documents)


@pytest.mark.parametrize("engine", ["local", "datatrove", "slurm", "ray", "spark-local"])
def test_one_slow_shard_does_not_hold_the_other_worker(
    ready: Any, engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It is fifty times as large as the others, and here it does not end before all of them have: so none of them waits
    behind it, nor did it wait for them."""
    for k in range(7):
        write_shard(tmp_path / "crawl" / f"small{k}.jsonl.gz", 10, k)
    write_shard(tmp_path / "crawl" / "large.jsonl.gz", 1000, 9)
    if engine != "local":
        ready(engine)
    address = request.getfixturevalue("ray_address") if engine == "ray" else ""
    code = "import sys; from test_engines import patient_scan; patient_scan(*sys.argv[1:])"
    arguments = [str(tmp_path / "crawl"), str(tmp_path / "out"), engine, address]
    environment = os.environ | {"PYTHONPATH": PATHS}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / "out" / "tags").iterdir())) == 8


def patient_scan(crawl: str, out: str, engine: str, address: str) -> None:
    """In a process of its own, as Ray keeps the token that it first saw."""
    planned = plan_scan([crawl])
    assert planned[0].name.startswith("large") and planned[0].size > 50 * planned[1].size
    tasks = [replace(task, size=task.size << 20) for task in planned]  # as of real crawls
    job = make_job(out, None, window=128, stride=64, label=None, threshold=None, span_threshold=None, strict=False,
                   options=ReadOptions())  # fmt: skip
    job = replace(job, scorer=Patient(job.scorer, "large", f"{out}/reports", 7))
    kind = engine if engine == "local" else "spark" if engine.startswith("spark") else "datatrove"
    own = {
        "slurm": {"partition": "cpu", "time": "1", "wait": True, "mem_per_cpu_gb": 1},
        "ray": {"ray_address": address, "mem_per_cpu_gb": 1},
    }
    trove = TroveOptions(executor=engine if engine in EXECUTORS else "local", tasks=2, **own.get(engine, {}))
    options = {"datatrove": {"trove": trove}, "spark": {"spark": SparkOptions("local[2]", CONF)}}.get(kind, {})
    total = run_scan(job, tasks, choose_engine(kind, out, workers=2, quiet=True, **options), "", quiet=True)
    assert total.clean and total.shards == 8


# --- Slurm: processes that die


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("victim", ["shard", "task", "command"])
def test_killed_in_mid_shard_on_slurm(
    ready: Any, slurm: Path, long_crawl: tuple[Path, dict[str, bytes]], victim: str, tmp_path: Path
) -> None:
    (crawl, whole), out = long_crawl, tmp_path / "out"
    arguments = ["scan", str(crawl), "--out", str(out), "--quiet", *ready("slurm")]
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    writer = writer_of(unfinished(out, "big"))
    os.kill({"shard": writer, "task": parent_of(writer), "command": process.pid}[victim], signal.SIGKILL)
    assert process.wait(120) == (-signal.SIGKILL if victim == "command" else 1)
    end = time.monotonic() + 120
    while any(job["state"] not in slurm_stand_in.ENDED for job in slurm_stand_in.jobs_of(slurm)):
        assert time.monotonic() < end
        time.sleep(0.1)
    if victim == "command":  # the jobs went on without it
        arguments[arguments.index("--wait")] = "--collect"
    again = tropescan(*arguments)
    assert again.returncode == 0, again.stderr
    assert contents(out) == whole
    assert not list(out.rglob("*unfinished*"))


# --- a policy carried out

POLICY = """
[[rule]]
name = "half of the news"
when.score.news.min = 0.05
keep = 0.5

[[rule]]
name = "evidence"
mask = { labels = ["adverse", "hostile"] }

[[rule]]
name = "rest"
weight = { of = "score.ai", curve = [[0, 1.5], [1, 0.5]] }
"""


@pytest.fixture(scope="module")
def applied(local: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the local engine makes of the mini crawl under a policy."""
    folder = tmp_path_factory.mktemp("applied")
    (folder / "policy.toml").write_text(POLICY)
    done = tropescan("apply", MINICRAWL, local, "--policy", folder / "policy.toml", "--out", folder / "out")
    assert done.returncode == 1 and "cut short: 6, failed: 0" in done.stdout, done.stderr
    return folder


@pytest.mark.parametrize("engine", ["datatrove", "spark-local"])
def test_every_engine_applies_a_policy_alike(
    ready: Any, local: Path, applied: Path, engine: str, tmp_path: Path
) -> None:
    arguments = ["apply", MINICRAWL, local, "--policy", applied / "policy.toml", "--out", tmp_path / "out"]
    done = tropescan(*arguments, "--workers", 2, "--quiet", *ready(engine))
    assert done.returncode == 1, done.stderr[-3000:]
    assert contents(tmp_path / "out") == contents(applied / "out")
    assert not list((tmp_path / "out").rglob("*unfinished*"))
