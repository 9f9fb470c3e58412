"""``tropescan audit model-based``: estimates where nothing was read, which hold if an assumption does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from classifiers.calibration import Calibration
from jobs.audit_engine import Gather, audit_engine, engine_options
from jobs.audit_figures import shown
from jobs.audit_labels import DOMAINS
from jobs.audit_plan import threshold_of
from jobs.audit_slices import MOST_DATES, MOST_SLICES, largest
from jobs.audit_tags import columns_for, histogram
from jobs.label_options import opened
from jobs.spark_options import SessionOptions
from jobs.tag_rows import Tags, open_tags
from labels.store import Store, designed_selections
from labels.store.judgements import settled
from labels.store.lookup import draw_named
from pipeline.prevalence.adjusted import rogan_gladen
from pipeline.prevalence.frame import added_up
from pipeline.prevalence.model_based import Weighted, emq, pacc_figure
from pipeline.prevalence.slice_scores import scores_of, sizes_of
from pipeline.prevalence.slices import SLICES, Slicer, check_slices
from pipeline.prevalence.strata import GRID
from pipeline.report.queries import MOST_TOPICS

Floats = NDArray[np.float64]
Plain = dict[str, Any]


def _middles() -> Floats:
    """A score for each cell of the grid: the middle of its log-odds; float64, shape (CELLS,)."""
    log_odds = np.log(GRID / (1 - GRID))
    step = log_odds[1] - log_odds[0]
    return np.asarray(1 / (1 + np.exp(-np.append(log_odds - step / 2, log_odds[-1] + step / 2))), np.float64)


@dataclass(frozen=True)
class _Known:
    """What is known from elsewhere: the model's calibration of the label, scores of labelled documents that hold it and
    of those that do not, and the filter's threshold."""

    calibration: Calibration | None
    labelled: tuple[Weighted, Weighted] | None
    threshold: float

    def figures(self, documents: Floats) -> Plain:
        """By name, of as many documents in each cell of the score, float64, shape (CELLS,)."""
        found: Plain = {"EMQ": self._by_calibration(documents)}
        return found | dict(_from_labels(self.labelled, documents, self.threshold)) if self.labelled else found

    def _by_calibration(self, documents: Floats) -> Plain | None:
        """EMQ with the calibration of the model's card; None if it has none of this label."""
        if self.calibration is None:
            return None
        base = self.calibration.base_rate
        value = emq(self.calibration.probability(_middles()), documents, base)
        method = f"EMQ from a base rate of {base:g}; holds under prior shift with calibrated scores; no interval"
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
    mean = float(middles @ documents / total)
    error = float((middles - mean) ** 2 @ documents) ** 0.5 / total
    yield "PACC", shown(pacc_figure(mean, positives, negatives, error=error))
    flagged = int(documents[np.searchsorted(GRID, threshold, side="right") :].sum())
    checks = positives.share(positives.scores >= threshold), negatives.share(negatives.scores < threshold)
    yield "Rogan-Gladen", shown(rogan_gladen(flagged, total, *checks))


def _slices(
    tags: Tags, score: str, known: _Known, by: Sequence[str], most: int | None, gather: Gather
) -> dict[str, list[Plain]]:  # fmt: skip
    """The largest slices by scored documents, dates in order: their figures, each of its own scores alone."""
    slicers = [Slicer(one) for one in dict.fromkeys(by)]
    if not slicers:
        return {}
    sizes = gather(tags.folder.files, partial(sizes_of, score=score, slicers=slicers), added_up, "Counting slices")
    kept = {one.by: largest(sizes.by[one.by], one, most) for one in slicers}
    one = partial(scores_of, score=score, slicers=slicers, kept=kept)
    scores = gather(tags.folder.files, one, added_up, "Counting their scores")
    return {by: [_slice(name, known, scores.documents(by, name)) for name in names] for by, names in kept.items()}


def _slice(name: str, known: _Known, documents: Floats) -> Plain:
    return {"slice": name, "scored": int(documents.sum()), "basis": "model", "figures": known.figures(documents)}


def _print(found: Plain) -> None:
    console = Console(highlight=False, markup=False)
    what = "model-based: holds under prior shift, nothing was read"
    console.print(f"{found['label']} in {found['scored']:,} scored documents, {what}")
    for name, figure in found["figures"].items():
        console.print(f"{name}: {figure['words'] if figure else 'the model has no calibration of this label'}")
    for by, rows in found["slices"].items():
        names = [f"{name} (model-based)" for name in found["figures"]]
        table = Table(Column(by, overflow="fold"), "scored", *names, box=None)
        for row in rows:
            words = [one["words"] if one else "no calibration" for one in row["figures"].values()]
            table.add_row(row["slice"], f"{row['scored']:,}", *words)
        console.print()
        console.print(table)


@click.command("model-based")
@click.argument("folder", metavar="DIR")
@click.option(
    "--store", "place", metavar="PATH|URL", envvar="TROPESCAN_STORE", help="Where labels of another corpus are."
)
@click.option("--draw", metavar="NAME", help="A designed, labelled draw of another corpus, scored by the same model: "
              "gives PACC and Rogan-Gladen.")  # fmt: skip
@click.option("--label", default="adverse", show_default=True)
@click.option("--by", multiple=True, type=click.Choice(tuple(SLICES)), help="Each slice, too; may be repeated.")
@click.option("--most", type=click.IntRange(1), help="Slices to show, the largest. "
              f"[default: {MOST_SLICES}, {MOST_TOPICS} topics, {MOST_DATES} dates]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@engine_options
def command(
    folder: str, place: str | None, draw: str | None, label: str, by: tuple[str, ...], most: int | None, as_json: bool,
    engine: str, spark: SessionOptions,
) -> None:  # fmt: skip
    """Estimate prevalence in the tags in DIR without reading any of it. Model-based: an audit is better.

    All three methods assume prior shift: what holds the label scores here as it did elsewhere, and so does what does
    not; only their shares differ. Text of another time or kind breaks that, and no interval counts it. Slices by --by
    assume it of each: that a positive of one host scores as one of another does.

    EMQ takes the calibration in the model's card. PACC and Rogan-Gladen take labels of another corpus (--store and
    --draw): mean scores, and the filter's error rates at the threshold. The same error rates enter all slices, so that
    their intervals are not independent.
    """
    if draw is not None and place is None:
        raise click.UsageError("--draw needs --store, where its labels are")
    with open_tags(folder) as tags, audit_engine(engine, spark) as gather:
        check_slices(by, tags.folder.model, folder)
        columns = columns_for(tags, label, None)
        documents = histogram(tags, columns, gather).sums[..., 0].sum(axis=1)
        if not documents.sum():
            raise ValueError(f"{folder}: no document has a score; there is nothing to estimate from")
        labelled = None
        if draw is not None and place is not None:
            with opened(place) as store:
                labelled = _labelled(store, draw, tags.digest, columns.score, label)
        calibration = tags.folder.model.get("calibration", {}).get(label)
        known = _Known(Calibration(**calibration) if calibration else None, labelled, threshold_of(tags, label, None))
        found = {
            "label": label, "scored": int(documents.sum()), "basis": "model", "figures": known.figures(documents),
            "slices": _slices(tags, columns.score, known, by, most, gather),
        }  # fmt: skip
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
    else:
        _print(found)
