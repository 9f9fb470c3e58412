"""The command ``tropescan``: gathers the commands, and turns expected errors into one line and an exit status."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from jobs.lazy_group import LazyGroup

COMMANDS = {
    "scan": "jobs.scan",
    "report": "jobs.report",
    "apply": "jobs.apply",
    "why": "jobs.why",
    "export": "jobs.export",
    "explain": "jobs.explain",
    "train": "jobs.train",
    "eval": "jobs.evaluate",
    "rescorer": "jobs.rescorer",
    "compare": "jobs.compare",
    "promote": "jobs.promote",
    "model": "jobs.model",
    "label": "jobs.label",
    "audit": "jobs.audit",
    "policy": "jobs.policy",
    "collateral": "jobs.collateral",
    "pack": "jobs.pack",
}
"""Loaded when called: a command's imports cost nothing to the others."""


def installed_version() -> str:
    """tropescan's version; of a checkout that is not installed, 0+unknown."""
    try:
        return version("tropescan")
    except PackageNotFoundError:
        return "0+unknown"


def check_not_shadowed() -> None:
    """`pipeline` and `labels` are common names: stop if another package of that name is imported instead of ours."""
    home = Path(__file__).resolve().parent.parent
    for name in ("pipeline", "classifiers", "labels"):
        module = importlib.import_module(name)
        found = Path(module.__file__ or "").resolve().parent
        if found != home / name:
            raise click.ClickException(
                f"the package {name!r} of tropescan is hidden by {found}; run from another folder or mend PYTHONPATH"
            )


@click.command(
    cls=LazyGroup, modules=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(installed_version(), prog_name="tropescan")
def cli() -> None:
    """Find, measure and filter text that portrays AI as evil and self-preserving.

    \b
    A first look at a crawl:
      tropescan scan crawl/ --out scanned      tags every document with scores and evidence
      tropescan report scanned --out page.html what was found, where, and what was rejected
      tropescan explain "some text"            why a text gets its score
    """


def main() -> None:
    """Entry point. Exit status: 0 clean; 1 some records or shards rejected or failed; 2 nothing could run."""
    try:
        check_not_shadowed()
        sys.exit(cli.main(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except (OSError, ValueError) as error:  # our own errors are of these kinds, and say what to do
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
