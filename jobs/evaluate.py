"""``tropescan eval`` and the gate: figures of a model on held-out documents, and whether they reach pinned floors."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from classifiers.audit import name_masking
from classifiers.calibration import Calibration
from classifiers.card import card_of, default_model
from classifiers.cross_validation import cross_validate
from classifiers.linear import LinearOptions
from classifiers.score import FastTextScorer
from classifiers.training import Example, folds_by_source
from jobs.evaluating import Request, audited, evaluate
from jobs.measure import held_out, measure, of_cross_validation
from jobs.model_option import MODEL
from jobs.options import FOLDER
from jobs.train import FLAGGING, TARGET, calibration_of, trainer_of
from jobs.training_data import TrainingData, digest_of, digest_of_background, load_training_data
from labels import codebook
from pipeline import storage
from pipeline.report.evaluation_page import render_evaluation
from pipeline.schema import Estimate

MASKED = "average precision with famous names masked, minus without"


def check_floors(figures: dict[str, Estimate], digests: dict[str, str], floors: Path) -> list[str]:
    """What is below its pinned floor, was not measured, or was measured on other documents than those pinned.

    A pin is a number that the figure must reach, or ``{"at most": number}``. Floors on a kind of documents that is not
    here are left out, and said so; but some must be checked. Raises `ValueError` for a file of another form.
    """
    pinned = _read_floors(floors)
    problems = []
    if not pinned.keys() & digests.keys():
        problems.append(f"none of the documents that {floors} pins floors for is here: nothing measured is not passed")
    for kind, part in pinned.items():
        if kind not in digests:
            click.echo(f"gate: no documents for {kind!r} here; its floors are not checked", err=True)
            continue
        if digests[kind] != part["digest"]:
            problems.append(f"{kind}: evaluation documents are {digests[kind]}, pinned {part['digest']}")
        problems += [_missed(name, figures.get(name), pin) for name, pin in part["floors"].items()]
    return [problem for problem in problems if problem]


def _read_floors(path: Path) -> dict[str, Any]:
    form = '{"real": {"digest": "...", "floors": {"average precision": 0.9}}}'
    try:
        pinned = json.loads(path.read_bytes().decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; floors are JSON such as {form}") from error
    parts = list(pinned.values()) if isinstance(pinned, dict) else [None]
    if not all(isinstance(part, dict) and "digest" in part and _are_pins(part.get("floors")) for part in parts):
        raise ValueError(f"{path}: not pinned floors; they are JSON such as {form}")
    return dict(pinned)


def _are_pins(floors: Any) -> bool:
    if not isinstance(floors, dict):
        return False
    limits = [pin.get("at most") if isinstance(pin, dict) else pin for pin in floors.values()]
    return all(isinstance(limit, (int, float)) and not isinstance(limit, bool) for limit in limits)


def _missed(name: str, figure: Estimate | None, pin: float | dict[str, float]) -> str:
    ceiling = pin["at most"] if isinstance(pin, dict) else None
    if figure is None:
        return f"{name}: not measured, floor {pin}; are --texts and --background given?"
    if ceiling is not None:
        return "" if figure.value <= ceiling else f"{name}: {figure.value:.4f} is above the ceiling {ceiling}"
    return "" if figure.value >= float(pin) else f"{name}: {figure.value:.4f} is below the floor {pin}"  # type: ignore[arg-type]


def request_of(model: Path, label: str, encoder: Path | None, cache: Path | None) -> Request:
    """The thresholds and the calibration that the model's card has for a label; that of flagging alone without."""
    scorer = FastTextScorer.open(model)
    card = card_of(model, scorer.digest, scorer.labels, label)
    ours = card_of(model, scorer.digest, scorer.labels)
    thresholds = card.thresholds if ours.target == label and card.thresholds else {"threshold": card.threshold}
    maps = {name: Calibration(**numbers) for name, numbers in card.calibration.items()}
    return Request(label, thresholds, card.threshold, maps, encoder, cache)


def on_held_out(model: Path, data: TrainingData, request: Request) -> dict[str, Any]:
    """The whole evaluation of a model file on documents that it never saw."""
    texts = held_out(model, data)
    found = evaluate(texts, lambda _: data.training, np.zeros(len(texts.examples), np.int64), request)
    shortcuts = audited(model, texts, data.training, request)
    if texts.truth(request.label)[texts.real].any():
        found["figures"][MASKED] = shortcuts["names masked"]
    return {"how": "held-out sources, which training never saw", **found, "audit": shortcuts}


def on_folds(data: TrainingData, request: Request, n_folds: int, further_words: int) -> dict[str, Any]:
    """The evaluation of the linear trainer by cross-validation over the sources of the training part.

    So are thresholds and calibration: their figures here are of the documents that set them, unlike those on held-out
    sources."""
    examples = data.training
    trainer = trainer_of(LinearOptions(), examples, request.encoder, further_words)
    unseen, logits = cross_validate(examples, trainer, n_folds)
    found = calibration_of(unseen, logits, scale=False)
    texts = of_cross_validation(unseen, logits, found.scales)
    request = replace(request, maps=found.maps)
    if request.label == TARGET:
        request = replace(request, thresholds=found.thresholds, threshold=found.thresholds[FLAGGING])
    folds = folds_by_source([one.source for one in unseen], n_folds)

    def others(inside: NDArray[np.bool_]) -> Sequence[Example]:
        return [one for one, its in zip(unseen, inside, strict=True) if not its]

    how = f"training sources, by cross-validation in {n_folds} folds of whole sources"
    return {"how": how, **evaluate(texts, others, folds, request), "audit": None}


def quick(model: Path, data: TrainingData, request: Request) -> dict[str, Any]:
    """The figures alone, without baselines and audit."""
    texts, n = held_out(model, data), request.resamples
    figures = measure(texts, request.label, request.calibration, resamples=n)
    if texts.truth(request.label)[texts.real].any():
        figures[MASKED] = name_masking(model, texts.of(texts.real), request.label, n)
    return {"label": request.label, "figures": {name: asdict(figure) for name, figure in figures.items()}}


def print_figures(result: dict[str, Any]) -> None:
    """Figures for the terminal, what the baselines get, and the shortcut audit."""
    for name, figure in result["figures"].items():
        click.echo(f"{_interval(figure)}  {name}")
    for baseline, rows in result.get("baselines", {}).items():
        click.echo(f"\n{baseline}")
        for name, row in rows.items():
            click.echo(f"{_interval(row['baseline'])}  {name}; the model has {_interval(row['difference'], '+')} more")
    for why in result.get("left out", ()):
        click.echo(f"\nleft out: {why}")
    if result.get("audit"):
        _print_audit(result["audit"])


def _print_audit(audit: dict[str, Any]) -> None:
    """Style leak and swaps; masked names and pairs are among the figures, n-grams on the page."""
    click.echo("\nshortcut audit")
    for kind, figure in audit["style leak"].items():
        click.echo(f"{_interval(figure)}  machine-written negative over a human-written one, {kind} (0.5: no leak)")
    for whose, swaps in audit["swaps"].items():
        for name, swap in swaps.items():
            change = f"before {_interval(swap['before'])}, log-odds {swap['median_change']:+.2f} in the median"
            click.echo(f"{_interval(swap['after'])}  {whose} flagged, {name}; {change}")


def _interval(figure: dict[str, Any], sign: str = "") -> str:
    return f"{figure['value']:{sign}.3f} ({figure['low']:{sign}.3f} to {figure['high']:{sign}.3f}, n={figure['n']})"


@click.command()
@click.argument("labels", nargs=-1, required=True, metavar="LABELS...", type=click.Path(exists=True))
@click.option("--model", type=MODEL, help="A model file, or tropescan:latest. [default: the shipped one]")
@click.option(
    "--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of records that only point."
)
@click.option("--background", multiple=True, type=FOLDER, metavar="DIR", help="Folder with ordinary texts.")
@click.option("--label", type=click.Choice(codebook.LABELS), default="adverse", show_default=True,
              help="The label to evaluate.")  # fmt: skip
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A page with figures and curves, .html.")
@click.option("--encoder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of a sentence-transformers model: sentence embeddings join the baselines.")  # fmt: skip
@click.option(
    "--cache", type=click.Path(file_okay=False, path_type=Path), help="Folder that keeps sentence embeddings."
)
@click.option("--leave-source-out", "n_folds", type=click.IntRange(2), metavar="FOLDS",
              help="Cross-validate the linear trainer over the training sources instead; the held-out ones stay "
              "unseen. As many folds as sources leave one out at a time.")  # fmt: skip
@click.option("--further-words", type=click.IntRange(0), default=0, help="As for train; with --leave-source-out.")
@click.option("--all", "all_held_out", is_flag=True, help="Measure on every document given: for labels that the model "
              "was not trained on, such as your own. Gives the model's figures alone.")  # fmt: skip
@click.option("--quick", "is_quick", is_flag=True, help="The model's figures alone: no baselines, no audit.")
@click.option("--resamples", type=click.IntRange(100), default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--floors",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Pinned floors; status 1 if one is missed.",
)
def command(
    labels: tuple[str, ...], model: Path | None, texts: tuple[str, ...], background: tuple[str, ...], label: str,
    out: Path | None, encoder: Path | None, cache: Path | None, n_folds: int | None, further_words: int,
    all_held_out: bool, is_quick: bool, resamples: int, as_json: bool, floors: Path | None,
) -> None:  # fmt: skip
    """Measure a model on the held-out fifth of the labelled documents, which training never saw.

    Beside it stand baselines that learn from the same training documents: word lists, TF-IDF, sentence embeddings
    (with --encoder) and the guess by source alone; then the shortcut audit. Intervals are by resampling sources.

    \b
    tropescan eval labels/seed labels/real --texts corpus --background corpus --out evaluation.html
    tropescan eval my-labels --texts my-texts --all
    """
    if out and out.suffix != ".html":
        raise click.UsageError(f"--out {out}: the page's name ends in .html")
    alone = "--all" if all_held_out else "--quick" if is_quick else ""
    if out and alone:
        raise click.UsageError(f"{alone} leaves out what the page of --out shows; give one of them")
    if n_folds and alone:
        raise click.UsageError(f"{alone} measures the model on documents it did not see; take it or --leave-source-out")
    if floors:
        _read_floors(floors)  # now, not after the work
    data = replace(load_training_data(labels, texts, background), all_held_out=all_held_out)
    chosen = model or default_model()
    request = replace(request_of(chosen, label, encoder, cache), resamples=resamples)
    held = {"real": data.held_out(synthetic=False), "written": data.held_out(synthetic=True)}
    digests = {kind: digest_of(items) for kind, items in held.items() if items}
    if not digests:
        raise ValueError(f"no held-out document in {', '.join(labels)}: nothing was measured; are --texts given?")
    if ordinary := data.background_of(held_out=True):
        digests["background"] = digest_of_background(ordinary)
    run = partial(on_folds, n_folds=n_folds, further_words=further_words) if n_folds else partial(
        quick if alone else on_held_out, chosen
    )  # fmt: skip
    result = {"model": chosen.name, "digests": digests, **run(data=data, request=request)}
    if out:
        with storage.whole_file(str(out)) as file:
            file.write(render_evaluation(result).encode())
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        print_figures(result)
    found = {name: Estimate(**figure) for name, figure in result["figures"].items()}
    if floors and (problems := check_floors(found, digests, floors)):
        click.echo("\n".join(problems), err=True)
        sys.exit(1)
