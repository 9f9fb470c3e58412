"""``tropescan rescorer train``: labels and a sentence encoder in, a second stage out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from classifiers.calibration import log_odds
from classifiers.card import default_model
from classifiers.rescorer_file import Reading, RescorerContent, write_rescorer
from classifiers.rescorer_training import Fitted, RescorerOptions, Task, fit_rescorer
from classifiers.rescoring import open_tokenizer, strongest_passages
from classifiers.score import FastTextScorer
from classifiers.scored import scores_by_label
from classifiers.training import Example
from jobs.model_option import MODEL
from jobs.options import FOLDER, PROBABILITY
from jobs.train import TARGET, check_examples
from jobs.training_data import WRITTEN, digest_of, load_training_data
from labels import codebook

LABEL_WEIGHTS = {TARGET: 2.0, "admirable": 0.7, **dict.fromkeys(codebook.MODES, 0.3)}
"""What the loss of a label counts for, 1 where none is given. Modes are learned for what they teach the encoder."""
SHARE = 0.2
"""Of the second stage in the mix: the best of those tried in cross-validation (`tests.bench.rescorer_recipes`)."""
MOST_OF_COLLECTION, BACKGROUND = 120, 300
"""Texts taken at most of one collection, at random; and of background, those that the first stage scores highest."""


def choose_examples(examples: Sequence[Example], scores: NDArray[np.float64], seed: int) -> list[Example]:
    """What to train on: an epoch is slow, and the encoder should learn no single voice."""
    random = np.random.default_rng(seed)
    collections: dict[str, list[int]] = {}
    for k, one in enumerate(examples):
        collections.setdefault(one.collection or "", []).append(k)
    background = sorted(collections.pop("", []), key=lambda k: -scores[k])[:BACKGROUND]
    chosen = [*background, *collections.pop(WRITTEN, [])]
    for _, rows in sorted(collections.items()):
        chosen += random.permutation(rows)[:MOST_OF_COLLECTION].tolist()
    return [examples[k] for k in sorted(chosen)]


def mix_of(first: NDArray[np.float64], second: NDArray[np.float64], share: float = SHARE) -> tuple[float, float, float]:
    """Weights of the first stage's log-odds and of the second's, (texts,) each, and a constant: ``share`` of the second
    on the first's scale, with equal mean and standard deviation, so that scores of both stages can be compared."""
    slope = first.std() / max(float(second.std()), 1e-9)
    return 1 - share, float(share * slope), float(share * (first.mean() - slope * second.mean()))


def make_content(
    examples: Sequence[Example], first: FastTextScorer, encoder: Path, reading: Reading, options: RescorerOptions,
    share: float = SHARE,
) -> RescorerContent:  # fmt: skip
    """A second stage of these examples, all of which are trained on, for the codebook's labels that the first has."""
    labels = tuple(label for label in codebook.LABELS if label in first.labels)
    tokenizer_file = encoder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise OSError(f"{encoder}: no tokenizer.json there; give the folder of a BERT encoder")
    description = _without_padding(tokenizer_file.read_text("utf-8"))
    tokenizer = open_tokenizer(description, reading.pieces)
    task = make_task(examples, first, tokenizer, reading, [*labels, *codebook.MODES])
    fitted = _fit(encoder, task, options)
    scores, _ = scores_by_label(first.path, [one.text for one in examples])
    second = fitted.document_logits(task.passages).astype(np.float64)
    mix = tuple(mix_of(log_odds(scores[name]), second[:, k], share) for k, name in enumerate(labels))
    weights = fitted.weights(reading.pieces)
    weights |= {name: weights[name][..., : len(labels)] for name in ("heads", "heads_bias")}
    return RescorerContent(
        labels, reading, mix, first.digest, fitted.attention_heads, options.layers, description, weights,
        {"options": asdict(options), "texts": len(examples), "encoder": encoder.name},
    )  # fmt: skip


def make_task(
    examples: Sequence[Example], first: FastTextScorer, tokenizer: Any, reading: Reading, names: Sequence[str]
) -> Task:
    """The examples as a second stage sees them, with the truth of the labels and modes named."""
    parts = [strongest_passages(one.text, first, reading) for one in examples]
    return Task(
        [[tokenizer.encode(part).ids for part in its] for its in parts],
        np.array([[name in one.labels for name in names] for one in examples], bool),
        np.ones(len(examples)),
        np.array([LABEL_WEIGHTS.get(name, 1.0) for name in names]),
    )


def _fit(encoder: Path, task: Task, options: RescorerOptions) -> Fitted:
    with Progress(console=Console(stderr=True), transient=True) as shown:
        bars: dict[str, object] = {}

        def said(what: str, done: int, total: int) -> None:
            bar = bars.setdefault(what, shown.add_task(what, total=total)) if what not in bars else bars[what]
            shown.update(bar, completed=done)  # type: ignore[arg-type]

        return fit_rescorer(encoder, task, options, said)


def _without_padding(description: str) -> str:
    """A tokenizer's description without what is set when it is opened."""
    return json.dumps({**json.loads(description), "padding": None, "truncation": None}, ensure_ascii=False)


@click.command()
@click.argument("labels", nargs=-1, required=True, metavar="LABELS...", type=click.Path(exists=True))
@click.option(
    "--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of records that only point."
)
@click.option("--background", multiple=True, type=FOLDER, metavar="DIR", help="Folder with ordinary texts.")
@click.option("--encoder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of a BERT encoder (all-MiniLM-L6-v2, say) with its tokenizer.json; nothing is "
              "downloaded.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The second stage, .npz.")
@click.option("--model", type=MODEL, help="The first stage, which chooses passages. [default: the shipped model]")
@click.option("--layers", type=click.IntRange(1), default=RescorerOptions.layers, show_default=True,
              help="Layers of the encoder that are kept, from the lowest.")  # fmt: skip
@click.option("--trained", type=click.IntRange(1), default=RescorerOptions.trained, show_default=True,
              help="How many of these, from the topmost, learn; the others stay as they are.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=RescorerOptions.epochs, show_default=True)
@click.option("--rate", default=RescorerOptions.rate, show_default=True, help="Learning rate of the layers.")
@click.option("--half", is_flag=True,
              help="Train in bfloat16: twice as fast on processors that have instructions for it.")  # fmt: skip
@click.option("--share", type=PROBABILITY, default=SHARE, show_default=True,
              help="Of the second stage in the score of both.")  # fmt: skip
@click.option("--passages", "read", type=click.IntRange(1), default=Reading.passages, show_default=True,
              help="Passages of a document that are read.")  # fmt: skip
@click.option("--seed", default=RescorerOptions.seed, show_default=True, help="Of order, first heads and dropout.")
def command(
    labels: tuple[str, ...], texts: tuple[str, ...], background: tuple[str, ...], encoder: Path, out: Path,
    model: Path | None, layers: int, trained: int, epochs: int, rate: float, half: bool, share: float,
    read: int, seed: int,
) -> None:  # fmt: skip
    """Fit the upper layers of a sentence encoder to labelled documents, and write it as a second stage.

    Held-out sources are never trained on, as with 'train'; 'rescorer eval' measures there. The file holds weights in 8
    bits and the tokenizer; to use it needs neither PyTorch nor the encoder. Same records, texts and options give the
    same file on one machine.

    \b
    tropescan rescorer train labels/seed labels/real --texts corpus --encoder MiniLM --out second.npz
    """
    if out.suffix != ".npz":
        raise click.UsageError(f"--out {out}: a second stage's name ends in .npz")
    out.parent.mkdir(parents=True, exist_ok=True)  # now, not after the work
    data = load_training_data(labels, texts, background)
    if data.missing:
        click.echo(f"{data.missing} records have no text here and are left out; name their folder by --texts", err=True)
    check_examples(data.training)
    first = FastTextScorer.open(model or default_model(), span_thresholds={})
    scores, _ = scores_by_label(first.path, [one.text for one in data.training])
    examples = choose_examples(data.training, scores[TARGET], seed)
    options = RescorerOptions(layers=layers, trained=trained, epochs=epochs, rate=rate, half=half, seed=seed)
    content = make_content(examples, first, encoder, Reading(TARGET, passages=read), options, share)
    content.made["digest of training labels"] = digest_of(one for one in data.labelled if not one.held_out)
    write_rescorer(content, out)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, of {len(examples)} texts; now 'tropescan rescorer eval'")
