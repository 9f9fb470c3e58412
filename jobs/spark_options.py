"""The options of ``--engine spark``: what commands show in their help without loading Spark."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
_MASTER = r"local(-cluster)?(\[.*\])?$|(spark|k8s|mesos)://|yarn$"
"""For what is none of these Spark's launcher ends, and leaves a trace of Java in place of an error."""


@dataclass(frozen=True)
class SessionOptions:
    """Which Spark to work on. ``spark_conf`` are NAME=VALUE settings of Spark."""

    master: str | None = None
    spark_conf: tuple[str, ...] = ()
    py_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.master is not None and not re.match(_MASTER, self.master):
            raise click.UsageError(f"--master {self.master}: no master of Spark; write local[N], spark://HOST:PORT, "
                                   "yarn or k8s://…")  # fmt: skip
        for given in self.spark_conf:
            if not given.partition("=")[0] or "=" not in given:
                raise click.UsageError(f"--spark-conf {given}: write NAME=VALUE, such as spark.executor.memory=4g")

    @property
    def settings(self) -> dict[str, str]:
        """Settings of Spark, name to value."""
        return {name: value for name, _, value in (given.partition("=") for given in self.spark_conf)}


@dataclass(frozen=True)
class SparkOptions(SessionOptions):
    """How Spark runs a scan. ``partitions`` None: by size."""

    partitions: int | None = None
    shared_model: bool = False


_OF_SESSIONS = (
    click.option("--master", metavar="URL",
                 help="spark: local[N], spark://HOST:PORT, yarn, k8s://… [default: spark-submit's, else this machine]"),
    click.option("--spark-conf", multiple=True, metavar="NAME=VALUE",
                 help="spark: any setting of Spark (spark.executor.memory=4g); may be repeated."),
    click.option("--py-files", multiple=True, metavar="FILE", type=click.Path(exists=True, dir_okay=False),
                 help="spark: zip that 'tropescan pack' made, for executors without tropescan; may be repeated."),
)  # fmt: skip
_OF_SCANS = (
    click.option("--partitions", type=click.IntRange(1), metavar="N",
                 help="spark: tasks, each with shards of about equal bytes in sum. [default: one a GiB, at least four "
                      "a core]"),
    click.option("--shared-model", is_flag=True,
                 help="spark: executors read the models at their own paths; otherwise each of them gets a copy once."),
)  # fmt: skip


def _gathered(kind: type[SessionOptions], options: Sequence[Decorator]) -> Decorator:
    """Decorate a command with these options; it gets them as one ``spark`` of that kind."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(*args: Any, **given: Any) -> Any:
            spark = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            return function(*args, spark=spark, **given)

        for option in reversed(options):
            option(command)
        return command

    return decorate


session_options = _gathered(SessionOptions, _OF_SESSIONS)
spark_options = _gathered(SparkOptions, (*_OF_SESSIONS, *_OF_SCANS))
