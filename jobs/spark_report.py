"""Spark as the engine of a report: the tags stay on the cluster, only counts and a few examples come to the driver.

Knows Spark and where tags files are; nothing of what is asked of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.engine import absolute
from jobs.spark_options import SessionOptions
from jobs.spark_session import cause_of, require_spark, spark_session
from pipeline import storage
from pipeline.report.collect import ReportOptions, collect

_DIALECT = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.caseSensitive": "true",  # labels may differ in nothing else
}
"""Of a session of our own, so that the caller's keeps its settings."""
_FOOTERS_A_TASK = 500
TAGS_FILE = "tags_file"
"""Column with a row's tags file, as a path below the folder of tags."""


def collect_by_spark(
    folder: str, options: ReportOptions, audit: dict[str, Any] | None, table: str | None, spark: SessionOptions
) -> dict[str, Any]:
    """`pipeline.report.collect.collect`, counted by Spark. ``table`` as of `SparkTables`."""
    with spark_session(
        "tropescan report", master=spark.master, settings=spark.settings, py_files=spark.py_files
    ) as session:
        return collect(folder, options, SparkTables(session, folder, table), audit)


class SparkTables:
    """A `pipeline.report.tables.Tables` over the tags below ``url``, which driver and executors must reach alike.

    ``table`` None reads the tags files; else it is what `jobs.spark_store.save_tags` made of them: a path or URL, or,
    without a slash, a name in Spark's catalogue. Works in a session of its own, beside ``session``.
    Raises `ValueError` for a Spark older than 4.0.
    """

    unnest = "explode"

    def __init__(self, session: SparkSession, url: str, table: str | None = None) -> None:
        require_spark(session, "4.0", "a report or a table of tags on Spark")  # whose SQL older ones do not read
        self.session = session.newSession()
        for name, value in _DIALECT.items():
            self.session.conf.set(name, value)
        self.root = storage.join(absolute(url), "tags")
        self.table = table
        self._kept: dict[str, DataFrame] = {}

    def metadata(self, files: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """See `pipeline.report.tables.Tables`. Footers are read by the executors: there may be 100,000."""
        parts = -(-len(files) // _FOOTERS_A_TASK)
        read = self.session.sparkContext.parallelize(files, parts).mapPartitions(_read_footers)
        try:
            yield from read.toLocalIterator()
        except Exception as error:  # py4j's, of a task that failed
            raise ValueError(cause_of(error)) from error

    def open_files(self, name: str, files: Sequence[str], schema: pa.Schema, columns: Sequence[str]) -> None:
        """See `pipeline.report.tables.Tables`."""
        stored = self._table(self.table) if self.table else read_tags(self.session, self.root, files, schema)
        renamed = [_column(old).alias(new) for old, new in zip(schema.names, columns, strict=True)]
        file = F.concat(F.lit(f"{self.root}/"), _column(TAGS_FILE))
        stored.select(*renamed, file.alias("file")).createOrReplaceTempView(name)

    def view(self, name: str, sql: str) -> None:
        """See `pipeline.report.tables.Tables`."""
        self._query(sql, {}).createOrReplaceTempView(name)

    def keep(self, name: str, sql: str) -> None:
        """See `pipeline.report.tables.Tables`. In executors' memory, and on their disks what does not fit."""
        if name in self._kept:
            self._kept.pop(name).unpersist()
        self._kept[name] = self._query(sql, {}).persist()
        self._kept[name].createOrReplaceTempView(name)

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """See `pipeline.report.tables.Tables`."""
        try:
            return [row.asDict() for row in self._query(sql, values).collect()]
        except PySparkException as error:
            raise ValueError(f"the tags in {self.root} cannot be read: {cause_of(error)}") from error

    def close(self) -> None:
        """See `pipeline.report.tables.Tables`."""
        for kept in self._kept.values():
            kept.unpersist()
        self._kept.clear()

    def _table(self, name: str) -> DataFrame:
        if "/" not in name:
            return self.session.table(name)
        return self.session.read.parquet(_no_pattern(for_java(self.session, absolute(name))))

    def _query(self, sql: str, values: dict[str, Any]) -> DataFrame:
        named = re.sub(r"\$(\w+)", r":\1", sql)
        return self.session.sql(named, args=values) if values else self.session.sql(named)


def read_tags(session: SparkSession, root: str, files: Sequence[str], schema: pa.Schema) -> DataFrame:
    """Tags files below ``root``, with the name that each one has there as `TAGS_FILE`."""
    reader = session.read.schema(from_arrow_schema(schema)).option("recursiveFileLookup", True)  # no partitions by name
    found = reader.parquet(*(_no_pattern(for_java(session, file)) for file in files))
    return found.withColumn(TAGS_FILE, _name_below(root))


def _name_below(root: str) -> Column:
    """Spark gives the file as a URI, of whatever scheme, percent-encoded; ``url_decode`` takes + for a space."""
    path = F.url_decode(F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B")))
    inside = len(_without_scheme(root)) + 1
    return F.substr(F.regexp_replace(path, _SCHEME, ""), F.lit(inside + 1))


_SCHEME = "^([a-z0-9]+:)?/*"


def _without_scheme(url: str) -> str:
    return re.sub(_SCHEME, "", url)


def for_java(session: SparkSession, url: str) -> str:
    """A folder's URL for Spark's own readers and writers: S3 by the connector that there is."""
    if storage.is_local(url):
        return f"file://{url}"
    java: Any = session.sparkContext._jsc
    only_s3a = url.startswith("s3://") and java.hadoopConfiguration().get("fs.s3.impl") is None  # EMR has its own
    return "s3a" + url.removeprefix("s3") if only_s3a else url


def _no_pattern(url: str) -> str:
    """Spark's readers take every path as a pattern."""
    return re.sub(r"([*?{}\[\]\\])", r"\\\1", url)


def _column(name: str) -> Column:
    return F.col(f"`{name.replace('`', '``')}`")


def _read_footers(files: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    for file in files:
        try:
            with storage.open_input(file) as opened:
                kept = pq.read_metadata(opened).metadata or {}
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{file}: {error}") from error
        for key, value in kept.items():
            yield file, key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
