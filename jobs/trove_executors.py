"""datatrove's executors with what a long scan needs of them beyond 0.10.1.

Measured there: the pools of the local and the Ray executor wait for ever once one of their processes is killed; the
local one ends all ranks when one raises; stats of several Slurm arrays are merged after the last one only, and never
when a task of it fails. Knows ranks and processes; nothing of scores or files of documents.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import click
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.executor.slurm import launch_slurm_job
from datatrove.io import DataFolder
from datatrove.utils.stats import PipelineStats

from jobs.local import Event, run_tasks
from jobs.progress import ScanProgress
from jobs.trove_step import ShardsFailedError
from pipeline.shard_job import Progress, ShardJob
from pipeline.tasks import ShardTask

RETRIES_ON_RAY = 3
"""Of a rank whose worker or node died, as in datatrove's own Ray executor."""

Report = Callable[[tuple[ShardTask, Progress | None]], None]
"""Tells the driver how far a shard is; None at its end."""


@dataclass(frozen=True)
class _Rank:
    """A rank to run; ``deadly`` are shards (URL to error) at which its process died before."""

    number: int
    deadly: dict[str, str] = field(default_factory=dict)


class LocalExecutor(LocalPipelineExecutor):  # type: ignore[misc]
    """Ranks in processes of this machine; a rank whose process dies goes on without the shard it died at."""

    def run(self, shown: ScanProgress) -> None:
        """Run all ranks; raises nothing for shards or ranks that fail."""
        self.save_executor_as_json()
        waiting = [_Rank(number) for number in self.get_incomplete_ranks()]
        while waiting:
            waiting = self._attempt(waiting, shown)
        merge_stats(self.logging_dir)

    def _attempt(self, ranks: Sequence[_Rank], shown: ScanProgress) -> list[_Rank]:
        again: list[_Rank] = []
        at: dict[int, ShardTask] = {}
        for event in run_tasks(partial(_run_here, self), ranks, self.workers):
            rank = event.task
            if not event.finished:
                task, count = event.progress
                at[rank.number] = task
                if count is None:
                    del at[rank.number]
                    shown.finish(task.url, task.size)
                else:
                    shown.update(task.url, count)
            elif event.result:
                click.echo(f"rank {rank.number}: {event.result}", err=True)
            elif event.error and rank.number in at:
                again.append(replace(rank, deadly={**rank.deadly, at[rank.number].url: event.error}))
        return again


def _run_here(executor: LocalExecutor, rank: _Rank, report: Report) -> str | None:
    """Returns what is wrong with the rank itself, so that an error of the pool means that the process died."""
    executor = deepcopy(executor)  # statistics must not add up over the ranks of a process
    executor.pipeline[0].attempts = partial(_attempts, rank.deadly, report)
    try:
        executor._run_for_rank(rank.number, local_rank=1)  # 1: errors only on the terminal
    except ShardsFailedError:
        return None
    except BrokenPipeError:  # the driver is gone
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _attempts(
    deadly: dict[str, str], report: Report, job: ShardJob[Any], tasks: Sequence[ShardTask]
) -> Iterator[Event[ShardTask]]:
    for task in tasks:
        report((task, Progress()))
        if task.url in deadly:
            yield Event(task, error=deadly[task.url])
        else:
            yield _attempt(job, task, report)
        report((task, None))


def _attempt(job: ShardJob[Any], task: ShardTask, report: Report) -> Event[ShardTask]:
    try:
        result = job.run(task, lambda count: report((task, count)))
    except BrokenPipeError:
        raise
    except Exception as error:
        return Event(task, error=f"{type(error).__name__}: {error}")
    return Event(task, result=result)


class RayExecutor(RayPipelineExecutor):  # type: ignore[misc]
    """Ranks as tasks of a Ray cluster, which runs one again when its worker or node dies."""

    def run(self) -> None:
        """Run all ranks, ``workers`` at once; raises nothing for shards or ranks that fail."""
        import ray

        self.save_executor_as_json()
        options = {"num_cpus": self.cpus_per_task, "memory": int(self.mem_per_cpu_gb * self.cpus_per_task * 2**30)}
        task = ray.remote(_run_on_ray).options(**options, max_retries=RETRIES_ON_RAY)
        executor = ray.put(self)
        waiting = self.get_incomplete_ranks()[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < self.workers:
                rank = waiting.pop()
                running[task.remote(executor, rank)] = rank
            finished, _ = ray.wait(list(running))
            for reference in finished:
                rank = running.pop(reference)
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    click.echo(f"rank {rank}: {error}", err=True)
        merge_stats(self.logging_dir)


def _run_on_ray(executor: RayExecutor, rank: int) -> None:
    try:
        executor._run_for_rank(rank, local_rank=1)
    except ShardsFailedError:
        return


class JobIds(list[str]):
    """The ids of submitted jobs, as datatrove's ``job_id_retriever``."""

    def __call__(self, answer: str) -> str:
        """Take the id from what sbatch prints, with or without a cluster's name behind it."""
        found = re.search(r"\b\d+\b", answer)
        if not found:
            raise ValueError(f"sbatch gave no job id, but: {answer.strip()}")
        self.append(found[0])
        return found[0]


class SlurmExecutor(SlurmPipelineExecutor):  # type: ignore[misc]
    """Ranks as tasks of one or more Slurm arrays of equal size; the ids of all of them are in ``job_ids``."""

    def __init__(self, pipeline: list[Any], *, tasks: int, max_array_size: int, workers: int, **options: Any) -> None:
        self.job_ids = JobIds()
        super().__init__(
            pipeline, tasks=tasks, workers=workers, max_array_size=even_array_size(tasks, max_array_size),
            job_id_retriever=self.job_ids, job_name="tropescan",
            max_array_launch_parallel=workers == -1,  # a limit of workers holds within one array only
            **options,
        )  # fmt: skip

    def launch_merge_stats(self) -> None:
        """Merge the stats when every array has ended, well or not."""
        folder = self.logging_dir
        arguments = {**self.get_sbatch_args(), "cpus-per-task": 1, "dependency": f"afterany:{':'.join(self.job_ids)}"}
        script = f"merge_stats {folder.resolve_paths('stats')} -o {folder.resolve_paths('stats.json')}"
        launch_slurm_job(self.get_launch_file_contents(arguments, script), lambda answer: answer)


def even_array_size(tasks: int, limit: int) -> int:
    """Size of each of the fewest arrays that hold ``tasks``: datatrove submits arrays of one size, and a last one that
    is nearly empty would still start a process for each of its elements."""
    return -(-tasks // -(-tasks // limit))


def merge_stats(folder: DataFolder) -> None:
    """Add up the stats of the completed ranks into ``stats.json``."""
    found = [json.loads(folder.cat_file(name)) for name in folder.list_files("stats")]
    if found:
        with folder.open("stats.json", "wt") as file:
            sum(map(PipelineStats.from_json, found), start=PipelineStats()).save_to_disk(file)


def active_jobs(ids: set[str]) -> set[str]:
    """Which of these Slurm jobs are queued or running; all of them if Slurm does not answer."""
    if not ids:
        return set()
    answer = subprocess.run(["squeue", "--noheader", "--me", "--format=%F"], capture_output=True, text=True)
    return ids & set(answer.stdout.split()) if answer.returncode == 0 else ids


def wait_for_jobs(ids: set[str], longest: float = 30.0) -> None:
    """Return when none of these Slurm jobs is queued or running; looks every ``longest`` seconds at most."""
    seconds = 0.5
    while active_jobs(ids):
        time.sleep(seconds)
        seconds = min(longest, 2 * seconds)
