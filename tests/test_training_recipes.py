"""The bench of recipes: how texts are changed to train on, and that a change trains and is judged on other sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifiers.features import plain_words
from classifiers.linear import LinearOptions
from classifiers.training import Example, Hyperparameters
from jobs.training_data import WRITTEN
from tests.bench.changed_texts import CUTS, cut, framed, masked, noisy, plain, swapped_positive, with_changed
from tests.bench.training_recipes import GROUPS, LINEAR_FILE, METRICS, PAIRS, WEB, Bench, Recipe, markdown, row, rows

OPTIONS = LinearOptions(bucket=500, min_count=1, prior_weight=10)
TOLD = "The robot, HAL-like, didn't obey. It locked its crew out! Nobody asked why.\nThe door stayed shut."


def example(text: str, *labels: str, source: str = "s", collection: str | None = "s") -> Example:
    return Example(text, frozenset(labels), source, collection, 0.8)


def texts() -> list[Example]:
    """Of 20 sources: adverse, about AI and neither, told apart by two words; pairs of our own; ordinary texts."""
    random, found = np.random.default_rng(0), []
    for k in range(240):
        words = [f"word{j}" for j in random.integers(0, 40, 20)]
        words[4:7] = ["robot", "destroys" if k % 3 == 0 else "waters", "plants"]
        source = f"source {k % 20}" if k < 200 else f"pair {k // 2}"
        labels = ("ai", "adverse") if (k % 3 == 0 if k < 200 else k % 2 == 0) else ("ai",)
        words[5] = "destroys" if "adverse" in labels else "waters"
        collection = source if k < 200 else WRITTEN
        found.append(Example(" ".join(words), frozenset(labels), source, collection))
    return found + [Example(f"weather {k} is calm word{k}", frozenset(), f"paper {k % 10}") for k in range(60)]


def test_a_cut_is_a_passage_with_its_labels() -> None:
    long = example(" ".join(f"w{k}" for k in range(400)), "ai")
    part = cut(long)
    assert part is not None and part.text.strip() in long.text and part.labels == long.labels
    assert len(part.text.split()) in CUTS and cut(long) == part
    assert cut(example("too short to cut", "ai")) is None


def test_noise_and_frames_keep_labels_and_most_words() -> None:
    one = example(TOLD, "ai", "adverse")
    loud, page = noisy(one), framed(one)
    assert loud is not None and loud.labels == page.labels == one.labels
    assert b"didnt" in plain_words(loud.text) and any(word.isupper() and len(word) > 2 for word in loud.text.split())
    assert plain(one).text.startswith("the robot hal like didn t obey it") and plain(one).labels == one.labels
    assert one.text in page.text and len(plain_words(page.text)) > len(plain_words(one.text)) + 8


def test_names_are_masked_whatever_the_labels_and_swaps_make_negatives() -> None:
    good, bad = example("Claude and Skynet met a robot.", "ai"), example("Skynet, a robot, killed.", "ai", "adverse")
    for one in (good, bad):
        hidden = masked(one)
        assert hidden is not None and "Skynet" not in hidden.text and hidden.labels == one.labels
    assert masked(example("A robot.", "ai")) is None and swapped_positive(good) is None
    swapped = swapped_positive(bad)
    assert swapped is not None and "robot" not in swapped.text and swapped.labels == frozenset()


def test_a_copy_and_its_original_share_the_weight() -> None:
    named, plain = example("Skynet woke.", "ai"), example("A lamp.", "ai")
    grown = with_changed([named, plain], masked)
    assert [one.weight for one in grown] == [0.4, 0.8, 0.4]
    assert grown[0] == replace(named, weight=0.4) and "Skynet" not in grown[2].text


def test_recipes_are_judged_on_sources_that_they_did_not_see() -> None:
    bench = Bench(texts())
    whole = bench.scores(Recipe("whole", OPTIONS, vectors=False))
    assert len(whole) == len(bench.examples)
    figures = row(bench.examples, "whole", whole, whole)
    assert all(figures.more[name].value == 0 for name in METRICS)
    assert figures.figures["average precision, documents about AI"].value > 0.9
    assert figures.figures[PAIRS].n == 20
    giveaway = [replace(one, text=f"{one.text} secret{one.source[-1]}") for one in bench.examples]
    assert not np.allclose(Bench(giveaway).scores(Recipe("other", OPTIONS, vectors=False)), whole)


def test_a_change_trains_and_leaves_the_judged_texts_alone() -> None:
    bench, recipe = Bench(texts()), Recipe("spoiled", OPTIONS, vectors=False)
    whole = bench.scores(recipe)

    def spoil(one: Example) -> Example:
        return replace(one, labels=one.labels ^ {"adverse"} if "ai" in one.labels else one.labels)

    spoiled = bench.scores(replace(recipe, change=spoil))
    worse = row(bench.examples, "spoiled", spoiled, whole)
    assert len(spoiled) == len(whole)
    assert worse.more["average precision, documents about AI"].high < -0.2  # a copy of every text says the opposite


def test_fasttext_is_scored_in_the_order_of_the_texts() -> None:
    pytest.importorskip("fasttext")
    bench = Bench(texts())
    small = Recipe("fastText", Hyperparameters(dim=8, epoch=40, bucket=500, min_count=1))
    found = bench.scores(small)
    assert np.array_equal(bench.scores(replace(small, change=plain)), found)  # these texts are plain already
    truth = np.array(["adverse" in one.labels for one in bench.examples])
    assert np.mean(found[truth]) > np.mean(found[~truth]) + 0.3
    assert "fastText" in markdown([row(bench.examples, "fastText", found, found)])


def test_model_files_are_scored_in_the_order_of_the_texts_and_mind_absent_words() -> None:
    bench = Bench(texts())
    found = {lost: bench.scores(Recipe("file", replace(OPTIONS, absent=lost), file=True)) for lost in (0.0, -3.0)}
    truth = np.array(["adverse" in one.labels for one in bench.examples])
    ordinary = np.array([one.collection is None for one in bench.examples])
    assert np.mean(found[0.0][truth]) > np.mean(found[0.0][~truth]) + 0.3
    assert np.array_equal(found[0.0][~ordinary], found[-3.0][~ordinary])  # all of them say "robot"
    assert (found[-3.0][ordinary] < 0.2 * found[0.0][ordinary]).all()
    figures = row(bench.examples, "file", found[-3.0], found[0.0])
    assert 0.9 < figures.figures[WEB].value <= 1 and figures.figures[WEB].n == 260


def test_each_kind_of_recipe_is_compared_with_the_linear_trainers_of_its_kind() -> None:
    bench = Bench(texts())
    chosen = [Recipe("one", OPTIONS, vectors=False), Recipe("two", replace(OPTIONS, absent=-3.0), file=True)]
    found = list(rows(bench, chosen))
    assert [one.recipe for one in found] == [LINEAR_FILE.name, "two", "linear trainer", "one"]
    for first in (found[0], found[2]):
        assert all(more.value == 0 for more in first.more.values())
    assert [one.recipe for one in rows(bench, [])] == ["linear trainer"]


def test_no_two_recipes_are_called_the_same() -> None:
    names = [one.name for group in GROUPS.values() for one in group]
    assert len(set(names)) == len(names)
