"""``tropescan model``: looks into fastText files and folds them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from classifiers.fasttext_file import FastTextModel, read_model
from classifiers.fold import fold_file
from classifiers.prepare import is_folded, model_digest


@click.group()
def command() -> None:
    """Look into a fastText classifier, or make it small.

    \b
    tropescan model info MODEL.bin        labels, loss, sizes, digest
    tropescan model fold IN.bin OUT.bin   the same probabilities from a fraction of the size
    """


@command.command()
@click.argument("source", metavar="IN.bin", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", metavar="OUT.bin", type=click.Path(dir_okay=False, path_type=Path))
def fold(source: Path, target: Path) -> None:
    """Write IN.bin as a stock fastText model with one dimension for each label.

    A supervised fastText model is linear up to its loss: the product of its two matrices, with the identity as
    output matrix, gives the same probabilities, in tropescan and in fastText. Pruned models (quantized with a
    cutoff) cannot be folded, since a dense file would have to hold the buckets that were left out.
    """
    fold_file(source, target)
    before, after = source.stat().st_size, target.stat().st_size
    click.echo(f"{target}: {after:,} bytes, {after / before:.1%} of {source}")


@command.command()
@click.argument("path", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(path: Path, as_json: bool) -> None:
    """Print the labels, loss, sizes and digest of a fastText classifier, .bin or .ftz."""
    facts = describe(read_model(path), path)
    if as_json:
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {', '.join(value) if isinstance(value, list) else value}")


def describe(model: FastTextModel, path: Path) -> dict[str, str | int | bool | list[str]]:
    """Facts about a model, of plain types."""
    return {
        "labels": model.label_names,
        "loss": model.loss,
        "dimension": model.dim,
        "words": len(model.words),
        "buckets": model.bucket if model.pruned is None else len(model.pruned),
        "longest word n-gram": model.word_ngrams,
        "subwords": f"{model.minn} to {model.maxn} characters" if model.maxn > 0 else "none",
        "quantized": model.quantized,
        "pruned": model.pruned is not None,
        "numbers a row when scored": len(model.labels) if is_folded(model) else model.dim,
        "bytes": path.stat().st_size,
        "digest": model_digest(path),
    }
