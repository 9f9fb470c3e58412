"""Live progress of a job over shards: a bar on a terminal, a line now and then elsewhere. Knows counts and time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from pipeline.shard_job import Progress as Count

_SECONDS_BETWEEN_LINES = 10.0


class _WithNote(Progress):
    """The bar, and below it the note: in one line, figures would push the time left off a terminal of 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield from (Text(str(task.fields["note"])) for task in self.tasks)


class ScanProgress:
    """Shows documents and bytes per second, how many are marked so far, and the time left by stored bytes.

    ``command`` names the work, ``marks`` what is done to marked documents."""

    def __init__(
        self, shards: int, stored_bytes: int, *, quiet: bool = False, command: str = "scan", marks: str = "flagged"
    ) -> None:
        self.shards, self.stored_bytes = shards, stored_bytes
        self.command, self.marks = command, marks
        self.shards_done, self.counts = 0, dict[str, Count]()
        self.begin = self.last_line = time.monotonic()
        self.quiet = quiet
        self.console = Console(stderr=True)
        self.bar = _WithNote(
            TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(), console=self.console, disable=quiet or not self.console.is_terminal, expand=True,
        )  # fmt: skip
        self.task = self.bar.add_task(command, total=max(1, stored_bytes), note="")

    def __enter__(self) -> ScanProgress:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.stop()
        if not self.quiet and not self.console.is_terminal:
            self._line()

    def update(self, shard: str, count: Count) -> None:
        """A shard has come this far."""
        self.counts[shard] = count
        self._show()

    def finish(self, shard: str, stored_bytes: int) -> None:
        """A shard has ended, well or not: nothing of it is left to read."""
        self.counts[shard] = replace(self.counts.get(shard, Count()), input_bytes=stored_bytes)
        self.shards_done += 1
        self._show()

    def _note(self) -> str:
        seconds = max(time.monotonic() - self.begin, 1e-9)
        counts = self.counts.values()
        documents, marked = sum(c.documents for c in counts), sum(c.marked for c in counts)
        megabytes = sum(c.text_bytes for c in counts) / 1e6
        return (
            f"{self.shards_done:,}/{self.shards:,} shards, {documents:,} documents ({documents / seconds:,.0f}/s, "
            f"{megabytes / seconds:,.1f} MB/s), {marked:,} {self.marks}"
        )

    def _show(self) -> None:
        done = sum(c.input_bytes for c in self.counts.values())
        if self.console.is_terminal:
            self.bar.update(self.task, completed=min(done, self.stored_bytes), note=self._note())
        elif not self.quiet and time.monotonic() - self.last_line > _SECONDS_BETWEEN_LINES:
            self._line()

    def _line(self) -> None:
        self.last_line = time.monotonic()
        done = sum(c.input_bytes for c in self.counts.values())
        share = done / max(1, self.stored_bytes)
        left = (time.monotonic() - self.begin) * (1 - share) / share if share > 0 else 0.0
        print(
            f"{self.command}: {self._note()}  {min(1.0, share):.0%} read, {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )
