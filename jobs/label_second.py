"""``tropescan label second``: part of a draw, queued for an independent second reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import select

from jobs.blind_checks import blind_check_options, blind_checks
from jobs.item_text import READING
from jobs.label_options import opened, store_option
from labels.sampling import uniform
from labels.store import Candidate, Store, StoreError, add_draw
from labels.store.lookup import draw_named
from labels.store.tables import DESIGNED, REVIEW, Draw, Item, Selection


@dataclass(frozen=True)
class Part:
    """A draw, the number of its documents, and those of them that were chosen."""

    draw: Draw
    documents: int
    chosen: list[Candidate]


@click.command("second")
@click.argument("draw", metavar="DRAW")
@store_option
@click.option("--name", required=True, help="Name of the new draw; its queue has it too.")
@click.option("--n", "n", required=True, type=click.IntRange(1), help="Documents to read again.")
@click.option("--seed", default=1, show_default=True, help="Another seed chooses other documents.")
@click.option("--annotators", default=2, show_default=True, type=click.IntRange(2),
              help="Wanted for each document, those of DRAW included.")  # fmt: skip
@blind_check_options
def command(place: str, draw: str, name: str, n: int, seed: int, annotators: int, gold: int, gold_every: int) -> None:
    """Queue N documents of DRAW, chosen by the keyed hash of their id, for annotators who have not labelled them.

    They do not see what was said before; `label agree --draw NAME` then tells how far they agree with it, and
    `label adjudicate` settles what they differ about. Readers elsewhere get the documents by
    `label export FILE --draw NAME --blind`. The new draw serves what DRAW served: of a designed draw it is one too,
    with its own inclusion probabilities; of an acquired one it can never enter an estimate.

    \b
    tropescan label second round-1 --store labels.sqlite --name round-1-second --n 80
    """
    with opened(place) as store:
        part = choose(store, draw, n, seed)
        digests = {one.digest for one in part.chosen}
        add_draw(
            store, name, part.draw.purpose, [*part.chosen, *blind_checks(store, gold, seed, digests)], method="second",
            parameters={"of": draw, "n": n, "seed": seed, **_reading(part.draw)}, model_digest=part.draw.model_digest,
            wanted=annotators, gold_every=gold_every if gold else 0,
        )  # fmt: skip
    click.echo(f"{len(part.chosen)} of {part.documents} documents of {draw!r} wait for a second reader in {name!r}")


def choose(store: Store, name: str, n: int, seed: int) -> Part:
    """``n`` documents of a draw, blind checks left out; of a designed draw with their probability in both together.

    Raises `StoreError` for a review, whose labels replace earlier ones, and for a draw of fewer documents.
    """
    with store.reading() as session:
        draw = draw_named(session, name)
        query = select(Selection, Item).join(Item, Item.id == Selection.item_id)
        pairs = [
            (selection, item)
            for selection, item in session.execute(query.where(Selection.draw_id == draw.id, ~Selection.gold))
        ]
    if draw.purpose == REVIEW:
        raise StoreError(f"draw {name!r} is a review already; name the draw that its documents came from")
    if len(pairs) < n:
        raise StoreError(f"draw {name!r} has {len(pairs)} documents, fewer than {n}")
    ordered = sorted(pairs, key=lambda pair: (uniform(seed, pair[0].document), pair[0].position))
    share = n / len(pairs) if draw.purpose == DESIGNED else None
    return Part(draw, len(pairs), [_candidate(selection, item, share) for selection, item in ordered[:n]])


def _candidate(selection: Selection, item: Item, share: float | None) -> Candidate:
    first = selection.inclusion_probability
    return Candidate(
        selection.document, item.source, sha256=item.sha256, scores=selection.scores, stratum=selection.stratum,
        inclusion_probability=first * share if first is not None and share is not None else None,
    )  # fmt: skip


def _reading(draw: Draw) -> dict[str, Any]:
    """How the shards were read, for who reads the texts again."""
    return {name: value for name, value in draw.parameters.items() if name == READING}
