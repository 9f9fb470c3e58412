"""The datatrove step that tags a rank's shards by `pipeline.tag.tag_shard`; every executor runs this one.

Knows the plan and what became of each shard; nothing of scores or formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from jobs.local import Event, run_tasks
from jobs.trove_run import RunFolder
from pipeline.accounting import ShardReport
from pipeline.scan import split_done
from pipeline.tag import Progress, ScanJob, tag_shard
from pipeline.tasks import ShardTask

Attempts = Callable[[ScanJob, Sequence[ShardTask]], Iterator[Event[ShardTask]]]
"""Tags shards one after another; an event for each at its end, whether it went well or not."""


class ShardsFailedError(RuntimeError):
    """Some shards of a rank gave no tags; all of them are recorded in the logging folder."""


def _tag(job: ScanJob, task: ShardTask, progress: Callable[[Progress], None]) -> ShardReport:
    return tag_shard(job, task, progress)


def tag_in_child(job: ScanJob, tasks: Sequence[ShardTask]) -> Iterator[Event[ShardTask]]:
    """In a process of its own, so that a shard which kills it (out of memory, a fault in a C library) fails alone."""
    return (event for event in run_tasks(partial(_tag, job), tasks, 1) if event.finished)


class TagShards(PipelineStep):  # type: ignore[misc]
    """Tags the shards that the plan in ``folder`` gives to its rank, those that are done left out.

    The first step of a pipeline; takes and gives no documents. Raises `ShardsFailedError` after the last shard if
    any failed, so that datatrove does not mark the rank as completed.
    """

    type = "🔎 - TAGGER"
    name = "🏷 tropescan"

    def __init__(self, job: ScanJob, folder: RunFolder, attempts: Attempts = tag_in_child) -> None:
        super().__init__()
        self.job, self.folder, self.attempts = job, folder, attempts

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> None:
        """Tag the rank's shards."""
        tasks = self.folder.tasks_of(rank)
        todo, _ = split_done(self.job, tasks)
        logger.info(f"{len(todo)} of {len(tasks)} shards to tag")
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

    def _count(self, task: ShardTask, report: ShardReport) -> None:
        logger.info(f"tagged {task.url}: {report.read} read, {report.tagged} tagged, {report.flagged} flagged")
        self.stat_update("shards")
        for name in ("read", "tagged", "flagged", "words", "input_bytes"):
            self.stat_update(name, value=getattr(report, name), unit="shard")
        for reason, count in report.rejected.items():
            self.stat_update(f"rejected_{reason}", value=count, unit="shard")
        self.stats.time_stats.update(report.seconds, unit="shard")
