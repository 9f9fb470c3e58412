"""Processes of this machine, found in /proc: for tests that kill one in the middle of its work."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def writer_of(file: Path) -> int:
    """The process that has a file open."""
    for fds in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(fd) == str(file) for fd in fds.iterdir()):
                return int(fds.parent.name)
        except OSError:
            continue
    raise LookupError(f"no process has {file} open")


def unfinished(out: Path, name: str, seconds: float = 120) -> Path:
    """The file that is being written for a shard of that name, as soon as it is there."""
    end = time.monotonic() + seconds
    while not (found := list(out.rglob(f"*unfinished-{name}*"))):
        assert time.monotonic() < end, f"no process began {name}"
        time.sleep(0.01)
    return found[0]


def killed_before_file(k: int, work: Callable[[], object]) -> None:
    """Do the work in a process that dies just before the k-th of its files, from 0, gets its name."""
    child = os.fork()
    if child == 0:
        left, real = [k], os.replace

        def replace(source: Any, target: Any) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)

        os.replace = replace  # type: ignore[assignment]
        try:
            work()
        finally:
            os._exit(0)  # before pytest sees an exception in a second process
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found[int(path.name)] = (_stat(path)[1], (path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def parent_of(pid: int) -> int:
    """The process that started this one."""
    return _stat(Path(f"/proc/{pid}"))[1]


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent does not."""
    try:
        return _stat(Path(f"/proc/{pid}"))[0] != "Z"
    except FileNotFoundError:
        return False


def _stat(path: Path) -> tuple[str, int]:
    state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent)


def below(pid: int) -> dict[int, str]:
    """Command lines of a process's descendants."""
    table, found = processes(), {}
    layer = {pid}
    while layer:
        layer = {child for child, (parent, _) in table.items() if parent in layer}
        found |= {child: table[child][1] for child in layer}
    return found
