"""Freed memory is kept for the next batch, and large pieces are given back all the same."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another than glibc")
ROUNDS, PAGE = 20, 4096
PROBE = f"""
import resource, sys
from pipeline.memory import keep_freed_memory

def in_use():
    return int(open("/proc/self/statm").read().split()[1])

if sys.argv[1] == "keep":
    keep_freed_memory()
pieces = [bytearray(b"x") * (12 << 20) for _ in range(4)]
del pieces
begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    pieces = [bytearray(b"x") * (12 << 20) for _ in range(4)]
    del pieces
faults, before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin, in_use()
large = bytearray(b"x") * (200 << 20)
del large
print(faults, in_use() - before)
"""


def probe(how: str) -> tuple[int, int]:
    """Page faults of rounds that take 48 MiB and free them again, and pages more in use after a piece of 200 MiB."""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", PROBE, how], cwd=root, capture_output=True, text=True, check=True)
    faults, more = map(int, done.stdout.split())
    return faults, more


def test_freed_memory_serves_again() -> None:
    left, kept = probe("leave")[0], probe("keep")[0]
    assert left > ROUNDS  # more where pages are not huge: 12,288 a round
    assert kept < left / 4


def test_large_pieces_are_given_back() -> None:
    assert probe("keep")[1] * PAGE < 20 << 20
