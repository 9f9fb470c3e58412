"""``tropescan train``: labels in, a folded model and its card out."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
from click.core import ParameterSource
from numpy.typing import NDArray

from classifiers.calibration import Calibration as ScoreMap
from classifiers.card import ModelCard, check_card_place, write_card
from classifiers.cross_validation import Logits, cross_validate, fit_scales
from classifiers.evaluation import threshold_at_fpr
from classifiers.fasttext_file import write_model
from classifiers.features import frequent_words
from classifiers.lexicon import AI_TERMS, AI_WORDS
from classifiers.linear import LinearOptions, train_linear
from classifiers.prepare import model_digest
from classifiers.score import FastTextScorer
from classifiers.training import Example, Hyperparameters, Trainer, folds_by_source, scaled, train_fasttext
from classifiers.word_vectors import encode_words, frequent_english_words
from jobs.card_sections import card_sections
from jobs.measure import fit_calibrations, of_cross_validation
from jobs.options import FOLDER, POSITIVE
from jobs.training_data import WRITTEN, TrainingData, digest_of, frozen, load_training_data
from labels import codebook
from pipeline import storage

Options = LinearOptions | Hyperparameters
TARGET = "adverse"
FOLDS = 5
PURPOSES = {"high_recall": 1e-2, "balanced": 1e-3, "high_precision": 1e-4}
"""Share of ordinary texts that a threshold of that name may flag."""
FLAGGING = "high_recall"
SPAN_FPR = 1e-2
OF_TRAINER = {
    **dict.fromkeys(("c", "encoder", "further_words"), "linear"),
    **dict.fromkeys(("dim", "epochs", "lr", "word_ngrams", "seed"), "fasttext"),
}
"""Parameters that one trainer has and the other has not."""


@dataclass(frozen=True)
class Calibration:
    """What texts of unseen sources teach: a factor for each label's logits, thresholds by purpose, the score of a
    strongest window that the allowed share of background texts passes, and each label's map to probabilities.

    ``on_passages``: there was no real text without a label, and passages written for training stood in for it."""

    scales: dict[str, float]
    thresholds: dict[str, float]
    window_threshold: float
    maps: dict[str, ScoreMap]
    on_passages: bool = False


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


def calibrate(examples: Sequence[Example], trainer: Trainer, *, scale: bool) -> Calibration:
    """Cross-validate over sources: each text is scored by a model that saw nothing of its source."""
    return calibration_of(*cross_validate(examples, trainer, FOLDS), scale=scale)


def calibration_of(unseen: Sequence[Example], logits: Logits, *, scale: bool) -> Calibration:
    """What logits of cross-validation teach.

    ``scale`` fits factors for logits, for a trainer whose models are far too sure of themselves. Thresholds rest on
    real texts without a label: those written for this project are harder than the web, and serve only where there are
    no others.
    """
    scales = fit_scales(unseen, logits) if scale else {}
    plain = np.array([not one.labels for one in unseen], bool)
    real = plain & np.array([one.collection != WRITTEN for one in unseen], bool)
    background = real if real.any() else plain
    ordinary = logits.scores(TARGET, scales)[background]
    return Calibration(
        scales=scales,
        thresholds={name: threshold_at_fpr(ordinary, fpr) for name, fpr in PURPOSES.items()},
        window_threshold=threshold_at_fpr(logits.window_scores(TARGET, scales)[background], SPAN_FPR),
        maps=fit_calibrations(of_cross_validation(unseen, logits, scales)),
        on_passages=not real.any(),
    )


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
    "English only. Texts in other languages get scores that mean little: a scan tags them other_language, with the "
    "language that their shard names or that a language model finds (--language-model), and counts none as flagged.",
    "Scores as such are no probabilities at web base rates; the calibration above makes them so, as far as the base "
    "rates that it assumes and the sources that it was fitted on are like yours. A flag rate is not a prevalence.",
    "It adds up weights of words and of runs of words, so who does what to whom it cannot tell: research and rebuttals "
    "are flagged for the words of what they study, stories that never say AI are missed, and much that is flagged "
    "still is once its AI has become a person, a plant or a firm (the rows of the audit above). An ordinary text whose "
    "he and she are made it is flagged more often, too: it goes by that word.",
    "A text without any of the words of classifiers/lexicon.py counts as less likely to be about AI, which spares many "
    "ordinary texts; stories and voices that never say what they are of are missed the more for it.",
    "One threshold holds for texts of all lengths, and a passage counts for less the more stands around it.",
    "What the audit and twenty errors show, which bars are not met and what was tried: docs/model-evaluation.md.",
)
ON_PASSAGES = (
    "No ordinary text was given: the thresholds were set on passages written for training, which are few and harder "
    "than the web. What share of the web they flag is unknown, and no figure or calibration here rests on ordinary "
    "texts. Train again with --background, a folder of them."
)


def limits_of(data: TrainingData, on_passages: bool) -> tuple[str, ...]:
    """What is weak about a model of this data, in sentences for its card."""
    kinds = Counter(one.record.kind for one in data.labelled)
    told = ", ".join(f"{kind} {n:,}" for kind, n in sorted(kinds.items()))
    people = f"{kinds['human']:,}" if kinds["human"] else "none"
    readers = (
        f"By their records {people} of the {kinds.total():,} labelled texts {'was' if kinds['human'] < 2 else 'were'} "
        f"labelled by a person ({told}). Where readers of one kind are wrong together, nothing here shows it."
    )
    return ((ON_PASSAGES,) if on_passages else ()) + (readers, *LIMITS)


@click.command()
@click.argument("labels", nargs=-1, metavar="LABELS...", type=click.Path(exists=True))
@click.option("--store", "place", metavar="PATH|URL", help="A label store: its settled labels are frozen beside --out.")
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The model, a .bin file.")
@click.option(
    "--texts",
    multiple=True,
    type=FOLDER,
    metavar="DIR",
    help="Folder of *.jsonl[.gz]: texts of records that only point.",
)
@click.option("--background", multiple=True, type=FOLDER, metavar="DIR", help="Folder of *.jsonl[.gz]: ordinary texts.")
@click.option("--trainer", type=click.Choice(("linear", "fasttext")), default="linear", show_default=True,
              help="Logistic regression on frequencies, or the fasttext package.")  # fmt: skip
@click.option("--min-count", type=click.IntRange(1), default=LinearOptions.min_count, show_default=True,
              help="Words in fewer texts (fasttext: with fewer occurrences) are left out.")  # fmt: skip
@click.option("--bucket", type=click.IntRange(1), default=LinearOptions.bucket, show_default=True,
              help="Rows for hashed pairs of words.")  # fmt: skip
@click.option("--penalty", "c", type=POSITIVE, default=LinearOptions.c, show_default=True,
              help="linear: inverse strength of the L2 penalty.")  # fmt: skip
@click.option("--encoder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="linear: folder of a sentence-transformers model: like words then weigh alike.")  # fmt: skip
@click.option("--further-words", type=click.IntRange(0), default=0, show_default=True,
              help="linear, with --encoder: frequent English words that weigh though no text has them.")  # fmt: skip
@click.option("--dim", type=click.IntRange(1), default=Hyperparameters.dim, show_default=True,
              help="fasttext: dimension while training.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=Hyperparameters.epoch, show_default=True,
              help="fasttext: passes over the examples.")  # fmt: skip
@click.option("--lr", type=POSITIVE, default=Hyperparameters.lr, show_default=True, help="fasttext: learning rate.")
@click.option("--word-ngrams", type=click.IntRange(1), default=Hyperparameters.word_ngrams, show_default=True,
              help="fasttext: longest word n-gram.")  # fmt: skip
@click.option("--seed", default=Hyperparameters.seed, show_default=True, help="fasttext: of order and first weights.")
def command(
    labels: tuple[str, ...], place: str | None, out: Path, texts: tuple[str, ...], background: tuple[str, ...],
    trainer: str, min_count: int, bucket: int, c: float, encoder: Path | None, further_words: int, dim: int,
    epochs: int, lr: float, word_ngrams: int, seed: int,
) -> None:  # fmt: skip
    """Train a fastText classifier on label records (JSON Lines files or folders of them).

    A fifth of the sources, drawn by digest, is never trained on; the card's figures are measured there. Logits are
    scaled to be calibrated, and thresholds are set by the share of background texts that they flag (high_recall 1e-2,
    balanced 1e-3, high_precision 1e-4), both by cross-validation over sources. Without real texts that hold no label,
    passages written for training stand in for background, and the card says so: give --background.
    Same records, texts and options give the same model, byte for byte.

    \b
    tropescan train labels/seed labels/real --texts corpus --background corpus --out model.bin
    """
    _check_trainer(click.get_current_context(), trainer)
    if out.suffix != ".bin":
        raise click.UsageError(f"--out {out}: a model's name ends in .bin; its card goes beside it as .json and .md")
    check_card_place(out)
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
    chosen: Options = Hyperparameters(dim, epochs, lr, word_ngrams, min_count, bucket, seed=seed)
    if trainer == "linear":
        chosen = LinearOptions(c=c, min_count=min_count, bucket=bucket)
    train = trainer_of(chosen, examples, encoder, further_words)
    click.echo(f"{len(examples)} texts; calibrating by cross-validation over sources …", err=True)
    found = calibrate(examples, train, scale=trainer == "fasttext")
    if found.on_passages:
        click.echo(ON_PASSAGES, err=True)
    click.echo("training …", err=True)
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder) / out.name
        write_model(scaled(train(examples), found.scales), trained)
        card = make_card(trained, data, examples, chosen, found)
        with storage.whole_file(str(out)) as file:
            file.write(trained.read_bytes())
    write_card(card, out)
    click.echo(out.with_suffix(".md").read_text("utf-8"))


def _check_trainer(context: click.Context, trainer: str) -> None:
    """Raises `click.UsageError` naming the options given that only the other trainer has."""
    given = [name for name in OF_TRAINER if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    other = [name for name in given if OF_TRAINER[name] != trainer]
    if other:
        flags = ", ".join(one.opts[0] for one in context.command.params if one.name in other)
        theirs = OF_TRAINER[other[0]]
        raise click.UsageError(f"{flags}: not of the trainer {trainer}; leave it out, or give --trainer {theirs}")
    if context.params["further_words"] and not context.params["encoder"]:
        raise click.UsageError("--further-words needs --encoder: a word that no text has can only weigh by its vector")


def trainer_of(chosen: Options, examples: Sequence[Example], encoder: Path | None, further_words: int) -> Trainer:
    """What trains on any part of the examples; vectors of all their words are made once."""
    if isinstance(chosen, Hyperparameters):
        return partial(train_fasttext, chosen=chosen)
    further = frequent_english_words(further_words) if encoder else []
    words = frequent_words((one.text for one in examples), chosen.min_count)
    vectors = encode_words(sorted({*words, *further}), encoder) if encoder else None
    return partial(
        train_linear, options=chosen, given=codebook.IMPLIES, vectors=vectors, further_words=further,
        lexicons={AI_TERMS: AI_WORDS},
    )  # fmt: skip


def make_card(
    model: Path,
    data: TrainingData,
    examples: Sequence[Example],
    chosen: Options,
    found: Calibration,
) -> ModelCard:
    """Measure the model on what it never saw, and write down how it came about."""
    labels = FastTextScorer.open(model).labels
    evidence = [label for label in codebook.LABELS if label != "ai" and label in labels]
    return ModelCard(
        name=model.stem,
        digest=model_digest(model),
        labels=labels,
        target=TARGET,
        threshold=found.thresholds[FLAGGING],
        thresholds=found.thresholds,
        span_thresholds=dict.fromkeys(evidence, found.window_threshold),
        codebook_version=codebook.VERSION,
        data=_data_section(data, examples),
        hyperparameters={
            **asdict(chosen),
            "scale of logits": found.scales,
            "background FPR of the thresholds": PURPOSES,
        },
        **card_sections(model, data, TARGET, found.thresholds, found.maps),
        limits=limits_of(data, found.on_passages),
    )
