"""Tags as a partitioned table of Spark: for SQL of one's own, and for reports that read only what they ask for.

Knows Spark and the TAGS schema; nothing of what is asked.
"""

from __future__ import annotations

import posixpath
from pathlib import PurePath, PurePosixPath

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.engine import absolute
from jobs.spark_report import SparkTables, for_java, read_tags
from pipeline import storage
from pipeline.report.folder import open_folder
from pipeline.report.queries import MONTH, YEAR

CRAWL_DATE, HOST_BUCKET = "crawl_date", "host_bucket"
ROWS_A_FILE = 5_000_000


def save_tags(spark: SparkSession, folder: str, where: str, *, buckets: int = 64) -> None:
    """Write the tags that a scan left in ``folder`` as a table, sorted by host within its partitions.

    ``where`` is a path or URL, or, without a slash, the name of a table in Spark's catalogue; what it holds is
    replaced, so that it must not be ``folder``, lie in it or hold it. Beside the columns of TAGS: ``tags_file`` (the
    file of a row, below ``folder/tags``), and the partitions ``crawl_date`` (the first day of the month or, where the
    date has no month, of the year; null without a readable date; by day, ten years of crawls would be millions of small
    files) and ``host_bucket`` (CRC-32 of the host modulo ``buckets``; 0 without a host).
    Raises `ValueError` for such a place, `pipeline.report.folder.TagsError` for a folder without tags, or with those of
    two models.
    """
    if "/" in where:
        _check_apart(folder, where)
    tables = SparkTables(spark, folder)
    scanned = open_folder(folder, tables)
    read_tags(tables.session, tables.root, scanned.files, scanned.schema).createOrReplaceTempView("stored")
    placed = tables.session.sql(
        f"SELECT *, {_FIRST_DAY} AS {CRAWL_DATE}, {_bucket(buckets)} AS {HOST_BUCKET} FROM stored"
    )
    # a third key: a dump of one month has as few partitions as there are buckets
    spread = placed.repartition(CRAWL_DATE, HOST_BUCKET, F.xxhash64("id") % 8)
    sorted_ = spread.sortWithinPartitions(CRAWL_DATE, HOST_BUCKET, "host")
    writer = sorted_.write.mode("overwrite").partitionBy(CRAWL_DATE, HOST_BUCKET)
    writer = writer.option("maxRecordsPerFile", ROWS_A_FILE)
    if "/" in where:
        writer.parquet(for_java(tables.session, absolute(where)))
    else:
        writer.saveAsTable(where)


def _check_apart(folder: str, where: str) -> None:
    """Spark empties the folder that it writes a table to."""
    scan, table = _place(folder), _place(where)
    if scan == table or scan in table.parents or table in scan.parents:
        raise ValueError(
            f"{where}: a table there would replace the scan in {folder}; name a place beside it, or a table of the "
            "catalogue"
        )


def _place(url: str) -> PurePath:
    """The same for all ways of naming a folder: links followed, s3a:// as s3://."""
    if storage.is_local(url):
        return storage.local_path(url).resolve()
    scheme, _, path = url.partition("://")
    return PurePosixPath(scheme.replace("s3a", "s3").replace("s3n", "s3"), posixpath.normpath(path))


_FIRST_DAY = f"""CASE WHEN {YEAR} BETWEEN 1000 AND 2999 AND coalesce({MONTH}, 1) BETWEEN 1 AND 12
    THEN make_date({YEAR}, coalesce({MONTH}, 1), 1) END"""
"""Dates as in reports."""


def _bucket(buckets: int) -> str:
    return f"coalesce(crc32(host) % {buckets}, 0)::INTEGER"
