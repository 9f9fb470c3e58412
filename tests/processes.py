"""Processes of this machine, found in /proc: for tests that kill one in the middle of its work."""

from __future__ import annotations

import os
import time
from pathlib import Path


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
