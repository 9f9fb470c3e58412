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
from pathlib import Path

from pyspark import SparkContext, SparkFiles
from pyspark.sql import SparkSession

from jobs.spark_java import use_java

ATTEMPTS = 4
"""Spark's own default of ``spark.task.maxFailures`` on clusters. A local master has one attempt unless told."""
_TRACE = "Traceback (most recent call last):\n"
_CALL = "An error occurred while calling "
"""How every error of Java begins in Python; the next line says which."""
_COPIES: dict[str, tempfile.TemporaryDirectory[str]] = {}


@contextmanager
def spark_session(
    name: str, *, master: str | None = None, settings: Mapping[str, str] | None = None, py_files: Sequence[str] = ()
) -> Iterator[SparkSession]:
    """The session that runs already, left running; else a new one, which ends with the block.

    Raises `jobs.spark_java.NoJavaError`, `ValueError` if Spark does not start or is too old, or a ``master`` is asked
    of a session that has another.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        has = str(running.sparkContext.master)
        if master and has not in (master, with_attempts(master)):
            raise ValueError(f"a Spark session on {has} runs already; stop it, or take --master away")
        _make_ready(running, py_files)
        yield running
        return
    settings = dict(settings or {})
    session = _start(name, master or own_master(settings), settings)
    session.sparkContext.setLogLevel("ERROR")  # each retry of a task is a warning with a stack trace
    try:
        _make_ready(session, py_files)
        yield session
    finally:
        session.stop()


def _make_ready(session: SparkSession, py_files: Sequence[str]) -> None:
    require_spark(session, "3.5", "tropescan")
    for file in py_files:
        session.sparkContext.addPyFile(file)


def _start(name: str, master: str | None, settings: dict[str, str]) -> SparkSession:
    if not _submitted():
        use_java()
        # Spark would take the first python3 on the PATH, which is another when a venv is not activated
        os.environ.setdefault("PYSPARK_PYTHON", settings.get("spark.pyspark.python", sys.executable))
    builder = SparkSession.builder.appName(name)
    for key, value in {**({"spark.master": with_attempts(master)} if master else {}), **settings}.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:
        raise ValueError(f"Spark does not start on {master or 'its default master'}: {cause_of(error)}") from error


def require_spark(session: SparkSession, least: str, what: str) -> None:
    """Raises `ValueError` if the session's Spark is older than ``least`` (major and minor version)."""
    has, needed = ([int(part) for part in version.split(".")[:2]] for version in (session.version, least))
    if has < needed:
        raise ValueError(f"{what} needs Spark {least} or later, and this is {session.version}")


def _submitted() -> bool:
    """Whether this runs inside spark-submit, which has started a JVM and says where Spark is."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def own_master(settings: Mapping[str, str], cores: int | None = None) -> str | None:
    """This machine, with all or so many of its cores, where nothing else says which Spark to work on: neither a session
    that runs, nor spark-submit, nor the settings, nor an installation of Spark."""
    told = _submitted() or "spark.master" in settings or os.environ.keys() & {"SPARK_HOME", "SPARK_CONF_DIR"}
    return None if told or SparkSession.getActiveSession() else f"local[{cores or '*'}]"


def with_attempts(master: str) -> str:
    """``local[N]`` with as many attempts of a task as clusters give; other masters as they are."""
    found = re.fullmatch(r"local(?:\[(\d+|\*)\])?", master)
    return f"local[{found[1] or 1},{ATTEMPTS}]" if found else master


def attempts_of(context: SparkContext) -> int:
    """Failures of one task after which Spark gives up its job."""
    if found := re.fullmatch(r"local(?:\[[^,\]]*(?:,\s*(\d+))?\])?", str(context.master)):
        return int(found[1] or 1)
    return int(context.getConf().get("spark.task.maxFailures", str(ATTEMPTS)) or ATTEMPTS)


def cause_of(error: BaseException) -> str:
    """In one line what an executor's Python raised, or else why Spark gave up, out of the traces of Python and Java.

    Our own `ValueError` says all that there is to say, and so goes without its name.
    """
    text = str(error)
    for trace in reversed(text.split(_TRACE)[1:]):
        if raised := re.search(r"^(?:\w+\.)*(\w.*)", trace, re.MULTILINE):
            return raised[1].strip().removeprefix("ValueError: ")
    if failure := re.search(r"most recent failure: (.*)", text):
        return failure[1].strip()
    lines = (line.removeprefix(": ").strip() for line in text.splitlines() if not line.startswith(_CALL))
    return next((line for line in lines if line), type(error).__name__)


def ship_file(session: SparkSession, path: str, digest: str) -> str:
    """Send a file to every executor, once each; returns its name for `shipped_file`.

    The name holds the digest of the content: Spark refuses two files of one name.
    """
    name = f"{digest[:16]}-{Path(path).name}"
    named = os.path.join(_copied(path, name), name)
    context = getattr(session, "sparkContext", None)
    if context is None:  # a session of Spark Connect
        session.addArtifacts(named, file=True)
    else:  # addArtifacts does the same, but from Spark 4.0 on only
        context.addFile(named)
    return name


def _copied(path: str, name: str) -> str:
    """A folder that lasts as long as this process, with the file under that name: Spark looks through links, serves
    the file from where it is, gives it no other name, and refuses the same name from another folder."""
    if name not in _COPIES:
        _COPIES[name] = tempfile.TemporaryDirectory(prefix="tropescan-")
        shutil.copyfile(path, os.path.join(_COPIES[name].name, name))
    return _COPIES[name].name


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
