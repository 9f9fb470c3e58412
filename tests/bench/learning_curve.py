"""What active learning is worth: learning curves of active against random choice at equal numbers of labels.

The pool are the real documents that are labelled, without those of held-out sources; each strategy starts from the same
random labels and acquires in rounds, as `tropescan label acquire` does, from documents whose labels it has not seen.
Models are the product's linear ones without vectors of words; ordinary texts train in all of them, for they cost no
label. Judged on the sources that training never sees. ``python -m tests.bench.learning_curve`` writes figures, table
and plot.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from classifiers.evaluation import Metric, average_precision, draws_of_sources, recall_at_fpr, threshold_at_fpr
from classifiers.features import frequent_words
from classifiers.linear import Design, LinearOptions, fit_label, make_design
from classifiers.training import Example, folds_by_source
from jobs.acquiring import POOL
from jobs.training_data import TrainingData, capped, load_training_data
from labels import acquisition, codebook
from labels.background import mentions_ai
from labels.near_duplicates import Signature, signature
from pipeline.schema import Estimate

TARGET, GIVEN = "adverse", codebook.IMPLIES["adverse"]
SIZES = (200, 400, 800, 1600, 3200)
SHARES = {"margin": 3.0, "near-miss": 2.0, "hard-negative": 2.0, "novelty": 2.0, "random": 1.0}
"""What `tropescan label acquire` mixes by default."""
SOURCE_CAP = 0.1
FLAGGED = 1e-2
"""Share of ordinary texts over the threshold that margins and near misses are measured from, as in training."""
GAUGE_FOLDS = 4
RESAMPLES = 500
METRICS: dict[str, Metric] = {"average precision": average_precision, "recall at FPR 1e-2": recall_at_fpr(1e-2)}
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """All texts, by rows: the pool, ordinary ones that train for nothing, those of other sources that only set the
    threshold (of texts that train it would be too low), and held-out ones. ``labelled`` of the held-out rows have a
    label; the others are ordinary texts, and count as negatives of the rate.
    """

    design: Design
    examples: list[Example]
    pool: Ints
    free: Ints
    gauge: Ints
    held_out: Ints
    labelled: NDArray[np.bool_]
    words: Sequence[Signature]
    speaks_of_ai: NDArray[np.bool_]

    def holds(self, rows: Ints, label: str) -> NDArray[np.bool_]:
        """Whether the label holds of each row."""
        return np.array([label in self.examples[k].labels for k in rows], bool)


def make_world(data: TrainingData, options: LinearOptions) -> World:
    """Texts, their features and signatures, made once: neither depends on labels."""
    training = data.training
    pool = [one for one in training if one.collection is not None]
    ordinary = [one for one in training if one.collection is None]
    folds = folds_by_source([one.source for one in ordinary], GAUGE_FOLDS)
    free, gauge = (
        [one for one, fold in zip(ordinary, folds, strict=True) if (fold == 0) == apart] for apart in (False, True)
    )
    kept_away = [one.example() for one in data.held_out(synthetic=False)]
    apart = [Example(text, frozenset(), source) for source, text in data.background_of(held_out=True)]
    examples = pool + free + gauge + kept_away + apart
    ends = np.cumsum([0, len(pool), len(free), len(gauge), len(kept_away) + len(apart)])
    parts = [np.arange(start, end) for start, end in pairwise(ends)]
    texts = [one.text for one in examples]
    words = frequent_words((one.text for one in pool + free), options.min_count)
    return World(
        make_design(texts, words, None, options), examples, *parts, np.arange(len(parts[3])) < len(kept_away),
        [signature(one.text, 1) for one in pool], np.array([mentions_ai(one.text) for one in pool], bool),
    )  # fmt: skip


def train(world: World, chosen: Ints, options: LinearOptions) -> Floats:
    """Train on the chosen rows of the pool and the ordinary texts; the target's score of every row."""
    rows = np.concatenate([chosen, world.free])
    weights = np.array([one.weight for one in capped([world.examples[k] for k in rows])])
    return target_scores(world.design, world.examples, rows, weights, options)


def target_scores(
    design: Design, examples: Sequence[Example], rows: Ints, weights: Floats, options: LinearOptions
) -> Floats:
    """The target's score of every example by a model of those at ``rows``, which have ``weights``: the product of its
    own and of the label that it is given, as `train_linear` makes it."""
    trained = [examples[k] for k in rows]
    collections = [one.collection or one.source for one in trained]
    part = replace(design, rows=design.rows[rows], meanings=design.meanings[rows])
    given = np.array([GIVEN in one.labels for one in trained])
    scores = np.ones(len(examples))
    for label, weight in ((GIVEN, weights), (TARGET, np.where(given, weights, options.others_weight * weights))):
        truth = np.array([label in one.labels for one in trained])
        found = fit_label(part, truth, collections, weight, options, with_vectors=label == TARGET)
        scores *= 1 / (1 + np.exp(-(found.bias + design.rows @ (found.rows / design.scale))))
    return scores


Choice = Callable[[World, Floats, Ints, int, np.random.Generator], Ints]
"""(world, scores, rows of the pool left, how many, random) -> rows to label next."""


def at_random(world: World, scores: Floats, left: Ints, n: int, random: np.random.Generator) -> Ints:
    """Simple random."""
    return random.choice(left, n, replace=False)


def by_margin(world: World, scores: Floats, left: Ints, n: int, random: np.random.Generator) -> Ints:
    """Nearest to the threshold, no more than a tenth of one source."""
    return _mixed(world, scores, left, n, random, {"margin": 1.0})


def by_mixture(world: World, scores: Floats, left: Ints, n: int, random: np.random.Generator) -> Ints:
    """What `tropescan label acquire` does unless told otherwise."""
    return _mixed(world, scores, left, n, random, SHARES)


STRATEGIES: dict[str, Choice] = {"random": at_random, "margin": by_margin, "mixture": by_mixture}


def _mixed(
    world: World, scores: Floats, left: Ints, n: int, random: np.random.Generator, shares: Mapping[str, float]
) -> Ints:
    wanted = acquisition.quotas(n, shares)
    ranked = {name: _ranking(name, world, scores, left, wanted[name], random) for name in shares}
    sources = [world.examples[k].source for k in left]
    chosen = [i for i, _ in acquisition.mix(ranked, wanted, [sources], [max(1, round(SOURCE_CAP * n))])]
    rest = random.permutation(np.setdiff1d(np.arange(len(left)), chosen))  # where caps leave some of the n open
    return left[np.concatenate([np.array(chosen, np.int64), rest])[:n]]


def _ranking(name: str, world: World, scores: Floats, left: Ints, n: int, random: np.random.Generator) -> Sequence[int]:
    threshold = threshold_at_fpr(scores[world.gauge], FLAGGED)
    mine = scores[left]
    if name == "random":
        return [int(i) for i in random.permutation(len(left))]
    if name == "novelty":
        some = random.permutation(len(left))[: POOL * n]
        known = [world.words[k] for k in np.setdiff1d(world.pool, left)]
        priority = acquisition.novelty([world.words[k] for k in left[some]], known)
        return [int(i) for i in some[np.argsort(-priority, kind="stable")]]
    priority = {
        "margin": lambda: acquisition.margin(mine, threshold),
        "near-miss": lambda: acquisition.near_miss(mine, threshold),
        "hard-negative": lambda: np.where(world.speaks_of_ai[left], -np.inf, acquisition.top(mine)),
    }[name]()
    order = np.argsort(-priority, kind="stable")
    return [int(i) for i in order if np.isfinite(priority[i])]


def curve(
    world: World, choose: Choice, sizes: Sequence[int], seed: int, options: LinearOptions
) -> Iterator[tuple[Floats, int]]:
    """After each size, scores of the held-out rows and how many labels say that the target holds; the first labels
    depend on the seed alone."""
    random = np.random.default_rng(seed)
    chosen = random.choice(world.pool, sizes[0], replace=False)
    for size in [*sizes[1:], 0]:
        scores = train(world, chosen, options)
        yield scores[world.held_out], int(world.holds(chosen, TARGET).sum())
        if size:
            left = np.setdiff1d(world.pool, chosen)
            chosen = np.concatenate([chosen, choose(world, scores, left, size - len(chosen), random)])


@dataclass(frozen=True)
class Point:
    """One strategy at one number of labels: the mean over seeds with the interval that seeds alone give, and what it
    has over random choice, with an interval by resampling seeds and held-out sources together."""

    strategy: str
    labels: int
    metric: str
    mean: Estimate
    over_random: Estimate


def points(world: World, found: Mapping[str, Floats], sizes: Sequence[int]) -> list[Point]:
    """``found`` are scores by strategy, (seeds, sizes, held-out rows)."""
    seeds = len(found["random"])
    random = np.random.default_rng(0)
    sources = [world.examples[k].source for k in world.held_out]
    resampled = list(draws_of_sources(sources, RESAMPLES, 0))
    drawn = random.integers(0, seeds, (RESAMPLES, seeds))
    made = []
    for name in METRICS:
        whole = np.arange(len(sources))
        value = {s: _values(world, name, scores, whole) for s, scores in found.items()}
        again = {
            s: np.stack([
                _values(world, name, scores[picked], rows).mean(axis=0)
                for picked, rows in zip(drawn, track(resampled, f"{name}, {s}"), strict=True)
            ])
            for s, scores in found.items()
        }  # fmt: skip
        for s in found:
            by_seed = value[s][drawn].mean(axis=1)
            for k, size in enumerate(sizes):
                mean = _estimate(value[s][:, k].mean(), by_seed[:, k], seeds, "bootstrap of seeds")
                gain = (value[s] - value["random"])[:, k].mean()
                spread = again[s][:, k] - again["random"][:, k]
                made.append(
                    Point(s, size, name, mean, _estimate(gain, spread, seeds, "bootstrap of seeds and sources"))
                )
    return made


def _values(world: World, name: str, scores: Floats, rows: Ints) -> Floats:
    """The metric of each seed and size, (seeds, sizes): precision on labelled rows, the rate on all."""
    rows = rows[world.labelled[rows]] if name == "average precision" else rows
    truth = world.holds(world.held_out, TARGET)[rows]
    return np.array([[METRICS[name](truth, one[rows]) for one in of_seed] for of_seed in scores])


def _estimate(value: float, drawn: Floats, n: int, method: str) -> Estimate:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high), n, method)


def markdown(found: Sequence[Point]) -> str:
    """A table for each metric: random choice, and what the others have over it."""
    others = [s for s in STRATEGIES if s != "random"]
    lines = []
    for name in METRICS:
        lines += ["", f"| labels | {name}, random | " + " | ".join(f"{s}, and over random" for s in others) + " |"]
        lines.append("| ---: " * (2 + len(others)) + "|")
        by = {(one.strategy, one.labels): one for one in found if one.metric == name}
        for size in sorted({one.labels for one in found}):
            cells = [_told(by["random", size].mean)]
            cells += [f"{by[s, size].mean.value:.3f}; {_signed(by[s, size].over_random)}" for s in others]
            lines.append(f"| {size:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines).strip() + "\n"


def _told(one: Estimate) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def plot(found: Sequence[Point], file: Path) -> None:
    """Above each metric by number of labels; below what active choice has over random choice."""
    from matplotlib.figure import Figure as Page

    page = Page(figsize=(10, 6.4), layout="constrained")
    axes = page.subplots(2, len(METRICS), sharex=True)
    for column, name in enumerate(METRICS):
        for marker, strategy in zip("osD", STRATEGIES, strict=True):
            mine = [one for one in found if one.metric == name and one.strategy == strategy]
            _line(axes[0, column], [one.labels for one in mine], [one.mean for one in mine], marker, strategy)
            if strategy != "random":
                gains = [one.over_random for one in mine]
                _line(axes[1, column], [one.labels for one in mine], gains, marker, strategy, f"C{'osD'.index(marker)}")
        axes[1, column].axhline(0, color="black", lw=0.6)
        axes[0, column].set(title=f"{name}, held-out sources", xscale="log")
        ticks = sorted({one.labels for one in found})
        axes[1, column].set(xlabel="labels", xticks=ticks, xticklabels=[str(one) for one in ticks])
        axes[1, column].tick_params(axis="x", labelrotation=45, which="major")
        axes[1, column].minorticks_off()
    axes[0, 0].set(ylabel="mean over seeds (95 %, seeds)")
    axes[1, 0].set(ylabel="minus random (95 %, seeds and sources)")
    axes[0, 0].legend(title="chosen by", loc="lower right")
    page.savefig(file, metadata={"Date": None})


def _line(
    axis: object, at: list[int], figures: list[Estimate], marker: str, name: str, color: str | None = None
) -> None:
    (drawn,) = axis.plot(at, [one.value for one in figures], marker=marker, ms=4, label=name, color=color)  # type: ignore[attr-defined]
    low, high = [one.low for one in figures], [one.high for one in figures]
    axis.fill_between(at, low, high, alpha=0.15, color=drawn.get_color(), lw=0)  # type: ignore[attr-defined]


def main() -> None:
    """Run all strategies with all seeds, and write figures, table and plot."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.learning_curve", description=__doc__)
    parser.add_argument("--labels", default="labels/real", help="file or folder of label records")
    parser.add_argument("--texts", required=True, help="folder with the texts that they point to, and ordinary ones")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for figures, table and plot")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of labels, rising")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    options = LinearOptions()
    world = make_world(load_training_data([arguments.labels], [arguments.texts], [arguments.texts]), options)
    sizes = [size for size in arguments.sizes if size <= len(world.pool)]
    runs = [(s, seed) for seed in range(arguments.seeds) for s in STRATEGIES]
    scores: dict[str, list[Floats]] = {s: [] for s in STRATEGIES}
    positives: dict[str, list[list[int]]] = {s: [] for s in STRATEGIES}
    for s, seed in track(runs, "learning curves"):
        steps = list(curve(world, STRATEGIES[s], sizes, seed, options))
        scores[s].append(np.stack([step[0] for step in steps]))
        positives[s].append([step[1] for step in steps])
    found = points(world, {s: np.stack(of) for s, of in scores.items()}, sizes)
    about = {
        "pool": len(world.pool), "of which adverse": int(world.holds(world.pool, TARGET).sum()),
        "ordinary texts in training": len(world.free), "held-out labelled": int(world.labelled.sum()),
        "of which adverse ": int(world.holds(world.held_out, TARGET).sum()),
        "held-out ordinary texts": int((~world.labelled).sum()), "seeds": arguments.seeds,
        "adverse among the labels": {s: np.mean(of, axis=0).tolist() for s, of in positives.items()},
    }  # fmt: skip
    content = {"about": about, "points": [asdict(one) for one in found]}
    (arguments.out / "learning_curve.json").write_text(json.dumps(content, indent=1), "utf-8")
    (arguments.out / "learning_curve.md").write_text(markdown(found), "utf-8")
    plot(found, arguments.out / "learning_curve.svg")
    print(about, markdown(found), sep="\n\n")


if __name__ == "__main__":
    main()
