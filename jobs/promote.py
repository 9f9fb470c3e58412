"""``tropescan promote``: a model into the registry, with its lineage."""

from __future__ import annotations

import json
from pathlib import Path

import click

from classifiers import registry
from jobs.model_option import MODEL, REGISTRY_VARIABLE


@click.command()
@click.argument("model", type=MODEL)
@click.option("--registry", "where", required=True, envvar=REGISTRY_VARIABLE, show_envvar=True, metavar="DIR|URL",
              help="Folder, or fsspec URL, of the registry.")  # fmt: skip
@click.option("--by", required=True, help="Who promotes it.")
@click.option("--why", required=True, help="Why: what it does better, for whom.")
@click.option("--compared", type=click.Path(exists=True, path_type=Path), metavar="FILE",
              help="The JSON of 'tropescan compare', kept with the promotion.")  # fmt: skip
def command(model: Path, where: str, by: str, why: str, compared: Path | None) -> None:
    """Make MODEL the latest of a registry: copied by its digest, with its card and its lineage.

    The lineage says what it was trained on, which model it follows, its figures, who promoted it and why. Nothing in
    a registry is ever replaced. Then `--model tropescan:latest`, or `tropescan:` and a digest, names it in scan,
    explain and eval.

    \b
    tropescan promote new.bin --registry models --by Ada --why "fewer flags on film reviews"
    """
    figures = json.loads(compared.read_text("utf-8")) if compared else None
    made = registry.promote(where, model, by=by, why=why, figures=figures)
    after = f"after {made.parent[:12]}" if made.parent else "the first"
    click.echo(f"promotion {made.number}: {made.digest[:12]}, {after}; it is now tropescan:latest of {where}")
