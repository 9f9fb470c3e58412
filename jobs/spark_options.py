"""The options of ``--engine spark``: what `jobs.scan` shows in its help without loading Spark."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import click


@dataclass(frozen=True)
class SparkOptions:
    """How Spark runs a scan. ``spark_conf`` are NAME=VALUE settings of Spark; ``partitions`` None: by size."""

    master: str | None = None
    spark_conf: tuple[str, ...] = ()
    partitions: int | None = None
    py_files: tuple[str, ...] = ()
    shared_model: bool = False

    def __post_init__(self) -> None:
        for given in self.spark_conf:
            if not given.partition("=")[0] or "=" not in given:
                raise click.UsageError(f"--spark-conf {given}: write NAME=VALUE, such as spark.executor.memory=4g")

    @property
    def settings(self) -> dict[str, str]:
        """Settings of Spark, name to value."""
        return {name: value for name, _, value in (given.partition("=") for given in self.spark_conf)}


_OPTIONS = (
    click.option("--master", metavar="URL",
                 help="spark: local[N], spark://HOST:PORT, yarn, k8s://… [default: spark-submit's, or else local[*]]"),
    click.option("--spark-conf", multiple=True, metavar="NAME=VALUE",
                 help="spark: any setting of Spark (spark.executor.memory=4g); may be repeated."),
    click.option("--partitions", type=click.IntRange(1), metavar="N",
                 help="spark: tasks, each with shards of about equal bytes in sum. [default: one a GiB, at least four "
                      "a core]"),
    click.option("--py-files", multiple=True, metavar="FILE", type=click.Path(exists=True, dir_okay=False),
                 help="spark: zip that 'tropescan pack' made, for executors without tropescan; may be repeated."),
    click.option("--shared-model", is_flag=True,
                 help="spark: executors read the models at their own paths; otherwise each of them gets a copy once."),
)  # fmt: skip


def spark_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with these options; it gets them as one `SparkOptions`, ``spark``."""

    @functools.wraps(function)
    def command(*args: Any, **given: Any) -> Any:
        spark = SparkOptions(**{field.name: given.pop(field.name) for field in fields(SparkOptions)})
        return function(*args, spark=spark, **given)

    for option in reversed(_OPTIONS):
        option(command)
    return command
