"""Counts the strata of shards by several processes, for the plan of replacements. Few imports, as each process does
them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import track

from jobs.local import run_tasks
from pipeline.apply.job import ApplyJob
from pipeline.apply.replacement_plan import count_strata
from pipeline.apply.strata import Counts
from pipeline.tasks import ShardTask


def strata_counts(job: ApplyJob, tasks: Sequence[ShardTask], workers: int, *, quiet: bool = False) -> Iterator[Counts]:
    """The counts of each shard, in the order of the tasks. Raises `ValueError` with the first error of a worker."""
    if workers == 1:
        yield from (count_strata(job, task) for task in tasks)
        return
    done: dict[str, Counts] = {}
    left = iter(tasks)
    next_one = next(left, None)
    events = (event for event in run_tasks(partial(_count, job), tasks, workers) if event.finished)
    console = Console(stderr=True, quiet=quiet)
    for event in track(events, "Counting documents to replace", total=len(tasks), console=console, transient=True):
        if event.error is not None:
            raise ValueError(f"{event.task.url}: {event.error}")
        done[event.task.name] = event.result
        while next_one is not None and next_one.name in done:
            yield done.pop(next_one.name)
            next_one = next(left, None)


def _count(job: ApplyJob, task: ShardTask, progress: Callable[[Any], None]) -> Counts:
    return count_strata(job, task)
