"""The bench of label counts: what trains each model, and how its figures are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classifiers.linear import LinearOptions
from classifiers.training import Example
from jobs.training_data import WRITTEN
from tests.bench.label_count import (
    ABLATION,
    FOLDS,
    ON_AI,
    Draw,
    Ground,
    Recipe,
    make_ground,
    markdown,
    plot,
    points,
    training_rows,
    unseen_scores,
)

OPTIONS = LinearOptions(bucket=500, min_count=1)


@pytest.fixture(scope="module")
def ground() -> Ground:
    """200 labelled documents of 20 sources, half adverse; 40 passages of our own in 20 pairs; 40 ordinary texts."""
    random = np.random.default_rng(0)

    def text(bad: bool) -> str:
        told = random.random(20) < (0.65 if bad else 0.35)
        words = zip(told, random.integers(0, 40, 20), strict=True)
        return " ".join(f"{'bad' if one else 'good'}{k}" for one, k in words) + " robot"

    def example(i: int, source: str, collection: str) -> Example:
        return Example(text(i % 2 == 0), frozenset({"ai", "adverse"} if i % 2 == 0 else {"ai"}), source, collection)

    real = [example(i // 20, f"source {i % 20}", f"source {i % 20}") for i in range(200)]
    own = [example(i, f"pair {i // 2}", WRITTEN) for i in range(40)]
    ordinary = [Example(f"weather {i} calm", frozenset(), f"paper {i % 10}") for i in range(40)]
    return make_ground(real + own + ordinary, OPTIONS)


@pytest.mark.parametrize("draw", ["documents", "sources"])
def test_fewer_documents_are_part_of_more_and_none_of_the_fold(ground: Ground, draw: Draw) -> None:
    small, large = (set(training_rows(ground, Recipe(n), 1, draw, seed=4)) for n in (30, 90))
    assert small < large and len(large - small) == 60
    assert {ground.folds[k] for k in large} == set(range(FOLDS)) - {1}
    kept = {k for k in small if not ground.written[k] and not ground.ordinary[k]}
    assert len(kept) == 30
    assert len({ground.examples[k].source for k in kept}) == 3 or draw == "documents"
    assert kept != set(training_rows(ground, Recipe(30), 1, draw, seed=5)) & kept


def test_half_of_our_own_passages_keep_their_pairs_together(ground: Ground) -> None:
    rows = training_rows(ground, Recipe(own_share=0.5), 0, "documents", seed=0)
    own = [ground.examples[k].source for k in rows if ground.written[k]]
    outside = int((ground.written & (ground.folds != 0)).sum())
    assert len(own) == outside // 2 and {own.count(one) for one in own} == {2}


def test_figures_of_all_recipes_against_all_documents(ground: Ground, tmp_path: Path) -> None:
    recipes = (Recipe(20), *ABLATION)
    found = {one: [unseen_scores(ground, one, "documents", seed, OPTIONS) for seed in range(2)] for one in recipes}
    made = points(ground, "documents", found)
    whole = next(one for one in made if one.recipe == Recipe() and one.metric == ON_AI)
    assert whole.value.value > 0.7 and whole.all_over_this.value == 0 and whole.documents == 160
    fewest = next(one for one in made if one.recipe == Recipe(20) and one.metric == ON_AI)
    assert fewest.documents == 20 and fewest.value.value < whole.value.value
    assert fewest.all_over_this.value == pytest.approx(whole.value.value - fewest.value.value)
    assert "| 160 | 80 | 16 |" in markdown(made, own=False) and "| 100%, weight 3 |" in markdown(made, own=True)
    plot([one for one in made if one.recipe in (Recipe(20), Recipe())], tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
