"""Where an audit counts and draws: in this process, or on Spark. Knows nothing of what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import click
from rich.console import Console
from rich.progress import track

from jobs.spark_options import SessionOptions, session_options

_T = TypeVar("_T")
_Command = Callable[..., Any]


class Gather(Protocol):
    """Applies a function to each tags file and combines what comes out, which must not depend on the order."""

    def __call__(
        self, files: Sequence[str], one: Callable[[str], _T], combine: Callable[[Iterable[_T]], _T], what: str
    ) -> _T:
        """``combine`` takes what files gave, or what it gave itself of some of them."""


def gather_here(files: Sequence[str], one: Callable[[str], _T], combine: Callable[[Iterable[_T]], _T], what: str) -> _T:
    """In this process, file by file, with a bar on a terminal."""
    return combine(one(file) for file in track(files, what, console=Console(stderr=True), transient=True))


def engine_options(command: _Command) -> _Command:
    """Decorate a command with ``--engine`` and the options of Spark: ``engine`` and ``spark``."""
    return click.option(
        "--engine", type=click.Choice(("local", "spark")), default="local", show_default=True,
        help="What reads the tags; draw and figures are the same.",
    )(session_options(command))  # fmt: skip


@contextmanager
def audit_engine(engine: str, spark: SessionOptions) -> Iterator[Gather]:
    """The engine that the options name. Raises `ValueError` where Spark is wanted and not installed."""
    if engine == "local":
        if spark != SessionOptions():
            raise click.UsageError("--master and the other options of Spark need --engine spark")
        yield gather_here
        return
    try:
        from jobs.spark_audit import gather_by_spark
    except ModuleNotFoundError as error:
        raise ValueError(f"--engine spark: {error}; pip install 'tropescan[spark]'") from error
    with gather_by_spark(spark) as gather:
        yield gather
