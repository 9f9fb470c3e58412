"""Several workers of the local engine: the wall time of a scan's steady state, and the memory that they share.

Start-up is left out: all workers have their model and have tagged a shard when the clock starts.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from jobs.local import run_tasks
from pipeline.tag import ScanJob, tag_shard
from pipeline.tasks import ShardTask

_MOST_SECONDS = 600
_met = False


class WorkerError(RuntimeError):
    """A worker failed; the message is its error."""


def steady_seconds(job: ScanJob, tasks: Sequence[ShardTask], workers: int) -> float:
    """Wall seconds from the moment when all workers are warm until the last shard is tagged."""
    together = get_context("spawn").Barrier(workers)
    times = _results(partial(_tag_warm, together, job), tasks, workers)
    return float(max(end for _, end in times) - min(begin for begin, _ in times))


def _results(work: Any, tasks: Sequence[ShardTask], workers: int) -> list[Any]:
    results = []
    for event in run_tasks(work, tasks, workers):
        if event.error is not None:
            raise WorkerError(f"{event.task.url}: {event.error}")
        results.append(event.result)
    return results


def _tag_warm(together: Any, job: ScanJob, task: ShardTask, _: Any) -> tuple[float, float]:
    global _met
    if not _met:
        tag_shard(job, task)
        together.wait(_MOST_SECONDS)
        _met = True
    begin = time.monotonic()
    tag_shard(job, task)
    return begin, time.monotonic()


@dataclass(frozen=True)
class Memory:
    """Bytes of one worker while the others live: ``peak`` resident; ``private`` to it alone; and of the files of the
    model that it maps, resident, its proportional share, and written to by it alone."""

    peak: int
    private: int
    model_resident: int
    model_share: int
    model_dirty: int


def memory(job: ScanJob, tasks: Sequence[ShardTask], model_files: str) -> list[Memory]:
    """Of one worker for each task, measured when each has tagged its shard. ``model_files`` is part of the path of the
    model's mapped files."""
    together = get_context("spawn").Barrier(len(tasks))
    return _results(partial(_tag_and_measure, together, job, model_files), tasks, len(tasks))


def _tag_and_measure(together: Any, job: ScanJob, model_files: str, task: ShardTask, _: Any) -> Memory:
    tag_shard(job, task)
    together.wait(_MOST_SECONDS)
    measured = own_memory(model_files)
    together.wait(_MOST_SECONDS)
    return measured


def own_memory(model_files: str) -> Memory:
    """Of this process, as Linux accounts for it in ``/proc/self``."""
    whole = _sums(Path("/proc/self/smaps_rollup").read_text("utf-8").splitlines())
    mapped: list[str] = []
    inside = False
    for line in Path("/proc/self/smaps").read_text("utf-8").splitlines():
        if not line.split(" ", 1)[0].endswith(":"):
            inside = model_files in line
        elif inside:
            mapped.append(line)
    model = _sums(mapped)
    peak = _sums(Path("/proc/self/status").read_text("utf-8").splitlines())["VmHWM"]
    private = whole["Private_Clean"] + whole["Private_Dirty"]
    return Memory(peak, private, model["Rss"], model["Pss"], model["Private_Dirty"])


def _sums(lines: Sequence[str]) -> Counter[str]:
    """Bytes by name over lines like ``Rss:   12 kB``."""
    sums: Counter[str] = Counter()
    for line in lines:
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            sums[name] += 1024 * int(value.split()[0])
    return sums
