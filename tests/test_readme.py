"""The README tells the truth: its commands exist, its file tree is the tree, its figures are the project's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.main import COMMANDS, cli
from labels.records import read_records

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_stands_in_the_readme(name: str) -> None:
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0 and len(done.output) > 300
    if name != "eval":
        assert f"tropescan {name}" in README


def command_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("tropescan ")]


@pytest.mark.parametrize("line", command_lines())
def test_options_in_the_readme_exist(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    path = [word for word in words[:2] if word.isalpha()]
    shown = CliRunner().invoke(cli, [*path, "--help"])
    if shown.exit_code:
        shown = CliRunner().invoke(cli, [path[0], "--help"])
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.output, f"{line}: {option}"


def test_the_file_tree_is_true() -> None:
    tree = README.split("## Files")[1].split("```")[1]
    folder = ""
    named: set[str] = set()
    for line in tree.strip().splitlines():
        name, indented = line.split()[0], line.startswith("  ")
        if not indented and name.endswith("/"):
            folder = name
        for word in line.split() if indented and line.split()[1:2] and line.split()[1].endswith(".py") else [name]:
            path = ROOT / (folder if indented else "") / word
            assert path.exists(), f"the README names {path.relative_to(ROOT)}, which is not there"
            named.add(str(path.relative_to(ROOT)))
    for package in ("pipeline", "classifiers", "labels", "jobs"):
        for path in (ROOT / package).glob("*.py"):
            if path.name != "__init__.py":
                assert str(path.relative_to(ROOT)) in named, f"the README's tree lacks {path.relative_to(ROOT)}"


def test_counts_in_the_readme() -> None:
    assert f"on {len(read_records(ROOT / 'labels' / 'seed'))} passages" in README
    assert f"{len(read_records(ROOT / 'labels' / 'real')):,} labels of real documents" in README
