"""The commands that the README gives for clusters, for the tests to run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent


def recipes(mark: str) -> list[list[str]]:
    """The words of each command with ``mark`` in it, among those that the README marks as runnable."""
    section = (ROOT / "README.md").read_text("utf-8").split("### On a cluster")[1].split("\n### ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if mark in line]


def follow(
    recipe: list[str], folder: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run a command of tropescan in a folder that has ``crawl/``."""
    assert recipe[0] == "tropescan"
    command = [sys.executable, "-c", "from jobs.main import main; main()", *recipe[1:]]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True
    )
