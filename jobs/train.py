"""``tropescan train``: labels in, a folded model and its card out."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from classifiers.card import ModelCard, card_path, read_card, write_card
from classifiers.evaluation import threshold_at_fpr
from classifiers.prepare import model_digest
from classifiers.score import FastTextScorer
from classifiers.training import Example, Hyperparameters, fit_scale, folds_by_source, train_model
from jobs.measure import logits_of, measure, strongest_logits_of
from jobs.options import PROBABILITY
from jobs.training_data import TrainingData, digest_of, frozen, load_training_data
from labels import codebook
from pipeline import storage

TARGET = "adverse"
FOLDS = 4


@dataclass(frozen=True)
class Calibration:
    """What texts of unseen sources teach: a factor for each label's logits, and the scores of a document and of its
    strongest window that the allowed share of background texts passes."""

    scales: dict[str, float]
    threshold: float
    window_threshold: float


def check_examples(examples: Sequence[Example]) -> None:
    """Raises `ValueError` for examples that teach nothing: without positives or negatives of a label that they hold,
    or from so few sources that a fold of the cross-validation would lack them."""
    held = {name for example in examples for name in example.labels}
    if TARGET not in held:
        raise ValueError(f"no training text holds {TARGET!r}; give records with positives, and --texts for pointers")
    for name in sorted(held):
        if all(name in example.labels for example in examples):
            raise ValueError(
                f"all {len(examples)} training texts hold {name!r}; give some without it (or --background)"
            )
    folds = folds_by_source([example.source for example in examples], FOLDS)
    _check_spread([TARGET in example.labels for example in examples], folds, f"that hold {TARGET!r}")
    _check_spread([not example.labels for example in examples], folds, "without any label")


def _check_spread(chosen: Sequence[bool], folds: NDArray[np.int64], what: str) -> None:
    if len(set(folds[np.array(chosen)])) < 2:
        raise ValueError(
            f"there are {sum(chosen)} training texts {what}, of too few sources: scores and thresholds are calibrated "
            "by cross-validation over sources; give more of other sources (ordinary ones with --background)"
        )


def calibrate(examples: Sequence[Example], chosen: Hyperparameters, background_fpr: float) -> Calibration:
    """Cross-validate over sources: each text is scored by a model that saw nothing of its source."""
    folds = folds_by_source([example.source for example in examples], FOLDS)
    unseen: list[Example] = []
    logits: list[dict[str, NDArray[np.float64]]] = []
    strongest: list[NDArray[np.float64]] = []
    with tempfile.TemporaryDirectory() as folder:
        for fold in range(FOLDS):
            path = Path(folder) / f"{fold}.bin"
            train_model([e for e, f in zip(examples, folds, strict=True) if f != fold], path, chosen)
            part = [e for e, f in zip(examples, folds, strict=True) if f == fold]
            unseen += part
            logits.append(logits_of(path, [e.text for e in part]))
            strongest.append(strongest_logits_of(path, [e.text for e in part], TARGET))
    background = np.array([not e.labels for e in unseen])
    known = set.intersection(*(set(one) for one in logits))  # a label may be too rare for every fold
    whole = {name: np.concatenate([one[name] for one in logits]) for name in codebook.LABELS if name in known}
    scales = {name: fit_scale(x, np.array([name in e.labels for e in unseen])) for name, x in whole.items()}
    limits = [
        threshold_at_fpr(x[background] * scales[TARGET], background_fpr)
        for x in (whole[TARGET], np.concatenate(strongest))
    ]
    return Calibration(scales, *(float(1 / (1 + np.exp(-limit))) for limit in limits))


def _data_section(data: TrainingData, examples: Sequence[Example]) -> dict[str, object]:
    counts = Counter(name for example in examples for name in example.labels)
    return {
        "training texts": len(examples),
        "of which with label": dict(sorted(counts.items())),
        "of which background, not read (no word in them points to an artificial mind)": len(
            data.background_of(held_out=False)
        ),
        "annotators": dict(Counter(one.record.kind for one in data.labelled)),
        "SHA-256 of label files": data.files,
        "digest of training labels": digest_of(one for one in data.labelled if not one.held_out),
        "held-out texts, real": len(data.held_out(synthetic=False)),
        "held-out texts, written for this project": len(data.held_out(synthetic=True)),
        "held-out background": len(data.background_of(held_out=True)),
        "digest of held-out labels": digest_of(one for one in data.labelled if one.held_out),
        "held-out sources": ", ".join(sorted({one.group for one in data.held_out(synthetic=False)})),
    }


LIMITS = (
    "Labels were made by language models reading under the codebook, most of them once; no person has checked them.",
    "English only. Texts in other languages get scores that mean little.",
    "Words are hashed as they stand, so unusual case or punctuation hides them.",
    "Scores are calibrated on a training set rich in positives, not at the natural base rate; "
    "a flag rate is not a prevalence.",
)


@click.command()
@click.argument("labels", nargs=-1, metavar="LABELS...", type=click.Path(exists=True))
@click.option("--store", "place", metavar="PATH|URL", help="A label store: its settled labels are frozen beside --out.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The model, a .bin file.")
@click.option(
    "--texts", multiple=True, metavar="DIR", help="Folder of *.jsonl[.gz] with the texts of records that only point."
)
@click.option("--background", multiple=True, metavar="DIR", help="Folder of *.jsonl[.gz] with ordinary texts.")
@click.option(
    "--dim", type=click.IntRange(1), default=Hyperparameters.dim, show_default=True, help="Dimension while training."
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=Hyperparameters.epoch,
    show_default=True,
    help="Passes over the examples.",
)
@click.option("--lr", default=Hyperparameters.lr, show_default=True, help="Learning rate.")
@click.option(
    "--word-ngrams",
    type=click.IntRange(1),
    default=Hyperparameters.word_ngrams,
    show_default=True,
    help="Longest word n-gram.",
)
@click.option(
    "--min-count",
    type=click.IntRange(1),
    default=Hyperparameters.min_count,
    show_default=True,
    help="Rarer words are left out.",
)
@click.option(
    "--bucket",
    type=click.IntRange(0),
    default=Hyperparameters.bucket,
    show_default=True,
    help="Rows for hashed n-grams.",
)
@click.option(
    "--background-fpr",
    default=0.01,
    show_default=True,
    type=PROBABILITY,
    help="Share of background texts that the threshold may flag.",
)
@click.option("--seed", default=Hyperparameters.seed, show_default=True, help="Seed of order and first weights.")
def command(
    labels: tuple[str, ...], place: str | None, out: Path, texts: tuple[str, ...], background: tuple[str, ...],
    dim: int, epochs: int, lr: float, word_ngrams: int, min_count: int, bucket: int, background_fpr: float, seed: int,
) -> None:  # fmt: skip
    """Train a fastText classifier on label records (JSON Lines files or folders of them) and fold it.

    A fifth of the sources, drawn by digest, is never trained on; the card's figures are measured there. Logits are
    scaled to be calibrated, and the threshold is the score that one in a hundred background texts passes
    (--background-fpr), both by cross-validation over sources.
    Same records, texts and options give the same model, byte for byte.

    \b
    tropescan train labels/seed labels/real --texts corpus --background corpus --out model.bin
    """
    if out.suffix != ".bin":
        raise click.UsageError(f"--out {out}: a model's name ends in .bin; its card goes beside it as .json and .md")
    if card_path(out).exists():
        read_card(card_path(out))  # raises if another file than a card would be lost
    out.parent.mkdir(parents=True, exist_ok=True)  # now, not after the work
    data = load_training_data((*labels, *frozen(place, out.parent / "snapshots")), texts, background)
    if data.missing:
        click.echo(
            f"{data.missing} records have no text here and are left out; name their folder with --texts", err=True
        )
    examples = data.training
    check_examples(examples)
    if absent := set(codebook.LABELS) - {name for example in examples for name in example.labels}:
        click.echo(f"no training text holds {', '.join(sorted(absent))}: the model will not have that label", err=True)
    chosen = Hyperparameters(dim, epochs, lr, word_ngrams, min_count, bucket, seed=seed)
    click.echo(f"{len(examples)} texts; calibrating by cross-validation over sources …", err=True)
    found = calibrate(examples, chosen, background_fpr)
    click.echo("training …", err=True)
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder) / out.name
        train_model(examples, trained, chosen, found.scales)
        card = make_card(trained, data, examples, chosen, found, background_fpr)
        with storage.whole_file(str(out)) as file:
            file.write(trained.read_bytes())
    write_card(card, out)
    click.echo(out.with_suffix(".md").read_text("utf-8"))


def make_card(
    model: Path,
    data: TrainingData,
    examples: Sequence[Example],
    chosen: Hyperparameters,
    found: Calibration,
    background_fpr: float,
) -> ModelCard:
    """Measure the model on what it never saw, and write down how it came about."""
    labels = FastTextScorer.open(model).labels
    evidence = [label for label in codebook.LABELS if label != "ai" and label in labels]
    return ModelCard(
        name=model.stem,
        digest=model_digest(model),
        labels=labels,
        target=TARGET,
        threshold=found.threshold,
        span_thresholds=dict.fromkeys(evidence, found.window_threshold),
        codebook_version=codebook.VERSION,
        data=_data_section(data, examples),
        hyperparameters={
            **asdict(chosen),
            "scale of logits": found.scales,
            "background FPR of the threshold": background_fpr,
        },
        metrics={name: asdict(figure) for name, figure in measure(model, data, TARGET).items()},
        limits=LIMITS,
    )
