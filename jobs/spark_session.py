"""A Spark session to work in, and files sent to its executors. Knows nothing of scans or scores."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from pyspark import SparkContext, SparkFiles
from pyspark.sql import SparkSession

from jobs.spark_java import use_java

ATTEMPTS = 4
"""Spark's own default of ``spark.task.maxFailures`` on clusters. A local master has one attempt unless told."""


@contextmanager
def spark_session(
    name: str, *, master: str | None = None, settings: Mapping[str, str] | None = None, py_files: Sequence[str] = ()
) -> Iterator[SparkSession]:
    """The session that runs already, left running; else a new one, which ends with the block.

    Raises `jobs.spark_java.NoJavaError`, `ValueError` if Spark does not start or a ``master`` is asked of a session
    that has another.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        has = str(running.sparkContext.master)
        if master and has not in (master, with_attempts(master)):
            raise ValueError(f"a Spark session on {has} runs already; stop it, or take --master away")
        _send_code(running, py_files)
        yield running
        return
    session = _start(name, master, dict(settings or {}))
    session.sparkContext.setLogLevel("ERROR")  # each retry of a task is a warning with a stack trace
    try:
        _send_code(session, py_files)
        yield session
    finally:
        session.stop()


def _send_code(session: SparkSession, py_files: Sequence[str]) -> None:
    for file in py_files:
        session.sparkContext.addPyFile(file)


def _start(name: str, master: str | None, settings: dict[str, str]) -> SparkSession:
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # not inside spark-submit, which has started a JVM
        use_java()
        # Spark would take the first python3 on the PATH, which is another when a venv is not activated
        os.environ.setdefault("PYSPARK_PYTHON", settings.get("spark.pyspark.python", sys.executable))
        if not os.environ.keys() & {"SPARK_HOME", "SPARK_CONF_DIR"}:
            master = master or "local[*]"
    builder = SparkSession.builder.appName(name)
    for key, value in ({"spark.master": with_attempts(master)} if master else {}).items() | settings.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise ValueError(f"Spark does not start on {master or 'its default master'}: {first_line(error)}") from error


def with_attempts(master: str) -> str:
    """``local[N]`` with as many attempts of a task as clusters give; other masters as they are."""
    found = re.fullmatch(r"local(?:\[(\d+|\*)\])?", master)
    return f"local[{found[1] or 1},{ATTEMPTS}]" if found else master


def attempts_of(context: SparkContext) -> int:
    """Failures of one task after which Spark gives up its job."""
    if found := re.fullmatch(r"local(?:\[[^,\]]*(?:,\s*(\d+))?\])?", str(context.master)):
        return int(found[1] or 1)
    return int(context.getConf().get("spark.task.maxFailures", str(ATTEMPTS)) or ATTEMPTS)


def first_line(error: BaseException) -> str:
    """What an error says, without the stack traces of Python and Java."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def cause_of(error: BaseException) -> str:
    """What our own `ValueError` on an executor said, out of the traces of Python and Java around it."""
    said = re.findall(r"^ValueError: (.*)", str(error), re.MULTILINE)
    return str(said[-1]) if said else first_line(error)


def ship_file(session: SparkSession, path: str, digest: str) -> str:
    """Send a file to every executor, once each; returns its name for `shipped_file`.

    The name holds the digest of the content: Spark refuses two files of one name.
    """
    name = f"{digest[:16]}-{Path(path).name}"
    named = os.path.join(_copy(path, name).name, name)
    session.addArtifacts(named, file=True)
    return name


@cache
def _copy(path: str, name: str) -> tempfile.TemporaryDirectory[str]:
    """A folder that lasts as long as this process, with the file under that name: Spark looks through links, serves
    the file from where it is, and gives it no other name."""
    folder = tempfile.TemporaryDirectory(prefix="tropescan-")
    shutil.copyfile(path, os.path.join(folder.name, name))
    return folder


def shipped_file(name: str) -> str:
    """Where a file of `ship_file` is, in a task on an executor."""
    return os.path.abspath(SparkFiles.get(name))


def wait_until_idle(context: SparkContext, seconds: float = 30.0) -> None:
    """Wait for the second attempts that speculation started and now kills: they may still write for a moment."""
    end = time.monotonic() + seconds
    with suppress(Exception):  # the application has ended, as when the cluster took it away: nothing runs
        tracker = context._jsc.sc().statusTracker()  # the Python one has no count over executors
        while time.monotonic() < end and sum(info.numRunningTasks() for info in tracker.getExecutorInfos()):
            time.sleep(0.1)
