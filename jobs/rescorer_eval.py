"""``tropescan rescorer eval``: what the second stage adds on held-out documents, and what it costs to get."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from classifiers.calibration import log_odds
from classifiers.card import default_model
from classifiers.comparison import paired
from classifiers.evaluation import Metric, average_precision, by_source, recall_at_fpr
from classifiers.rescoring import ABOVE, Rescorer, one_thread, open_rescorer
from classifiers.score import FastTextScorer
from classifiers.scored import ScoredTexts
from jobs.measure import held_out
from jobs.model_option import MODEL
from jobs.options import FOLDER, PROBABILITY
from jobs.training_data import load_training_data

Scores = NDArray[np.float64]
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)


def second_stage(rescorer: Rescorer, first: FastTextScorer, texts: ScoredTexts, label: str) -> Scores:
    """Log-odds of the second stage alone, (texts,)."""
    column = rescorer.content.labels.index(label)
    shown = track(texts.texts, "Reading", console=Console(stderr=True), transient=True)
    with one_thread():
        return np.array([rescorer.logits(text, first)[column] for text in shown], np.float64)


def variants(rescorer: Rescorer, texts: ScoredTexts, second: Scores, label: str, above: float) -> dict[str, Scores]:
    """Scores of the second stage alone, of both mixed, and as a scan has them: mixed where the first stage reaches
    ``above``, and below all of these, in the first stage's order, where it does not."""
    first = texts.document[label]
    weight, other, constant = rescorer.content.mix[rescorer.content.labels.index(label)]
    mixed = weight * log_odds(first) + other * second + constant
    return {
        "second stage alone": second,
        "both stages, every document read": mixed,
        f"both stages, those read that reach {above:.3g}": np.where(first >= above, mixed, log_odds(first) - 1e3),
    }


def figures(texts: ScoredTexts, scores: dict[str, Scores], label: str, resamples: int) -> dict[str, Any]:
    """Each figure of the first stage, and of each other score with its difference, by paired bootstrap over sources."""
    truth = texts.truth(label)
    parts: dict[str, tuple[NDArray[np.bool_], Metric]] = {
        "average precision": (texts.real, average_precision),
        "average precision, documents about AI": (texts.real & texts.about_ai, average_precision),
        "recall at FPR 1e-2, documents about AI": (texts.real & texts.about_ai, recall_at_fpr(1e-2)),
        "recall at FPR 1e-3, background": ((texts.real & truth) | ~texts.read, recall_at_fpr(1e-3)),
    }
    found: dict[str, Any] = {}
    for name, (kept, metric) in parts.items():
        if not truth[kept].any() or truth[kept].all():
            continue
        first, sources = texts.document[label][kept], list(texts.sources[kept])
        rows = {"first stage": {"value": asdict(by_source(metric, truth[kept], first, sources, resamples=resamples))}}
        for which, its in scores.items():
            value = by_source(metric, truth[kept], its[kept], sources, resamples=resamples)
            difference = paired(metric, truth[kept], first, its[kept], sources, resamples=resamples).difference
            rows[which] = {"value": asdict(value), "difference": asdict(difference)}
        found[name] = rows
    return found


def passing(texts: ScoredTexts, label: str, above: float) -> dict[str, dict[str, float]]:
    """Which shares of documents reach thresholds, and so would be read: that given, and others around it."""
    scores, parts = texts.document[label], kinds(texts, label)
    return {
        f"{limit:.3g}": {kind: float((scores[rows] >= limit).mean()) for kind, rows in parts.items()}
        for limit in sorted({above, *THRESHOLDS})
    }


def kinds(texts: ScoredTexts, label: str) -> dict[str, NDArray[np.bool_]]:
    """Rows of the kinds of documents of which a crawl holds very different numbers, without kinds that there are none
    of."""
    truth = texts.truth(label)
    found = {
        "background": ~texts.read,
        f"about AI without {label}": texts.real & texts.about_ai & ~truth,
        f"{label}, real": texts.real & truth,
    }
    return {kind: rows for kind, rows in found.items() if rows.any()}


@click.command()
@click.argument("labels", nargs=-1, required=True, metavar="LABELS...", type=click.Path(exists=True))
@click.option("--rescorer", "path", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="What 'rescorer train' wrote.")  # fmt: skip
@click.option(
    "--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of records that only point."
)
@click.option("--background", multiple=True, type=FOLDER, metavar="DIR", help="Folder with ordinary texts.")
@click.option("--model", type=MODEL, help="The first stage. [default: the shipped model]")
@click.option("--label", help="The label to evaluate. [default: the one that passages are chosen by]")
@click.option("--above", type=PROBABILITY, default=ABOVE, show_default=True,
              help="Score of the first stage from which a scan reads again.")  # fmt: skip
@click.option("--resamples", type=click.IntRange(100), default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    labels: tuple[str, ...], path: Path, texts: tuple[str, ...], background: tuple[str, ...], model: Path | None,
    label: str | None, above: float, resamples: int, as_json: bool,
) -> None:  # fmt: skip
    """Measure a second stage on held-out sources, beside the first stage alone.

    Every held-out document is read, some ten a second. Differences to the first stage are on the same bootstrap samples
    of whole sources; one whose interval holds 0 may be none.

    \b
    tropescan rescorer eval labels/seed labels/real --texts corpus --background corpus --rescorer second.npz
    """
    data, chosen = load_training_data(labels, texts, background), model or default_model()
    rescorer, first = open_rescorer(path), FastTextScorer.open(chosen, span_thresholds={})
    wanted = label or rescorer.content.reading.label
    if wanted not in rescorer.content.labels:
        raise click.UsageError(f"--label {wanted}: the second stage has {', '.join(rescorer.content.labels)}")
    found = held_out(chosen, data)
    if not found.truth(wanted)[found.real].any():
        raise ValueError(f"no held-out document here holds {wanted!r}; give more labels, and --texts for pointers")
    found = found.of(~found.written)
    second = second_stage(rescorer, first, found, wanted)
    result = {
        "label": wanted, "documents": {kind: int(rows.sum()) for kind, rows in kinds(found, wanted).items()},
        "read again": passing(found, wanted, above),
        "figures": figures(found, variants(rescorer, found, second, wanted, above), wanted, resamples),
    }  # fmt: skip
    click.echo(json.dumps(result, indent=1) if as_json else _text(result))


def _text(result: dict[str, Any]) -> str:
    lines = ["held out: " + ", ".join(f"{n:,} {kind}" for kind, n in result["documents"].items())]
    lines += ["read again, by the score of the first stage from which a document is"]
    for limit, shares in result["read again"].items():
        lines.append(f"  {limit}: " + ", ".join(f"{share:.1%} of {kind}" for kind, share in shares.items()))
    for name, rows in result["figures"].items():
        lines.append(f"\n{name}")
        for which, row in rows.items():
            lines.append(f"  {_interval(row['value'])}  {which}{_more(row)}")
    return "\n".join(lines)


def _more(row: dict[str, Any]) -> str:
    return f"; {_interval(row['difference'], '+')} more" if "difference" in row else ""


def _interval(figure: dict[str, Any], sign: str = "") -> str:
    return f"{figure['value']:{sign}.3f} ({figure['low']:{sign}.3f} to {figure['high']:{sign}.3f})"
