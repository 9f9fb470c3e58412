"""Which second stage adds most on sources that training never saw: layers, how many of them are fitted, passages.

Cross-validation over the training sources, by the same folds for both stages; each second stage is mixed with the first
at several shares and compared with the first alone on the same resamples of sources. Passages are chosen by the model
that ships, which has seen all of these sources. ``python -m tests.bench.rescorer_recipes`` writes figures and a table,
anew after each recipe.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np

from classifiers.calibration import log_odds
from classifiers.card import default_model
from classifiers.rescorer_file import Reading
from classifiers.rescorer_training import RescorerOptions, Task, fit_rescorer
from classifiers.rescoring import open_tokenizer
from classifiers.score import FastTextScorer
from classifiers.scored import scores_by_label
from jobs.rescorer_train import choose_examples, make_task, mix_of
from jobs.training_data import load_training_data
from labels import codebook
from tests.bench.learning_curve import TARGET, Floats, Ints
from tests.bench.training_recipes import SHIPPED, Bench, Row, markdown, row

FOLDS = 3
SHARES = (0.1, 0.2, 0.3, 0.5, 1.0)
"""Of the second stage in the mix."""


@dataclass(frozen=True)
class Second:
    """Options of a second stage, and passages that it reads of a document."""

    name: str
    options: RescorerOptions
    passages: int = 1


SMALL, HALF = RescorerOptions(layers=4, trained=1, rate=2e-4, half=True), RescorerOptions(half=True)
RECIPES = (
    Second("four layers, one fitted", SMALL),
    Second("six layers, three fitted", HALF),
    Second("six layers, all fitted, two epochs", replace(HALF, trained=6, epochs=2)),
    Second("six layers, three fitted, two passages", HALF, 2),
)


def task_of(bench: Bench, passages: int, encoder: Path) -> Task:
    """All texts of the bench as a second stage reads them."""
    first, reading = FastTextScorer.open(default_model(), span_thresholds={}), Reading(TARGET, passages=passages)
    tokenizer = open_tokenizer((encoder / "tokenizer.json").read_text("utf-8"), reading.pieces)
    return make_task(bench.examples, first, tokenizer, reading, [*codebook.LABELS, *codebook.MODES])


def second_logits(bench: Bench, task: Task, chosen: Ints, second: Second, encoder: Path) -> Floats:
    """Log-odds of the target of each text, (texts,), by a second stage that saw nothing of its source."""
    found, folds = np.zeros(len(bench.examples)), bench.folds
    for fold in range(bench.n_folds):
        click.echo(f"{second.name}, fold {fold + 1} of {bench.n_folds} …", err=True)
        inside = np.flatnonzero(folds == fold)
        fitted = fit_rescorer(encoder, part_of(task, chosen[folds[chosen] != fold]), second.options)
        logits = fitted.document_logits([task.passages[k] for k in inside])
        found[inside] = logits[:, codebook.LABELS.index(TARGET)]
    return found


def part_of(task: Task, rows: Ints) -> Task:
    """The task of some documents."""
    return Task([task.passages[k] for k in rows], task.truth[rows], task.weights[rows], task.label_weights)


def rows_of(bench: Bench, name: str, first: Floats, second: Floats) -> list[Row]:
    """Figures of both stages mixed at each share, beside the first alone. ``first`` and ``second`` are log-odds, which
    are brought to one scale without the texts' labels."""
    mixes = {share: mix_of(first, second, share) for share in SHARES}
    mixed = {share: weight * first + other * second + constant for share, (weight, other, constant) in mixes.items()}
    return [row(bench.examples, f"{name}, share {share:g}", its, first) for share, its in mixed.items()]


def chosen_rows(bench: Bench, seed: int = 0) -> Ints:
    """Of the texts, those that `tropescan rescorer train` would take."""
    scores, _ = scores_by_label(default_model(), [one.text for one in bench.examples])
    taken = {id(one) for one in choose_examples(bench.examples, scores[TARGET], seed)}
    return np.array([k for k, one in enumerate(bench.examples) if id(one) in taken])


def main() -> None:
    """Cross-validate the first stage and each second stage; write figures and a table after each."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    examples = load_training_data(arguments.labels, [arguments.texts], [arguments.texts]).training
    bench = Bench(list(examples), arguments.encoder, arguments.further_words, arguments.folds)
    first, chosen, found = log_odds(bench.scores(SHIPPED)), chosen_rows(bench), list[Row]()
    found.append(row(bench.examples, "first stage alone", first, first))
    for second in RECIPES:
        if not arguments.recipes or second.name in arguments.recipes:
            task = task_of(bench, second.passages, arguments.encoder)
            logits = second_logits(bench, task, chosen, second, arguments.encoder)
            found += rows_of(bench, second.name, first, logits)
            _write(arguments.out, found)
    print(markdown(found))


def _write(out: Path, found: Sequence[Row]) -> None:
    (out / "rescorer_recipes.json").write_text(json.dumps([asdict(each) for each in found], indent=1), "utf-8")
    (out / "rescorer_recipes.md").write_text(markdown(found), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rescorer_recipes", description=__doc__)
    names = [one.name for one in RECIPES]
    parser.add_argument("--recipes", nargs="+", choices=names, metavar="NAME", help="only these")
    parser.add_argument("--labels", nargs="+", default=["labels/seed", "labels/real"], help="label records")
    parser.add_argument("--texts", required=True, help="folder with the texts that they point to, and ordinary ones")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of a BERT encoder, as for rescorer train")
    parser.add_argument("--further-words", type=int, default=40_000, help="of the first stage, as for train")
    parser.add_argument("--folds", type=int, default=FOLDS, help="of whole sources")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for figures and table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
