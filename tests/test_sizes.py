"""Intervals by words where positives are much longer than the rest, few, and of skewed sizes."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.prevalence.melding import Chances, size_of
from pipeline.prevalence.sample import Sample, size_biased, stratified
from pipeline.prevalence.two_phase import TwoPhase

DOCUMENTS, POSITIVES = np.array([8000, 1500, 500]), np.array([80, 150, 400])


def corpus(random: np.random.Generator, times: float) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Words of the positives by stratum, so many times as long as the rest; of all, and of an unseen positive."""
    words = [random.lognormal(np.log(times), 1, n) for n in POSITIVES]
    rest = [random.lognormal(0, 1, n) for n in DOCUMENTS - POSITIVES]
    every = [np.append(one, other) for one, other in zip(words, rest, strict=True)]
    return words, np.array([one.sum() for one in every]), np.array([size_biased(one) for one in every])


@pytest.mark.parametrize("labelled", [(1000, 400, 300), (1000, 800, 450)])
def test_intervals_by_words_hold_in_a_corpus_of_which_much_is_read(labelled: tuple[int, ...]) -> None:
    random, read, inside, exact = np.random.default_rng(3), np.array(labelled), 0, 0
    for k in range(250):
        if k % 5 == 0:
            words, whole, unseen = corpus(random, 10)
            truth = sum(one.sum() for one in words) / whole.sum()
        found = random.hypergeometric(POSITIVES, DOCUMENTS - POSITIVES, read)
        sizes = [random.choice(one, n, replace=False) for one, n in zip(words, found, strict=True)]
        sample = Sample(DOCUMENTS, read, sizes, whole, unseen)
        one, other = (stratified(sample, form=form, draws=2000).estimate for form in ("mid-p", "exact"))
        inside += one.low <= truth <= one.high
        exact += other.low <= truth <= other.high
    assert inside >= 0.92 * 250 and exact >= 0.95 * 250 and exact >= inside


def test_the_sum_of_unread_sizes_scatters_as_sizes_do() -> None:
    random = np.random.default_rng(1)
    sizes = random.lognormal(0, 1, 4000)
    drawn = size_of(np.full(20_000, 50.0), sizes, 1.0, np.zeros(20_000, bool), random)
    assert drawn.mean() == pytest.approx(50 * sizes.mean(), rel=0.03)
    assert drawn.std() == pytest.approx(50**0.5 * sizes.std(), rel=0.1)
    alike = size_of(np.arange(5.0), np.full(3, 7.0), 7.0, np.ones(5, bool), random)
    assert alike.tolist() == [0, 7, 14, 21, 28]
    none = size_of(np.array([0.0, 2.0]), np.zeros(0), 3.0, np.array([False, True]), random)
    assert none.tolist() == [0.0, 6.0]


def test_an_unseen_positive_may_be_as_long_as_the_longest_that_was_read() -> None:
    random, every = np.random.default_rng(1), np.ones(20_000, bool)
    short, long = (
        size_of(np.ones(20_000), np.array([1.0, 9.0]), unseen, every, random).mean() for unseen in (2.0, 90.0)
    )
    assert short == pytest.approx((1 + 9 + 9) / 3, rel=0.05) and long == pytest.approx(100 / 3, rel=0.05)
    one, two = (
        TwoPhase(
            np.array([1000]), np.array([200]), np.array([50]), np.array([25]), [np.array([1.0, 1.0, size])],
            np.array([75]), [np.array([1.0])], np.array([2000.0]), np.array([1.0]),
        ).melded(Chances(draws=4000))
        for size in (1.0, 30.0)
    )  # fmt: skip
    assert two.interval()[1] > 3 * one.interval()[1]
