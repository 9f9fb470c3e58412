"""The local engine: every task ends with a result or an error, whatever happens to the processes."""

from __future__ import annotations

import io
import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from jobs.local import run_tasks
from jobs.progress import ScanProgress
from pipeline.shard_job import Progress


def square(task: int, progress: Callable[[Any], None]) -> int:
    progress("half way")
    if task == 3:
        raise ValueError("three is refused")
    if task == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return task * task


def slow(task: int, progress: Callable[[Any], None]) -> int:
    progress(os.getpid())
    time.sleep(60)
    return task


def test_errors_and_deaths_hurt_only_their_own_task() -> None:
    events = [event for event in run_tasks(square, list(range(8)), 2) if event.finished]
    results = {event.task: event.result for event in events if event.error is None}
    errors = {event.task: event.error for event in events if event.error is not None}
    assert results == {n: n * n for n in (0, 1, 2, 4, 6, 7)}
    assert "three is refused" in (errors[3] or "")
    assert "SIGKILL" in (errors[5] or "")
    assert len(events) == 8


def test_progress_comes_before_the_result() -> None:
    kinds = [event.finished for event in run_tasks(square, [2], 4)]
    assert kinds == [False, True]


def test_all_deaths() -> None:
    assert [event.task for event in run_tasks(square, [5, 5, 5], 2) if event.error] == [5, 5, 5]


def test_nothing_to_do() -> None:
    assert list(run_tasks(square, [], 3)) == []


def test_stopping_early_ends_the_processes() -> None:
    events = run_tasks(slow, [1, 2, 3], 2)
    pids = [next(events).progress, next(events).progress]
    events.close()
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        raise AssertionError(f"process {pid} lives on")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_bar_keeps_percent_and_time_left_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, to the bar
    shown = ScanProgress(90_000, 4_000_000)
    for k in range(3):
        shown.finish(f"s3://bucket/crawl/{k}.warc.gz", 1_000_000)
        shown.update("s3://bucket/crawl/3.warc.gz", Progress(123_456_789, 1_234_567, 0, 10**12))
    monkeypatch.delenv("FORCE_COLOR")
    written = io.StringIO()
    Console(width=width, file=written).print(shown.bar.get_renderable())
    first, *others = written.getvalue().splitlines()
    assert re.fullmatch(r"scan +[━╸╺]{10,} *75% +(\d+|-):..:..", first.strip()), first
    note = " ".join(" ".join(others).split())
    assert re.fullmatch(r"3/90,000 shards, 123,456,789 documents \(\S+/s, \S+ MB/s\), 1,234,567 flagged", note), note
    assert max(map(len, [first, *others])) <= width
