"""Where compiled code and prepared models are kept, so that a machine makes each of them once.

Works where the package's own folder is read-only and where there is no home folder.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding

from classifiers.kernel.stage import OPTIONS


@cache
def cache_folder() -> Path:
    """The first that can be written of: $TROPESCAN_CACHE, the user's cache folder, the temporary folder."""
    if named := os.environ.get("TROPESCAN_CACHE"):
        Path(named).mkdir(parents=True, exist_ok=True)
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    temporary = Path(tempfile.gettempdir()) / f"tropescan-{_user()}"
    for folder in (Path(home) / "tropescan", temporary):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise OSError(f"neither {home} nor {temporary} can be written; set TROPESCAN_CACHE to a folder that can")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user number without a name, as in containers
        return str(os.getuid())


@cache
def kernel_folder() -> Path:
    """Folder for compiled code, named by the digest of the kernel's sources: Numba itself looks only at the
    file of the outermost function, and would keep stale code when another one changes."""
    sources = sorted(resources.files("classifiers.kernel").iterdir(), key=lambda f: f.name)
    text = b"".join(f.read_bytes() for f in sources if f.name.endswith(".py"))
    name = hashlib.sha256(text + numba.__version__.encode()).hexdigest()[:16]
    return cache_folder() / f"kernel-{name}"


def compiled(function: Callable[..., Any], *, allocates: bool = False) -> Callable[..., Any]:
    """Compile on first call, as `classifiers.kernel.stage` does, and keep the machine code in `kernel_folder`.

    ``allocates`` says that the function makes arrays.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(kernel_folder())
    try:
        return numba.njit(**{**OPTIONS, "_nrt": allocates}, cache=True)(function)  # type: ignore[no-any-return]
    finally:
        numba.config.CACHE_DIR = before


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold an exclusive lock on a file in ``folder`` (released by the system if the process dies)."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_once(signature: str, warm_up: Callable[[], None]) -> None:
    """Run ``warm_up``, which makes Numba compile or load; only one process at a time while nothing is stored yet."""
    folder = kernel_folder()
    done = folder / f"compiled-{binding.get_host_cpu_name()}-{signature}"
    if done.exists():
        return warm_up()
    with locked(folder, "compile"):
        warm_up()
        done.touch()
