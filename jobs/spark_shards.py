"""The Spark engine: a job's shards as tasks of a Spark job, spread by size.

Composes session, plan and retries; knows nothing of what is done to a shard. Spark's own retries do the work: a task
whose shards fail raises until its last attempt, which gives each shard a process of its own, so that one which kills
its process fails alone. Documents and tags never pass through Spark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import click
from pyspark import SparkContext, TaskContext
from pyspark.sql import SparkSession

from classifiers.best_label import BestLabelModel
from classifiers.rescoring import RescoringScorer
from classifiers.score import FastTextScorer
from jobs.engine import Engine, absolute, say_failure
from jobs.local import Event, run_tasks
from jobs.spark_options import SparkOptions
from jobs.spark_session import (
    attempts_of,
    cause_of,
    own_master,
    ship_file,
    shipped_file,
    spark_session,
    wait_until_idle,
)  # fmt: skip
from pipeline import storage
from pipeline.scan import Failure, split_done
from pipeline.shard_job import Progress, ShardJob
from pipeline.spread import BYTES_A_SHARD, number_of_parts, spread_by_size
from pipeline.tag import ScanJob
from pipeline.tasks import ShardTask

PARTITIONS_A_CORE = 4
"""So that the last ones to end are small beside the whole."""
MOST_PARTITIONS = 20_000
MOST_ABORTS = 20
"""Jobs that Spark gives up because of one shard, each after all attempts, before the rest is given up, too."""

Attempts = Callable[[ShardJob[Any], Sequence[ShardTask]], Iterator[Event[ShardTask]]]
Shippable = FastTextScorer | RescoringScorer | BestLabelModel
Shipped = dict[str, str]
"""What a model file is called on the executors, by its path here."""
Said = list[tuple[ShardTask, str]]
"""Shards that failed on their last attempt, and why."""


class ShardsFailedError(RuntimeError):
    """Some shards of a Spark task failed; raised for Spark to try the task again."""


def spark_engine(out: str, options: SparkOptions, *, workers: int | None = None, quiet: bool = False) -> Engine:
    """The engine for a job into ``out``, which every executor and the driver must reach under the same URL.

    ``workers`` is the number of cores of a local master that names none, and of executors where the cluster heeds
    ``spark.cores.max`` (standalone); elsewhere it changes nothing, which is said.
    """
    storage.remove_unfinished(out)

    def engine(job: ShardJob[Any], tasks: list[ShardTask]) -> list[Failure]:
        settings = {"spark.ui.showConsoleProgress": str(not quiet).lower(), **_limited(workers), **options.settings}
        local = options.master in ("local", "local[*]") and workers
        master = f"local[{workers}]" if local else options.master or own_master(settings, workers)
        try:
            with spark_session(
                f"tropescan {job.command}", master=master, settings=settings, py_files=options.py_files
            ) as session:
                _check_limit(session.sparkContext, workers)
                said = _run_all(session, job.into(absolute(job.out)), tasks, options)
                wait_until_idle(session.sparkContext)
        finally:
            storage.remove_unfinished(out)  # of attempts that were killed
        failures = _failures(job, tasks, said)
        for number, failure in enumerate(failures, 1):
            say_failure(failure.task, failure.error, number)
        return failures

    return engine


def _limited(workers: int | None) -> dict[str, str]:
    return {"spark.cores.max": str(workers)} if workers else {}


def _check_limit(context: SparkContext, workers: int | None) -> None:
    """Say so if the cluster does not heed the number of workers."""
    master = str(context.master)
    heeds = master.startswith(("spark:", "local-cluster")) and context.getConf().get("spark.cores.max") == str(workers)
    if workers and not heeds and not re.match(rf"local\[{workers}\b", master):
        click.echo(f"--workers {workers} does not limit Spark on {master}; use its own options for that", err=True)


def _failures(job: ShardJob[Any], tasks: Sequence[ShardTask], said: Said) -> list[Failure]:
    """The shards that are not done where the driver looks; a second attempt may have mended what a first one said."""
    errors = {task.url: error for task, error in said}
    unseen = f"an executor did it, but {job.out} shows no report here; --out must be storage that all machines share"
    return [Failure(task, errors.get(task.url, unseen)) for task in split_done(job, tasks)[0]]


def _run_all(session: SparkSession, job: ShardJob[Any], tasks: Sequence[ShardTask], options: SparkOptions) -> Said:
    """Run Spark jobs until every shard is done or has failed; a shard that makes Spark give up is left out."""
    context = session.sparkContext
    work = partial(run_partition, job, _shipped(session, job, options), attempts_of(context))
    parts = partitions(tasks, context.defaultParallelism, options.partitions)
    given_up, said = Said(), ""
    for _ in range(MOST_ABORTS):
        try:
            return given_up + _run(context, work, parts)
        except Exception as error:  # py4j's, of a job that Spark gave up
            parts = [split_done(job, part)[0] for part in parts]
            number, said = failed_partition(str(error)), cause_of(error)
            if number is None or number >= len(parts):
                break
            suspects = parts.pop(number)
            if len(suspects) == 1:
                given_up.append((suspects.pop(), said))
            parts = [part for part in parts if part] + [[task] for task in suspects]
            if not parts:
                break
    return given_up + [(task, said) for part in parts for task in part]


def _shipped(session: SparkSession, job: ShardJob[Any], options: SparkOptions) -> Shipped:
    """Send the job's models to the executors, unless their paths hold there, too."""
    if options.shared_model or not isinstance(job, ScanJob):
        return {}
    models = (job.scorer, getattr(job.scorer, "first", None), job.identify, job.topics)
    return {m.path: ship_file(session, m.path, m.digest) for m in models if isinstance(m, Shippable)}


def _run(context: SparkContext, work: Callable[[Any], Iterator[Any]], parts: Sequence[list[ShardTask]]) -> Said:
    return context.parallelize(parts, len(parts)).mapPartitions(work).collect()


def partitions(tasks: Sequence[ShardTask], cores: int, number: int | None = None) -> list[list[ShardTask]]:
    """Shards of each Spark task, the fullest first, as Spark starts them in this order: the longest never starts last.

    ``number`` None: about 1 GiB each, at least four for each of ``cores``.
    """
    wanted = number_of_parts(tasks, least=PARTITIONS_A_CORE * cores, most=MOST_PARTITIONS)
    parts = spread_by_size(tasks, min(number or wanted, len(tasks)))
    return sorted(parts, key=lambda part: -sum(task.size + BYTES_A_SHARD for task in part))


def failed_partition(message: str) -> int | None:
    """The partition for which Spark gave up a job, from its message; None if that was for another reason."""
    found = re.search(r"Task (\d+) in stage \S+ failed \d+ times", message)
    return int(found[1]) if found else None


def run_partition(
    job: ShardJob[Any], shipped: Shipped, attempts: int, parts: Iterator[list[ShardTask]]
) -> Iterator[Any]:
    """Do a Spark task's shards, on an executor; yields those that failed, with the error.

    Raises `ShardsFailedError` for Spark to try again, except on the last attempt, and for the job's final errors, which
    would only come again.
    """
    context = TaskContext.get()
    last = context is None or context.attemptNumber() + 1 >= attempts
    if isinstance(job, ScanJob):
        models = {name: _here_is(getattr(job, name), shipped) for name in ("scorer", "identify", "topics")}
        job = replace(job, **models)
    for tasks in parts:
        todo, _ = split_done(job, tasks)
        events = (_in_child if last else _here)(job, todo)
        failed = [(event.task, event.error) for event in events if event.error is not None]
        if not last and (again := [(task, error) for task, error in failed if not error.startswith(job.final_errors)]):
            raise ShardsFailedError("; ".join(f"{task.url}: {error}" for task, error in again[:3]))
        yield from failed


def _here_is(model: Any, shipped: Shipped) -> Any:
    """The model with the path that its file has on this executor, and so with its first stage."""
    if isinstance(model, RescoringScorer):
        model = replace(model, first=_here_is(model.first, shipped))
    name = shipped.get(getattr(model, "path", ""))
    return model if name is None else replace(model, path=shipped_file(name))


def _here(job: ShardJob[Any], tasks: Sequence[ShardTask]) -> Iterator[Event[ShardTask]]:
    for task in tasks:
        try:
            yield Event(task, result=job.run(task))
        except Exception as error:
            yield Event(task, error=f"{type(error).__name__}: {error}")


def _work(job: ShardJob[Any], task: ShardTask, progress: Callable[[Progress], None]) -> Any:
    return job.run(task, progress)


def _in_child(job: ShardJob[Any], tasks: Sequence[ShardTask]) -> Iterator[Event[ShardTask]]:
    """One after the other in a process of their own, which is replaced when a shard kills it."""
    return (event for event in run_tasks(partial(_work, job), tasks, 1) if event.finished)
