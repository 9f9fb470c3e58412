"""``tropescan audit model-based``: estimates where nothing was read, which hold if an assumption does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from classifiers.calibration import Calibration
from jobs.audit_engine import audit_engine, engine_options
from jobs.audit_figures import shown
from jobs.audit_labels import DOMAINS
from jobs.audit_plan import threshold_of
from jobs.audit_tags import columns_for, histogram
from jobs.label_options import opened
from jobs.spark_options import SessionOptions
from jobs.tag_rows import Tags, open_tags
from labels.store import Store, designed_selections
from labels.store.judgements import settled
from labels.store.lookup import draw_named
from pipeline.prevalence.adjusted import rogan_gladen
from pipeline.prevalence.model_based import Weighted, emq, pacc_figure
from pipeline.prevalence.strata import GRID

Floats = NDArray[np.float64]
Plain = dict[str, Any]


def _middles() -> Floats:
    """A score for each cell of the grid: the middle of its log-odds; float64, shape (CELLS,)."""
    log_odds = np.log(GRID / (1 - GRID))
    step = log_odds[1] - log_odds[0]
    return np.asarray(1 / (1 + np.exp(-np.append(log_odds - step / 2, log_odds[-1] + step / 2))), np.float64)


def _by_calibration(tags: Tags, label: str, documents: Floats) -> Plain | None:
    """EMQ with the calibration of the model's card; None if it has none of this label."""
    known = tags.folder.model.get("calibration", {}).get(label)
    if known is None or not documents.sum():
        return None
    found = Calibration(**known)
    value = emq(found.probability(_middles()), documents, found.base_rate)
    method = f"EMQ from a base rate of {found.base_rate:g}; holds under prior shift with calibrated scores; no interval"
    return {"value": value, "low": None, "high": None, "basis": "model", "method": method,
            "words": f"{value:.3g} of all documents (no interval)"}  # fmt: skip


def _labelled(store: Store, draw: str, digest: str, score: str, label: str) -> tuple[Weighted, Weighted]:
    """Scores of documents of another corpus that hold the label and of those that do not, by their chances.

    Raises `StoreError` for a draw that was not designed, and `ValueError` for one that another model scored.
    """
    selections = [one for one, _ in designed_selections(store, [draw])]
    with store.reading() as session:
        found = draw_named(session, draw)
    if found.method == DOMAINS:
        raise ValueError(
            f"draw {draw!r} is of whole domains; these intervals count documents that were drawn one by one"
        )
    made_by = found.model_digest
    if made_by != digest:
        raise ValueError(f"draw {draw!r} was scored by the model {str(made_by)[:12]}, these tags by {digest[:12]}")
    holds = {one.item.id: one.labels[label] for one in settled(store, [draw])}
    read = [one for one in selections if one.item_id in holds and one.scores.get(score) is not None]

    def those(held: bool) -> Weighted:
        kept = [one for one in read if holds[one.item_id] is held]
        chances = [one.inclusion_probability or 1.0 for one in kept]
        return Weighted(np.array([one.scores[score] for one in kept], np.float64), 1 / np.array(chances, np.float64))

    return those(True), those(False)


def _from_labels(
    labelled: tuple[Weighted, Weighted], documents: Floats, threshold: float
) -> Iterator[tuple[str, Plain]]:
    positives, negatives = labelled
    middles, total = _middles(), int(documents.sum())
    yield "PACC", shown(pacc_figure(float(middles @ documents / total), positives, negatives))
    flagged = int(documents[np.searchsorted(GRID, threshold, side="right") :].sum())
    checks = positives.share(positives.scores >= threshold), negatives.share(negatives.scores < threshold)
    yield "Rogan-Gladen", shown(rogan_gladen(flagged, total, *checks))


@click.command("model-based")
@click.argument("folder", metavar="DIR")
@click.option(
    "--store", "place", metavar="PATH|URL", envvar="TROPESCAN_STORE", help="Where labels of another corpus are."
)
@click.option("--draw", metavar="NAME", help="A designed, labelled draw of another corpus, scored by the same model: "
              "gives PACC and Rogan-Gladen.")  # fmt: skip
@click.option("--label", default="adverse", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@engine_options
def command(
    folder: str, place: str | None, draw: str | None, label: str, as_json: bool, engine: str, spark: SessionOptions
) -> None:
    """Estimate prevalence in the tags in DIR without reading any of it. Model-based: an audit is better.

    All three methods assume prior shift: what holds the label scores here as it did elsewhere, and so does what does
    not; only their shares differ. Text of another time or kind breaks that, and no interval counts it.

    EMQ takes the calibration in the model's card. PACC and Rogan-Gladen take labels of another corpus (--store and
    --draw): mean scores, and the filter's error rates at the threshold.
    """
    if draw is not None and place is None:
        raise click.UsageError("--draw needs --store, where its labels are")
    with open_tags(folder) as tags, audit_engine(engine, spark) as gather:
        columns = columns_for(tags, label, None)
        documents = histogram(tags, columns, gather).sums[..., 0].sum(axis=1)
        if not documents.sum():
            raise ValueError(f"{folder}: no document has a score; there is nothing to estimate from")
        figures = {"EMQ": _by_calibration(tags, label, documents)}
        if draw is not None and place is not None:
            with opened(place) as store:
                labelled = _labelled(store, draw, tags.digest, columns.score, label)
            figures |= dict(_from_labels(labelled, documents, threshold_of(tags, label, None)))
    found = {"label": label, "scored": int(documents.sum()), "basis": "model", "figures": figures}
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    click.echo(
        f"{label} in {found['scored']:,} scored documents, model-based: holds under prior shift, nothing was read"
    )
    for name, figure in figures.items():
        click.echo(f"{name}: {figure['words'] if figure else 'the model has no calibration of this label'}")
