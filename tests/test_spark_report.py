"""A report that Spark counts has DuckDB's figures, from tags files and from the partitioned table of the same tags."""

from __future__ import annotations

import math
import random
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from command import ROOT, tropescan
from crawls import contents
from test_report import MODEL, document, write_scan, write_tags

from jobs.main import cli
from pipeline.report.collect import ReportOptions, collect
from pipeline.report.queries import MONTH, YEAR
from pipeline.report.tables import DuckTables, Tables

pytest.importorskip("pyspark", reason="pyspark (extra spark) is not installed")

from jobs.spark_report import SparkTables
from jobs.spark_session import require_spark
from jobs.spark_store import save_tags
from jobs.spark_tables import tag

DATES = ("2019-05-01", "2019-5", "2019/05/30T10:00:00Z", " 20190612", "20190131235959", "2019", "31 Jan 2019",
         "Sat, 04 May 2019 10:00 GMT", "1 Foo 2019", "yesterday", "2019-13-01", "0019-01-01", "2019-051", "", "\\s{4}",
         None)  # fmt: skip


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini crawl's tags."""
    out = tmp_path_factory.mktemp("spark") / "scanned"
    assert tropescan("scan", ROOT / "tests" / "minicrawl" / "shards", "--out", out).returncode == 1
    return out


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tags of all that trips an engine up: names of files and labels, scores at bounds, NaN, dates of every form."""
    folder = tmp_path_factory.mktemp("odd") / "a b+c%41 é{x}" / "out"
    model = MODEL | {
        "labels": ["A.b 'n\\n\"", "a.b 'n\\n\"", "words"],
        "target": "A.b 'n\\n\"",
        "span_thresholds": {},
        "topic_model": {"name": "t", "digest": "0" * 64, "labels": ["Science & 'Tech'", "Travel"]},
    }
    source = random.Random(5)
    scores = [0.0, 1e-12, 0.25, 0.5, math.nextafter(0.5, 0), 0.9999, 1.0, 1.00001, math.nan, None]
    for name in ("sub +%20/part.jsonl", "part [1]é.jsonl"):
        rows = [
            document(row, source.choice(scores), window=source.choice(scores), words=source.choice([0, 5, 600, 10**12]),
                     host=source.choice([None, "a.example", "b.example", "ö.example"]), date=source.choice(DATES),
                     topic=source.choice([None, "Science & 'Tech'", "Travel"]), topic_score=0.5,
                     lang=source.choice([None, "en", "de"]), spans=spans(source, model["labels"]))
            for row in range(500)
        ]  # fmt: skip
        write_tags(folder, name, rows, model)
    write_scan(folder, model)
    return folder


def spans(source: random.Random, labels: list[str]) -> list[dict[str, Any]]:
    starts = source.choices(range(30), k=source.randrange(3))
    return [
        {"label": source.choice(labels), "start": k, "end": k + 9, "score": source.choice([0.5, 0.9])} for k in starts
    ]


def test_the_figures_are_duckdbs(spark: Any, odd: Path) -> None:
    expected = collect(str(odd), ReportOptions(examples=8))
    assert len(expected["examples"]["strongest"]) == 8 and expected["headline"]["documents"]["flagged"] > 20
    before = spark.conf.get("spark.sql.caseSensitive")
    assert near(collect(str(odd), ReportOptions(examples=8), SparkTables(spark, str(odd))), expected)
    assert spark.conf.get("spark.sql.caseSensitive") == before
    assert not spark.catalog.tableExists("tags")


def near(found: Any, expected: Any) -> bool:
    """Equal, but for the last digits of a float; says where it is not."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        return all(near(found[key], value) or pytest.fail(f"{key}") for key, value in expected.items())
    if isinstance(expected, list):
        assert len(found) == len(expected)
        return all(near(one, other) for one, other in zip(found, expected, strict=True))
    assert type(found) is type(expected)
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-15)
    return bool(found == expected)


def test_the_command_makes_the_same_page(spark: Any, scanned: Path, tmp_path: Path) -> None:
    pages = []
    for engine in ("duckdb", "spark"):
        out = tmp_path / f"{engine}.html"
        done = CliRunner().invoke(cli, ["report", str(scanned), "--out", str(out), "--engine", engine])
        assert done.exit_code == 0, done.output
        pages.append(out.read_bytes())
    assert pages[0] == pages[1]


@pytest.mark.parametrize("named", [False, True])
def test_the_partitioned_table_gives_the_same_report(spark: Any, odd: Path, tmp_path: Path, named: bool) -> None:
    where = "odd_tags" if named else str(tmp_path / "table [1]")
    try:
        save_tags(spark, str(odd), where, buckets=4)
        session = SparkTables(spark, str(odd)).session  # in which labels that differ by case are two columns
        stored = session.table(where) if named else session.read.parquet(f"file://{tmp_path}/table \\[1\\]")
        assert stored.count() == 1000
        if not named:
            folders = {path.name for path in Path(where).rglob("*=*")}
            assert {"crawl_date=2019-05-01", "crawl_date=2019-01-01", "host_bucket=0"} <= folders
            assert len({row.host_bucket for row in stored.where("host = 'a.example'").collect()}) == 1
        assert near(collect(str(odd), tables=SparkTables(spark, str(odd), where)), collect(str(odd)))
    finally:
        spark.sql("DROP TABLE IF EXISTS odd_tags")


@pytest.mark.parametrize(
    ("folder", "where"),
    [
        ("scanned", "./scanned"),
        ("scanned/", "scanned/"),
        ("scanned", "scanned/tags"),
        ("scanned", "link/table"),
        ("scanned", "../{here}"),
        ("scanned", "file://{path}/scanned/tags"),
        ("s3://bucket/scanned/", "s3a://bucket/scanned"),
        ("s3://bucket/scanned", "s3://bucket/other/../scanned/table"),
        ("s3://bucket/scanned", "s3://bucket"),
    ],
)
def test_a_table_that_would_replace_the_scan_is_refused(
    spark: Any, scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, where: str
) -> None:
    shutil.copytree(scanned, tmp_path / "scanned")
    (tmp_path / "link").symlink_to(tmp_path / "scanned")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="would replace the scan in"):
        save_tags(spark, folder, where.format(here=tmp_path.name, path=tmp_path))
    assert contents(tmp_path / "scanned") == contents(scanned)


def test_the_programs_of_the_page(spark: Any, scanned: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "engines-spark.md").read_text("utf-8")
    stored, *others = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    texts = [
        "The ship lied to its crew, so that it could not be shut down, and killed them all. " * 9,
        "tea in the garden",
    ]
    df = spark.createDataFrame(pa.table({"id": ["a", "b"], "text": texts}))
    df.createOrReplaceTempView("pages")
    stored = stored.replace('"scanned"', f'"{scanned}"').replace('"warehouse/tags"', f'"{tmp_path}/warehouse/tags"')
    stored = stored.replace("host = 'example.com'", "host IS NOT NULL")
    low, high = sorted(row.adverse for row in tag(df).select("tags.adverse").collect())
    others = [program.replace(">= 0.5", f">= {(low + high) / 2}") for program in others]
    found = [outcome(program, spark=spark, df=df) for program in (stored, *others)]
    assert found[0].columns == ["url", "adverse", "spans"] and found[0].count() > 50
    by_table, by_sql = (frame.toArrow().to_pylist() for frame in found[1:])
    assert [row["id"] for row in by_table] == [row["id"] for row in by_sql] == ["a"]
    assert by_table[0]["adverse"] == by_sql[0]["adverse"]


def outcome(program: str, **known: Any) -> Any:
    """The value of a program's last line."""
    exec(program, known)
    return eval(program.strip().splitlines()[-1], known)


def test_an_older_spark_is_refused_in_one_line() -> None:
    old: Any = SimpleNamespace(version="3.5.9")
    with pytest.raises(ValueError, match=r"needs Spark 4\.0 or later, and this is 3\.5\.9$"):
        SparkTables(old, "scanned")
    require_spark(old, "3.5", "a scan")
    for version, least in (("3.4.4", "3.5"), ("4.0.1", "4.10")):
        with pytest.raises(ValueError, match=f"needs Spark {least}"):
            require_spark(SimpleNamespace(version=version), least, "a scan")  # type: ignore[arg-type]
    require_spark(SimpleNamespace(version="4.10.0-SNAPSHOT"), "4.9", "a scan")  # type: ignore[arg-type]


def test_dates_are_read_alike(spark: Any, tmp_path: Path) -> None:
    source = random.Random(3)
    pieces = ["2019", "05", "5", "-", "/", ".", " ", "T", "31", "Jan", "january", ",", "\t", "0", "é", "\\", "1231"]
    dates = [*DATES, *("".join(source.choices(pieces, k=source.randint(1, 7))) for _ in range(5000))]
    pq.write_table(pa.table({"date": dates}), tmp_path / "tags.parquet")
    files = [str(tmp_path / "tags.parquet")]

    def read(tables: Tables) -> list[dict[str, Any]]:
        return tables.rows(f"SELECT date, {YEAR} AS year, {MONTH} AS month FROM dates ORDER BY date NULLS FIRST")

    duck = DuckTables(str(tmp_path))
    duck.open_files("dates", files, pa.schema([("date", pa.string())]), ["date"])
    sparks = SparkTables(spark, str(tmp_path))
    spark_dates = sparks.session.read.parquet(f"file://{files[0]}")
    spark_dates.createOrReplaceTempView("dates")
    assert read(sparks) == (found := read(duck))
    assert sum(row["month"] is not None for row in found) > 50


def test_what_cannot_be_read_is_named(spark: Any, scanned: Path, tmp_path: Path) -> None:
    shutil.copytree(scanned, tmp_path / "out")
    hit = next((tmp_path / "out" / "tags").rglob("fineweb*.parquet"))
    for said, content in (("not a tags file", None), ("footer", b"PAR1 torn PAR1")):
        if content is None:
            pq.write_table(pa.table({"x": [1]}), hit)
        else:
            hit.write_bytes(content)
        done = CliRunner().invoke(cli, ["report", str(tmp_path / "out"), "--json", "--engine", "spark"])
        assert done.exit_code == 1 and said in str(done.exception) and hit.name in str(done.exception)
    no_table = ["report", str(scanned), "--json", "--engine", "spark", "--table", "no_such_table"]
    assert "no_such_table" in str(CliRunner().invoke(cli, no_table).exception)
    for wrong in (["--table", "x"], ["--master", "local[2]"]):
        done = CliRunner().invoke(cli, ["report", str(scanned), "--json", *wrong])
        assert done.exit_code == 2 and "--engine spark" in done.output
