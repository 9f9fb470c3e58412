"""What several files of tests stand on: label stores on both databases, a scan of the mini crawl, and engines.

Each skips where what it needs is not installed.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from clusters import PATHS, SHORT_LIVED_JAVA, SPARK_SETTINGS, ray_cluster, standalone_spark
from command import tropescan
from crawls import contents, write_shard

from jobs.main import cli
from tests.postgresql import cluster, new_schema, programs

LONGEST = (
    "test_engines", "test_spark", "test_datatrove", "test_scan", "test_ray", "test_rescoring", "test_cache",
    "test_audit", "test_spark_report", "test_label_page_browser", "test_apply", "test_bench", "test_report",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that processes which share the files out end together."""
    place = {name: k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a private PostgreSQL cluster; skips where PostgreSQL is not installed."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new label store may be: a path, and then a PostgreSQL URL."""
    if request.param == "sqlite":
        return str(tmp_path / "labels.sqlite")
    return new_schema(request.getfixturevalue("postgresql"), f"store_{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a scan of the mini crawl by the shipped model."""
    folder = tmp_path_factory.mktemp("scan") / "scanned"
    shards = Path(__file__).parent / "minicrawl" / "shards"
    done = CliRunner().invoke(cli, ["scan", str(shards), "--out", str(folder), "--quiet", "--workers", "1"])
    assert done.exit_code == 1, done.output
    return str(folder)


@pytest.fixture(scope="session")
def long_crawl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A shard long enough to be killed in and a small one, and what the local engine makes of them."""
    crawl, whole = tmp_path_factory.mktemp("long") / "crawl", tmp_path_factory.mktemp("long") / "whole"
    write_shard(crawl / "big.jsonl.gz", 12_000, 1)
    write_shard(crawl / "small.jsonl.gz", 30, 2)
    assert tropescan("scan", crawl, "--out", whole, "--workers", 1).returncode == 0
    return crawl, contents(whole)


@pytest.fixture(scope="module")
def java() -> Iterator[str]:
    """Home of the Java; the executors' Python also finds the modules of the tests."""
    pytest.importorskip("pyspark", reason="pyspark (extra spark) is not installed")
    from jobs.spark_java import NoJavaError, java_home

    try:
        home = java_home()
    except NoJavaError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        patch.setenv("JAVA_TOOL_OPTIONS", SHORT_LIVED_JAVA)
        yield home


@pytest.fixture(scope="module")
def spark(java: str) -> Iterator[Any]:
    """The session that a file's tests share, each in this process."""
    from jobs.spark_session import spark_session

    with spark_session("tests", master="local[2]", settings=SPARK_SETTINGS) as session:
        yield session


@pytest.fixture(scope="module")
def standalone(java: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a standalone Spark of two workers."""
    with standalone_spark(java, tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """The address of a Ray whose token is made here, for the tests."""
    pytest.importorskip("ray", reason="Ray (extra ray) is not installed")
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": PATHS,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        with ray_cluster() as address:
            yield address
