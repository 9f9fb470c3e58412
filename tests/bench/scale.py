"""A scan of 90,000 shards without its scanning: what one process does for all of them, in CPU seconds and memory.

    python -m tests.bench.scale [--shards 90000]

Shards are empty files, tags too; reports are such as a scan writes, with ten examples of rejected records each. Making
these files is not counted. Exit status 1 if the limits are passed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.scan import make_job
from jobs.trove_run import find_failures, start_run
from pipeline.accounting import ShardReport
from pipeline.scan import plan_scan, split_done, write_scan_report
from pipeline.tag import ScanJob
from pipeline.tasks import ReadOptions, ShardTask

MOST_SECONDS, MOST_BYTES = 60, 1 << 30
A_FOLDER = 900
FIGURES = ShardReport(shards=1, read=20_000, tagged=19_990, rejected={"bad_http": 10})


def simulate(folder: Path, shards: int) -> dict[str, float]:
    """CPU seconds of each step."""
    make_shards(folder / "crawl", shards)
    took: dict[str, float] = {}
    tasks: list[ShardTask] = _timed(took, "plan", lambda: plan_scan([str(folder / "crawl")], str(folder / "out")))
    job = make_job(
        str(folder / "out"), None, window=128, stride=64, label=None, threshold=None, span_threshold=None,
        strict=False, options=ReadOptions(),
    )  # fmt: skip
    todo, _ = _timed(took, "find out that nothing is done", lambda: split_done(job, tasks))
    assert len(todo) == shards
    _timed(
        took, "spread over 1,000 tasks and write the plan", lambda: start_run(str(folder / "logs"), job, tasks, 1000)
    )
    make_reports(job, tasks)
    todo, done = _timed(took, "find out that all is done", lambda: split_done(job, tasks))
    assert (len(todo), len(done)) == (0, shards)
    assert not _timed(took, "look for failures", lambda: find_failures(job, tasks, str(folder / "logs")))
    total = _timed(took, "add up all reports into scan.json", lambda: write_scan_report(job, tasks, [], "simulated"))
    assert total.tagged == shards * FIGURES.tagged
    return took


def _timed(took: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    begin = time.process_time()
    result = work()
    took[name] = round(time.process_time() - begin, 2)
    return result


def make_shards(folder: Path, shards: int) -> None:
    """Empty files in folders of 900, as Common Crawl's segments are."""
    for i in range(shards):
        path = folder / f"segment-{i // A_FOLDER:03d}" / f"CC-MAIN-{i:05d}.warc.wet.gz"
        _write(path, b"", new_folder=i % A_FOLDER == 0)


def make_reports(job: ScanJob, tasks: Sequence[ShardTask]) -> None:
    """What a scan would leave of each of the shards."""
    example = {"reason": "bad_http", "row": 1234, "offset": 123_456_789, "detail": "x" * 80}
    made: set[str] = set()
    for task in tasks:
        content = {
            "shard": asdict(task), "fingerprint": job.fingerprint(task), "job": job.digest,
            "flagged_by": job.flagged_by(), "complete": True, "figures": FIGURES.to_dict(),
            "rejection_examples": [example] * 10,
        }  # fmt: skip
        for url, data in ((job.tags_url(task), b""), (job.report_url(task), json.dumps(content, indent=1).encode())):
            _write(Path(url), data, new_folder=os.path.dirname(url) not in made)
            made.add(os.path.dirname(url))


def _write(path: Path, data: bytes, *, new_folder: bool) -> None:
    if new_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb", buffering=0) as file:
        file.write(data)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=90_000)
    shards = parser.parse_args().shards
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        took = simulate(Path(folder), shards)
    seconds, memory = sum(took.values()), 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, value in took.items():
        print(f"{value:7.2f} s  {name}")
    print(f"{seconds:7.2f} s of {MOST_SECONDS}, {memory / 2**20:.0f} MiB of {MOST_BYTES >> 20}: {shards:,} shards")
    sys.exit(int(seconds > MOST_SECONDS or memory > MOST_BYTES))


if __name__ == "__main__":
    main()
