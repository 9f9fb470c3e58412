"""Running a job's shards by an engine: what ``scan`` and ``apply`` share. Knows not what the job is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from jobs.engine import Engine, say_failure
from jobs.local import available_cores, run_tasks
from jobs.progress import ScanProgress
from jobs.spark_options import SparkOptions
from jobs.trove_options import TroveOptions
from pipeline import storage
from pipeline.accounting import ShardReport
from pipeline.apply.accounting import ApplyReport
from pipeline.scan import Failure, check_folder, split_done
from pipeline.shard_job import Progress, ShardJob
from pipeline.tasks import ShardTask


def run_shards(job: ShardJob[Any], tasks: list[ShardTask], engine: Engine, *, quiet: bool = False) -> list[Failure]:
    """Do all shards that are not done; returns those that failed.

    Raises `pipeline.scan.StaleOutputError` if the folder holds outputs of other settings.
    """
    check_folder(job)
    todo, done = split_done(job, tasks)
    if done and not quiet:
        click.echo(f"{len(done)} of {len(tasks)} shards were done before", err=True)
    return engine(job, todo) if todo else []


def say_left_out(files: Sequence[str]) -> None:
    """Say how many files of the inputs' folders are no shards by their names, and the first."""
    if files:
        click.echo(
            f"{len(files)} files are left out by their names or folders, {files[0]} first; give files by name, or by a "
            "pattern without **, to have them read",
            err=True,
        )


class RecordsRejected(SystemExit):
    """Ends a command with status 1 though it did every shard: records were rejected or shards cut short, and the output
    is as whole as it can be. Running it again changes nothing."""


def end(total: ShardReport | ApplyReport) -> None:
    """End the command with the status that its sum over all shards deserves: 0 clean, 1 rejected, cut short or failed,
    2 nothing could run."""
    if not total.clean:
        raise SystemExit(1 if total.shards else 2) if total.failed_shards else RecordsRejected(1)


def _work(job: ShardJob[Any], task: ShardTask, progress: Callable[[Progress], None]) -> Any:
    return job.run(task, progress)


def local_engine(workers: int, *, quiet: bool = False) -> Engine:
    """The process pool of this machine, with live progress."""

    def engine(job: ShardJob[Any], tasks: list[ShardTask]) -> list[Failure]:
        failures: list[Failure] = []
        size = sum(task.size for task in tasks)
        with ScanProgress(len(tasks), size, quiet=quiet, command=job.command, marks=job.marks) as shown:
            for event in run_tasks(partial(_work, job), tasks, workers):
                if not event.finished:
                    shown.update(event.task.url, event.progress)
                    continue
                shown.finish(event.task.url, event.task.size)
                if event.error is not None:
                    failures.append(Failure(event.task, event.error))
                    say_failure(event.task, event.error, len(failures))
        return failures

    return engine


def choose_engine(
    kind: str, out: str, *, workers: int | None = None, quiet: bool = False, trove: TroveOptions | None = None,
    spark: SparkOptions | None = None,
) -> Engine:  # fmt: skip
    """The engine of that name, loaded only now, with what killed runs left half-written in ``out`` taken away.

    Raises `click.UsageError` for options of an engine that is not the chosen one, `ValueError` if it is not installed.
    """
    if kind != "datatrove" and trove not in (None, TroveOptions()):
        raise click.UsageError("--executor and the other options of datatrove need --engine datatrove")
    if kind != "spark" and spark not in (None, SparkOptions()):
        raise click.UsageError("--master and the other options of Spark need --engine spark")
    if kind == "datatrove":
        try:
            from jobs.trove import datatrove_engine
        except ModuleNotFoundError as error:
            raise ValueError(f"--engine datatrove: {error}; pip install 'tropescan[datatrove]'") from error
        return datatrove_engine(out, trove or TroveOptions(), workers=workers, quiet=quiet)
    if kind == "spark":
        try:
            from jobs.spark_shards import spark_engine
        except ModuleNotFoundError as error:
            raise ValueError(f"--engine spark: {error}; pip install 'tropescan[spark]'") from error
        return spark_engine(out, spark or SparkOptions(), workers=workers, quiet=quiet)
    storage.remove_unfinished(out)
    return local_engine(workers or available_cores(), quiet=quiet)


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C ends the command with a word on how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted; finished shards are kept: run the same command again to go on", err=True)
        raise click.exceptions.Exit(130) from None
