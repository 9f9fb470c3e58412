"""What work on shards is to the engines: each shard alone, its outputs and last its report, and nothing twice.

Knows neither what the work is nor which engine runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, TypeVar

from pipeline.tasks import ShardTask

Figures = TypeVar("Figures", covariant=True)


@dataclass(frozen=True)
class Progress:
    """How far a shard is: counts since it began; ``marked`` are documents flagged or dropped, ``input_bytes`` as
    stored, ``text_bytes`` as UTF-8."""

    documents: int = 0
    marked: int = 0
    input_bytes: int = 0
    text_bytes: int = 0


class ShardJob(Protocol[Figures]):
    """A frozen, picklable description of work on shards: all that decides its outputs, and where they go.

    ``command`` names the work, ``marks`` what progress counts, ``made_by`` what must be equal for outputs to stand side
    by side; ``final_errors`` are names of errors that a second attempt only repeats.
    """

    command: ClassVar[str]
    marks: ClassVar[str]
    made_by: ClassVar[str]
    final_errors: ClassVar[tuple[str, ...]]

    @property
    def out(self) -> str:
        """The folder of all outputs."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the outputs, whatever the shards are."""

    def into(self, out: str) -> Self:
        """The same work into another folder."""

    def fingerprint(self, task: ShardTask) -> str:
        """What a shard's report must hold for the shard to count as done."""

    def report_url(self, task: ShardTask) -> str:
        """Where a shard's report goes."""

    def output_urls(self, task: ShardTask, report: dict[str, Any]) -> Sequence[str]:
        """The files that must be there for a shard with this report to be done."""

    def done(self, report: dict[str, Any]) -> Figures | None:
        """The figures of a finished shard's report; None if the shard must be done again all the same."""

    def run(self, task: ShardTask, progress: Callable[[Progress], None] | None = None) -> Figures:
        """Do a shard: write its outputs, then its report."""
