"""The datatrove step that does a rank's shards; every executor runs this one.

Knows the plan and what became of each shard; nothing of what the job is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from jobs.local import Event, run_tasks
from jobs.trove_run import RunFolder
from pipeline.scan import split_done
from pipeline.shard_job import Progress, ShardJob
from pipeline.tasks import ShardTask

Attempts = Callable[[ShardJob[Any], Sequence[ShardTask]], Iterator[Event[ShardTask]]]
"""Does shards one after another; an event for each at its end, whether it went well or not."""


class ShardsFailedError(RuntimeError):
    """Some shards of a rank were not done; all of them are recorded in the logging folder."""


def _run(job: ShardJob[Any], task: ShardTask, progress: Callable[[Progress], None]) -> Any:
    return job.run(task, progress)


def run_in_child(job: ShardJob[Any], tasks: Sequence[ShardTask]) -> Iterator[Event[ShardTask]]:
    """In a process of its own, so that a shard which kills it (out of memory, a fault in a C library) fails alone."""
    return (event for event in run_tasks(partial(_run, job), tasks, 1) if event.finished)


class RunShards(PipelineStep):  # type: ignore[misc]
    """Does the shards that the plan in ``folder`` gives to its rank, those that are done left out.

    The first step of a pipeline; takes and gives no documents. Raises `ShardsFailedError` after the last shard if
    any failed, so that datatrove does not mark the rank as completed.
    """

    type = "🔎 - SHARDS"
    name = "🏷 tropescan"

    def __init__(self, job: ShardJob[Any], folder: RunFolder, attempts: Attempts = run_in_child) -> None:
        super().__init__()
        self.job, self.folder, self.attempts = job, folder, attempts

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Do the rank's shards."""
        tasks = self.folder.tasks_of(rank)
        todo, _ = split_done(self.job, tasks)
        logger.info(f"{len(todo)} of {len(tasks)} shards to do")
        failed = 0
        for event in self.attempts(self.job, todo):
            if event.error is None:
                self._count(event.task, event.result)
                continue
            failed += 1
            logger.error(f"failed: {event.task.url}: {event.error}")
            self.folder.record_failure(self.job, event.task, event.error)
        if failed:
            raise ShardsFailedError(f"{failed} of {len(tasks)} shards failed; each is in {self.folder.url}/failures")

    def _count(self, task: ShardTask, report: Any) -> None:
        counts = report.counts()
        logger.info(f"{task.url}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
        self.stat_update("shards")
        for name, count in counts.items():
            self.stat_update(name, value=count, unit="shard")
        self.stats.time_stats.update(report.seconds, unit="shard")
