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
def kernel_folder() -> Path:
    """Folder for compiled code, named by the digest of all sources that make it and the model's tables."""
    from numba import __version__ as numba_version  # here: it takes half a second

    package = resources.files("classifiers")
    kernel = sorted((f for f in package.joinpath("kernel").iterdir() if f.name.endswith(".py")), key=lambda f: f.name)
    others = ("cache.py", "compiling.py", "fasttext_file.py", "prepare.py", "settings.py")
    sources = [*kernel, *(package.joinpath(name) for name in others)]
    text = b"".join(f.read_bytes() for f in sources)
    name = hashlib.sha256(text + numba_version.encode()).hexdigest()[:16]
    return cache_folder() / f"kernel-{name}"


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold an exclusive lock on a file in ``folder`` (released by the system if the process dies)."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
