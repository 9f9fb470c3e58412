"""The README tells the truth: its commands exist, its file tree is the tree, its figures are the project's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from jobs.main import COMMANDS, cli
from jobs.report_compare import command as compare
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
    """What follows ``tropescan`` in every command of README and docs, those that no test runs among them."""
    pages = [README, *(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]
    found = []
    for block in (block for page in pages for block in re.findall(r"```\w*\n(.*?)```", page, re.DOTALL)):
        joined = block.replace("\\\n", " ")
        found += re.findall(r"^(?:.*spark_submit\.py +(?=scan )|tropescan +|(?=scan /))(.+)$", joined, re.MULTILINE)
        found += [shlex.join(json.loads(given)) for given in re.findall(r'"entryPointArguments": (\[.*?\])', joined)]
    return found


def test_commands_of_every_kind_are_found() -> None:
    lines = command_lines()
    for part in ("crawl/ --out scanned --engine spark", "s3://bucket/scanned", "/Volumes/", "--store labels.sqlite"):
        assert any(part in line for line in lines)


@pytest.mark.parametrize("line", command_lines())
def test_commands_of_the_pages_can_be_given(line: str) -> None:
    """By click's own parser: options exist, have values, and those of a choice or a range are in it."""
    words, context = shlex.split(line, comments=True), click.Context(cli)
    command: click.Command | None = cli
    while isinstance(command, click.Group):
        command = command.get_command(context, words[0])
        assert command is not None, f"there is no command {words[0]}"
        context = click.Context(command, parent=context, info_name=words.pop(0))
    if words[:1] == ["compare"] and context.info_name == "report":  # which is no group: see jobs.report
        command = compare
        words.pop(0)
    values, left, _ = command.make_parser(context).parse_args(words)
    assert not left
    for parameter in command.params:
        if isinstance(parameter.type, click.Choice | click.IntRange | click.FloatRange) and parameter.name in values:
            parameter.type_cast_value(context, values[parameter.name])


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
