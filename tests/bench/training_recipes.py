"""Which recipe is best on sources that training never saw: trainers and their options, and texts changed to train on.

Cross-validation over the training sources, each recipe beside the linear trainer's, on the same resamples of sources.
For absent AI words nothing is added but in the recipes that say so, which are trained wholly as `tropescan train` does.
Changed texts train only: the texts judged are as they were. In the other recipes of the linear trainer words, inverse
document frequencies and word vectors are of all texts, made once: they see no label. fastText's own trainer takes no
weights, so that large collections count in full there. ``python -m tests.bench.training_recipes`` writes figures and a
table, anew after each recipe.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from classifiers.cross_validation import cross_validate
from classifiers.evaluation import Metric, average_precision, over_sources, pairs_ranked_right, recall_at_fpr
from classifiers.linear import LinearOptions
from classifiers.training import Example, Hyperparameters, Trainer, folds_by_source, train_fasttext
from jobs.train import trainer_of
from jobs.training_data import WRITTEN, load_training_data
from pipeline.schema import Estimate
from tests.bench.changed_texts import Change, cut, framed, masked, noisy, plain, swapped_positive, with_changed
from tests.bench.label_count import FOLDS, RESAMPLES, Ground, make_ground
from tests.bench.learning_curve import GIVEN, TARGET, Floats, Ints, target_scores
from tests.bench.second_proxy import Documents, points_to_ai, recall_at

METRICS: dict[str, Metric] = {
    "average precision, documents about AI": average_precision,
    "recall at FPR 1e-2, documents about AI": recall_at_fpr(1e-2),
    "recall at FPR 1e-3, background": recall_at_fpr(1e-3),
}
WEB = "recall at FPR 1e-2, weighed as on the web"
POINTING = 0.04
"""Of the web, not about AI but with a word that points to an artificial mind; an assumption, as in second_proxy."""
PAIRS = "minimal pairs ranked right"
LINEAR, PLAIN, SMALL = LinearOptions(), LinearOptions(contrast=0.0), Hyperparameters(dim=16)


@dataclass(frozen=True)
class Recipe:
    """Options of a trainer; whether words have vectors; what is changed in texts: of fastText's in all, of the linear
    trainer's in copies to train on; whether a model file is made, which minds absent AI words."""

    name: str
    options: LinearOptions | Hyperparameters = LINEAR
    vectors: bool = True
    change: Change | None = None
    file: bool = False


LINEAR_FILE = Recipe("linear trainer, nothing for absent AI words", LinearOptions(absent=0.0), file=True)
SHIPPED = Recipe("shipped: -1 without AI words", file=True)
GROUPS: dict[str, tuple[Recipe, ...]] = {
    "shipped": (SHIPPED,),
    "absent": (
        Recipe("-0.5 without AI words", LinearOptions(absent=-0.5), file=True),
        Recipe("-2 without AI words", LinearOptions(absent=-2.0), file=True),
    ),
    "linear": (
        Recipe("without contrast", PLAIN),
        Recipe("penalty four times as strong", LinearOptions(c=5.0)),
        Recipe("penalty a quarter as strong", LinearOptions(c=80.0)),
        Recipe("without vectors of words", vectors=False),
        Recipe("without either", PLAIN, vectors=False),
        Recipe("words alone (one row for all pairs)", LinearOptions(bucket=1)),
        Recipe("a million rows for pairs", LinearOptions(bucket=1_000_000)),
        Recipe("no shrinkage by length", LinearOptions(prior_weight=0)),
        Recipe("words of 5 texts or more", LinearOptions(min_count=5)),
    ),
    "changed": (
        Recipe("passages of 60, 120 or 240 words", change=cut),
        Recipe("case and punctuation noise", change=noisy),
        Recipe("headings and page furniture", change=framed),
        Recipe("famous names masked", change=masked),
        Recipe("positives with minds swapped, as negatives", change=swapped_positive),
    ),
    "fasttext": (
        Recipe("fastText, pairs of words, 16 dimensions", SMALL),
        Recipe("fastText, words alone, 16 dimensions", replace(SMALL, word_ngrams=1)),
        Recipe("fastText, plain words alone, 16 dimensions", replace(SMALL, word_ngrams=1), change=plain),
        Recipe("fastText, subwords of 3 to 5, 16 dimensions", replace(SMALL, word_ngrams=1, minn=3, maxn=5)),
        Recipe("fastText, triples of words, 16 dimensions", replace(SMALL, word_ngrams=3)),
        Recipe("fastText, pairs of words, 64 dimensions", Hyperparameters()),
    ),
}


@dataclass(frozen=True)
class Row:
    """A recipe's figures, and by how much it is better than the first one."""

    recipe: str
    figures: dict[str, Estimate]
    more: dict[str, Estimate]


@dataclass
class Bench:
    """The training texts, and features of the linear recipe tried last: the next one may share them."""

    examples: list[Example]
    encoder: Path | None = None
    further_words: int = 0
    n_folds: int = FOLDS
    _made: tuple[object, Ground] | None = None

    @property
    def folds(self) -> Ints:
        """Of each text; a changed copy is of its original's."""
        return folds_by_source([one.source for one in self.examples], self.n_folds)

    def scores(self, recipe: Recipe) -> Floats:
        """The target's score of each text by a model that saw nothing of its source."""
        if isinstance(recipe.options, LinearOptions):
            if not recipe.file:
                return self._linear(recipe, recipe.options)
            return self._by_files(
                self.examples, trainer_of(recipe.options, self.examples, self.encoder, self.further_words)
            )
        examples = [recipe.change(one) or one for one in self.examples] if recipe.change else self.examples
        return self._by_files(examples, partial(train_fasttext, chosen=recipe.options))

    def _by_files(self, examples: Sequence[Example], trainer: Trainer) -> Floats:
        _, logits = cross_validate(examples, trainer, self.n_folds)
        fold_after_fold = np.concatenate([np.flatnonzero(self.folds == fold) for fold in range(self.n_folds)])
        scores = np.zeros(len(self.examples))
        scores[fold_after_fold] = logits.scores(TARGET, {})
        return scores

    def _linear(self, recipe: Recipe, options: LinearOptions) -> Floats:
        ground = self._ground(recipe, options)
        fold_of = dict(zip((one.source for one in self.examples), self.folds, strict=True))
        folds = np.array([fold_of[one.source] for one in ground.examples])
        weights = np.array([one.weight for one in ground.examples])
        scores = np.zeros(len(self.examples))
        for fold in range(self.n_folds):
            rows, inside = np.flatnonzero(folds != fold), self.folds == fold
            found = target_scores(ground.design, ground.examples, rows, weights[rows], options)
            scores[inside] = found[: len(scores)][inside]
        return scores

    def _ground(self, recipe: Recipe, options: LinearOptions) -> Ground:
        """Originals first, then changed copies."""
        key = (replace(options, c=1.0, contrast=0.0), recipe.vectors, recipe.change)
        if self._made is None or self._made[0] != key:
            self._made = None  # two at once would not fit everywhere
            grown = with_changed(self.examples, recipe.change) if recipe.change else self.examples
            vectors = (self.encoder, self.further_words) if recipe.vectors else (None, 0)
            self._made = key, make_ground(grown, options, *vectors)
        return self._made[1]


def row(examples: Sequence[Example], recipe: str, scores: Floats, first: Floats) -> Row:
    """Figures of a recipe, and their differences to those of the first one on the same resamples of sources."""
    truth, sources = _holds(examples, TARGET), np.array([one.source for one in examples])
    figures, more = dict[str, Estimate](), dict[str, Estimate]()
    for name, kept in _judged(examples).items():
        metric, t, mine, theirs = METRICS[name], truth[kept], scores[kept], first[kept]
        of = list(sources[kept])
        figures[name] = over_sources(lambda d, m=metric, t=t, s=mine: m(t[d], s[d]), of, resamples=RESAMPLES)
        more[name] = over_sources(
            lambda d, m=metric, t=t, s=mine, o=theirs: m(t[d], s[d]) - m(t[d], o[d]), of, resamples=RESAMPLES
        )
    own = np.array([one.collection == WRITTEN for one in examples])
    figures[WEB], more[WEB] = _on_the_web([one for one, its in zip(examples, own, strict=True) if not its],
                                          scores[~own], first[~own])  # fmt: skip
    figures[PAIRS] = pairs_ranked_right(truth[own], scores[own], list(sources[own]))
    return Row(recipe, figures, more)


def _on_the_web(examples: Sequence[Example], scores: Floats, first: Floats) -> tuple[Estimate, Estimate]:
    """Recall at FPR 1e-2 of all texts that nobody wrote for this project, and the difference to the first recipe."""
    truth, sources = _holds(examples, TARGET), [one.source for one in examples]
    ordinary = np.array([one.collection is None for one in examples])
    pointing = points_to_ai([one.text for one in examples])
    texts = Documents(truth, _holds(examples, GIVEN), ordinary, pointing, scores, {}, sources, POINTING)

    def recall(of: Floats, drawn: Ints) -> float:
        return recall_at(1e-2, of[drawn], truth[drawn], texts.weights(drawn))

    return (
        over_sources(lambda drawn: recall(scores, drawn), sources, resamples=RESAMPLES),
        over_sources(lambda drawn: recall(scores, drawn) - recall(first, drawn), sources, resamples=RESAMPLES),
    )


def _holds(examples: Sequence[Example], label: str) -> NDArray[np.bool_]:
    return np.array([label in one.labels for one in examples])


def _judged(examples: Sequence[Example]) -> dict[str, NDArray[np.bool_]]:
    ordinary = np.array([one.collection is None for one in examples])
    real = ~ordinary & np.array([one.collection != WRITTEN for one in examples])
    on_ai, apart = real & _holds(examples, GIVEN), (real & _holds(examples, TARGET)) | ordinary
    return {name: apart if "background" in name else on_ai for name in METRICS}


def rows(bench: Bench, recipes: Sequence[Recipe]) -> Iterator[Row]:
    """Recipes that make model files, then the others, each kind after the linear trainer's that it is compared with."""
    for file in sorted({one.file for one in recipes} or {False}, reverse=True):
        linear = LINEAR_FILE if file else Recipe("linear trainer")
        first = bench.scores(linear)
        yield row(bench.examples, linear.name, first, first)
        for recipe in (one for one in recipes if one.file == file):
            click.echo(f"{recipe.name} …", err=True)
            yield row(bench.examples, recipe.name, bench.scores(recipe), first)


def markdown(found: Sequence[Row]) -> str:
    """A line for each recipe."""
    heads = [cell for name in (*METRICS, WEB) for cell in (name, "more than the first")] + [PAIRS]
    lines = ["| recipe | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for one in found:
        cells = [cell for name in (*METRICS, WEB) for cell in (_told(one.figures[name]), _told(one.more[name], "+"))]
        lines.append(f"| {one.recipe} | " + " | ".join([*cells, _told(one.figures[PAIRS])]) + " |")
    return "\n".join(lines) + "\n"


def _told(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def main() -> None:
    """Cross-validate the linear trainer's and the recipes of the groups; write figures and a table after each."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training_recipes", description=__doc__)
    parser.add_argument("--group", action="append", choices=list(GROUPS), help="recipes to try; all unless named")
    parser.add_argument("--labels", nargs="+", default=["labels/seed", "labels/real"], help="label records")
    parser.add_argument("--texts", required=True, help="folder with the texts that they point to, and ordinary ones")
    parser.add_argument("--encoder", type=Path, help="folder of a sentence-transformers model, as for train")
    parser.add_argument("--further-words", type=int, default=40_000, help="as for train; with --encoder")
    parser.add_argument(
        "--folds", type=int, default=FOLDS, help="of whole sources; as many as these leave one out each"
    )
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for figures and table")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = arguments.group or list(GROUPS)
    examples = load_training_data(arguments.labels, [arguments.texts], [arguments.texts]).training
    further = arguments.further_words if arguments.encoder else 0
    bench = Bench(list(examples), arguments.encoder, further, arguments.folds)
    found, name = list[Row](), "_".join(["training_recipes", *chosen])
    for one in rows(bench, [recipe for group in chosen for recipe in GROUPS[group]]):
        found.append(one)
        (arguments.out / f"{name}.json").write_text(json.dumps([asdict(each) for each in found], indent=1), "utf-8")
        (arguments.out / f"{name}.md").write_text(markdown(found), "utf-8")
    print(markdown(found))


if __name__ == "__main__":
    main()
