"""``tropescan eval`` and the gate: figures of a model on held-out documents, and whether they reach pinned floors."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from classifiers.card import default_model
from jobs.measure import measure
from jobs.model_option import MODEL
from jobs.training_data import digest_of, load_training_data
from pipeline.schema import Estimate


def check_floors(figures: dict[str, Estimate], digests: dict[str, str], floors: Path) -> list[str]:
    """What is below its pinned floor, or was measured on other documents than those pinned.

    Floors on documents that are not here are left out, and said so.
    """
    pinned = json.loads(floors.read_text("utf-8"))
    problems = []
    for kind, part in pinned.items():
        if kind not in digests:
            click.echo(f"gate: no documents for {kind!r} here; its floors are not checked", err=True)
            continue
        if digests[kind] != part["digest"]:
            problems.append(f"{kind}: evaluation documents are {digests[kind]}, pinned {part['digest']}")
        for name, floor in part["floors"].items():
            value = figures[name].value
            if not value >= floor:
                problems.append(f"{name}: {value:.4f} is below the floor {floor}")
    return problems


@click.command()
@click.argument("labels", nargs=-1, required=True, metavar="LABELS...", type=click.Path(exists=True))
@click.option("--model", type=MODEL, help="A model file, or tropescan:latest. [default: the shipped one]")
@click.option("--texts", multiple=True, metavar="DIR", help="Folder with the texts of records that only point.")
@click.option("--background", multiple=True, metavar="DIR", help="Folder with ordinary texts.")
@click.option("--label", default="adverse", show_default=True, help="The label to evaluate.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--floors", type=click.Path(exists=True, path_type=Path), help="Pinned floors; exit status 1 if one is missed."
)
def command(
    labels: tuple[str, ...],
    model: Path | None,
    texts: tuple[str, ...],
    background: tuple[str, ...],
    label: str,
    as_json: bool,
    floors: Path | None,
) -> None:
    """Measure a model on the held-out fifth of the labelled documents, which training never saw."""
    data = load_training_data(labels, texts, background)
    figures = measure(model or default_model(), data, label)
    kinds = {"real": data.held_out(synthetic=False), "written": data.held_out(synthetic=True)}
    digests = {kind: digest_of(items) for kind, items in kinds.items() if items}
    if as_json:
        click.echo(json.dumps({"digests": digests, **{k: asdict(v) for k, v in figures.items()}}, indent=1))
    else:
        for name, figure in figures.items():
            click.echo(f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}, n={figure.n})  {name}")
    if floors and (problems := check_floors(figures, digests, floors)):
        click.echo("\n".join(problems), err=True)
        sys.exit(1)
