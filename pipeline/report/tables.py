"""The SQL engine that a report asks: what it must do, and the one of this machine, DuckDB.

Knows files and SQL; nothing of what is asked.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from pipeline import storage


class Tables(Protocol):
    """An engine with the SQL that DuckDB and Spark (in its ANSI mode) share. Values of ``rows`` stand in SQL as
    ``$name``. Every method raises `ValueError` with the engine's own message, which names the file."""

    unnest: str
    """The function that makes a row of each element of a list; without any, no row."""

    def metadata(self, files: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """File, key and value of all metadata in the footers of Parquet files."""

    def open_files(self, name: str, files: Sequence[str], schema: pa.Schema, columns: Sequence[str]) -> None:
        """Make a view of Parquet files of one schema. ``columns`` are new names, by position; behind them comes
        ``file``, the file's URL as given."""

    def view(self, name: str, sql: str) -> None:
        """Give a query a name."""

    def keep(self, name: str, sql: str) -> None:
        """Give the result of a query a name, so that it is worked out once; a later one of that name replaces it."""

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """All rows of a result. The only way for rows out of the engine."""

    def close(self) -> None:
        """Let go of what is kept."""


class DuckTables:
    """An in-memory DuckDB that reads files where ``url`` is, and loads nothing from the network."""

    unnest = "unnest"

    def __init__(self, url: str) -> None:
        spill = os.path.join(tempfile.gettempdir(), f"tropescan-{os.getpid()}")  # by default .tmp in the current folder
        self.url = url
        self.connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "temp_directory": spill})
        self.connection.execute("SET enable_progress_bar = false")  # it would go to stdout, amid figures and JSON
        if not storage.is_local(url):
            self.connection.register_filesystem(storage.filesystem(url)[0])

    def metadata(self, files: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """See `Tables`."""
        query = "SELECT file_name, key::BLOB, value::BLOB FROM parquet_kv_metadata($files)"
        rows = self._execute(query, {"files": [escape_glob(file) for file in files]})
        while row := self._fetch(rows):
            yield row[0], row[1].decode("utf-8", "replace"), row[2].decode("utf-8", "replace")

    def open_files(self, name: str, files: Sequence[str], schema: pa.Schema, columns: Sequence[str]) -> None:
        """See `Tables`. By position, as DuckDB's names ignore case: of the labels A and a it would rename one."""
        variable = f"files_of_{name}"
        self._execute(f"SET VARIABLE {variable} = $files", {"files": [escape_glob(file) for file in files]})
        self._execute(
            f"CREATE VIEW {name} ({', '.join(columns)}, file) AS "
            f"SELECT * FROM read_parquet(getvariable('{variable}'), filename = 'tags file', hive_partitioning = false)"
        )

    def view(self, name: str, sql: str) -> None:
        """See `Tables`."""
        self._execute(f"CREATE VIEW {name} AS {sql}")

    def keep(self, name: str, sql: str) -> None:
        """See `Tables`."""
        self._execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """See `Tables`."""
        result = self._execute(sql, values)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def close(self) -> None:
        """See `Tables`."""
        self.connection.close()

    def _fetch(self, rows: Any) -> tuple[Any, ...] | None:
        try:  # a file is read when its first row is wanted
            return rows.fetchone()  # type: ignore[no-any-return]
        except duckdb.Error as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: duckdb.Error) -> ValueError:
        return ValueError(f"the tags in {self.url} cannot be read: {error}")

    def _execute(self, sql: str, values: dict[str, Any] | None = None) -> Any:
        try:
            return self.connection.execute(sql, values) if values else self.connection.execute(sql)
        except duckdb.Error as error:
            raise self._unreadable(error) from error


def escape_glob(path: str) -> str:
    """A pattern that matches just this path: DuckDB takes every file name as a pattern."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)
