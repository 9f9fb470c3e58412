"""Raking 100 million rows of synthetic tags over 12 goals and margins: what ``tropescan policy target`` takes.

    python -m tests.bench.raking [--files 100] [--rows 1000000] [--out bench-out]

On two cores; making the tags is not counted, and done once. Exit status 1 if the limits are passed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.synthetic_tags import write_tags
from tests.bench.trees import processor_seconds

MOST_SECONDS, MOST_BYTES, CORES = 300, 4 << 30, 2
GOALS = """
[[goal]]
label = "adverse"
at_most = 0.1
[[goal]]
label = "adverse"
per = "all"
at_most = 0.0005
[[goal]]
label = "admirable"
per = "adverse"
at_least = 2
[[goal]]
label = "admirable"
at_least = 1.5
[[goal]]
label = "admirable"
per = "all"
at_most = 0.02
[hold]
total = 0
domain = 0.05
tld = 0.01
lang = 0.02
length = 0.02
year = 0.02
source = 0.02
"""


@dataclass(frozen=True)
class Took:
    """Seconds of wall and processor time, and the most memory (PSS) that all processes had at once."""

    wall: float
    cpu: float
    memory: int


def watched(command: list[str]) -> tuple[Took, str]:
    """Run a command, look at all processes below this one every second; what it took, and what it printed."""
    begin, seconds, most = time.monotonic(), dict[int, float](), 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while process.poll() is None:
        now = processor_seconds(os.getpid())
        seconds |= now
        most = max(most, sum(map(_memory, now)))
        time.sleep(1)
    wall = time.monotonic() - begin
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit status {process.returncode}")
    assert process.stdout is not None
    return Took(wall, sum(seconds.values()), most), process.stdout.read()


def _memory(pid: int) -> int:
    with suppress(OSError):
        found = re.search(r"^Pss:\s*(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8"), re.MULTILINE)
        return 1024 * int(found[1]) if found else 0
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.raking", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each file")
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    arguments = parser.parse_args()
    folder = arguments.out / f"raking-{arguments.files}x{arguments.rows}"
    write_tags(folder, arguments.files, arguments.rows)
    goals = folder / "goals.toml"
    goals.write_text(GOALS, "utf-8")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[-CORES:]))
    start = ["-c", "from jobs.main import main; main()", "policy", "target", str(goals), str(folder), "--json"]
    took, printed = watched([sys.executable, *start, "--out", str(folder / "weights.json"), "--workers", str(CORES)])
    _say(json.loads(printed), took, arguments.files * arguments.rows)
    sys.exit(int(took.wall > MOST_SECONDS or took.memory > MOST_BYTES))


def _say(found: dict[str, Any], took: Took, rows: int) -> None:
    for goal in found["goals"]:
        print(f"{goal['goal']}: {goal['today']:.4g} today, {goal['reached']:.6g} reached")
    for by, one in found["margins"].items():
        print(
            f"{by}: {one['categories']} held, moved by {one['moved_by']:+.3%} at most, {one['tolerance']:.0%} allowed"
        )
    print(f"{found['cells']:,} cells, categories halved {found['halvings']} times")
    print(
        f"{rows:,} rows: {took.wall:.0f} s of {MOST_SECONDS} ({took.cpu:.0f} s of processor time, load average "
        f"{os.getloadavg()[0]:.1f}), {took.memory / 2**20:.0f} MiB of {MOST_BYTES >> 20}"
    )


if __name__ == "__main__":
    main()
