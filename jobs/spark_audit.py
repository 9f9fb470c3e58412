"""Spark as the engine of an audit: executors read the tags and add up, only sums and the draw come to the driver.

Knows Spark; nothing of what is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from jobs.audit_engine import Gather
from jobs.spark_options import SessionOptions
from jobs.spark_session import cause_of, spark_session

_T = TypeVar("_T")
_DEPTH = 2
"""Of the tree in which partial results are combined: a histogram of ten megabytes from each of 10,000 tasks is none for
one driver."""


@contextmanager
def gather_by_spark(spark: SessionOptions) -> Iterator[Gather]:
    """Tags files must be where driver and executors reach them alike."""
    with spark_session(
        "tropescan audit", master=spark.master, settings=spark.settings, py_files=spark.py_files
    ) as session:
        context = session.sparkContext

        def gather(
            files: Sequence[str], one: Callable[[str], _T], combine: Callable[[Iterable[_T]], _T], what: str
        ) -> _T:
            spread = context.parallelize(files, min(len(files), context.defaultParallelism * 4))
            parts = spread.mapPartitions(lambda some: [combine(one(file) for file in some)])
            try:
                return parts.treeReduce(lambda first, second: combine([first, second]), _DEPTH)
            except Exception as error:  # py4j's, of a task that failed
                raise ValueError(f"{what} on Spark failed: {cause_of(error)}") from error

        yield gather
