"""``tropescan compare``: two models on the same held-out documents, with intervals of the differences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from classifiers.card import card_of
from classifiers.comparison import Paired, paired
from classifiers.evaluation import Metric, average_precision, expected_calibration_error, recall_at_fpr
from classifiers.score import FastTextScorer
from jobs.measure import scores_of
from jobs.model_option import MODEL
from jobs.options import FOLDER
from jobs.training_data import LabelledText, TrainingData, digest_of, load_training_data, truth

RATES = (1e-3, 1e-4)
LEAST = 20
"""A source of fewer documents gets no row of its own."""


@dataclass(frozen=True)
class Scored:
    """What both models say of the labelled held-out documents, then of the held-out background (all negative)."""

    items: list[LabelledText]
    truth: NDArray[np.bool_]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    sources: list[str]

    def paired(self, metric: Metric, rows: NDArray[np.int64], resamples: int) -> Paired:
        """A metric on some rows."""
        sources = [self.sources[k] for k in rows]
        return paired(metric, self.truth[rows], self.first[rows], self.second[rows], sources, resamples=resamples)


def score(models: tuple[Path, Path], data: TrainingData, label: str) -> Scored:
    """Score the held-out real documents by both models; raises `ValueError` if there are none, or no positive."""
    items, background = data.held_out(synthetic=False), data.background_of(held_out=True)
    positive = truth(items, label)
    if not positive.any():
        raise ValueError(f"no held-out document here holds {label!r}; give more labels, and --texts for pointers")
    texts = [one.text for one in items] + [text for _, text in background]
    first, second = (scores_of(model, texts, label) for model in models)
    whole = np.concatenate([positive, np.zeros(len(background), bool)])
    return Scored(items, whole, first, second, [one.group for one in items] + [source for source, _ in background])


def figures(scored: Scored, resamples: int) -> dict[str, Paired]:
    """Overall: ranking and calibration on labelled documents; recall at rates of all negatives, background included."""
    labelled, everything = np.arange(len(scored.items)), np.arange(len(scored.truth))
    found = {
        "average precision": scored.paired(average_precision, labelled, resamples),
        "expected calibration error": scored.paired(expected_calibration_error, labelled, resamples),
    }
    for rate in RATES:
        found[f"recall at FPR {rate:g}"] = scored.paired(recall_at_fpr(rate), everything, resamples)
    return found


def by_group(scored: Scored, groups: Sequence[str], resamples: int) -> dict[str, Paired]:
    """Average precision and calibration error in each group of at least 20 labelled documents, by name."""
    found = {}
    for name in sorted(set(groups)):
        rows = np.array([k for k, group in enumerate(groups) if group == name], np.int64)
        if len(rows) >= LEAST and 0 < scored.truth[rows].sum() < len(rows):
            found[f"{name}: average precision"] = scored.paired(average_precision, rows, resamples)
        if len(rows) >= LEAST:
            found[f"{name}: calibration error"] = scored.paired(expected_calibration_error, rows, resamples)
    return found


def changed_sides(scored: Scored, thresholds: tuple[float, float], label: str) -> list[dict[str, Any]]:
    """Labelled documents that one model flags and the other does not, each at its own threshold."""
    n = len(scored.items)
    one, other = scored.first[:n] >= thresholds[0], scored.second[:n] >= thresholds[1]
    return [
        {
            "sha256": scored.items[k].record.sha256, "id": scored.items[k].record.id, "source": scored.sources[k],
            "mode": scored.items[k].record.mode, label: bool(scored.truth[k]), "flagged by the second": bool(other[k]),
            "right now": bool(other[k] == scored.truth[k]), "first": float(scored.first[k]),
            "second": float(scored.second[k]),
        }
        for k in np.flatnonzero(one != other)
    ]  # fmt: skip


def _threshold(model: Path, label: str) -> float:
    scorer = FastTextScorer.open(model)
    return card_of(model, scorer.digest, scorer.labels, label).threshold


def _print(result: dict[str, Any], label: str) -> None:
    for part in ("overall", "by mode", "by source"):
        click.echo(f"\n{part}:    first -> second   difference (95 %)   P(second higher)")
        for name, one in result[part].items():
            d = one["difference"]
            click.echo(
                f"{one['first']:7.3f} -> {one['second']:.3f}  {d['value']:+.3f} ({d['low']:+.3f} to {d['high']:+.3f}, "
                f"n={d['n']})  {one['second_higher']:.2f}  {name}"
            )
    changed = result["changed sides"]
    click.echo(
        f"\n{len(changed)} documents changed sides, {sum(one['right now'] for one in changed)} to the right one:"
    )
    for one in changed:
        side = "flagged now" if one["flagged by the second"] else "no longer flagged"
        click.echo(
            f"  {one['first']:.3f} -> {one['second']:.3f}  {side}, {label if one[label] else 'not'}: {one['id']}"
        )


@click.command()
@click.argument("first", type=MODEL)
@click.argument("second", type=MODEL)
@click.argument("labels", nargs=-1, required=True, metavar="LABELS...", type=click.Path(exists=True))
@click.option(
    "--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of records that only point."
)
@click.option("--background", multiple=True, type=FOLDER, metavar="DIR", help="Folder with ordinary texts.")
@click.option("--label", default="adverse", show_default=True, help="The label to compare on.")
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(100), help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for 'tropescan promote --compared'.")
def command(
    first: Path, second: Path, labels: tuple[str, ...], texts: tuple[str, ...], background: tuple[str, ...],
    label: str, resamples: int, as_json: bool,
) -> None:  # fmt: skip
    """Compare model SECOND with model FIRST on the held-out documents, the same for both.

    Average precision, calibration error, recall at false positive rates of 1e-3 and 1e-4, overall, by mode and by
    source, with intervals by resampling sources for both models together; and the documents that changed sides, each
    model at its own threshold. A rate below one in the number of negatives means: not one of them.
    """
    data = load_training_data(labels, texts, background)
    scored = score((first, second), data, label)
    modes = [one.record.mode for one in scored.items]
    parts = {
        "overall": figures(scored, resamples),
        "by mode": by_group(scored, modes, resamples),
        "by source": by_group(scored, scored.sources[: len(modes)], resamples),
    }
    result: dict[str, Any] = {
        "first": FastTextScorer.open(first).digest,
        "second": FastTextScorer.open(second).digest,
        "documents": digest_of(scored.items),
        "negatives": int((~scored.truth).sum()),
        **{name: {key: asdict(value) for key, value in part.items()} for name, part in parts.items()},
        "changed sides": changed_sides(scored, (_threshold(first, label), _threshold(second, label)), label),
    }
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        _print(result, label)
