"""Opens a label store's database, SQLite or PostgreSQL, and brings its tables up to date.

Knows connections and transactions; knows nothing of what is stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session

MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_SECONDS = 60.0
_CONNECTIONS = 20
"""Kept open: what is beyond is closed after each use, and a new one costs PostgreSQL a process."""
_MIGRATION_LOCK = 7_204_110_001
"""Key of the advisory lock that lets one process at a time migrate a PostgreSQL database."""


class StoreError(ValueError):
    """The store refuses, or cannot be opened; the message says why and what to do."""


@dataclass(frozen=True)
class Store:
    """An open label store. ``clock`` gives UNIX seconds; leases and times of labels follow it."""

    engine: Engine
    clock: Callable[[], float] = time.time
    turns: Lock = field(default_factory=Lock, compare=False, repr=False)
    """SQLite's one writer, within this process: SQLite itself polls, and lets some wait for seconds."""

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one moment of the store."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction, committed at the end of the block unless it raises. On SQLite no other writes meanwhile."""
        engine = self.engine.execution_options(immediate=True)
        turn = self.turns if engine.dialect.name == "sqlite" else nullcontext()
        with turn, Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def now(self) -> str:
        """The time in ISO 8601, UTC, microseconds."""
        return datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="microseconds")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_store(place: str | Path, clock: Callable[[], float] = time.time) -> Store:
    """Open the store at a path (SQLite; made if it is not there) or a ``postgresql://`` URL, and migrate it.

    Raises `StoreError` if it cannot be reached, or was made by a later version.
    """
    url = _url(place)
    engine = _postgresql(url) if url.get_backend_name() == "postgresql" else _sqlite(url)
    try:
        migrate(engine)
    except OperationalError as error:
        raise StoreError(
            f"label store {url}: {error.orig}; check the path or URL, and that it may be written"
        ) from error
    return Store(engine, clock)


def _url(place: str | Path) -> URL:
    if "://" not in str(place):
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(str(place))
    except ArgumentError as error:
        raise StoreError(f"label store {place!r}: {error}") from error
    backend = url.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise StoreError(f"label store: {backend} is not supported; give a path (SQLite) or a postgresql:// URL")
    return url.set(drivername="postgresql+psycopg") if backend == "postgresql" else url


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, pool_size=_CONNECTIONS)
    except ImportError as error:
        raise StoreError(
            f"label store: PostgreSQL needs psycopg ({error}); pip install 'tropescan[postgres]'"
        ) from error


def _sqlite(url: URL) -> Engine:
    """Write-ahead log, so that readers never wait; every commit is on the disk before an annotator is told so."""
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # or sqlite3 would begin transactions itself, and too late
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "recursive_triggers=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to a revision; one process at a time, all steps or none.

    Raises `StoreError` if the store is of a revision that this version does not know.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    wanted = scripts.get_current_head() if revision == "head" else revision
    if _current(engine, scripts) == wanted:
        return
    with engine.execution_options(immediate=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _current(engine: Engine, scripts: ScriptDirectory) -> str | None:
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(f"label store {engine.url}: made by a later version of tropescan; install that version")
    return current
