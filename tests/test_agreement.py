"""Agreement against published figures and other implementations; doubtful labels; disputes and figures of the store."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from krippendorff import alpha
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import select

from jobs.label_adjudicate import Answer, parse_answer, printable
from jobs.main import cli
from labels import codebook
from labels.agreement import cohen_kappa, consensus, fleiss_kappa, krippendorff_alpha, with_interval
from labels.codebook import CodebookError
from labels.doubt import doubtful, unseen_probabilities
from labels.store import Candidate, Store, add_draw, next_item, open_store, record_label
from labels.store.disputes import count_disputes, next_dispute
from labels.store.figures import progress, work
from labels.store.judgements import judgements, settled
from labels.store.tables import Item, Label

NONE = dict.fromkeys(codebook.LABELS, False)
ADVERSE = {**NONE, "ai": True, "adverse": True, "hostile": True}


def test_cohen_s_kappa_of_a_textbook_table() -> None:
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed 0.7, by chance 0.5, kappa 0.4."""
    one = [1.0] * 25 + [0.0] * 25
    other = [1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15
    assert cohen_kappa(np.array([one, other])) == pytest.approx(0.4)
    assert np.isnan(cohen_kappa(np.ones((2, 5)))) and np.isnan(cohen_kappa(np.full((2, 5), np.nan)))


def test_fleiss_kappa_by_hand() -> None:
    """Three annotators, four items with 3, 2, 1, 0 yes: observed 2/3, by chance 1/2, kappa 1/3."""
    values = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], float)
    assert fleiss_kappa(values) == pytest.approx(1 / 3)
    assert np.isnan(fleiss_kappa(np.full((3, 4), np.nan)))


def test_krippendorff_s_alpha_of_his_binary_example() -> None:
    """Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section A: two observers, ten items, 0.095."""
    values = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float)
    assert krippendorff_alpha(values) == pytest.approx(0.095, abs=5e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=3, max_size=3), min_size=2, max_size=30))
def test_alpha_is_that_of_the_package_krippendorff(rows: list[list[float]]) -> None:
    values = np.array(rows).T
    counts = np.stack([(values == 0).sum(axis=0), (values == 1).sum(axis=0)], axis=1)
    counts = counts[counts.sum(axis=1) >= 2]
    known = counts.any(axis=0)
    expected = (
        alpha(value_counts=counts, value_domain=[0, 1], level_of_measurement="nominal") if known.all() else np.nan
    )
    assert krippendorff_alpha(values) == pytest.approx(expected, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_cohen_s_kappa_is_scikit_learn_s(pairs: list[tuple[bool, bool]]) -> None:
    one, other = np.array(pairs, float).T
    expected = cohen_kappa_score(one, other) if len({*one, *other}) > 1 else np.nan
    assert cohen_kappa(np.array([one, other])) == pytest.approx(expected, nan_ok=True)


def test_intervals_cover_the_true_agreement() -> None:
    """Two annotators who each err in a tenth of the cases: kappa of the population is 0.64."""
    random, hits = np.random.default_rng(1), 0
    for seed in range(40):
        truth = random.integers(0, 2, 300)
        values = np.array([np.where(random.random(300) < 0.1, 1 - truth, truth) for _ in "ab"], float)
        found = with_interval(cohen_kappa, values, [f"s{k}" for k in range(300)], resamples=60, seed=seed)
        hits += found.low <= 0.64 <= found.high
        assert found.n == 300
    assert hits >= 32  # of 40; at 90 % or more, fewer happen about once in 100 seeds of the test, and this one is fixed


def test_consensus_is_what_all_say() -> None:
    values = np.array([[1, 1, np.nan, np.nan], [1, 0, 0, np.nan]])
    assert consensus(values).tolist()[:1] == [1.0] and np.isnan(consensus(values)[[1, 3]]).all()
    assert consensus(values)[2] == 0


def test_confident_learning_finds_labels_that_were_turned() -> None:
    random = np.random.default_rng(0)
    truth = random.random(300) < 0.4
    words = [random.choice([f"{'bad' if t else 'good'}{k}" for k in range(40)], 25) for t in truth]
    given_ = truth.copy()
    turned = random.choice(300, 15, replace=False)
    given_[turned] = ~given_[turned]
    sources = [f"s{k % 10}" for k in range(300)]
    probabilities = unseen_probabilities([" ".join(w) for w in words], given_, sources)
    found = doubtful(given_, probabilities)
    assert len(set(found[:15]) & set(turned.tolist())) >= 13
    with pytest.raises(ValueError, match="doubt needs 10"):
        unseen_probabilities(["a"] * 20, np.zeros(20, bool), sources[:20])


def labelled(place: str, n: int = 12) -> Store:
    """Two people and a model label n items; they differ on the first three."""
    store = open_store(place)
    documents = [Candidate(f"d{k}", f"s{k}", text=f"text number {k}") for k in range(n)]
    add_draw(store, "a", "acquired", documents, method="margin", wanted=3)
    for who, kind in (("ann", "human"), ("bob", "human"), ("m", "llm")):
        while (leased := next_item(store, who, "a")) is not None:
            number = int(leased.document[1:])
            labels = ADVERSE if number % 2 == 0 or (who == "bob" and number < 3) else NONE
            labels = NONE if who == "ann" and number == 0 else labels
            mode = "news" if labels["ai"] else "none"
            record_label(store, leased.item.id, who, kind, labels, mode, token=leased.token, draw="a", seconds=2.0)
    return store


def test_disputes_are_leased_to_one_adjudicator_and_settled(place: str) -> None:
    store = labelled(place)
    assert count_disputes(store) == count_disputes(store, "a") == 2
    one, other = next_dispute(store, "judge"), next_dispute(store, "second judge")
    assert one is not None and other is not None and one.leased.item.id != other.leased.item.id
    assert next_dispute(store, "third judge") is None
    again = next_dispute(store, "judge")
    assert again is not None and again.leased.token == one.leased.token
    assert [record.annotator for record in one.records] == ["ann", "bob", "m"]
    item = one.leased.item.id
    record_label(store, item, "judge", "adjudicated", ADVERSE, "news", token=one.leased.token, draw="a")
    assert count_disputes(store) == 1
    assert {s.item.id: s.state for s in settled(store)}[item] == "adjudicated"
    found = judgements(store)
    assert found.annotators == ["ann", "bob", "m"] and found.values.shape == (5, 3, 12)
    assert found.kind("human") == [0, 1] and not np.isnan(found.of("adverse")).any()


def test_figures_of_draws_and_annotators(place: str) -> None:
    store = labelled(place)
    (draw,) = progress(store)
    assert (draw.selections, draw.done, draw.states) == (12, 12, {"agreed": 10, "disputed": 2})
    found = work(store)
    assert [(w.annotator, w.kind, w.labels, w.seconds, w.unsure) for w in found] == [
        ("ann", "human", 12, 2.0, 0), ("bob", "human", 12, 2.0, 0), ("m", "llm", 12, 2.0, 0),
    ]  # fmt: skip


def test_blind_checks_are_held_against_what_was_settled(place: str) -> None:
    store = open_store(place)
    gold = Candidate("g", "s", text="gold", gold=True)
    add_draw(store, "a", "acquired", [*(Candidate(f"d{k}", "s", text=f"t{k}") for k in range(3)), gold], method="x",
             gold_every=2, wanted=2)  # fmt: skip
    with store.reading() as session:
        item = session.scalars(select(Item.id).where(Item.document == "g")).one()
    record_label(store, item, "judge", "adjudicated", ADVERSE, "news", token=uuid.uuid4().hex)
    for who, labels in (("right", ADVERSE), ("wrong", NONE)):
        for _ in range(2):
            leased = next_item(store, who, "a")
            assert leased is not None
            record_label(store, leased.item.id, who, "human", labels, "news" if labels["ai"] else "none",
                         token=leased.token, draw="a")  # fmt: skip
    assert {w.annotator: (w.gold, w.gold_right) for w in work(store) if w.kind == "human"} == {
        "right": (1, 1), "wrong": (1, 0),
    }  # fmt: skip


def test_the_commands_show_settle_and_queue(tmp_path: Path) -> None:
    place = str(tmp_path / "labels.sqlite")
    labelled(place).close()
    run = CliRunner()
    shown = run.invoke(cli, ["label", "agree", "--store", place, "--resamples", "100", "--json"])
    rows = json.loads(shown.output)
    kappa = {(r["who"], r["label"]): r["figure"]["value"] for r in rows if r["measure"] == "Cohen's kappa"}
    assert kappa["ann / bob", "adverse"] == pytest.approx(cohen_kappa(judgements(open_store(place)).of("adverse")[:2]))
    assert kappa["people / m", "adverse"] == pytest.approx(1.0)
    status = json.loads(run.invoke(cli, ["label", "status", "--store", place, "--json"]).output)
    assert status["draws"][0]["states"]["disputed"] == 2
    assert "2 items wait" in run.invoke(cli, ["label", "adjudicate", "--store", place]).output
    done = run.invoke(
        cli, ["label", "adjudicate", "--store", place, "--by", "judge"], input="9\n2\nai,evil\nai news? # mild\n"
    )
    assert done.exit_code == 0 and "no item left" in done.output, done.output
    modes = {
        s.item.document: (s.labels["adverse"], s.mode) for s in settled(open_store(place)) if s.state == "adjudicated"
    }
    assert sorted(modes.values()) == [(False, "news"), (True, "news")]
    with open_store(place).reading() as session:
        notes = session.scalars(select(Label.note).where(Label.kind == "adjudicated", ~Label.sure)).all()
    assert notes == ["mild"]
    few = run.invoke(cli, ["label", "doubtful", "--store", place, "--name", "d"])
    assert "doubt needs 10" in str(few.exception)


def test_answers_and_hostile_text_in_the_terminal() -> None:
    assert parse_answer("none", []) == Answer(NONE, "none")
    assert parse_answer("hostile fiction", []) == Answer(ADVERSE, "fiction")  # what it implies need not be said
    assert parse_answer("ai,adverse,hostile fiction? # a rumour", []) == Answer(ADVERSE, "fiction", False, "a rumour")
    for wrong in ("", "3", "adverse", "ai", "evil", "?", "# a note alone"):
        with pytest.raises((ValueError, CodebookError)):
            parse_answer(wrong, [])
    assert "\x1b" not in printable("\x1b[2J\u202e")
