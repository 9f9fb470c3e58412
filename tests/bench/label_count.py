"""What more labels would buy: the linear trainer, with fewer of the labelled documents.

Cross-validation over the training sources: in each fold the model learns from the first so many documents of a random
order of those outside, and from all ordinary texts and passages of our own outside. ``--draw sources`` orders whole
sources, so that fewer documents are of fewer sources. ``--own`` trains with all documents and fewer of our own
passages, or with heavier ones, instead.

For absent AI words nothing is added, unlike in the shipped recipe. Words, inverse document frequencies and word vectors
are of all texts, made once: they see no label. ``python -m tests.bench.label_count`` writes figures, table and, of the
curve, a plot.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from classifiers.evaluation import Metric, average_precision, over_sources, recall_at_fpr
from classifiers.features import frequent_words
from classifiers.linear import Design, LinearOptions, make_design, vocabulary
from classifiers.training import Example, folds_by_source
from classifiers.word_vectors import encode_words, frequent_english_words
from jobs.training_data import WRITTEN, capped, load_training_data
from pipeline.schema import Estimate
from tests.bench.learning_curve import GIVEN, TARGET, Floats, Ints, target_scores

FOLDS = 5
SIZES = (750, 1500, 3000)
ON_AI, ON_BACKGROUND = "average precision, documents about AI", "recall at FPR 1e-3, background"
METRICS: dict[str, Metric] = {ON_AI: average_precision, ON_BACKGROUND: recall_at_fpr(1e-3)}
RESAMPLES = 500
Draw = Literal["documents", "sources"]


@dataclass(frozen=True)
class Recipe:
    """What trains: so many labelled real documents outside the fold, all if None; this share of the passages of our
    own, at this weight."""

    documents: int | None = None
    own_share: float = 1.0
    own_weight: float = 1.0

    @property
    def takes_all(self) -> bool:
        """Whether it is the same with every seed."""
        return self.documents is None and self.own_share in (0, 1)


ABLATION = (Recipe(), Recipe(own_share=0.5), Recipe(own_share=0.0), Recipe(own_weight=3.0))


@dataclass(frozen=True)
class Ground:
    """All training texts with their features, and the fold of each."""

    examples: list[Example]
    design: Design
    folds: Ints

    @property
    def written(self) -> NDArray[np.bool_]:
        """Passages of our own."""
        return np.array([one.collection == WRITTEN for one in self.examples])

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """Texts that nobody labelled."""
        return np.array([one.collection is None for one in self.examples])

    @property
    def sources(self) -> NDArray[np.str_]:
        """Of each text."""
        return np.array([one.source for one in self.examples])

    def holds(self, label: str) -> NDArray[np.bool_]:
        """Whether the label holds of each text."""
        return np.array([label in one.labels for one in self.examples])


def make_ground(
    examples: Sequence[Example], options: LinearOptions, encoder: Path | None = None, further_words: int = 0
) -> Ground:
    """Features of the examples, with word vectors where there is an encoder."""
    texts = [one.text for one in examples]
    further = frequent_english_words(further_words) if encoder else []
    known = sorted({*frequent_words(texts, options.min_count), *further})
    vectors = encode_words(known, encoder) if encoder else None
    design = make_design(texts, vocabulary(texts, options, vectors, further), vectors, options)
    return Ground(list(examples), design, folds_by_source([one.source for one in examples], FOLDS))


def in_order(rows: Ints, sources: NDArray[np.str_], draw: Draw, random: np.random.Generator) -> Ints:
    """The rows in random order: one by one, or whole sources one after the other."""
    rows = random.permutation(rows)
    if draw == "documents":
        return rows
    _, place = np.unique(sources[rows], return_inverse=True)
    return rows[np.argsort(random.permutation(place.max(initial=0) + 1)[place], kind="stable")]


def training_rows(ground: Ground, recipe: Recipe, fold: int, draw: Draw, seed: int) -> Ints:
    """What trains the model of a fold. Smaller recipes of a seed are part of larger ones."""
    outside, random = ground.folds != fold, np.random.default_rng(seed)
    real, written = ~ground.ordinary & ~ground.written, ground.written
    documents = in_order(np.flatnonzero(real & outside), ground.sources, draw, random)[: recipe.documents]
    own = in_order(np.flatnonzero(written & outside), ground.sources, "sources", random)  # keeps pairs together
    return np.concatenate(
        [np.flatnonzero(ground.ordinary & outside), documents, own[: round(recipe.own_share * len(own))]]
    )


def unseen_scores(ground: Ground, recipe: Recipe, draw: Draw, seed: int, options: LinearOptions) -> Floats:
    """The target's score of each text by a model that saw nothing of its source."""
    scores = np.zeros(len(ground.examples))
    for fold in range(FOLDS):
        rows = training_rows(ground, recipe, fold, draw, seed)
        weights = np.array([one.weight for one in capped([ground.examples[k] for k in rows])])
        weights = np.where(ground.written[rows], recipe.own_weight, 1.0) * weights
        inside = ground.folds == fold
        scores[inside] = target_scores(ground.design, ground.examples, rows, weights, options)[inside]
    return scores


@dataclass(frozen=True)
class Point:
    """A recipe's figure, the mean over its seeds, and what the first recipe that takes all has over it; intervals by
    resampling sources. ``documents``, ``adverse`` and ``sources`` are of the labelled real ones that train, on average
    over folds and seeds."""

    recipe: Recipe
    metric: str
    documents: float
    adverse: float
    sources: float
    seeds: int
    value: Estimate
    all_over_this: Estimate


def points(ground: Ground, draw: Draw, found: dict[Recipe, list[Floats]]) -> list[Point]:
    """``found`` are scores of all texts by recipe, an array for each seed."""
    whole = next(scores for recipe, scores in found.items() if recipe == Recipe())
    truth, real = ground.holds(TARGET), ~ground.ordinary & ~ground.written
    kept = {ON_AI: real & ground.holds(GIVEN), ON_BACKGROUND: (real & truth) | ground.ordinary}
    made = []
    for name, metric in METRICS.items():
        rows = np.flatnonzero(kept[name])

        def value(scores: list[Floats], drawn: Ints, rows: Ints = rows, metric: Metric = metric) -> float:
            return float(np.mean([metric(truth[rows[drawn]], one[rows[drawn]]) for one in scores]))

        for recipe, scores in found.items():
            sources = list(ground.sources[rows])
            figure = over_sources(lambda d, s=scores: value(s, d), sources, resamples=RESAMPLES)
            gain = over_sources(lambda d, s=scores: value(whole, d) - value(s, d), sources, resamples=RESAMPLES)
            made.append(Point(recipe, name, *_sizes(ground, recipe, draw, len(scores)), len(scores), figure, gain))
    return made


def _sizes(ground: Ground, recipe: Recipe, draw: Draw, seeds: int) -> tuple[float, float, float]:
    real, truth = ~ground.ordinary & ~ground.written, ground.holds(TARGET)
    counts = []
    for seed in range(seeds):
        for fold in range(FOLDS):
            rows = training_rows(ground, recipe, fold, draw, seed)
            rows = rows[real[rows]]
            counts.append((len(rows), truth[rows].sum(), len(set(ground.sources[rows]))))
    documents, adverse, sources = np.mean(counts, axis=0)
    return float(documents), float(adverse), float(sources)


def markdown(found: Sequence[Point], own: bool) -> str:
    """A row for each recipe: its figures and what all documents have over it."""
    first = "passages of our own" if own else "documents | of which adverse | sources"
    lines = [f"| {first} | {ON_AI} | all over this | {ON_BACKGROUND} | all over this |"]
    lines.append("| ---: " * (lines[0].count("|") - 1) + "|")
    for recipe in dict.fromkeys(one.recipe for one in found):
        by = {one.metric: one for one in found if one.recipe == recipe}
        figures = [cell for name in METRICS for cell in (_told(by[name].value), _told(by[name].all_over_this, "+"))]
        one = by[ON_AI]
        sizes = f"{one.documents:,.0f} | {one.adverse:,.0f} | {one.sources:.0f}"
        lines.append(f"| {_own(recipe) if own else sizes} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def _own(recipe: Recipe) -> str:
    return f"{recipe.own_share:.0%}" + (f", weight {recipe.own_weight:g}" if recipe.own_weight != 1 else "")


def _told(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.3f} ({one.low:{sign}.3f} to {one.high:{sign}.3f})"


def plot(found: Sequence[Point], file: Path) -> None:
    """Each metric by the number of labelled documents, on a log axis."""
    from matplotlib.figure import Figure as Page

    page = Page(figsize=(9, 3.6), layout="constrained")
    for axis, name in zip(page.subplots(1, len(METRICS)), METRICS, strict=True):
        mine = sorted((one for one in found if one.metric == name), key=lambda one: one.documents)
        at, value = [one.documents for one in mine], [one.value for one in mine]
        axis.plot(at, [one.value for one in value], marker="o", ms=4)
        axis.fill_between(at, [one.low for one in value], [one.high for one in value], alpha=0.15, lw=0)
        axis.set(title=name, xscale="log", xlabel="labelled documents in training", xticks=at)
        axis.set_xticklabels([f"{one:,.0f}" for one in at])
        axis.minorticks_off()
    page.savefig(file, metadata={"Date": None})


def main() -> None:
    """Train with all recipes and seeds, and write figures, table and plot."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.label_count", description=__doc__)
    parser.add_argument("--labels", nargs="+", default=["labels/seed", "labels/real"], help="label records")
    parser.add_argument("--texts", required=True, help="folder with the texts that they point to, and ordinary ones")
    parser.add_argument("--encoder", type=Path, help="folder of a sentence-transformers model, as for train")
    parser.add_argument("--further-words", type=int, default=40_000, help="as for train; with --encoder")
    parser.add_argument("--draw", choices=("documents", "sources"), default="documents")
    parser.add_argument("--own", action="store_true", help="with fewer passages of our own instead")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="documents outside a fold")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for figures, table and plot")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    options = LinearOptions()
    data = load_training_data(arguments.labels, [arguments.texts], [arguments.texts])
    ground = make_ground(data.training, options, arguments.encoder, arguments.further_words)
    recipes = ABLATION if arguments.own else (*map(Recipe, sorted(arguments.sizes)), Recipe())
    runs = [(one, seed) for one in recipes for seed in range(1 if one.takes_all else arguments.seeds)]
    scores: dict[Recipe, list[Floats]] = {one: [] for one in recipes}
    for recipe, seed in track(runs, "labels"):
        scores[recipe].append(unseen_scores(ground, recipe, arguments.draw, seed, options))
    found = points(ground, arguments.draw, scores)
    name = "own_passages" if arguments.own else f"label_count_{arguments.draw}"
    (arguments.out / f"{name}.json").write_text(json.dumps([asdict(one) for one in found], indent=1), "utf-8")
    (arguments.out / f"{name}.md").write_text(markdown(found, arguments.own), "utf-8")
    if not arguments.own:
        plot(found, arguments.out / f"{name}.svg")
    print(markdown(found, arguments.own))


if __name__ == "__main__":
    main()
