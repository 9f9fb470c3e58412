"""A private PostgreSQL cluster from Debian's programs, for tests: real, empty, gone at the end.

PostgreSQL refuses to run as root, so root runs it as the user ``postgres`` that Debian's package makes.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import psycopg.sql


def programs() -> Path | None:
    """The folder with the newest PostgreSQL's ``initdb`` and ``pg_ctl``; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    named = shutil.which("pg_ctl")
    return found[-1] if found else Path(named).parent if named else None


@contextmanager
def cluster() -> Iterator[str]:
    """Start a cluster that listens on a socket in a private folder only; gives the URL of its database."""
    home = programs()
    assert home is not None, "no PostgreSQL here"
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path may have 107 characters
    try:
        user = "postgres" if os.getuid() == 0 else getpass.getuser()
        if os.getuid() == 0:
            shutil.chown(folder, user, user)
        data, log = folder / "data", folder / "log"
        _run([home / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8"], user)
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=120 -c fsync=off"
        _run([home / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start"], user)
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            _run([home / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str | Path], user: str) -> None:
    switch = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.getuid() == 0 else []
    # Into a file, not a pipe: the server inherits it, and a pipe would stay open as long as the server lives.
    with tempfile.TemporaryFile() as said:
        done = subprocess.run([*switch, *command], stdout=said, stderr=said, cwd="/", env=_environment())
        said.seek(0)
        assert done.returncode == 0, said.read().decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"}


def new_schema(url: str, name: str) -> str:
    """Make an empty schema in a running cluster's database; gives a URL in which it is the only one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(name)))
    return f"{url}&options=-csearch_path%3D{name}"
