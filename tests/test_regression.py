"""The regression estimator within strata: where it shortens intervals, and that they hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_audit import done
from test_report import MODEL, document, write_scan, write_tags

from labels.codebook import LABELS
from labels.store import designed_selections, open_store, record_label
from pipeline.prevalence.compare import difference_of
from pipeline.prevalence.regression import LEAST, Regressed, mean_scores, regressed
from pipeline.prevalence.sample import count_sample, stratified
from pipeline.prevalence.strata import GRID, assign, histogram, make_strata
from pipeline.prevalence.two_phase import reading_from_json

N = 40_000


def population(share: float, seed: int = 0, apart: float = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and which documents are positive; the two lie so many spreads apart."""
    random = np.random.default_rng(seed)
    held = random.random(N) < share
    scores = 1 / (1 + np.exp(-(2 * random.normal(np.where(held, apart, 0)) - 3)))
    return scores.astype(np.float32).astype(np.float64), held


def audit(scores: np.ndarray, held: np.ndarray, sizes: int, random: np.random.Generator) -> tuple[Regressed, float]:
    """An audit of so many documents of each stratum, or half of it, and the truth."""
    ones = np.ones(N, np.int64)
    counted = histogram(scores, np.zeros(N), ones, ones)
    strata = make_strata(counted, float(held.mean()))
    at, n = assign(strata, scores, np.zeros(N)), len(strata)
    documents = np.bincount(at)
    wanted = np.minimum(sizes, documents // 2)
    read = np.concatenate([random.choice(np.flatnonzero(at == h), wanted[h], replace=False) for h in range(n)])
    sample = count_sample(documents, wanted, np.bincount(at[read][held[read]], minlength=n))
    one = regressed(sample, at[read], scores[read], held[read], mean_scores(counted, strata))
    return one, float(held.mean())


def test_it_is_unbiased_and_shorter_where_the_label_is_common() -> None:
    random, inside, values, widths = np.random.default_rng(1), 0, [], []
    scores, held = population(0.2)
    for _ in range(150):
        one, truth = audit(scores, held, 250, random)
        figure = stratified(one, draws=2000).estimate
        plain = stratified(count_sample(one.documents, one.labelled, one.positives), draws=2000)
        inside += figure.low <= truth <= figure.high
        widths.append((figure.high - figure.low) / (plain.estimate.high - plain.estimate.low))
        values.append(one.point() / N)
        effect = one.design_effect()
        assert effect is not None and plain.design_effect is not None and effect < plain.design_effect
    assert inside >= 0.91 * 150 and np.mean(widths) < 0.85
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / 150**0.5)


def test_a_useless_score_and_a_rare_label_change_next_to_nothing() -> None:
    random = np.random.default_rng(2)
    scores, held = population(0.2)
    shuffled, _ = audit(scores, random.permutation(held), 250, random)
    assert np.isfinite(shuffled.totals).any()
    figure = stratified(shuffled).estimate
    plain = stratified(count_sample(shuffled.documents, shuffled.labelled, shuffled.positives)).estimate
    assert figure.high - figure.low == pytest.approx(plain.high - plain.low, rel=0.08)
    rare, _ = audit(scores, held & (np.arange(N) % 50 == 0), 250, random)
    few = rare.positives < LEAST
    assert few.any() and np.all(np.isnan(rare.totals[few]))


def test_it_survives_json_parts_and_the_exact_form() -> None:
    one, _ = audit(*population(0.2), 250, np.random.default_rng(3))
    again = reading_from_json(json.loads(json.dumps(one.to_json(), allow_nan=False)))
    assert stratified(again).estimate == stratified(one).estimate
    plain = count_sample(one.documents, one.labelled, one.positives)
    exact, counts = (stratified(each, form="exact").estimate for each in (one, plain))
    assert (exact.low, exact.high) == (counts.low, counts.high)
    parts = [one.part([h]) for h in range(len(one.documents))]
    assert sum(part.point() for part in parts) == pytest.approx(one.point())
    assert difference_of(one, again, seed=1).figure.estimate.value == 0.0


def test_means_of_strata_are_those_of_the_grid() -> None:
    scores, _ = population(0.1)
    scores[:100] = np.nan
    ones = np.ones(N, np.int64)
    counted = histogram(scores, np.zeros(N), ones, ones)
    strata = make_strata(counted, 0.1)
    at, least = assign(strata, scores, np.zeros(N)), np.append(0.0, GRID)
    means = mean_scores(counted, strata)
    for h, one in enumerate(strata):
        if one.low is None:
            assert np.isnan(means[h])
        else:
            assert means[h] == pytest.approx(least[np.searchsorted(GRID, scores[at == h], side="right")].mean())


def test_the_command_assists_the_audited_label_by_documents(tmp_path: Path) -> None:
    scores, held = (each[:2000] for each in population(0.3, seed=5, apart=1.5))
    shard = tmp_path / "part.jsonl"
    texts = [f"a text of number {row}" for row in range(2000)]
    shard.write_text("".join(json.dumps({"id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
    rows = [document(i, float(scores[i]), id=f"d{i}", chars=len(texts[i]), words=5) for i in range(2000)]
    write_tags(tmp_path / "scanned", "part.jsonl", rows, shard=str(shard))
    write_scan(tmp_path / "scanned", MODEL)
    place = tmp_path / "labels.sqlite"
    done("audit", "plan", tmp_path / "scanned", "--budget", 700, "--expect", 0.3, "--out", tmp_path / "plan.json")
    done("audit", "draw", tmp_path / "scanned", "--plan", tmp_path / "plan.json", "--store", place, "--name", "a1")
    store = open_store(place)
    for selection, item in designed_selections(store, ["a1"]):
        labels = dict.fromkeys(LABELS, False) | dict.fromkeys(("ai", "adverse", "hostile"), bool(held[item.row or 0]))
        mode = "fiction" if labels["ai"] else "none"
        record_label(store, item.id, "reader", "human", labels, mode, token=str(selection.id))
    store.close()
    words = ("audit", "estimate", tmp_path / "scanned", "--store", place, "--draw", "a1", "--json")
    plain, assisted = (done(*words, *extra)["prevalence"] for extra in ((), ("--regression",)))
    one, other = assisted["adverse"]["documents"], plain["adverse"]["documents"]
    assert one["low"] <= held.mean() <= one["high"] and "regression on the score" in one["method"]
    assert one["high"] - one["low"] < 0.97 * (other["high"] - other["low"])
    assert one["effective_labels"] > other["effective_labels"] and one["positives"] == other["positives"]
    assert assisted["hostile"] == plain["hostile"] and assisted["adverse"]["words"] == plain["adverse"]["words"]
