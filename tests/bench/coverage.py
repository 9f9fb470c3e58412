"""How often the intervals hold: simulated audits of populations of 4 million documents, seeded.

The populations are simulated by cell of score and proxy, and their audits by stratum, so that none is ever written out.
``python -m tests.bench.coverage`` writes a table (JSON and Markdown) and a plot.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy import stats

from pipeline.prevalence.adjusted import Checks, annotators_corrected
from pipeline.prevalence.allocation import allocate, anticipate
from pipeline.prevalence.bounds import clopper_pearson
from pipeline.prevalence.clusters import Clusters, by_domains
from pipeline.prevalence.figure import Figure
from pipeline.prevalence.regression import mean_scores, regressed
from pipeline.prevalence.sample import Sample, count_sample, size_biased, stratified
from pipeline.prevalence.strata import CELLS, GRID, Histogram, Strata, make_strata

Ints = NDArray[np.int64]
Audit = tuple[Figure, bool]
"""A figure, and whether Wald's interval on the same labels held."""
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DOCUMENTS = 4_000_000
PREVALENCES = (1e-2, 1e-3, 1e-4, 1e-5)
LABELS = (500, 2_000, 10_000)
REGRESSION = "regression on the score"
KINDS = (
    "plain", "clustered", "annotators 3 % wrong", "by words", "expected 10 times too high", "expected 10 times too low",
    "whole domains", REGRESSION,
)  # fmt: skip
COMMON = (0.3, 0.1, 1e-2, 1e-3)
"""Prevalences at which regression on the score is tried: it is for common labels."""
ERROR = 0.03
GOLD = 200
"""Known positives, mixed in blind, by which the annotators' sensitivity is measured."""
WORDS, SPREAD = 500.0, 1.0
"""Mean words of a document, and the spread of their logarithm."""
DOMAIN = 20
"""Documents in a domain, on average."""
DRAWS = 4_000
LEAST, MORE = 0.94, 8
"""Least coverage wanted, and how many times as many audits are simulated where it is undecided."""


@dataclass(frozen=True)
class Classifier:
    """Log-odds are normal with the same spread in both classes, ``distance`` spreads apart; ``missed`` of the positives
    score like negatives. The proxy, of the distance ``proxy``, knows nothing of the score."""

    name: str
    distance: float
    missed: float = 0.0
    proxy: float = 2.5


CLASSIFIERS = (Classifier("good", 4), Classifier("poor", 2), Classifier("15 % unseen", 4, 0.15))


@dataclass(frozen=True)
class Population:
    """By stratum, int64, shape (strata,): documents and how many are positive; ``lowest`` are indices. ``cells``: the
    strata, and by cell, (`CELLS` * `CELLS`,), positives and the rest."""

    documents: Ints
    positives: Ints
    lowest: Ints
    cells: tuple[Strata, Ints, Ints]

    @property
    def truth(self) -> float:
        """The prevalence."""
        return float(self.positives.sum() / self.documents.sum())


@dataclass(frozen=True)
class Cell:
    """What was simulated, and what came of it. ``width`` is a mean; ``ratio`` is to the mean width of Clopper-Pearson
    on a simple random sample; ``wald`` the coverage of Wald's interval on the same audits."""

    classifier: str
    kind: str
    prevalence: float
    labels: int
    audits: int
    coverage: float
    too_low: float
    too_high: float
    width: float
    ratio: float
    too_few: float
    wald: float | None


def make_population(
    classifier: Classifier, prevalence: float, expected: float, *, clustered: bool, seed: int
) -> Population:
    """Draw a population cell by cell, and cut it into strata as a plan does, without knowing its positives."""
    random = np.random.default_rng(seed)
    positives = round(prevalence * DOCUMENTS)
    negative = np.outer(_shares(0), _shares(0))
    of_positives = (1 - classifier.missed) * _shares(classifier.distance) + classifier.missed * _shares(0)
    positive = np.outer(of_positives, _shares(classifier.proxy))
    found = random.multinomial(positives, positive.ravel() / positive.sum()).astype(np.int64)
    if clustered:  # documents of a domain resemble each other: whole domains share a cell
        found = _by_domains(found, random, positives)
    rest = random.multinomial(DOCUMENTS - positives, negative.ravel() / negative.sum())
    sums = np.zeros((CELLS, CELLS, 5))
    sums[..., 0] = (found + rest).reshape(CELLS, CELLS)
    strata = make_strata(Histogram(sums, np.zeros(5)), expected)
    held = np.bincount(strata.table.ravel(), weights=found, minlength=len(strata)).astype(np.int64)
    lowest = np.flatnonzero([one.lowest for one in strata])
    return Population(np.array([one.documents for one in strata], np.int64), held, lowest, (strata, found, rest))


def _by_domains(found: Ints, random: np.random.Generator, positives: int) -> Ints:
    cells = random.permutation(np.repeat(np.arange(len(found)), found))[:: DOMAIN // 2]
    return np.bincount(np.repeat(cells, DOMAIN // 2)[:positives], minlength=len(found)).astype(np.int64)


def _shares(distance: float) -> Floats:
    """Of the grid's cells; log-odds are 2 z - 4."""
    edges = (np.log(GRID / (1 - GRID)) + 4) / 2
    return np.diff(stats.norm.cdf(np.concatenate([[-np.inf], edges, [np.inf]]) - distance))


def audits(population: Population, labels: int, expected: float, kind: str, seed: int) -> Iterator[Audit]:
    """Independent audits without end."""
    random = np.random.default_rng(seed)
    sizes = allocate(population.documents, anticipate(population.documents, population.lowest, expected), labels)
    while True:
        found = random.hypergeometric(population.positives, population.documents - population.positives, sizes)
        if kind == "annotators 3 % wrong":
            yield _by_annotators(population, sizes, found, random), False
        else:
            yield _figure(population, sizes, found), _wald_holds(population, sizes, found)


def _by_annotators(population: Population, sizes: Ints, found: Ints, random: np.random.Generator) -> Figure:
    """They miss 3 % of the positives; the 3 % that they wrongly call positive are read again and put right."""
    seen = random.binomial(found, 1 - ERROR)
    checks = Checks(int(random.binomial(GOLD, 1 - ERROR)), GOLD)
    return annotators_corrected(count_sample(population.documents, sizes, seen), checks, None, draws=DRAWS)


def regression_audits(population: Population, labels: int, expected: float, seed: int) -> Iterator[Audit]:
    """Audits without end, whose strata take the regression on the score where they can."""
    random = np.random.default_rng(seed)
    sizes = allocate(population.documents, anticipate(population.documents, population.lowest, expected), labels)
    strata, positive, rest = population.cells
    scores = np.repeat(np.append(0.0, GRID), CELLS)
    sums = np.zeros((CELLS, CELLS, 5))
    sums[..., 0] = (positive + rest).reshape(CELLS, CELLS)
    means = mean_scores(Histogram(sums, np.zeros(5)), strata)
    inside = [np.flatnonzero((strata.table.ravel() == h) & (positive + rest > 0)) for h in range(len(sizes))]
    at = np.repeat(np.arange(len(sizes)), sizes)
    while True:
        drawn = [
            random.multivariate_hypergeometric(np.append(positive[c], rest[c]), n, method="marginals")
            for c, n in zip(inside, sizes, strict=True)
        ]
        held = np.concatenate(
            [np.repeat([True, False], [d[: len(d) // 2].sum(), d[len(d) // 2 :].sum()]) for d in drawn]
        )
        read = np.concatenate(
            [np.repeat(np.append(scores[c], scores[c]), d) for c, d in zip(inside, drawn, strict=True)]
        )
        found = np.bincount(at[held], minlength=len(sizes))
        sample = count_sample(population.documents, sizes, found)
        yield stratified(regressed(sample, at, read, held, means), draws=DRAWS), False


def word_audits(population: Population, labels: int, expected: float, seed: int) -> tuple[float, Iterator[Audit]]:
    """The share of words that are in positive documents, and audits without end; sizes are log-normal."""
    random = np.random.default_rng(seed)
    sizes = allocate(population.documents, anticipate(population.documents, population.lowest, expected), labels)
    words = [random.lognormal(np.log(WORDS) - SPREAD**2 / 2, SPREAD, n) for n in population.positives]
    unseen = np.full(len(sizes), WORDS * np.exp(SPREAD**2))

    def draws() -> Iterator[Audit]:
        while True:
            found = random.hypergeometric(population.positives, population.documents - population.positives, sizes)
            read = [random.choice(w, n, replace=False) for w, n in zip(words, found, strict=True)]
            whole = np.asarray(population.documents * WORDS, np.float64)
            sample = Sample(population.documents, sizes, read, whole, unseen)
            yield stratified(sample, draws=DRAWS), False

    return float(sum(w.sum() for w in words) / (DOCUMENTS * WORDS)), draws()


@lru_cache(maxsize=1)
def _cache() -> dict[tuple[int, ...], Figure]:
    return {}


def _figure(population: Population, sizes: Ints, found: Ints) -> Figure:
    """Rare positives give the same counts again and again; their interval is made once."""
    key = (*population.documents.tolist(), *sizes.tolist(), *found.tolist())
    known = _cache()
    if key not in known:
        known[key] = stratified(count_sample(population.documents, sizes, found), draws=DRAWS)
    return known[key]


def _wald_holds(population: Population, sizes: Ints, found: Ints) -> bool:
    rate, share = found / sizes, population.documents / DOCUMENTS
    half = 1.96 * float(np.sqrt(np.sum(share**2 * rate * (1 - rate) / sizes)))
    return abs(float(share @ rate) - population.truth) <= half + 1e-15


def domain_audits(prevalence: float, labels: int, seed: int) -> tuple[float, Iterator[Audit]]:
    """Draws of whole domains: the truth, and audits without end. One domain in ten holds nearly all positives."""
    random = np.random.default_rng(seed)
    domains = DOCUMENTS // DOMAIN
    sizes = random.geometric(1 / DOMAIN, domains)
    rate = random.permutation(np.where(np.arange(domains) < domains / 10, 9.5, 0.05)) * prevalence
    positives = random.binomial(sizes, np.minimum(rate * random.gamma(0.3, 1 / 0.3, domains), 1))

    def draws() -> Iterator[Audit]:
        while True:
            at = random.choice(domains, labels // DOMAIN, replace=False)
            drawn = Clusters(
                domains, int(sizes.sum()), float(sizes.sum()), size_biased(sizes.astype(np.float64)), sizes[at],
                sizes[at], positives[at], positives[at].astype(np.float64),
            )  # fmt: skip
            yield by_domains(drawn, draws=DRAWS), False

    return float(positives.sum() / sizes.sum()), draws()


def measure(classifier: Classifier, kind: str, prevalence: float, labels: int, count: int, more: int = 1) -> Cell:
    """Simulate ``count`` audits of one population, or ``more`` times as many if they leave its coverage open."""
    _cache().clear()
    seed = int(-np.log10(prevalence)) * 100 + CLASSIFIERS.index(classifier) * 10 + KINDS.index(kind)
    truth, draws = _simulated(classifier, kind, prevalence, labels, seed)
    got = [next(draws) for _ in range(count)]
    over, under = _misses(got, truth)
    if more > 1 and _undecided(float(np.mean(over | under)), count):
        got += [next(draws) for _ in range((more - 1) * count)]
        over, under = _misses(got, truth)
    too_few = np.array([figure.too_few_labels for figure, _ in got])
    width = float(np.mean([figure.estimate.high - figure.estimate.low for figure, _ in got]))
    wald = (
        float(np.mean([held for _, held in got]))
        if kind not in ("annotators 3 % wrong", "by words", "whole domains", REGRESSION)
        else None
    )
    return Cell(
        classifier.name, kind, prevalence, labels, len(got), float(1 - np.mean(over | under)), float(np.mean(under)),
        float(np.mean(over)), width, width / simple_width(prevalence, labels), float(np.mean(too_few)), wald,
    )  # fmt: skip


def _misses(got: Sequence[Audit], truth: float) -> tuple[Bools, Bools]:
    """Which intervals lie above the truth, and which below; where only the bound is printed, it alone can be wrong."""
    over = [f.estimate.low > truth * (1 + 1e-9) and not f.too_few_labels for f, _ in got]
    return np.array(over), np.array([f.estimate.high < truth * (1 - 1e-9) for f, _ in got])


def _undecided(missed: float, count: int) -> bool:
    """Whether so many audits leave open on which side of `LEAST` the coverage is."""
    return bool(abs(1 - missed - LEAST) < 3 * np.sqrt(LEAST * (1 - LEAST) / count))


def _simulated(
    classifier: Classifier, kind: str, prevalence: float, labels: int, seed: int
) -> tuple[float, Iterator[Audit]]:
    if kind == "whole domains":
        return domain_audits(prevalence, labels, seed)
    expected = prevalence * {"expected 10 times too high": 10, "expected 10 times too low": 0.1}.get(kind, 1)
    population = make_population(classifier, prevalence, expected, clustered=kind == "clustered", seed=seed)
    if kind == "by words":
        return word_audits(population, labels, expected, seed + labels)
    if kind == REGRESSION:
        return population.truth, regression_audits(population, labels, expected, seed + labels)
    return population.truth, audits(population, labels, expected, kind, seed + labels)


@lru_cache
def simple_width(prevalence: float, labels: int) -> float:
    """The mean width of Clopper-Pearson's 95 % interval on a simple random sample."""
    counts = np.arange(labels + 1)
    chances = stats.binom.pmf(counts, labels, prevalence)
    likely = counts[chances > 1e-9]
    bounds = np.array([clopper_pearson(int(x), labels) for x in likely])
    return float(chances[likely] @ (bounds[:, 1] - bounds[:, 0]))


def cells(count: int, kinds: Sequence[str] = KINDS) -> list[Callable[[], Cell]]:
    """All that the table has; whole domains know no classifier, so they stand once."""
    return [
        partial(measure, c, k, p, n, count, MORE)
        for k in kinds
        for c in (CLASSIFIERS[:1] if k == "whole domains" else CLASSIFIERS)
        for p in (COMMON if k == REGRESSION else PREVALENCES)
        for n in LABELS
    ]


def markdown(rows: Sequence[Cell]) -> str:
    """The table, a line for each classifier, kind and prevalence."""
    lines = [
        "| classifier | population | prevalence | " + " | ".join(f"{n:,} labels" for n in LABELS) + " |",
        "| --- | --- | --- | " + " | ".join("---" for _ in LABELS) + " |",
    ]
    groups: dict[tuple[str, str, float], list[Cell]] = {}
    for row in rows:
        groups.setdefault((row.classifier, row.kind, row.prevalence), []).append(row)
    for (classifier, kind, prevalence), group in groups.items():
        shown = " | ".join(
            f"{row.coverage:.1%}, {row.ratio:.2f}" + (f" ({row.too_few:.0%} bound only)" if row.too_few > 0.005 else "")
            for row in group
        )
        lines.append(f"| {'any' if kind == 'whole domains' else classifier} | {kind} | {prevalence:.0e} | {shown} |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[Cell], file: Path) -> None:
    """Coverage and width ratio against prevalence, one panel for each number of labels."""
    from matplotlib.figure import Figure as Page

    page = Page(figsize=(10, 5.6), layout="constrained")
    axes = page.subplots(2, len(LABELS), sharex=True, sharey="row")
    for column, labels in enumerate(LABELS):
        for marker, classifier in zip("osD", CLASSIFIERS, strict=True):
            one = [r for r in rows if (r.labels, r.kind, r.classifier) == (labels, "plain", classifier.name)]
            at = [r.prevalence for r in one]
            axes[0, column].plot(at, [r.coverage for r in one], marker=marker, label=classifier.name)
            axes[0, column].plot(at, [r.wald for r in one], marker=marker, ls=":", lw=0.8, color="grey")
            axes[1, column].plot(at, [r.ratio for r in one], marker=marker, label=classifier.name)
        axes[0, column].axhline(0.95, color="black", lw=0.6)
        axes[0, column].set(title=f"{labels:,} labels", xscale="log")
        axes[1, column].set(xlabel="prevalence")
    axes[0, 0].set(ylabel="coverage of 95 % intervals", ylim=(0, 1.02))
    axes[1, 0].set(ylabel="width / simple random sampling", ylim=(0, None))
    axes[1, 0].legend(title="classifier (dotted above: Wald)", loc="lower left")
    page.savefig(file, metadata={"Date": None})


def main() -> None:
    """Exit status 1 if a cell covers less than `LEAST`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.coverage", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder for table and plot")
    parser.add_argument("--audits", type=int, default=1000, help="simulated audits of each population")
    usual = [kind for kind in KINDS if kind != REGRESSION]  # which draws every audit cell by cell, and takes hours
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=usual)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for run in track(cells(arguments.audits, arguments.kinds), "coverage"):
        rows.append(run())
        (arguments.out / "coverage.json").write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")
    (arguments.out / "coverage.md").write_text(markdown(rows), "utf-8")
    if "plain" in arguments.kinds:
        plot(rows, arguments.out / "coverage.svg")
    print(markdown(rows))
    worst = min(rows, key=lambda row: row.coverage)
    print(f"least coverage, {worst.coverage:.1%}: {worst}")
    raise SystemExit(0 if worst.coverage >= LEAST else 1)


if __name__ == "__main__":
    main()
