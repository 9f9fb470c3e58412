"""Tags as a partitioned table of Spark: for SQL of one's own, and for reports that read only what they ask for.

Knows Spark and the TAGS schema; nothing of what is asked.
"""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.engine import absolute
from jobs.spark_report import SparkTables, for_java, read_tags
from pipeline.report.folder import open_folder
from pipeline.report.queries import MONTH, YEAR

CRAWL_DATE, HOST_BUCKET = "crawl_date", "host_bucket"
ROWS_A_FILE = 5_000_000


def save_tags(spark: SparkSession, folder: str, where: str, *, buckets: int = 64) -> None:
    """Write the tags that a scan left in ``folder`` as a table, sorted by host within its partitions.

    ``where`` is a path or URL, or, without a slash, the name of a table in Spark's catalogue; what it holds is
    replaced. Beside the columns of TAGS: ``tags_file`` (the file of a row, below ``folder/tags``), and the partitions
    ``crawl_date`` (the first day of the month or, where the date has no month, of the year; null without a readable
    date; by day, ten years of crawls would be millions of small files) and ``host_bucket`` (CRC-32 of the host modulo
    ``buckets``; 0 without a host).
    Raises `pipeline.report.folder.TagsError` for a folder without tags, or with those of two models.
    """
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


_FIRST_DAY = f"""CASE WHEN {YEAR} BETWEEN 1000 AND 2999 AND coalesce({MONTH}, 1) BETWEEN 1 AND 12
    THEN make_date({YEAR}, coalesce({MONTH}, 1), 1) END"""
"""Dates as in reports."""


def _bucket(buckets: int) -> str:
    return f"coalesce(crc32(host) % {buckets}, 0)::INTEGER"
