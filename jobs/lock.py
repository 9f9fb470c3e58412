"""One command at a time into a folder. The lock is the command's, not its workers': what a cluster goes on with after
the command has ended needs none, and the system frees it however the command ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from filelock import FileLock, Timeout

from pipeline import storage
from pipeline.compiled.cache import cache_folder

LOCK = ".scan.lock"


@contextmanager
def locked(out: str) -> Iterator[None]:
    """Hold the lock of an output folder; makes a local one if there is none.

    A folder in a store is locked for this user on this machine only: stores have no locks. On a file system without
    locks the scan goes on, and says so. Raises `ValueError` if another scan holds it.
    """
    path = _lock_file(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{out}: there is a file of that name; --out wants a folder") from None
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"{out}: another run is writing into this folder; wait for it, or choose another --out"
        ) from None
    except NotImplementedError:
        click.echo(f"{out}: this file system has no locks; run one command at a time into it", err=True)
    try:
        yield
    finally:
        lock.release()


def _lock_file(out: str) -> Path:
    if storage.is_local(out):
        return storage.local_path(out) / LOCK
    return cache_folder() / "locks" / hashlib.sha256(out.rstrip("/").encode()).hexdigest()[:32]
