"""A datatrove run's logging folder: which rank has which shards, what failed, which Slurm jobs were submitted.

The folder is named by the plan, so that datatrove's markers of completed ranks never hide a shard of another plan.
Knows neither datatrove nor what the job is.
"""

from __future__ import annotations

import glob
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipeline import storage
from pipeline.scan import Failure, split_done
from pipeline.shard_job import ShardJob
from pipeline.spread import spread_by_size
from pipeline.tasks import ShardTask, digest

NO_REPORT = "no report yet: still queued or running, or its process was killed; the logs are in"

NO_RUN = "never submitted: give the same command without --collect first; there is no logging folder"


@dataclass(frozen=True)
class RunFolder:
    """The logging folder of one plan."""

    url: str

    def tasks_of(self, rank: int) -> list[ShardTask]:
        """The shards of a rank: one line of the plan."""
        lines = storage.read_bytes(self._file("plan.jsonl")).splitlines()
        return [ShardTask(**task) for task in json.loads(lines[rank])]

    def record_failure(self, job: ShardJob[Any], task: ShardTask, error: str) -> None:
        """Write down why a shard was not done."""
        fingerprint = job.fingerprint(task)
        content = {"shard": asdict(task), "fingerprint": fingerprint, "error": error, "at": time.time()}
        self._write(f"failures/{fingerprint[:16]}.json", content)

    def record_jobs(self, ids: Sequence[str]) -> None:
        """Write down the ids of submitted Slurm jobs."""
        self._write("slurm_jobs.json", list(ids))

    def _write(self, name: str, content: Any) -> None:
        with storage.whole_file(self._file(name)) as file:
            file.write(json.dumps(content, indent=1).encode("utf-8", "replace"))

    def _file(self, name: str) -> str:
        return storage.join(self.url, name)


def start_run(root: str, job: ShardJob[Any], tasks: Sequence[ShardTask], ranks: int) -> RunFolder:
    """Freeze the plan below ``root``; what an earlier run of the same plan left there is taken away.

    All shards of the plan are to do, so a completed rank there is one whose outputs were deleted since.
    """
    name = digest([job.digest, [job.fingerprint(task) for task in tasks], ranks])[:12]
    run = RunFolder(storage.join(root, f"{job.command}-{name}"))
    fs, path = storage.filesystem(run.url)
    for old in ("completions", "failures", "stats", "slurm_jobs.json"):
        with suppress(FileNotFoundError):
            fs.rm(f"{path}/{old}", recursive=True)
    lines = (json.dumps([asdict(task) for task in part]) + "\n" for part in spread_by_size(tasks, ranks))
    with storage.whole_file(storage.join(run.url, "plan.jsonl")) as file:
        file.write("".join(lines).encode("utf-8", "replace"))
    return run


def find_failures(job: ShardJob[Any], tasks: Sequence[ShardTask], root: str) -> list[Failure]:
    """The shards that are not done, each with what its last attempt said, if it came to say anything."""
    left, _ = split_done(job, tasks)
    if not left:
        return []
    fs, path = storage.filesystem(root)
    if not fs.exists(path):
        return [Failure(task, f"{NO_RUN} {root}") for task in left]
    said: dict[str, dict[str, Any]] = {}
    for failure in _contents(root, "failures/*.json"):
        if failure["at"] > said.get(failure["fingerprint"], {"at": 0.0})["at"]:
            said[failure["fingerprint"]] = failure
    silent = {"error": f"{NO_REPORT} {root}"}
    return [Failure(task, said.get(job.fingerprint(task), silent)["error"]) for task in left]


def submitted_jobs(root: str) -> set[str]:
    """Ids of all Slurm jobs that runs below ``root`` submitted."""
    return {job for jobs in _contents(root, "slurm_jobs.json") for job in jobs}


def _contents(root: str, name: str) -> list[Any]:
    fs, path = storage.filesystem(root)
    fs.invalidate_cache()  # other processes write there
    return [json.loads(fs.cat_file(found)) for found in sorted(fs.glob(f"{glob.escape(path)}/*-*/{name}"))]
