"""What a command costs with all processes below it: ``python -m tests.bench.trees COMMAND...`` prints it as JSON.

Processes that outlive their parents (a JVM, Ray's daemons) come to this one, which waits for them, so that their
processor time is counted, too. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
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
    begin = time.monotonic()
    status = subprocess.run(command, stdout=sys.stderr).returncode
    wall = time.monotonic() - begin
    with suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps(asdict(Took(used.ru_utime + used.ru_stime, wall))))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
