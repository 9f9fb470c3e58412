"""The bench of learning curves: what it may see, what it chooses, and how it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classifiers.linear import LinearOptions
from jobs.training_data import LabelledText, TrainingData
from labels import codebook
from labels.records import LabelRecord, text_digest
from labels.split import is_held_out
from tests.bench.learning_curve import METRICS, SOURCE_CAP, STRATEGIES, World, curve, make_world, markdown, plot, points

OPTIONS = LinearOptions(bucket=500, min_count=1)


@pytest.fixture(scope="module")
def world() -> World:
    """400 labelled documents of 40 sources, a fifth adverse, and ordinary texts of 20 others."""
    random = np.random.default_rng(0)
    labelled = []
    for i in range(400):
        bad = i % 5 == 0
        words = [f"{'bad' if bad else 'good'}{k}" for k in random.integers(0, 40, 20)] + [f"n{i}", "robot"]
        text = " ".join(random.permutation(words))
        holds = dict.fromkeys(codebook.LABELS, False) | dict.fromkeys(("ai", "adverse", "hostile"), bad)
        labelled.append(LabelledText(
            LabelRecord(text_digest(text), str(i), f"source {i % 40}", mode="news" if bad else "none", annotator="a",
                        kind="human", **holds), text,
        ))  # fmt: skip
    background = [
        (f"paper {i % 20}", f"weather {i} " + " ".join(f"calm{k}" for k in range(i, i + 9))) for i in range(60)
    ]
    return make_world(TrainingData(labelled, background, 0), OPTIONS)


def test_the_pool_has_no_held_out_source_and_ordinary_texts_are_free(world: World) -> None:
    sources = {part: {world.examples[k].source for k in rows} for part, rows in
               (("pool", world.pool), ("free", world.free), ("held out", world.held_out))}  # fmt: skip
    assert not any(is_held_out(source) for source in sources["pool"] | sources["free"])
    assert all(is_held_out(source) for source in sources["held out"])
    assert all(source.startswith("paper") for source in sources["free"])
    assert not sources["free"] & {world.examples[k].source for k in world.gauge} and len(world.gauge)
    assert 0 < world.labelled.sum() < len(world.held_out)
    assert len(world.words) == len(world.speaks_of_ai) == len(world.pool)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_chooses_what_is_left_and_no_more_of_a_source_than_may_be(world: World, strategy: str) -> None:
    random = np.random.default_rng(1)
    scores = random.random(len(world.examples))
    left = world.pool[50:]
    chosen = STRATEGIES[strategy](world, scores, left, 60, random)
    assert len(set(chosen)) == 60 and set(chosen) <= set(left)
    if strategy != "random":
        sources = [world.examples[k].source for k in chosen]
        assert max(sources.count(one) for one in set(sources)) <= SOURCE_CAP * 60


def test_curves_begin_alike_and_random_has_nothing_over_itself(world: World, tmp_path: Path) -> None:
    sizes = (60, 120)
    found = {
        s: np.stack([[one for one, _ in curve(world, choose, sizes, seed, OPTIONS)] for seed in range(2)])
        for s, choose in STRATEGIES.items()
    }
    assert all((scores[:, 0] == found["random"][:, 0]).all() for scores in found.values())
    assert found["margin"].shape == (2, 2, len(world.held_out)) and (found["margin"][0] != found["margin"][1]).any()
    made = points(world, found, sizes)
    assert len(made) == len(METRICS) * len(STRATEGIES) * 2
    assert {vars(one.over_random)["value"] for one in made if one.strategy == "random"} == {0.0}
    last = next(one for one in made if (one.strategy, one.labels, one.metric) == ("random", 120, "average precision"))
    assert last.mean.low <= last.mean.value <= last.mean.high and last.mean.value > 0.8
    assert "| 120 |" in markdown(made)
    plot(made, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
