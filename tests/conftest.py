"""Label stores on both databases, and a scan of the mini crawl, for the tests of what stands on them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.main import cli
from tests.postgresql import cluster, new_schema, programs


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
