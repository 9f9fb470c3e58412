"""Metrics against scikit-learn and by hand; intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from classifiers.evaluation import (
    average_precision,
    by_source,
    expected_calibration_error,
    pairs_ranked_right,
    recall_at_fpr,
    threshold_at_fpr,
    wilson,
)


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.random(200) < 0.1
    truth[0] = True
    scores = np.round(random.random(200) + 0.2 * truth, 1 + seed % 3)  # with ties
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))


def test_undefined_metrics_are_not_numbers() -> None:
    assert np.isnan(average_precision(np.zeros(3, bool), np.arange(3.0)))
    assert np.isnan(recall_at_fpr(0.1)(np.ones(3, bool), np.arange(3.0)))


@pytest.mark.parametrize("fpr", [0.0, 0.001, 0.01, 0.5, 1.0])
def test_the_threshold_lets_no_more_negatives_pass_than_allowed(fpr: float) -> None:
    scores = np.round(np.random.default_rng(1).random(1234), 2)
    limit = threshold_at_fpr(scores, fpr)
    assert np.mean(scores >= limit) <= fpr
    lower = np.max(scores[scores < limit], initial=-1.0)
    assert fpr == 1.0 or np.mean(scores >= lower) > fpr


def test_recall_at_fpr_by_hand() -> None:
    truth = np.array([1, 1, 1, 0, 0, 0, 0], bool)
    scores = np.array([0.9, 0.5, 0.1, 0.8, 0.4, 0.3, 0.2])
    assert recall_at_fpr(0.0)(truth, scores) == pytest.approx(1 / 3)
    assert recall_at_fpr(0.25)(truth, scores) == pytest.approx(2 / 3)


def test_calibration_error() -> None:
    random = np.random.default_rng(2)
    scores = random.random(20_000)
    truth = random.random(20_000) < scores
    assert expected_calibration_error(truth, scores) < 0.02
    assert expected_calibration_error(truth, np.clip(scores + 0.3, 0, 1)) > 0.15


def test_pairs() -> None:
    truth = np.array([True, False, True, False, False, True, True])
    scores = np.array([0.9, 0.1, 0.2, 0.3, 0.5, 0.5, 0.9])
    figure = pairs_ranked_right(truth, scores, ["a", "a", "b", "b", "c", "c", "alone"])
    assert (figure.value, figure.n) == (0.5, 3)


def test_wilson_covers() -> None:
    random = np.random.default_rng(3)
    for share in (0.03, 0.1, 0.5):
        limits = [wilson(hits, 100) for hits in random.binomial(100, share, 4000)]
        assert np.mean([low <= share <= high for low, high in limits]) > 0.92
    assert wilson(0, 0) == (0.0, 1.0)


def test_resampling_sources_covers_where_sources_differ() -> None:
    """Sources with recall of their own: the interval holds the mean recall about as often as it says."""
    random = np.random.default_rng(4)
    covered = 0
    for run in range(60):
        rates = random.beta(4, 4, 25)
        sources = np.repeat([str(k) for k in range(25)], 30)
        truth = np.ones(750, bool)
        scores = (random.random(750) < np.repeat(rates, 30)).astype(float)
        figure = by_source(lambda t, s: float(s[t].mean()), truth, scores, list(sources), resamples=200, seed=run)
        covered += figure.low <= 0.5 <= figure.high
    assert covered >= 50
