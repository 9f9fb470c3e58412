"""``tropescan label doubtful``: labels that are probably wrong, queued for another look."""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np

from jobs.label_options import opened, store_option
from jobs.options import FOLDER
from labels import codebook
from labels.records import texts_by_digest
from labels.store import Candidate, add_draw
from labels.store.judgements import Settled, settled
from labels.store.tables import REVIEW


@click.command("doubtful")
@store_option
@click.option("--name", required=True, help="Name of the review; its queue has it too.")
@click.option("--label", type=click.Choice(codebook.LABELS), default="adverse", show_default=True)
@click.option("--n", "n", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of items that only point.")
@click.option("--annotators", default=1, show_default=True, type=click.IntRange(1), help="Wanted for each item.")
def command(place: str, name: str, label: str, n: int, texts: tuple[str, ...], annotators: int) -> None:
    """Find labels that are probably wrong by confident learning, and queue them as a review.

    A plain classifier, fitted each time without a text's source, says what it thinks of the text; cleanlab finds the
    labels that this contradicts more than the noise explains. Adjudicated labels are left alone. Who labels an item
    again in the review replaces their own earlier label.
    """
    with opened(place) as store:
        items, contents = with_texts(settled(store), texts)
        truth = np.array([one.labels[label] for one in items], bool)
        click.echo(f"judging {len(items)} texts by what others say …", err=True)
        ranked = _doubtful(contents, truth, [one.item.source for one in items])
        doubted = [(k, p) for k, p in ranked if items[k].state != "adjudicated"]
        chosen = doubted[:n]
        candidates = [
            Candidate(
                items[k].item.document, items[k].item.source, sha256=items[k].item.sha256, scores={f"unseen {label}": p}
            )
            for k, p in chosen
        ]
        add_draw(store, name, REVIEW, candidates, method="confident learning",
                 parameters={"label": label, "texts": len(items)}, wanted=annotators)  # fmt: skip
    click.echo(
        f"{len(doubted)} of {len(items)} labels are doubtful; the first {len(chosen)} wait in the review {name!r}"
    )


def with_texts(items: Sequence[Settled], folders: Sequence[str]) -> tuple[list[Settled], list[str]]:
    """Those items whose text is in the store or in the folders, and their texts; says how many are left out."""
    elsewhere: dict[str, str] = {}
    for folder in folders:
        elsewhere |= texts_by_digest(folder)
    found = [(one, one.item.text if one.item.text is not None else elsewhere.get(one.item.sha256)) for one in items]
    kept = [(one, text) for one, text in found if text is not None]
    if len(kept) < len(found):
        click.echo(
            f"{len(found) - len(kept)} items only point to texts not given here; name folders with --texts", err=True
        )
    return [one for one, _ in kept], [text for _, text in kept]


def _doubtful(texts: Sequence[str], truth: np.ndarray, sources: Sequence[str]) -> list[tuple[int, float]]:
    from labels.doubt import doubtful, unseen_probabilities  # here: they load scikit-learn and pandas

    probabilities = unseen_probabilities(texts, truth, sources)
    return [(k, float(probabilities[k])) for k in doubtful(truth, probabilities)]
