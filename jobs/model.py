"""``tropescan model``: what a model file holds, and folding it into a smaller one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from classifiers.card import ModelCard, card_of, card_path, check_card_place, write_card
from classifiers.fasttext_file import FastTextModel, read_model
from classifiers.fold import fold_file
from classifiers.prepare import model_digest
from classifiers.settings import Settings, labels_of, settings_of


@click.group()
def command() -> None:
    """Look at fastText classifiers, and make them smaller."""


@command.command()
@click.argument("source", metavar="IN.bin", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", metavar="OUT.bin", type=click.Path(dir_okay=False, path_type=Path))
def fold(source: Path, target: Path) -> None:
    """Write IN.bin as a model with one dimension for each label, to OUT.bin.

    A supervised fastText model is linear up to its loss, so its two matrices can be multiplied once and for all.
    OUT.bin is a stock fastText file: fastText itself gives the same probabilities from it, from a fraction of the
    size (dimension 100 and 2 labels: a fiftieth). Quantized models (.ftz) can be folded too, unless they were pruned
    (quantized with -cutoff): fold the .bin that they were made from.

    A card beside IN.bin (IN.json) is carried over to OUT.json and OUT.md with the new file's digest: labels, thresholds
    and calibration hold for both. A card that stays beside OUT.bin would be another model's, and is refused.
    """
    if target.suffix != ".bin":
        raise click.UsageError(f"OUT.bin {target}: a model's name ends in .bin; .json and .md are its card's")
    if target.exists() and target.samefile(source):
        raise click.UsageError(f"OUT.bin {target}: is the model to be folded, which would be lost; name another file")
    card = _card_to_carry(source, target)
    fold_file(source, target)
    before, after = source.stat().st_size, target.stat().st_size
    click.echo(f"{target}: {after:,} bytes, {after / before:.1%} of {source}")
    if card:
        write_card(replace(card, name=target.stem, digest=model_digest(target)), target)
        click.echo(f"{card_path(target)}: the card of {source}, for the folded model")


def _card_to_carry(source: Path, target: Path) -> ModelCard | None:
    """The card beside ``source``, which says where it comes from, or None if there is none.

    Raises `click.UsageError` where a card beside ``target`` would be left to another model, `ModelCardError` for a
    card of another model than ``source`` and for a place that is taken.
    """
    stays = card_path(target)
    if not card_path(source).exists():
        if stays.exists():
            raise click.UsageError(
                f"{stays}: {source} has no card, so this one would stand beside {target} and be another model's; "
                "move it away or name another OUT.bin"
            )
        return None
    if stays.exists() and stays.samefile(card_path(source)):
        raise click.UsageError(f"{stays}: is the card of {source}, which would lose it; name another OUT.bin")
    check_card_place(target)
    digest = model_digest(source)
    card = card_of(source, digest, labels_of(read_model(source)))
    return replace(card, hyperparameters={**card.hyperparameters, "folded from the model of SHA-256": digest})


@command.command()
@click.argument("source", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def info(source: Path, as_json: bool) -> None:
    """Say what MODEL, a fastText classifier (.bin or .ftz), is made of."""
    facts = facts_of(read_model(source)) | {"bytes": source.stat().st_size, "sha256": model_digest(source)}
    if as_json:
        return click.echo(json.dumps(facts))
    for name, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else f"{value:,}" if type(value) is int else value
        click.echo(f"{name:16} {shown}")


def _absences(labels: Sequence[str], settings: Settings) -> list[str]:
    """What is added to which label's logit in a text without any word of a lexicon."""
    return [
        f"of {lexicon}: {label} {value:+g}"
        for lexicon, row in zip(settings.lexicons, settings.absent, strict=True)
        for label, value in zip(labels, row, strict=True)
        if value
    ]


def facts_of(model: FastTextModel) -> dict[str, Any]:
    """What a model is made of, as plain values. Raises `ModelFileError` for settings that cannot be scored."""
    settings = settings_of(model)
    return {
        "labels": list(labels_of(model)),
        "lexicons": list(settings.lexicons) or "none",
        "without words": _absences(model.label_names, settings) or "nothing changes",
        "loss": model.loss,
        "dimension": model.dim,
        "words": len(model.words),
        "buckets": model.bucket,
        "rows": model.embedding.shape[0],
        "word n-grams": f"1 to {model.word_ngrams}" if model.word_ngrams > 1 else "none",
        "subwords": f"{model.minn} to {model.maxn} characters" if model.maxn else "none",
        "plain words": "yes" if settings.plain_words else "no",
        "prior weight": settings.prior_weight,
        "quantized": "yes" if model.quantized else "no",
        "pruned": "no" if model.pruned is None else f"yes, {len(model.pruned):,} buckets kept",
    }
