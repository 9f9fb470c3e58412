"""``tropescan label status``: how far each draw is, and what each annotator did."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table

from jobs.label_options import opened, store_option
from labels.store.figures import AnnotatorWork, DrawProgress, progress, work

STATES = ("single", "agreed", "adjudicated", "disputed")


@click.command("status")
@store_option
@click.option("--draw", metavar="NAME", help="Only this draw, and annotators' work in it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(place: str, draw: str | None, as_json: bool) -> None:
    """Show how far each draw is, how its items stand, and each annotator's labels, pace, blind checks and cost.

    An item is done when it has the wanted number of annotators. It stands as `single` (one judgement), `agreed`,
    `disputed` (waits for `label adjudicate`) or `adjudicated`.
    """
    with opened(place) as store:
        draws, annotators = progress(store), work(store, draw)
    draws = [one for one in draws if draw in (None, one.name)]
    if as_json:
        click.echo(json.dumps({"draws": [asdict(d) for d in draws], "annotators": [asdict(a) for a in annotators]}))
        return
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(_draws(draws), "", _annotators(annotators), sep="\n")


def _draws(draws: list[DrawProgress]) -> Table:
    table = Table("draw", "purpose", "wanted", "items", "done", *STATES, box=None)
    for one in draws:
        counts = (str(one.states.get(state, 0)) for state in STATES)
        table.add_row(one.name, one.purpose, str(one.wanted), str(one.selections), str(one.done), *counts)
    return table


def _annotators(annotators: list[AnnotatorWork]) -> Table:
    table = Table("annotator", "kind", "labels", "unsure", "last", "median s", "gold right", "tokens", "US$", box=None)
    for one in annotators:
        gold = f"{one.gold_right} of {one.gold}" if one.gold else "-"
        pace = "-" if one.seconds is None else f"{one.seconds:.0f}"
        numbers = (str(one.labels), str(one.unsure), one.last[:16], pace, gold, f"{one.tokens:,}", f"{one.cost:.2f}")
        table.add_row(one.annotator, one.kind, *numbers)
    return table
