"""Engines that more than one file of tests runs on; each skips where its engine is not installed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from clusters import PATHS, SPARK_SETTINGS, ray_cluster, standalone_spark


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
