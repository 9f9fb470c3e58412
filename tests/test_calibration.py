"""Maps from scores to probabilities, and what thresholds are worth, by simulation of documents whose truth is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.calibration import Calibration, fit_calibration, log_odds, reliability, web_weights
from classifiers.evaluation import expected_calibration_error
from classifiers.operating_points import expected_precision, operating_point
from pipeline.schema import Estimate


def draw(n: int, base_rate: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Documents whose scores have normal log-odds, higher by 3 for positives."""
    random = np.random.default_rng(seed)
    truth = random.random(n) < base_rate
    return truth, 1 / (1 + np.exp(-(random.normal(-1.0, 1.0, n) + 3.0 * truth)))


def bayes(scores: NDArray[np.float64], base_rate: float) -> NDArray[np.float64]:
    """The true probability of such a score: log-odds of the normal densities are 3 x - 1.5, x counted from -1."""
    return 1 / (1 + np.exp(-(3 * (log_odds(scores) + 1) - 4.5 + log_odds(base_rate))))


def test_a_map_fitted_on_rich_documents_is_right_where_positives_are_rare() -> None:
    truth, scores = draw(40_000, 0.3, 0)
    weights = web_weights(truth, np.zeros(len(truth), bool), 1e-2, 0.0)
    found = fit_calibration(scores, truth, weights, 1e-2)
    rare_truth, rare_scores = draw(200_000, 1e-2, 1)
    probabilities = found.probability(rare_scores)
    assert probabilities.mean() == pytest.approx(rare_truth.mean(), rel=0.1)
    assert np.abs(probabilities - bayes(rare_scores, 1e-2)).mean() < 0.002
    assert expected_calibration_error(rare_truth, probabilities) < 0.002
    uncorrected = fit_calibration(scores, truth, np.full(len(truth), 1 / len(truth)), 0.3)
    assert expected_calibration_error(rare_truth, uncorrected.probability(rare_scores)) > 0.02


def test_another_base_rate_moves_the_log_odds_by_the_difference() -> None:
    truth, scores = draw(40_000, 0.3, 2)
    at_a_hundredth = fit_calibration(scores, truth, web_weights(truth, ~truth, 1e-2, 1.0), 1e-2)
    shifted = at_a_hundredth.probability(scores, 1e-3)
    assert np.abs(shifted - bayes(scores, 1e-3)).max() < 0.1
    inside = scores > 0.5  # far from the ends, where log-odds are cut
    moved = log_odds(at_a_hundredth.probability(scores)) - log_odds(shifted)
    assert np.allclose(moved[inside], np.log(999 / 99), atol=1e-3)


def test_scores_at_the_ends_have_finite_log_odds() -> None:
    assert np.isfinite(log_odds(np.array([0.0, 1.0, 1.00001]))).all()
    assert 0 <= Calibration(1.0, 0.0, 0.5).probability(np.array([0.0]))[0] < 1e-5


def test_separable_documents_give_a_finite_map_and_one_class_none() -> None:
    truth, scores = np.array([True] * 5 + [False] * 50), np.array([0.9, 0.8, 0.85, 0.95, 0.7] + [0.1] * 50)
    found = fit_calibration(scores, truth, web_weights(truth, ~truth, 1e-3, 1.0), 1e-3)
    assert np.isfinite([found.slope, found.intercept]).all()
    with pytest.raises(ValueError, match="without it"):
        fit_calibration(scores, np.ones(55, bool), np.ones(55), 1e-3)


def test_weights_are_those_of_the_web() -> None:
    truth = np.array([1, 1, 0, 0, 0, 0], bool)
    about_ai = np.array([1, 1, 1, 0, 0, 0], bool)
    weights = web_weights(truth, about_ai, 1e-3, 2e-2)
    assert weights[truth].sum() == pytest.approx(1e-3)
    assert weights[2] == pytest.approx(1.9e-2)
    assert weights.sum() == pytest.approx(1.0)


def test_reliability_of_true_probabilities_lies_on_the_diagonal() -> None:
    truth, scores = draw(200_000, 0.05, 3)
    rows = reliability(truth, bayes(scores, 0.05), np.ones(len(truth)))
    assert sum(row["documents"] for row in rows) == len(truth)
    for row in rows:
        if row["positives"] > 100:
            assert row["share"] == pytest.approx(row["probability"], rel=0.25)


def test_expected_precision_is_bayes_rule() -> None:
    def sure(value: float) -> Estimate:
        return Estimate(value, value, value, 100, "by hand")

    found = expected_precision(1e-3, sure(0.5), sure(1e-4), sure(1e-2), ai_share=0.02)
    alarms = 0.999 * (0.98 * 1e-4 + 0.02 * 1e-2)
    assert found.value == pytest.approx(5e-4 / (5e-4 + alarms))
    assert np.isnan(expected_precision(1e-3, sure(0.0), sure(0.0), sure(0.0), ai_share=0.02).value)


def test_a_threshold_that_no_negative_reached_promises_no_perfect_precision() -> None:
    random = np.random.default_rng(4)
    truth = np.arange(400) < 100
    about_ai, sources = np.arange(400) < 250, [str(k % 20) for k in range(400)]
    scores = np.where(truth, 0.5 + 0.5 * random.random(400), 0.4 * random.random(400))
    point = operating_point(scores, truth, about_ai, sources, 0.6, ai_share=0.02, resamples=200)
    assert point.fpr_background.value == 0 and 0 < point.fpr_background.high < 0.05
    assert point.precision["1e-03"].value == 1 and point.precision["1e-03"].low < 0.2
    assert point.recall.low < np.mean(scores[truth] >= 0.6) == point.recall.value < point.recall.high
