"""``tropescan policy``: what a corpus should become, worked out and looked at before anything is changed."""

from __future__ import annotations

import click

from jobs.lazy_group import LazyGroup

COMMANDS: dict[str, str] = {
    "target": "jobs.policy_target",
    "preview": "jobs.policy_preview",
}


@click.command(cls=LazyGroup, modules=COMMANDS)
def command() -> None:
    """Work out what should become of a corpus, from its tags alone, before anything is changed.

    Say what the corpus should be, and get the weights that distort it least; or look at what thresholds and strengths
    would cost. The sign of a goal is yours: text on well-behaved AI can be raised, text on hostile AI lowered, or not.

    \b
      tropescan policy target goals.toml scanned --out weights.json   the least distorting weights that reach the goals
      tropescan policy preview scanned --out preview.html             sliders, and the consequences drawn live
    """
