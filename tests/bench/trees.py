"""What a command costs with all processes below it: ``python -m tests.bench.trees COMMAND...`` prints it as JSON.

Looks at all processes below it five times a second, and adds up what each had used when it was last seen: the system's
own sums leave out processes whose parents do not wait for them, such as Spark's Python workers. Processes that outlive
their parents (a JVM, Ray's daemons) come to this one, and are waited for. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS = 0.2
ROOT = Path(__file__).parents[2]


class CommandError(RuntimeError):
    """A command failed, or gave no figure; the message says why."""


@dataclass(frozen=True)
class Took:
    """Seconds: ``cpu`` of all processes, ``wall`` until the command itself ended."""

    cpu: float
    wall: float

    def __sub__(self, other: Took) -> Took:
        return Took(self.cpu - other.cpu, self.wall - other.wall)


def run_tree(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Took:
    """Run a command, in the project's folder, in a process of its own that counts. Raises `CommandError`."""
    counting = [sys.executable, "-m", "tests.bench.trees", *command]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    done = subprocess.run(counting, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise CommandError(f"{' '.join(command)[:200]}: {done.stderr.strip()[-800:]}")
    return Took(**json.loads(done.stdout.splitlines()[-1]))


def main(command: Sequence[str]) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: this system gives no process its orphans")
    used: dict[int, float] = {}
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=sys.stderr)
    while process.poll() is None:
        used |= processor_seconds(os.getpid())
        time.sleep(_SECONDS)
    wall = time.monotonic() - begin
    with suppress(ChildProcessError):
        while True:
            used |= processor_seconds(os.getpid())
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(_SECONDS)
    print(json.dumps(asdict(Took(sum(used.values()), wall))))
    return process.returncode


def processor_seconds(root: int) -> dict[int, float]:
    """Of each process below one, without that of its children."""
    parents, seconds = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
            pid = int(path.parent.name)
            parents[pid], seconds[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS
    found, layer = set[int](), {root}
    while layer:
        layer = {pid for pid, parent in parents.items() if parent in layer}
        found |= layer
    return {pid: seconds[pid] for pid in found}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
