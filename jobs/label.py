"""``tropescan label``: the group of commands around the label store."""

from __future__ import annotations

import click

from jobs.lazy_group import LazyGroup

COMMANDS = {
    "draw": "jobs.label_draw",
    "acquire": "jobs.label_acquire",
    "second": "jobs.label_second",
    "serve": "jobs.label_serve",
    "ask": "jobs.label_ask",
    "status": "jobs.label_status",
    "agree": "jobs.label_agree",
    "doubtful": "jobs.label_doubtful",
    "adjudicate": "jobs.label_adjudicate",
    "import": "jobs.label_import",
    "export": "jobs.label_export",
}


@click.command(cls=LazyGroup, modules=COMMANDS, needs="labels need the extra: pip install 'tropescan[labels]'")
def command() -> None:
    """Choose what to label, see how far annotators agree, settle differences, and hand labels on.

    \b
    A round, with a store in one file (or --store postgresql://…; TROPESCAN_STORE saves typing it):
      tropescan label draw scanned --store labels.sqlite --name audit --n 500      to estimate and evaluate
      tropescan label acquire scanned --store labels.sqlite --name round-1 --n 300 to train
      tropescan label serve --store labels.sqlite                                  the page to label on
      tropescan label status --store labels.sqlite                                 how far it is
      tropescan label second round-1 --store labels.sqlite --name again --n 80     to be read twice
      tropescan label agree --store labels.sqlite                                  agreement, with intervals
      tropescan label adjudicate --store labels.sqlite --by NAME                   settle differences
    """
