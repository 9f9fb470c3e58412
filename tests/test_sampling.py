"""Designed draws: the same everywhere, with the probabilities that they say, by repetition over seeds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from jobs.drawing import PPS, RANDOM, STRATIFIED, Design, draw
from jobs.item_text import item_text
from jobs.main import cli
from jobs.tag_rows import Tags, open_tags
from labels.records import text_digest
from labels.sampling import allocate, pps_scale, stratum_names, uniform, uniform_sql
from labels.store import StoreError, designed_selections, open_store


@pytest.fixture
def tags(scanned: str) -> Iterator[Tags]:
    with open_tags(scanned) as opened:
        yield opened


@given(st.integers(0, 10**6), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_document_s_number_is_the_same_in_python_and_in_duckdb(seed: int, document: str) -> None:
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT {uniform_sql(seed, 'd')} FROM (SELECT ? AS d)", [document]).fetchone()
    assert found == (uniform(seed, document),)
    assert uniform(seed, document) == int(hashlib.sha256(f"{seed}:{document}".encode()).hexdigest()[:13], 16) / 2**52


def test_numbers_are_uniform_and_differ_by_seed() -> None:
    numbers = np.array([[uniform(seed, f"doc {k}") for k in range(4000)] for seed in (1, 2)])
    for row in numbers:
        assert np.abs(np.sort(row) - np.arange(4000) / 4000).max() < 0.03
    assert abs(np.corrcoef(numbers)[0, 1]) < 0.06


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(0, 50), min_size=1), st.integers(0, 100))
def test_allocation_gives_all_it_can_and_every_stratum_something(sizes: dict[str, int], n: int) -> None:
    present = sum(size > 0 for size in sizes.values())
    if n < present:
        with pytest.raises(ValueError, match="cannot cover"):
            allocate(n, sizes)
        return
    given_ = allocate(n, sizes)
    assert sum(given_.values()) == min(n, sum(sizes.values()))
    assert all(1 <= given_[name] <= sizes[name] for name in given_) and len(given_) == present


def test_cut_points_must_rise_inside_the_unit_interval() -> None:
    assert stratum_names([0.1, 0.5]) == ["0 to 0.1", "0.1 to 0.5", "0.5 to 1"]
    for cuts in ([], [0.5, 0.1], [0.0], [1.0], [0.2, 0.2]):
        with pytest.raises(ValueError, match="must rise"):
            stratum_names(cuts)


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=60), st.integers(1, 60))
def test_pps_probabilities_sum_to_n(sizes: list[float], n: int) -> None:
    ordered = np.sort(np.array(sizes))[::-1]
    scale = pps_scale(n, ordered[:n], float(ordered.sum()), len(ordered))
    assert np.minimum(1, scale * ordered).sum() == pytest.approx(min(n, len(ordered)), rel=1e-9)


@pytest.mark.parametrize("design", [
    Design(RANDOM, 40, 0), Design(STRATIFIED, 40, 0, by="adverse", cuts=(0.1, 0.5)), Design(PPS, 40, 0, size="words"),
], ids=lambda design: design.method)  # fmt: skip
def test_weights_estimate_the_population_without_bias(tags: Tags, design: Design) -> None:
    """The Horvitz-Thompson estimates of the number of documents and of words, over 60 seeds."""
    true = tags.rows("SELECT count(*) AS n, sum(words)::DOUBLE AS words FROM tags")[0]
    found = []
    for seed in range(60):
        drawn, parameters = draw(tags, Design(**{**vars(design), "seed": seed}))
        weights = np.array([1 / one.probability for one in drawn])
        found.append([weights.sum(), (weights * [one.row["words"] for one in drawn]).sum()])
        assert parameters["population"] == true["n"]
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    for value, deviation, expected in zip(mean, error, (true["n"], true["words"]), strict=True):
        assert abs(value - expected) <= 4 * deviation + 1e-6 * expected


def test_the_same_seed_draws_the_same_and_strata_hold_what_they_say(tags: Tags) -> None:
    design = Design(STRATIFIED, 30, 7, by="adverse", cuts=(0.1, 0.5))
    first, second = draw(tags, design)[0], draw(tags, design)[0]
    assert first == second and len(first) == 30
    bounds = {"0 to 0.1": (0, 0.1), "0.1 to 0.5": (0.1, 0.5), "0.5 to 1": (0.5, 1.01)}
    for one in first:
        if one.stratum != "none":
            low, high = bounds[str(one.stratum)]
            assert low <= one.row["adverse"] < high
    with pytest.raises(ValueError, match="no score 'evil'"):
        draw(tags, Design(STRATIFIED, 30, 7, by="evil", cuts=(0.5,)))


@pytest.mark.parametrize("keep", ["text", "pointer"])
def test_the_command_writes_texts_probabilities_and_how_to_repeat_it(scanned: str, tmp_path: Path, keep: str) -> None:
    place = str(tmp_path / "labels.sqlite")
    options = ["--store", place, "--name", "audit", "--n", "20", "--method", "stratified", "--keep", keep]
    done = CliRunner().invoke(cli, ["label", "draw", scanned, *options])
    assert done.exit_code == 0, done.output
    store = open_store(place)
    found = designed_selections(store, ["audit"])
    assert len(found) == 20 and all((item.text is not None) == (keep == "text") for _, item in found)
    assert all(item.shard and item.row is not None and item.minhash for _, item in found)
    assert all(text_digest(item_text(store, item)) == item.sha256 for _, item in found)
    totals: Counter[str] = Counter()
    for selection, _ in found:
        totals[str(selection.stratum)] += 1 / float(selection.inclusion_probability or 0)
        assert selection.scores["adverse"] is None or 0 <= selection.scores["adverse"] <= 1.0001
    assert json.loads(json.dumps({k: round(v) for k, v in totals.items()})) == draw_parameters(place)["strata"]
    again = CliRunner().invoke(cli, ["label", "draw", scanned, *options])
    assert isinstance(again.exception, StoreError) and "already" in str(again.exception)


def draw_parameters(place: str) -> dict[str, dict[str, int]]:
    from sqlalchemy import select

    from labels.store.tables import Draw

    with open_store(place).reading() as session:
        return session.scalars(select(Draw.parameters)).one()
