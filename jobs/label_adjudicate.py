"""``tropescan label adjudicate``: settles items whose annotators differ, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from jobs.item_text import item_text
from jobs.label_options import opened, store_option
from jobs.options import FOLDER
from labels import codebook
from labels.interchange.tasks import labels_from
from labels.records import texts_by_digest
from labels.store import Store, record_label
from labels.store.disputes import Dispute, count_disputes, next_dispute
from labels.store.tables import Label


@dataclass(frozen=True)
class Answer:
    """What the adjudicator says of an item."""

    labels: dict[str, bool]
    mode: str
    sure: bool = True
    note: str = ""


@click.command("adjudicate")
@store_option
@click.option("--by", "adjudicator", help="Your name, as it shall stand in the records. Without it, only count.")
@click.option("--draw", metavar="NAME", help="Only items of this draw.")
@click.option("--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of items that only point.")
def command(place: str, adjudicator: str | None, draw: str | None, texts: tuple[str, ...]) -> None:
    """Go through the items whose annotators differ, and settle each by a record of kind `adjudicated`.

    For each item its text and the annotators' records are shown. Answer with the number of the record that is right,
    or with labels and mode, where what the labels imply need not be said; `?` after it is for unsure, `#` begins a
    note. `s` passes the item by, `q` stops.

    \b
    2                              record 2 is right
    none                           none of the labels holds
    hostile,admirable fiction? # one AI against another
    """
    with opened(place) as store:
        if adjudicator is None:
            click.echo(f"{count_disputes(store, draw)} items wait to be settled; give --by NAME to settle them")
            return
        passed: set[int] = set()
        elsewhere = {digest: text for folder in texts for digest, text in texts_by_digest(folder).items()}
        while (dispute := next_dispute(store, adjudicator, draw, besides=passed)) is not None:
            _show(dispute, item_text(store, dispute.leased.item, elsewhere))
            if not _settle(store, dispute, adjudicator, passed):
                return
        click.echo("no item left to settle")


def _show(dispute: Dispute, text: str) -> None:
    item = dispute.leased.item
    click.echo(f"\n{printable(item.document)}  ({printable(item.source)})\n\n{printable(text)}\n")
    for number, label in enumerate(dispute.records, 1):
        said = f"{', '.join(_holding(label)) or 'none'}  {label.mode}{'' if label.sure else '  (unsure)'}"
        click.echo(f"{number}  {printable(label.annotator)} ({label.kind}): {said}  {printable(label.note)}")


def _settle(store: Store, dispute: Dispute, adjudicator: str, passed: set[int]) -> bool:
    """Ask until the item is settled or passed by; False to stop."""
    while True:
        answer = click.prompt("right (number, or labels and mode; s, q)").strip()
        if answer in ("s", "q"):
            passed.add(dispute.leased.item.id)
            return bool(answer == "s")
        try:
            said = parse_answer(answer, dispute.records)
            record_label(
                store, dispute.leased.item.id, adjudicator, "adjudicated", said.labels, said.mode,
                token=dispute.leased.token, draw=dispute.leased.draw, sure=said.sure, note=said.note,
            )  # fmt: skip
            return True
        except ValueError as error:
            click.echo(str(error), err=True)


def parse_answer(line: str, records: Sequence[Label]) -> Answer:
    """An answer by a record's number, or as it is spelled; raises `ValueError` for anything else."""
    answer, _, note = (part.strip() for part in line.partition("#"))
    answer, sure = answer.removesuffix("?").strip(), not answer.endswith("?")
    if answer.isdecimal() and 1 <= int(answer) <= len(records):
        chosen = records[int(answer) - 1]
        return Answer({name: name in _holding(chosen) for name in codebook.LABELS}, chosen.mode, sure, note)
    spelled, _, mode = answer.partition(" ")
    try:
        labels = labels_from(() if spelled == "none" else spelled.split(","))
    except ValueError as error:
        raise ValueError(f"{answer!r}: give a number up to {len(records)}, or labels and mode; {error}") from error
    codebook.check(labels, mode.strip() or codebook.NO_MODE)
    return Answer(labels, mode.strip() or codebook.NO_MODE, sure, note)


def _holding(label: Label) -> list[str]:
    return [name for name in codebook.LABELS if getattr(label, name)]


def printable(text: str) -> str:
    """Crawled text may hold terminal control codes; they are shown, not sent."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
