"""What the figures were measured on: processor, memory, system, and the versions of what took part."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "tropescan", "numpy", "numba", "pyarrow", "orjson", "zstandard", "isal", "fastwarc", "resiliparse", "trafilatura",
    "fasttext-numpy2-wheel", "fasttext", "datatrove", "warcio", "python-magic",
)  # fmt: skip


def describe_machine() -> dict[str, object]:
    """Plain types, for the JSON file."""
    return {
        "processor": _first(r"model name\s*:\s*(.*)", "/proc/cpuinfo") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": 1024 * int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo") or 0),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
    }


def _first(pattern: str, path: str) -> str | None:
    found = re.search(pattern, Path(path).read_text("utf-8")) if Path(path).exists() else None
    return found[1] if found else None


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
