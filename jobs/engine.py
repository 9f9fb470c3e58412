"""What every engine is to the commands: a function that gets a job's shard tasks done and says which failed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click

from pipeline import storage
from pipeline.scan import Failure
from pipeline.shard_job import ShardJob
from pipeline.tasks import ShardTask

FAILURES_SHOWN = 10

Engine = Callable[[ShardJob[Any], list[ShardTask]], list[Failure]]
"""Runs the job on each task, somewhere, and returns the shards that were not done.

Raises `click.exceptions.Exit` if the work goes on elsewhere after the command has ended."""


def absolute(url: str) -> str:
    """A local path from the root, for processes that start in another folder; other URLs as they are."""
    return os.path.abspath(storage.local_path(url)) if storage.is_local(url) else url.rstrip("/")


def say_failure(task: ShardTask, error: str, number: int) -> None:
    """Print the ``number``-th failure of a job; the first few are enough."""
    if number <= FAILURES_SHOWN:
        click.echo(f"failed: {error}" if task.url in error else f"failed: {task.url}: {error}", err=True)
    if number == FAILURES_SHOWN:
        click.echo("further failures are listed in the folder's scan.json or apply.json", err=True)
