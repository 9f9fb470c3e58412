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

from classifiers.card import ModelCard, write_card
from classifiers.evaluation import threshold_at_fpr
from classifiers.prepare import model_digest
from classifiers.score import FastTextScorer
from classifiers.training import Example, Hyperparameters, fit_scale, folds_by_source, train_model
from jobs.measure import logits_of, measure, strongest_logits_of
from jobs.training_data import TrainingData, digest_of, frozen, load_training_data
from labels import codebook

TARGET = "adverse"
FOLDS = 4


@dataclass(frozen=True)
class Calibration:
    """What texts of unseen sources teach: a factor for each label's logits, and the scores of a document and of its
    strongest window that the allowed share of background texts passes."""

    scales: dict[str, float]
    threshold: float
    window_threshold: float


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
@click.option("--dim", default=Hyperparameters.dim, show_default=True, help="Dimension while training.")
@click.option("--epochs", default=Hyperparameters.epoch, show_default=True, help="Passes over the examples.")
@click.option("--lr", default=Hyperparameters.lr, show_default=True, help="Learning rate.")
@click.option("--word-ngrams", default=Hyperparameters.word_ngrams, show_default=True, help="Longest word n-gram.")
@click.option("--min-count", default=Hyperparameters.min_count, show_default=True, help="Rarer words are left out.")
@click.option("--bucket", default=Hyperparameters.bucket, show_default=True, help="Rows for hashed n-grams.")
@click.option(
    "--background-fpr",
    default=0.01,
    show_default=True,
    type=click.FloatRange(0, 1),
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
    data = load_training_data((*labels, *frozen(place, out.parent / "snapshots")), texts, background)
    if data.missing:
        click.echo(
            f"{data.missing} records have no text here and are left out; name their folder with --texts", err=True
        )
    examples = data.training
    if not any(TARGET in example.labels for example in examples):
        raise ValueError(f"no training text holds {TARGET!r}; give records with positives, and --texts for pointers")
    chosen = Hyperparameters(dim, epochs, lr, word_ngrams, min_count, bucket, seed=seed)
    click.echo(f"{len(examples)} texts; calibrating by cross-validation over sources …", err=True)
    found = calibrate(examples, chosen, background_fpr)
    click.echo("training …", err=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    train_model(examples, out, chosen, found.scales)
    card = make_card(out, data, examples, chosen, found, background_fpr)
    write_card(card, out)
    click.echo(out.with_suffix(".md").read_text("utf-8"))


def make_card(
    out: Path,
    data: TrainingData,
    examples: Sequence[Example],
    chosen: Hyperparameters,
    found: Calibration,
    background_fpr: float,
) -> ModelCard:
    """Measure the model on what it never saw, and write down how it came about."""
    labels = FastTextScorer.open(out).labels
    evidence = [label for label in codebook.LABELS if label != "ai" and label in labels]
    return ModelCard(
        name=out.stem,
        digest=model_digest(out),
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
        metrics={name: asdict(figure) for name, figure in measure(out, data, TARGET).items()},
        limits=LIMITS,
    )
