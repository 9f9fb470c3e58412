"""The bench of second proxies: weights of the web, ranking by weight, populations of audits, and gates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from classifiers.evaluation import average_precision, recall_at_fpr
from classifiers.scored import ScoredTexts
from classifiers.training import Example
from jobs.training_data import WRITTEN
from tests.bench.coverage import DOCUMENTS
from tests.bench.second_proxy import (
    ANY,
    COUNTED,
    NOTHING,
    USUAL,
    Documents,
    documents_of,
    found_in_top,
    gate_rows,
    markdown,
    population,
    rank_rows,
    recall_at,
    tails,
    weighted_precision,
    widths,
)


def texts(n: int = 600) -> ScoredTexts:
    """Of 20 sources: positives, half of which the score misses though they say "robot", others about AI, texts that
    are not about it but say "bot", plain ones and background."""
    random, examples, score = np.random.default_rng(0), [], []
    for k in range(n):
        kind, filler = k % 6, " ".join(f"w{j}" for j in random.integers(0, 50, 30))
        word = {0: "robot", 1: "robot", 2: "bot"}.get(kind, "stone")
        labels = {0: {"ai", "adverse"}, 1: {"ai"}}.get(kind, set())
        collection = None if kind > 3 else "s"
        examples.append(Example(f"{filler} {word}", frozenset(labels), f"s{k % 20}", collection))
        score.append(0.9 if kind == 0 and k % 12 == 0 else 0.5 * random.random())
    examples.append(Example("our robot", frozenset({"ai", "adverse"}), "own", WRITTEN))
    scores = np.array([*score, 1.0])
    ai = np.array([0.9 if "ai" in one.labels else 0.1 for one in examples])
    read, written = (np.array([one.collection in kinds for one in examples]) for kinds in (("s", WRITTEN), (WRITTEN,)))
    return ScoredTexts(examples, read, written, {"adverse": scores, "ai": ai}, {"adverse": scores, "ai": ai})


@pytest.fixture(scope="module")
def documents() -> Documents:
    return documents_of(texts(), 0.04)


def test_documents_weigh_as_on_the_web(documents: Documents) -> None:
    rows = np.arange(len(documents.truth))
    weights = documents.weights(rows)
    assert len(rows) == 600 and weights.sum() == pytest.approx(1)
    assert weights[documents.truth].sum() == pytest.approx(1e-3)
    assert weights[documents.about].sum() == pytest.approx(2e-2)
    assert weights[documents.pointing & ~documents.about].sum() == pytest.approx(0.04)
    assert documents.weights(rows, 1e-2)[documents.truth].sum() == pytest.approx(1e-2)
    assert documents.proxies[ANY].tolist() == documents.pointing.tolist() and not documents.proxies[NOTHING].any()
    assert len(set(documents.proxies[COUNTED][documents.pointing])) == 1


def test_of_equal_weights_figures_are_the_usual_ones() -> None:
    random = np.random.default_rng(1)
    truth, values = random.random(400) < 0.1, np.round(random.random(400), 2)
    ones = np.ones(400)
    assert weighted_precision(values, truth, ones) == pytest.approx(average_precision(truth, values))
    for rate in (0.01, 0.1):
        assert recall_at(rate, values, truth, ones) == pytest.approx(recall_at_fpr(rate)(truth, values))
    assert tails(np.array([3.0, 1.0, 3.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])).tolist() == [4, 10, 4, 8]


def test_what_is_equal_is_found_by_halves() -> None:
    truth, weights = np.array([True, False, True, False]), np.array([1.0, 1.0, 1.0, 1.0])
    assert found_in_top(0.5, np.array([4.0, 3.0, 2.0, 1.0]), truth, weights) == 0.5
    assert found_in_top(0.5, np.zeros(4), truth, weights) == 0.5
    assert found_in_top(0.25, np.array([1.0, 0.0, 1.0, 0.0]), truth, weights) == 0.5
    assert np.isnan(found_in_top(0.5, np.zeros(4), ~np.ones(4, bool), weights))


def test_a_proxy_that_finds_what_the_score_missed_is_told_from_none(documents: Documents) -> None:
    ranks = rank_rows(documents, 20)
    missed = "missed ones in its top 5%"
    assert ranks[COUNTED][missed]["value"].value > 0.5 > ranks[NOTHING][missed]["value"].value
    assert ranks[NOTHING][missed]["value"].value == pytest.approx(0.05)
    assert ranks[USUAL][missed]["more"].value == 0 and ranks[NOTHING][missed]["more"].high < 0
    audited = {"width": widths(documents, (NOTHING, USUAL, COUNTED), 1e-2, 500, 2)}
    assert audited["width"][COUNTED]["width"].value < audited["width"][NOTHING]["width"].value
    assert audited["width"][USUAL]["more"].value == 0
    table = markdown(ranks, audited, gate_rows(documents, 5))
    assert table.count("\n| none |") == 2 and "background as it is | 0.001" in table


def test_populations_hold_every_document_in_some_stratum(documents: Documents) -> None:
    made = population(documents, USUAL, np.arange(len(documents.truth)), 1e-2)
    assert made.documents.sum() == pytest.approx(DOCUMENTS, rel=1e-3)
    assert made.truth == pytest.approx(1e-2, rel=0.02) and made.positives.sum() <= 1e-2 * DOCUMENTS * 1.02


def test_a_gate_lets_no_text_without_a_term_pass(documents: Documents) -> None:
    """Background here scores as high as missed positives, and has no term."""
    gates = gate_rows(documents, 5)
    plain = gates["background as it is"]["0.001"]
    assert plain["gated"].value == 1 > plain["without"].value
    silent = replace(documents, proxies={**documents.proxies, ANY: np.zeros(600)})
    assert gate_rows(silent, 5)["background as it is"]["0.001"]["gated"].value == 0
