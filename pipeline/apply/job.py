"""All that decides what is written of a shard under a policy, and where it goes.

Knows names and settings; the work itself is in `pipeline.apply.shard`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from pipeline import storage
from pipeline.apply.accounting import ApplyReport
from pipeline.apply.mds import INDEX
from pipeline.policy.policy import Policy
from pipeline.shard_job import Progress
from pipeline.tasks import ShardTask, digest

To = Literal["same", "parquet", "jsonl.zst", "tar", "mds", "mds.zstd"]
FORMATS: tuple[To, ...] = ("same", "parquet", "jsonl.zst", "tar", "mds", "mds.zstd")
MDS: tuple[To, ...] = ("mds", "mds.zstd")
"""Formats of which a shard becomes a folder of files, and ``data_url`` is their index."""
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class ApplyJob:
    """``tags`` is the folder of the scan, whose tags are found by the tasks' names; ``model`` the digest of the model
    that made them. ``to`` is the format of the output: ``same`` gives Parquet for shards that are named so and
    JSON lines for all others, ``tar`` what webdataset reads, ``mds`` what MosaicML's streaming does. With
    ``keep_dropped``, dropped documents are written beside."""

    command: ClassVar[str] = "apply"
    marks: ClassVar[str] = "dropped"
    made_by: ClassVar[str] = "policy, tags, format or version"
    final_errors: ClassVar[tuple[str, ...]] = ("LockstepError", "ColumnError")

    out: str
    policy: Policy
    tags: str
    model: str
    version: str
    to: To = "same"
    keep_dropped: bool = False

    def settings(self) -> dict[str, Any]:
        """What must be equal for two runs to give equal output, as plain types."""
        return {
            "version": self.version,
            "policy": self.policy.digest,
            "model": self.model,
            "to": self.to,
            "keep_dropped": self.keep_dropped,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the settings."""
        return digest(self.settings())

    def into(self, out: str) -> Self:
        """The same work into another folder."""
        return replace(self, out=out)

    def fingerprint(self, task: ShardTask) -> str:
        """What a shard's report must hold for the shard to count as done; the task's identity has that of the tags."""
        return digest([self.digest, task.url, task.identity])

    def tags_url(self, task: ShardTask) -> str:
        """Where a shard's tags are."""
        return storage.join(self.tags, "tags", f"{task.name}.parquet")

    def format_of(self, task: ShardTask) -> To:
        """The format of a shard's output."""
        if self.to != "same":
            return self.to
        return "parquet" if task.name.lower().endswith(_PARQUET) else "jsonl.zst"

    def data_url(self, task: ShardTask) -> str:
        """Where a shard's documents go: under its name, with the suffix of the format unless it has that."""
        if self.to in MDS:
            return storage.join(self.out, "data", f"{task.name}.mds", INDEX)
        suffix = f".{self.format_of(task)}"
        return storage.join(self.out, "data", task.name if task.name.endswith(suffix) else f"{task.name}{suffix}")

    def decisions_url(self, task: ShardTask) -> str:
        """Where a shard's decisions go."""
        return storage.join(self.out, "decisions", f"{task.name}.parquet")

    def dropped_url(self, task: ShardTask) -> str:
        """Where a shard's dropped documents go, if they are kept."""
        return storage.join(self.out, "dropped", f"{task.name}.parquet")

    @property
    def replacement_url(self) -> str:
        """Where it stands how many documents each shard has to replace, and can replace others with."""
        return storage.join(self.out, "replacement.parquet")

    def report_url(self, task: ShardTask) -> str:
        """Where a shard's report goes."""
        return storage.join(self.out, "reports", f"{task.name}.json")

    def output_urls(self, task: ShardTask, report: dict[str, Any]) -> list[str]:
        """Documents, decisions and, if they are kept, dropped documents."""
        data = [self.data_url(task)] if report.get("has_data", True) else []
        kept = [self.dropped_url(task)] if self.keep_dropped else []
        return [*data, self.decisions_url(task), *kept]

    def done(self, report: dict[str, Any]) -> ApplyReport:
        """The report's figures."""
        return ApplyReport(**report["figures"])

    def run(self, task: ShardTask, progress: Callable[[Progress], None] | None = None) -> ApplyReport:
        """See `pipeline.apply.shard.apply_shard`."""
        from pipeline.apply.shard import apply_shard  # which knows this class

        return apply_shard(self, task, progress)
