"""``tropescan rescorer``: the group of commands around the second stage."""

from __future__ import annotations

import click

from jobs.lazy_group import LazyGroup

COMMANDS = {"train": "jobs.rescorer_train", "eval": "jobs.rescorer_eval"}


@click.command(cls=LazyGroup, modules=COMMANDS)
def command() -> None:
    """Train a second stage, a small transformer that reads again what passes a low threshold, and measure it.

    To use one needs the extra rescore, to train one the extra encoder, too.

    \b
      tropescan rescorer train labels/ --texts corpus --encoder MiniLM --out second.npz
      tropescan rescorer eval labels/ --texts corpus --rescorer second.npz
      tropescan scan crawl/ --out scanned --rescore second.npz
    """
