"""A scan by Spark whose scorer misbehaves as told: a process for a test to kill, and a scorer that executors import."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from processes import processes

from classifiers.score import FastTextScorer
from jobs.scan import choose_engine, make_job, run_scan
from jobs.spark_options import SparkOptions
from pipeline.scan import plan_scan
from pipeline.tag import ScanJob
from pipeline.tasks import ReadOptions


@dataclass(frozen=True)
class OddScorer(FastTextScorer):
    """Scores as usual; but a shard whose first document's id starts with ``fails`` always raises, with ``kills`` kills
    its process, with ``kills_executor`` the executor around it, and with one of ``slow`` waits for a minute the first
    time. ``marks`` gets a file each time, with the path of the model in it."""

    marks: str = ""
    fails: str | None = None
    kills: str | None = None
    kills_executor: str | None = None
    slow: tuple[str, ...] = ()

    def __call__(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        first = documents.column("id")[0].as_py().replace("/", "_")
        before = list(Path(self.marks).glob(f"{first}-*"))
        Path(self.marks, f"{first}-{os.getpid()}-{uuid.uuid4().hex}").write_text(self.path)
        if self.fails is not None and first.startswith(self.fails):
            raise ArithmeticError("this shard always fails")
        if self.kills is not None and first.startswith(self.kills):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kills_executor is not None and first.startswith(self.kills_executor):
            os.kill(executor_around(os.getpid()), signal.SIGKILL)
            time.sleep(60)  # until it takes this process along
        if first.startswith(self.slow) and not before:
            time.sleep(60)
        return super().__call__(documents)


def executor_around(pid: int) -> int:
    """The JVM of a cluster's executor in which this process works."""
    table = processes()
    while "CoarseGrainedExecutorBackend" not in table[pid][1]:
        pid = table[pid][0]
    return pid


def odd_job(out: str, marks: str, **odd: Any) -> ScanJob:
    """The job of a plain scan with an `OddScorer`; its output counts as that of the plain one."""
    job = make_job(
        out, None, window=128, stride=64, label=None, threshold=None, span_threshold=None, strict=False,
        options=ReadOptions(),
    )  # fmt: skip
    os.makedirs(marks, exist_ok=True)
    return replace(job, scorer=OddScorer(**vars(job.scorer), marks=marks, **odd))


def run_odd(crawl: str, out: str, marks: str, options: SparkOptions, **odd: Any) -> Any:
    """The figures of such a scan."""
    job = odd_job(out, marks, **odd)
    return run_scan(job, plan_scan([crawl]), choose_engine("spark", out, quiet=True, spark=options), "test", quiet=True)


if __name__ == "__main__":
    from spark_driver import run_odd  # of a module that others can import, as a pickled scorer's class must be

    given_crawl, given_out, given_marks, master, odd, *conf = sys.argv[1:]
    given = {name: tuple(value) if name == "slow" else value for name, value in json.loads(odd).items()}
    run_odd(given_crawl, given_out, given_marks, SparkOptions(master, tuple(conf)), **given)
