"""Where compiled code and prepared models are kept, so that a machine makes each of them once.

Works where the package's own folder is read-only and where there is no home folder. Loads no compiler before one is
needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@cache
def cache_folder() -> Path:
    """$TROPESCAN_CACHE; else the first that is ours alone and can be written: user's cache folder, temporary folder.

    Raises `OSError` if there is none.
    """
    if named := os.environ.get("TROPESCAN_CACHE"):
        Path(named).mkdir(parents=True, exist_ok=True)
        return Path(named).absolute()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache") / "tropescan"
    temporary = Path(tempfile.gettempdir()) / f"tropescan-{os.getuid()}"
    for folder in (home, temporary):
        if folder.is_absolute() and _is_ours(folder):  # "~" stays "~" for a user number that has no name
            return folder
    raise OSError(
        f"neither {home} nor {temporary} is a folder that belongs to this user alone and can be written; "
        "set TROPESCAN_CACHE to one that can"
    )


def _is_ours(folder: Path) -> bool:
    """Make the folder if need be. Compiled code is run as it is found: nobody else may have put it there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    is_private = found.st_uid == os.geteuid() and not found.st_mode & _WRITABLE_BY_OTHERS
    return stat.S_ISDIR(found.st_mode) and is_private and os.access(folder, os.W_OK)


@cache
def code_folder(package: str) -> Path:
    """Folder for machine code of a package's functions, named by the digest of all sources that make it."""
    from numba import __version__ as numba_version  # here: it takes half a second

    name = hashlib.sha256((sources_digest(package, __package__) + numba_version).encode()).hexdigest()[:16]
    return cache_folder() / f"{package}-{name}"


def sources_digest(*names: str) -> str:
    """SHA-256, in hex, over the sources of modules, and of packages with the modules that stand in them."""
    return hashlib.sha256(b"".join(file.read_bytes() for name in names for file in _sources(name))).hexdigest()


def _sources(name: str) -> list[Traversable]:
    package, _, module = name.rpartition(".")
    if (file := resources.files(package).joinpath(f"{module}.py")).is_file():
        return [file]
    return sorted((f for f in resources.files(name).iterdir() if f.name.endswith(".py")), key=lambda f: f.name)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold an exclusive lock on a file in ``folder`` (released by the system if the process dies)."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
