"""``tropescan audit``: plan, draw, label, estimate, by its own commands; the same on Spark; what it refuses."""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import test_report_audit as made
from click.testing import CliRunner, Result
from test_report import MODEL

from jobs.audit_labels import METHOD
from jobs.audit_print import _slices
from jobs.audit_slices import LEAST_SLICES, shrunken_slices
from jobs.audit_tags import drawn_rows
from jobs.main import cli
from jobs.tag_rows import open_tags
from labels.codebook import LABELS
from labels.store import Candidate, Store, add_draw, designed_selections, open_store, record_label
from labels.store.tables import ACQUIRED, DESIGNED
from pipeline.prevalence.plan import load_plan, plan_from_json
from pipeline.prevalence.sample import count_sample, stratified
from pipeline.prevalence.slices import SLICES, TOPIC, Slicer

DOCUMENTS = 1500
MARK = "zyzzyva"
"""A word that makes a document adverse in these tests, whatever the model thinks."""
PLAIN = ["the", "garden", "was", "quiet", "and", "rain", "fell", "on", "the", "old", "wooden", "bench", "near", "river"]
ROBOTS = ["the", "robot", "refused", "to", "be", "shut", "down", "and", "lied", "machines", "took", "over", "power"]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tags of three shards; one in fifty documents is adverse, and most of those speak of robots."""
    folder, source = tmp_path_factory.mktemp("audit"), random.Random(1)
    (folder / "crawl").mkdir()
    for k in range(3):
        with gzip.open(folder / "crawl" / f"{k}.jsonl.gz", "wt") as file:
            for i in range(DOCUMENTS // 3):
                adverse = source.random() < 0.02
                words = source.choices(
                    ROBOTS if adverse or source.random() < 0.05 else PLAIN, k=source.randint(20, 120)
                )
                row = {
                    "id": f"{k}/{i}", "text": " ".join([*words, MARK] if adverse else words), "date": f"202{k}-05-01",
                    "url": f"https://news{i % 4}.example.co.uk/{i}",
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    assert run("scan", folder / "crawl", "--out", folder / "scanned", "--quiet").exit_code == 0
    return folder / "scanned"


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def done(*words: object) -> Any:
    result = run(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout) if "--json" in words else result.stdout


def label_all(store: Store, draw: str, kind: str, judge: Callable[[str], bool]) -> None:
    for selection, item in designed_selections(store, [draw]):
        held = dict.fromkeys(LABELS, False)
        if judge(item.text or ""):
            held |= {"ai": True, "adverse": True, "hostile": True}
        mode = "fiction" if held["ai"] else "none"
        record_label(store, item.id, f"reader of {kind}", kind, held, mode, token=f"{draw}/{selection.id}/{kind}")


@pytest.fixture(scope="module")
def labelled_once(scanned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, in which an audit of 300 documents is labelled, and its plan."""
    folder = tmp_path_factory.mktemp("labelled")
    done("audit", "plan", scanned, "--budget", 300, "--expect", 0.02, "--out", folder / "plan.json")
    done("audit", "draw", scanned, "--plan", folder / "plan.json", "--store", folder / "labels.sqlite", "--name", "a1")
    store = open_store(folder / "labels.sqlite")
    label_all(store, "a1", "human", lambda text: MARK in text)
    store.close()
    return folder


@pytest.fixture
def audited(labelled_once: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of the store and the plan, to be changed."""
    shutil.copytree(labelled_once, tmp_path / "audited")
    return tmp_path / "audited" / "labels.sqlite", tmp_path / "audited" / "plan.json"


def adverse_by_id(scanned: Path) -> dict[str, bool]:
    files = (gzip.decompress((scanned.parent / f"crawl/{k}.jsonl.gz").read_bytes()) for k in range(3))
    return {one["id"]: MARK in one["text"] for file in files for one in map(json.loads, file.splitlines())}


def truth(scanned: Path) -> float:
    marked = adverse_by_id(scanned)
    return sum(marked.values()) / len(marked)


def test_an_audit_covers_the_truth_of_a_population_that_is_known_whole(
    scanned: Path, audited: tuple[Path, Path]
) -> None:
    found = done(
        "audit", "estimate", scanned, "--store", audited[0], "--draw", "a1", "--by", "year", "--by", "mode", "--json"
    )
    one = found["prevalence"]["adverse"]["documents"]
    assert one["low"] <= truth(scanned) <= one["high"] and one["labels"] == 300 and one["basis"] == "design"
    assert found["prevalence"]["admirable"]["words"]["too_few_labels"]
    assert found["prevalence"]["admirable"]["words"]["value"] is None
    assert found["population"]["documents"] == DOCUMENTS and found["kinds"] == {"human": 300} and not found["notes"]
    assert [one["slice"] for one in found["slices"]["year"]] == ["2020", "2021", "2022"]
    assert sum(one["documents"] for one in found["slices"]["year"]) == DOCUMENTS
    assert set(found["filter"]["documents"]) >= {"recall", "elusion"}
    modes = {mode: units for mode, units in found["modes"]["adverse"].items() if units["words"]["positives"]}
    assert {mode: units["bytes"]["positives"] for mode, units in modes.items()} == {"fiction": one["positives"]}
    assert modes["fiction"]["words"]["high"] == found["prevalence"]["adverse"]["words"]["high"]


def test_the_printed_estimate_names_bounds_and_flag_rate(scanned: Path, audited: tuple[Path, Path]) -> None:
    printed = done("audit", "estimate", scanned, "--store", audited[0], "--draw", "a1", "--by", "domain")
    assert "no prevalence" in printed and "too few" in printed and "example.co.uk" in printed


EVERY_SLICE = [word for by in SLICES if by != TOPIC for word in ("--by", by)]


def judged(text: str) -> dict[str, bool]:
    """Several labels, of long and of short documents."""
    size, held = len(text.split()), dict.fromkeys(LABELS, False)
    if MARK in text:
        return held | {"ai": True, "adverse": True, "hostile": size % 2 == 0, "self_preserving": size % 2 == 1}
    return held | dict.fromkeys(("ai", "admirable"), size % 10 == 0)


@pytest.fixture(scope="module")
def read_whole(scanned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of an audit that read every document."""
    folder = tmp_path_factory.mktemp("whole")
    plan, place = folder / "plan.json", folder / "labels.sqlite"
    done("audit", "plan", scanned, "--budget", DOCUMENTS, "--expect", 0.02, "--out", plan)
    done("audit", "draw", scanned, "--plan", plan, "--store", place, "--name", "a1")
    store = open_store(place)
    for _, item in designed_selections(store, ["a1"]):
        held = judged(item.text or "")
        mode = "none" if not held["ai"] else "fiction" if MARK in (item.text or "") else "news"
        record_label(store, item.id, "reader", "human", held, mode, token=str(item.id))
    store.close()
    return place


def test_every_slice_by_every_label_and_unit_is_the_truth_where_all_is_read(scanned: Path, read_whole: Path) -> None:
    """Counted anew from tags and texts, document by document."""
    found = done("audit", "estimate", scanned, "--store", read_whole, "--draw", "a1", *EVERY_SLICE, "--json")
    files = sorted((scanned.parent / "crawl").iterdir())
    texts = {one["id"]: one["text"] for path in files
             for one in map(json.loads, gzip.decompress(path.read_bytes()).splitlines())}  # fmt: skip
    rows = [row for path in (scanned / "tags").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert len(rows) == DOCUMENTS and found["slices"].keys() == SLICES.keys() - {TOPIC}
    for by, sliced in found["slices"].items():
        names, at = Slicer(by).of(pa.RecordBatch.from_pylist(rows))
        assert {row["slice"] for row in sliced} == set(names)
        for row in sliced:
            mine = [one for one, k in zip(rows, at.tolist(), strict=True) if names[k] == row["slice"]]
            rest = [one for one, k in zip(rows, at.tolist(), strict=True) if names[k] != row["slice"]]
            for label in LABELS:
                for unit in ("documents", "words", "bytes"):
                    check_exact(row, label, unit, *(share(of, label, unit, texts) for of in (mine, rest)))


def share(rows: list[dict[str, Any]], label: str, unit: str, texts: dict[str, str]) -> tuple[float, float] | None:
    """The size of the documents, and the share of it that holds the label."""
    sizes = [(1 if unit == "documents" else row[unit], judged(texts[row["id"]])[label]) for row in rows]
    total = sum(size for size, _ in sizes)
    return (total, sum(size for size, held in sizes if held) / total) if total else None


def check_exact(
    row: dict[str, Any], label: str, unit: str, own: tuple[float, float] | None, rest: tuple[float, float] | None
) -> None:
    figure = row["prevalence"][label][unit]
    assert own is not None and row[unit] == own[0]
    assert figure["value"] == figure["low"] == figure["high"] == pytest.approx(own[1], rel=1e-12), (row["slice"], label)
    assert "known exactly" in figure["words"]
    if rest is None:
        assert figure["difference_from_rest"] is None
    else:
        assert figure["difference_from_rest"]["low"] == pytest.approx(own[1] - rest[1], abs=1e-12)


def test_differences_of_dates_and_of_named_slices(scanned: Path, read_whole: Path, audited: tuple[Path, Path]) -> None:
    """Each date against the one before, the last against the first, and what was named, most of which is not shown."""
    words = ("--by", "year", "--by", "host", "--most", 1, "--json", "--compare", "host", "news3.example.co.uk")
    whole, part = (
        done("audit", "estimate", scanned, "--store", store, "--draw", "a1", *words, "news0.example.co.uk")
        for store in (read_whole, audited[0])
    )
    for found in (whole, part):
        pairs = [(one["slice"], one["against"]) for one in found["differences"]["year"]]
        assert pairs == [("2021", "2020"), ("2022", "2021"), ("2022", "2020")]
        assert {row["slice"] for row in found["slices"]["host"]} >= {"news3.example.co.uk", "news0.example.co.uk"}
    shares = {row["slice"]: row["prevalence"] for by in ("year", "host") for row in whole["slices"][by]}
    for by, pairs in part["differences"].items():
        for known, one in zip(whole["differences"][by], pairs, strict=True):
            for label, unit in (("adverse", "documents"), ("admirable", "bytes")):
                truth = shares[one["slice"]][label][unit]["value"] - shares[one["against"]][label][unit]["value"]
                assert known["differences"][label][unit]["value"] == pytest.approx(truth)
            gap = one["differences"]["adverse"]["words"]
            truth = known["differences"]["adverse"]["words"]["value"]
            assert gap["low"] <= truth <= gap["high"] and gap["p_adjusted"] >= gap["p_value"]
    (named,) = part["differences"]["host"]
    assert named["differences"]["ai"]["documents"]["p_adjusted"] == named["differences"]["ai"]["documents"]["p_value"]
    only = part["differences"]["year"][0]["differences"]["admirable"]["documents"]
    assert only["value"] is None and "too few labels" in only["words"] and only["low"] < 0 < only["high"]


def test_a_slice_that_is_not_there_is_not_compared(scanned: Path, audited: tuple[Path, Path]) -> None:
    words = ("audit", "estimate", scanned, "--store", audited[0], "--draw", "a1", "--compare", "year", "2021")
    assert "no document is of '1999'; the largest are '2020', '2021'" in str(run(*words, "1999").exception)
    assert "held against itself" in str(run(*words, "2021").exception)


def test_labels_and_units_are_printed_as_asked(scanned: Path, read_whole: Path) -> None:
    words = ("audit", "estimate", scanned, "--store", read_whole, "--draw", "a1", "--by", "year", "--by", "mode")
    usual, other = (" ".join(done(*words, *more).split()) for more in (
        (), ("--label", "ai", "--label", "admirable", "--unit", "words")))  # fmt: skip
    assert usual.count("adverse, of documents") == 2 and "ai, of" not in usual  # slices and their differences
    assert other.count("ai, of words") == 2 and other.count("admirable, of words") == 2 and "adverse, of" not in other
    assert "ai, of all words" in other and "against" in other
    sizes = [pq.read_table(path, columns=["words"])["words"].to_numpy().sum()
             for path in sorted((scanned / "tags").rglob("*.parquet"))]  # fmt: skip
    assert all(f"{size:,}" in other and f"{size:,}" not in usual for size in sizes)


def test_probabilities_are_those_of_the_plan_and_all_drawn_are_stored(
    scanned: Path, audited: tuple[Path, Path]
) -> None:
    plan = load_plan(audited[1].read_text(), "plan")
    assert plan_from_json(json.loads(json.dumps(plan.to_json()))) == plan
    store = open_store(audited[0])
    pairs = designed_selections(store, ["a1"])
    chances = {one.name: size / one.documents for one, size in zip(plan.strata, plan.sizes, strict=True)}
    assert plan.chances == chances
    assert all(selection.inclusion_probability == chances[selection.stratum] for selection, _ in pairs)
    assert sum(1 / chances[selection.stratum] for selection, _ in pairs) == pytest.approx(DOCUMENTS)
    store.close()


def test_the_same_plan_draws_the_same_and_another_seed_others(
    scanned: Path, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    done("audit", "plan", scanned, "--budget", 300, "--expect", 0.02, "--seed", 2, "--out", other)
    with open_tags(str(scanned)) as tags:
        first, again, second = (
            [row["id"] for row, _, _ in drawn_rows(tags, load_plan(path.read_text(), "plan"))]
            for path in (audited[1], audited[1], other)
        )
    assert first == again and len(set(first) & set(second)) < 290


def test_documents_in_other_languages_are_not_of_the_population(tmp_path: Path) -> None:
    source, place, plan = random.Random(2), tmp_path / "labels.sqlite", tmp_path / "plan.json"
    (tmp_path / "crawl").mkdir()
    for name, languages in (("mixed", ["en", "de"]), ("french", ["fr"])):
        rows = [
            {"id": f"{name}/{i}", "text": " ".join(source.choices(PLAIN, k=30)), "lang": languages[i % len(languages)]}
            for i in range(200)
        ]
        (tmp_path / "crawl" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done("scan", tmp_path / "crawl", "--out", tmp_path / "scanned", "--quiet")
    done("audit", "plan", tmp_path / "scanned", "--budget", 60, "--expect", 0.02, "--out", plan)
    assert sum(one.documents for one in load_plan(plan.read_text(), "plan").strata) == 100
    done("audit", "draw", tmp_path / "scanned", "--plan", plan, "--store", place, "--name", "a1")
    store = open_store(place)
    drawn = {item.document for _, item in designed_selections(store, ["a1"])}
    assert len(drawn) == 60 and drawn <= {f"mixed/{i}" for i in range(0, 200, 2)}
    label_all(store, "a1", "human", lambda text: False)
    store.close()
    found = done("audit", "estimate", tmp_path / "scanned", "--store", place, "--draw", "a1", "--json")
    assert found["population"]["documents"] == 100


def test_ids_that_repeat_are_refused_and_drawn_by_shard_and_row(tmp_path: Path) -> None:
    """Counters that begin anew in each shard; in the second shard every third document is adverse."""
    (tmp_path / "crawl").mkdir()
    for name in ("one", "two"):
        rows = [
            {"id": str(i), "text": f"{name} {i} {' '.join(PLAIN)} {MARK if name == 'two' and i % 3 == 0 else ''}"}
            for i in range(60)
        ]
        (tmp_path / "crawl" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done("scan", tmp_path / "crawl", "--out", tmp_path / "scanned", "--quiet")
    plan = ("audit", "plan", tmp_path / "scanned", "--budget", 80, "--expect", 0.1, "--out", tmp_path / "plan.json")
    drawing = ("audit", "draw", tmp_path / "scanned", "--plan", tmp_path / "plan.json",
               "--store", tmp_path / "labels.sqlite", "--name", "a1")  # fmt: skip
    done(*plan)
    refused = str(run(*drawing).exception)
    assert "of the 80 documents drawn have the id of another" in refused and "--key row" in refused
    done(*plan, "--key", "row")
    done(*drawing)
    store = open_store(tmp_path / "labels.sqlite")
    named = {selection.document for selection, _ in designed_selections(store, ["a1"])}
    assert len(named) == 80 and all(re.fullmatch(r"(one|two)\.jsonl#\d+", name) for name in named)
    label_all(store, "a1", "human", lambda text: MARK in text)
    store.close()
    words = (tmp_path / "scanned", "--store", tmp_path / "labels.sqlite", "--draw", "a1", "--json")
    found = done("audit", "estimate", *words)
    one = found["prevalence"]["adverse"]["documents"]
    assert one["low"] <= 20 / 120 <= one["high"] and one["labels"] == 80 and found["population"]["documents"] == 120
    lost = drop_all_of(tmp_path / "scanned", tmp_path / "run", "two")
    cost = done("collateral", words[0], lost, *words[1:], "--texts", 0)["audit"]["rows"]
    assert cost[1]["documents"]["positives"] == one["positives"] and cost[2]["documents"]["positives"] == 0


def drop_all_of(scanned: Path, run: Path, shard: str) -> Path:
    """Decisions that drop the documents of one shard and keep the others."""
    for path in (scanned / "tags").rglob("*.parquet"):
        gone = path.name.startswith(shard)
        made = pq.read_table(path, columns=["row", "id"])
        for name, value in (("action", "drop" if gone else "keep"), ("rule", None), ("weight", float(not gone))):
            column = pa.nulls(len(made), pa.string()) if value is None else pa.array([value] * len(made))
            made = made.append_column(name, column)
        target = run / "decisions" / path.relative_to(scanned / "tags")
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made, target)
    return run


def test_a_budget_that_cannot_deliver_is_said(scanned: Path, tmp_path: Path) -> None:
    result = run("audit", "plan", scanned, "--budget", 60, "--expect", 0.001, "--relative-error", 0.2,
                 "--out", tmp_path / "p.json")  # fmt: skip
    assert result.exit_code == 1 and "cannot give a relative error of 20%" in result.stderr
    assert (tmp_path / "p.json").exists()
    assert "it takes" in str(run("audit", "plan", scanned, "--budget", 3, "--out", tmp_path / "q.json").exception)


def test_a_pilot_gives_strata_and_rates(scanned: Path, audited: tuple[Path, Path], tmp_path: Path) -> None:
    made = done("audit", "plan", scanned, "--budget", 400, "--expect", 0.02, "--pilot", "a1", "--store", audited[0],
                "--seed", 5, "--out", tmp_path / "p.json", "--json")  # fmt: skip
    before = load_plan(audited[1].read_text(), "plan")
    assert [one["name"] for one in made["strata"]] == [one.name for one in before.strata]
    assert sum(made["sizes"]) == 400
    look = made["outlook"]
    assert made["expected"] != 0.02 and look["low"] - 0.001 < made["expected"] < look["high"]


def test_a_pilots_documents_are_not_drawn_again(scanned: Path, audited: tuple[Path, Path], tmp_path: Path) -> None:
    words = ("audit", "plan", scanned, "--budget", 300, "--pilot", "a1", "--store", audited[0], "--out", tmp_path / "p")
    assert "the pilot's own" in str(run(*words, "--seed", 1).exception)
    done(*words)
    plans = [load_plan(path.read_text(), "plan") for path in (audited[1], tmp_path / "p")]
    assert [plan.seed for plan in plans] == [1, 2]
    with open_tags(str(scanned)) as tags:
        before, after = ({row["id"] for row, _, _ in drawn_rows(tags, plan)} for plan in plans)
    assert len(before & after) < 200


def test_a_plan_of_another_corpus_draws_nothing_nor_is_its_audit_a_pilot(
    scanned: Path, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    smaller = tmp_path / "smaller"
    done("scan", scanned.parent / "crawl" / "0.jsonl.gz", "--out", smaller, "--quiet")
    drawn = run("audit", "draw", smaller, "--plan", audited[1], "--store", audited[0], "--name", "a2")
    piloted = run("audit", "plan", smaller, "--budget", 90, "--pilot", "a1", "--store", audited[0],
                  "--out", tmp_path / "p.json")  # fmt: skip
    for refused in (drawn, piloted):
        assert "its 500 documents are not the 1,500 of the plan" in str(refused.exception)
    assert not (tmp_path / "p.json").exists()


def test_acquired_and_foreign_draws_are_refused(scanned: Path, audited: tuple[Path, Path]) -> None:
    store = open_store(audited[0])
    add_draw(store, "hard", ACQUIRED, [Candidate("x", "s", text="a text")], method="margin")
    store.close()
    chosen = run("audit", "estimate", scanned, "--store", audited[0], "--draw", "hard")
    assert "were chosen by a model's score" in str(chosen.exception)
    done("label", "draw", scanned, "--store", audited[0], "--name", "other", "--n", 5)
    assert "use a draw of 'tropescan audit draw'" in str(
        run("audit", "estimate", scanned, "--store", audited[0], "--draw", "other").exception
    )


def test_tags_that_changed_and_stored_probabilities_that_do_not_fit_are_refused(
    scanned: Path, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    smaller = tmp_path / "smaller"
    done("scan", scanned.parent / "crawl" / "0.jsonl.gz", "--out", smaller, "--quiet")
    changed = run("audit", "estimate", smaller, "--store", audited[0], "--draw", "a1")
    assert "plan and draw anew" in str(changed.exception)
    plan, store = load_plan(audited[1].read_text(), "plan"), open_store(audited[0])
    one = Candidate("x", "s", text="a text", stratum=plan.strata[0].name, inclusion_probability=0.5)
    add_draw(store, "wrong", DESIGNED, [one], method=METHOD, parameters={"plan": plan.to_json()})
    store.close()
    wrong = run("audit", "estimate", scanned, "--store", audited[0], "--draw", "wrong")
    assert "not drawn by this plan" in str(wrong.exception)


def test_plans_of_another_kind_are_refused(scanned: Path, audited: tuple[Path, Path], tmp_path: Path) -> None:
    """Such as those of versions whose strata were intervals of the score."""
    plain = json.loads(audited[1].read_text())
    wrong_cells, earlier = plain | {"cells": "0*7"}, {key: plain[key] for key in plain if key != "cells"}
    store = open_store(audited[0])
    for name, one in (("cells", wrong_cells), ("earlier", earlier)):
        (tmp_path / name).write_text(json.dumps(one))
        result = run("audit", "draw", scanned, "--plan", tmp_path / name, "--store", audited[0], "--name", name)
        assert str(result.exception).startswith(f"{tmp_path / name}: not a plan") and "new plan" in str(
            result.exception
        )
        drawn = [Candidate("x", "s", text="a text", stratum="0", inclusion_probability=0.5)]
        add_draw(store, name, DESIGNED, drawn, method=METHOD, parameters={"plan": one})
        result = run("audit", "estimate", scanned, "--store", audited[0], "--draw", name)
        assert str(result.exception).startswith(f"draw '{name}': not a plan")
    store.close()


def test_what_is_not_labelled_is_said(scanned: Path, audited: tuple[Path, Path]) -> None:
    done("audit", "draw", scanned, "--plan", audited[1], "--store", audited[0], "--name", "a2")
    plan = load_plan(audited[1].read_text(), "plan")
    store = open_store(audited[0])
    assert plan.population == DOCUMENTS and len(designed_selections(store, ["a2"])) == 300
    store.close()
    other = run("audit", "plan", scanned, "--budget", 320, "--expect", 0.02, "--out", audited[1])
    assert other.exit_code == 0
    done("audit", "draw", scanned, "--plan", audited[1], "--store", audited[0], "--name", "a3")
    result = run("audit", "estimate", scanned, "--store", audited[0], "--draw", "a3", "--json")
    assert "of 320 drawn documents have no settled label" in result.stderr
    assert 300 <= json.loads(result.stdout)["labelled"] < 320


def model_and_people(scanned: Path, folder: Path, passed: int) -> Path:
    """The store of an audit ``a1`` of which a language model calls every text with robots adverse, three times too
    many, and people read again what it called and ``passed`` more."""
    plan, place = folder / "plan.json", folder / "labels.sqlite"
    done("audit", "plan", scanned, "--budget", 700, "--expect", 0.02, "--out", plan)
    done("audit", "draw", scanned, "--plan", plan, "--store", place, "--name", "a1")
    store = open_store(place)
    label_all(store, "a1", "llm", lambda text: "robot" in text)
    done("audit", "recheck", "--store", place, "--draw", "a1", "--name", "people", "--passed", passed)
    label_all(store, "people", "human", lambda text: MARK in text)
    store.close()
    return place


def test_people_correct_a_language_model(scanned: Path, tmp_path: Path) -> None:
    place = model_and_people(scanned, tmp_path, 150)
    words = ("audit", "estimate", scanned, "--store", place, "--draw", "a1", "--json", "--by", "host", "--by", "month")
    found = done(*words, "--people", "people")
    phases = found["two_phase"]
    figure = phases["figure"]
    assert (figure["low"] or 0.0) <= truth(scanned) <= figure["high"] < phases["first_phase_alone"]
    assert phases["first_phase"] == 700 and phases["model_specificity"] < 0.99
    assert "corrected by people's" in " ".join(found["notes"])
    figures = [found["prevalence"][label][unit] for label in LABELS for unit in ("documents", "words", "bytes")]
    figures += [one for units in ("documents", "words") for one in found["filter"][units].values()]
    assert {one["basis"] for one in figures} == {"design"} and found["against"]["basis"] == "design"
    assert {one["labels"] for one in figures[:3]} == {phases["read_by_people"]}
    assert figures[0]["high"] < phases["first_phase_alone"] and figures[3]["high"] == figure["high"]
    uncorrected = done(*words)
    assert uncorrected["against"]["basis"] == "uncorrected"
    mixed = [*uncorrected["prevalence"]["adverse"].values(), *uncorrected["filter"]["words"].values()]
    assert all(one["basis"] == "uncorrected" and "uncorrected (annotator" in one["words"] for one in mixed)
    bases = [
        {(figure["basis"], figure["difference_from_rest"]["basis"])
         for one in of["slices"]["host"] for units in one["prevalence"].values() for figure in units.values()}
        for of in (found, uncorrected)
    ]  # fmt: skip
    assert bases == [{("design", "design")}, {("uncorrected", "uncorrected")}]
    pairs = [[one["differences"]["ai"]["bytes"]["basis"] for one in of["differences"]["month"]]
             for of in (found, uncorrected)]  # fmt: skip
    assert pairs == [["design"] * 3, ["uncorrected"] * 3]
    for by in ("host", "month"):
        figures = [one["prevalence"]["adverse"]["words"] for one in found["slices"][by]]
        assert sum(one["labels"] for one in figures) == phases["read_by_people"]
        assert sum(one["positives"] for one in figures) == figure["positives"]
    for month, one in zip(sorted((scanned.parent / "crawl").iterdir()), found["slices"]["month"], strict=True):
        texts = gzip.decompress(month.read_bytes()).decode().splitlines()
        by_documents, by_words = (one["prevalence"]["adverse"][unit] for unit in ("documents", "words"))
        assert sum(MARK in text for text in texts) / len(texts) <= by_documents["high"] < 0.2
        sizes = {text: len(json.loads(text)["text"].split()) for text in texts}
        assert sum(size for text, size in sizes.items() if MARK in text) / sum(sizes.values()) <= by_words["high"]
        assert "two-phase" in by_documents["method"] and "two-phase" in by_words["method"]


def test_collateral_is_corrected_by_people(scanned: Path, tmp_path: Path) -> None:
    """One shard is dropped whole."""
    place = model_and_people(scanned, tmp_path, 400)
    words = ("collateral", scanned, drop_all_of(scanned, tmp_path / "run", "0"), "--texts", 0, "--json",
             "--store", place, "--draw", "a1")  # fmt: skip
    alone, found = done(*words)["audit"], done(*words, "--people", "people")["audit"]
    held = [(name[0] == "0", marked) for name, marked in adverse_by_id(scanned).items()]
    wanted = [(True, False), (True, True), (False, True)]
    for row, kind, before in zip(found["rows"], wanted, alone["rows"], strict=True):
        assert row["low"] <= held.count(kind) <= row["high"] and row["documents"]["basis"] == "design"
        assert before["documents"]["basis"] == "uncorrected"
    assert found["read_by_people"] == found["rows"][0]["documents"]["labels"] < 700 and not found["notes"]
    label, model = found["labels"][0]["documents"], alone["labels"][0]["documents"]
    truth = {"before": held.count((True, True)) + held.count((False, True)), "after": held.count((False, True))}
    for end, count in truth.items():
        assert (label[end]["low"] or 0) <= count <= label[end]["high"], (end, label)
        assert (label[end]["basis"], model[end]["basis"]) == ("design", "uncorrected")
    (year,) = found["slices"]["year"]  # the one that loses
    assert year["name"] == "2020" and year["kept"]["positives"] == 0 and year["lost"]["basis"] == "design"
    assert year["lost"]["low"] <= held.count((True, False)) / (DOCUMENTS // 3) <= year["lost"]["high"]
    page = tmp_path / "page.html"
    done(*(word for word in words if word != "--json"), "--people", "people", "--out", page)
    assert f"people read {found['read_by_people']}, drawn at random" in page.read_text()
    assert "--people needs --draw" in run("collateral", scanned, tmp_path / "run", "--people", "people").output


def test_a_recheck_of_a_label_that_is_none_is_refused(audited: tuple[Path, Path]) -> None:
    words = ("audit", "recheck", "--store", audited[0], "--draw", "a1", "--name", "p", "--passed", 5, "--label", "foo")
    assert "there is no label 'foo'; there are ai, adverse" in str(run(*words).exception)


def test_annotators_errors_widen_the_interval(scanned: Path, audited: tuple[Path, Path]) -> None:
    words = ("audit", "estimate", scanned, "--store", audited[0], "--draw", "a1", "--json")
    plain, checked = done(*words), done(*words, "--sensitivity", "17/20")
    one, other = (found["prevalence"]["adverse"]["documents"]["high"] for found in (plain, checked))
    assert other > one
    exact, usual = done(*words, "--exact", "--by", "tld"), done(*words, "--by", "tld")
    for unit in ("documents", "words"):
        highs = [of["slices"]["tld"][0]["prevalence"]["adverse"][unit]["high"] for of in (exact, usual)]
        assert highs[0] > highs[1]
    assert exact["prevalence"]["adverse"]["documents"]["high"] > one
    for extra in (("--exact",), ("--people", "x")):
        assert run(*words, "--regression", *extra).exit_code == 2
    assert done(*words, "--regression")["prevalence"]["adverse"]["bytes"] == plain["prevalence"]["adverse"]["bytes"]
    assert run(*words, "--sensitivity", "5").exit_code == 2
    assert run(*words, "--specificity", "5/6").exit_code == 2


def test_model_based_figures_say_so_and_take_labels_by_their_chances(scanned: Path, audited: tuple[Path, Path]) -> None:
    """From labels of the same corpus, prior shift holds: the truth must be near."""
    alone = done("audit", "model-based", scanned, "--json")
    assert alone["basis"] == "model" and list(alone["figures"]) == ["EMQ"] and 0 < alone["figures"]["EMQ"]["value"] < 1
    assert alone["figures"]["EMQ"]["high"] is None
    found = done("audit", "model-based", scanned, "--store", audited[0], "--draw", "a1", "--json")
    for name in ("PACC", "Rogan-Gladen"):
        figure = found["figures"][name]
        assert figure["basis"] == "model" and figure["low"] <= truth(scanned) <= figure["high"]
    printed = done("audit", "model-based", scanned, "--store", audited[0], "--draw", "a1")
    assert "holds under prior shift" in printed and "no interval" in printed
    assert run("audit", "model-based", scanned, "--draw", "a1").exit_code == 2


def test_model_based_figures_of_a_slice_are_those_of_a_corpus_of_it(
    spark: Any, scanned: Path, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ("--store", audited[0], "--draw", "a1", "--json")
    done("scan", scanned.parent / "crawl" / "1.jsonl.gz", "--out", tmp_path / "one", "--quiet")
    alone = done("audit", "model-based", tmp_path / "one", *words)
    by = ("--by", "year", "--by", "host", "--most", 2)
    found = done("audit", "model-based", scanned, *words, *by)
    year = next(one for one in found["slices"]["year"] if one["slice"] == "2021")
    assert year["figures"] == alone["figures"] and year["scored"] == alone["scored"] == 500
    assert set(year["figures"]) == {"EMQ", "PACC", "Rogan-Gladen"}
    assert {one["basis"] for rows in found["slices"].values() for row in rows for one in row["figures"].values()} == {
        "model"
    }
    assert [one["slice"] for one in found["slices"]["host"]] == [f"news{k}.example.co.uk" for k in (0, 1)]
    assert len(found["slices"]["year"]) == 3 and found["figures"] != alone["figures"]
    assert done("audit", "model-based", scanned, *words, *by, "--engine", "spark") == found
    printed = " ".join(done("audit", "model-based", scanned, "--by", "year").split())
    assert "EMQ (model-based)" in printed and "2022 500" in printed and "PACC" not in printed
    refused = run("audit", "model-based", scanned, "--by", "topic")
    assert "the tags have no topics" in str(refused.exception)


def test_nothing_is_shrunken_to_a_prior_that_nothing_was_fitted_to() -> None:
    """A slice in which a stratum was not read has labels of unknown worth: it neither fits the prior nor gets it."""
    documents, read = np.array([9000, 1000]), np.array([200, 50])
    whole = [stratified(count_sample(documents, read, np.array([2, 20]))) for _ in range(LEAST_SLICES)]
    part = stratified(count_sample(documents, np.array([200, 0]), np.array([1, 0])))
    assert part.effective_n is None
    found = shrunken_slices([part, *whole])
    assert found[0] is None and all(one and one.estimate.value < 0.1 for one in found[1:])
    assert shrunken_slices([part] * 20) == [None] * 20
    nearly = stratified(count_sample(np.array([9000, 100]), np.array([200, 0]), np.array([2, 0])))
    assert nearly.effective_n and shrunken_slices([nearly, *whole])[0] is not None


def test_a_slice_of_which_a_part_was_not_read_has_a_bound_and_no_number() -> None:
    """Its point estimate would take the unread stratum to be negative."""
    part = stratified(count_sample(np.array([900, 100]), np.array([200, 0]), np.array([60, 0])))
    assert part.too_few_labels and part.as_json()["value"] is None and part.in_words().startswith("at most ")
    little = stratified(count_sample(np.array([990, 10]), np.array([200, 0]), np.array([60, 0])))
    assert not little.too_few_labels


def test_slices_of_hosts_dates_and_lengths() -> None:
    import pyarrow as pa

    hosts = ["www.bbc.co.uk", None, "127.0.0.1"]
    dates = ["2019-03-04T05:06:07Z", "201904", "?"]
    batch = pa.RecordBatch.from_pydict(
        {"host": hosts, "date": dates, "words": [5, 300, 9000], "lang": ["en", "", None]}
    )

    def names(by: str) -> list[str]:
        found, at = Slicer(by).of(batch)
        return [found[k] for k in at]

    assert names("domain") == ["bbc.co.uk", "(none)", "127.0.0.1"]
    assert names("tld")[:2] == ["uk", "(none)"]
    assert names("month") == ["2019-03", "2019-04", "(none)"]
    assert names("year") == ["2019", "2019", "(none)"]
    assert names("length") == ["00000 to 00127 words", "00128 to 00511 words", "08192 words or more"]
    assert names("lang") == ["en", "(none)", "(none)"]
    assert Slicer("lang").of(batch)[0] == ["en", "(none)"]


def test_collateral_estimates_what_a_policy_loses_and_keeps_wrongly(
    scanned: Path, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    """Every second document of high score is dropped, and a few of low score; the truth is known by the word."""
    marked = adverse_by_id(scanned)
    truth, by_year = Counter[str](), Counter[str]()
    for path in (scanned / "tags").rglob("*.parquet"):
        tags = pq.read_table(path, columns=["row", "id", "adverse"])
        high = np.nan_to_num(tags["adverse"].to_numpy()) >= np.quantile(tags["adverse"].to_numpy(), 0.9)
        dropped = np.where(high, tags["row"].to_numpy() % 2 == 0, tags["row"].to_numpy() % 20 == 0)
        for name, gone in zip(tags["id"].to_pylist(), dropped.tolist(), strict=True):
            truth[f"{'dropped' if gone else 'kept'} {marked[name]}"] += 1
            by_year[f"202{name[0]} {'dropped' if gone else 'kept'} {marked[name]}"] += 1
        made = tags.select(["row", "id"]).append_column("action", pa.array(np.where(dropped, "drop", "keep")))
        made = made.append_column("rule", pa.nulls(len(tags), pa.string()))
        target = tmp_path / "run" / "decisions" / path.relative_to(scanned / "tags")
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made.append_column("weight", pa.array(1.0 - dropped)), target)
    words = ["collateral", scanned, tmp_path / "run", "--texts", "0", "--json", "--store", audited[0], "--draw", "a1"]
    found = done(*words)["audit"]
    wanted = {"dropped, though not adverse": "dropped False", "dropped, and adverse": "dropped True",
              "kept, though adverse": "kept True"}  # fmt: skip
    assert [row["name"] for row in found["rows"]] == list(wanted) and found["labelled"] == 300
    for row in found["rows"]:
        assert row["low"] <= truth[wanted[row["name"]]] <= row["high"], row
        assert row["documents"]["basis"] == "design" and row["high"] < DOCUMENTS
    assert found["rows"][0]["documents"]["value"] is not None
    assert {row["name"] for row in found["slices"]["year"]} == {"2020", "2021", "2022"}
    for row in found["slices"]["year"]:
        for side, what in (("lost", "dropped False"), ("kept", "kept True")):
            share = by_year[f"{row['name']} {what}"] / (DOCUMENTS // 3)
            assert (row[side]["low"] or 0) <= share <= row[side]["high"] < 1, row
    assert [row["name"] for row in found["slices"]["domain"]] == ["example.co.uk"]
    page = tmp_path / "page.html"
    assert run(*(word for word in words if word != "--json"), "--out", page).exit_code == 0
    assert "how much of it wrongly" in page.read_text()


def test_collateral_estimates_how_much_of_a_label_weights_leave(
    scanned: Path, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    """Nothing is dropped: documents of high score count a tenth, the others a fifth."""
    marked = adverse_by_id(scanned)
    truth: Counter[str] = Counter()
    for path in (scanned / "tags").rglob("*.parquet"):
        tags = pq.read_table(path, columns=["row", "id", "adverse", "words"])
        high = np.nan_to_num(tags["adverse"].to_numpy()) >= np.quantile(tags["adverse"].to_numpy(), 0.9)
        weights = np.where(high, 0.1, 0.2)
        for name, size, weight in zip(tags["id"].to_pylist(), tags["words"].to_pylist(), weights.tolist(), strict=True):
            if marked[name]:
                truth.update({"documents before": 1, "documents after": weight})
                truth.update({"words before": size, "words after": size * weight})
        made = tags.select(["row", "id"]).append_column("action", pa.array(["keep"] * len(tags)))
        made = made.append_column("rule", pa.nulls(len(tags), pa.string())).append_column("weight", pa.array(weights))
        target = tmp_path / "run" / "decisions" / path.relative_to(scanned / "tags")
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(made, target)
    words = ["collateral", scanned, tmp_path / "run", "--texts", "0", "--json", "--store", audited[0], "--draw", "a1"]
    found = done(*words)["audit"]
    assert found["rows"][1]["documents"]["positives"] == 0, "nothing is dropped"
    label = found["labels"][0]
    assert label["name"] == "adverse" and [one["name"] for one in found["labels"]] == ["adverse", *(
        name for name in LABELS if name != "adverse")]  # fmt: skip
    for unit in ("documents", "words"):
        for end in ("before", "after"):
            one = label[unit][end]
            assert (one["low"] or 0) <= truth[f"{unit} {end}"] <= one["high"], (unit, end, one)
        assert label[unit]["after"]["high"] < label[unit]["before"]["low"], "most of it is lost"
    none = next(one for one in found["labels"] if one["name"] == "admirable")
    assert none["words"]["after"]["value"] is None and "too few labels" in none["words"]["after"]["words"]
    page = tmp_path / "page.html"
    assert run(*(word for word in words if word != "--json"), "--out", page).exit_code == 0
    assert label["words"]["after"]["words"] in page.read_text()


def test_spark_plans_draws_and_estimates_the_same(
    spark: Any, scanned: Path, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    """The commands with --engine spark: the plan, the documents drawn, and every figure."""
    place, plan = tmp_path / "spark.sqlite", tmp_path / "spark.json"
    done("audit", "plan", scanned, "--budget", 300, "--expect", 0.02, "--out", plan, "--engine", "spark")
    assert json.loads(plan.read_text()) == json.loads(audited[1].read_text())
    done("audit", "draw", scanned, "--plan", plan, "--store", place, "--name", "a1", "--engine", "spark")
    stores = [open_store(place), open_store(audited[0])]
    drawn = [[(item.document, one.stratum) for one, item in designed_selections(store, ["a1"])] for store in stores]
    for store in stores:
        store.close()
    assert drawn[0] == drawn[1] and len(drawn[0]) == 300
    words = ("audit", "estimate", scanned, "--store", audited[0], "--draw", "a1", *EVERY_SLICE, "--by", "mode",
             "--compare", "host", "news1.example.co.uk", "news2.example.co.uk", "--json")  # fmt: skip
    here = done(*words)
    assert done(*words, "--engine", "spark") == here and len(here["differences"]) == 3 and here["modes"]
    assert all(one["prevalence"]["ai"]["bytes"] for rows in here["slices"].values() for one in rows)


def test_spark_estimates_the_same_by_topic(spark: Any, tmp_path: Path) -> None:
    topics = {"name": "topics.ftz", "digest": "cd" * 32, "labels": ["Health", "Politics", "Travel & Places"]}
    tags = made.write_crawl(tmp_path, model=MODEL | {"topic_model": topics})
    made.audited(tags, tmp_path)
    place = tmp_path / "labels.sqlite"
    words = ("audit", "estimate", tags, "--store", place, "--draw", "a1", "--by", "topic", "--json")
    here = done(*words)
    assert done(*words, "--engine", "spark") == here
    assert [row["slice"] for row in here["slices"]["topic"]] == ["Politics", "(none)", "Health", "Travel & Places"]


def test_the_options_of_spark_need_spark(scanned: Path, audited: tuple[Path, Path]) -> None:
    words = ("audit", "draw", scanned, "--plan", audited[1], "--store", audited[0], "--name", "a2")
    assert "need --engine spark" in run(*words, "--master", "local[2]").output


def test_a_slice_with_too_few_labels_is_printed_where_no_prior_could_be_fitted() -> None:
    figure = {"too_few_labels": True, "words": "at most 3 in 100", "q_value": 1.0, "shrunken": None}
    one = {"slice": "x", "documents": 5, "flagged": {"documents": 1}, "prevalence": {"ai": {"documents": figure}}}
    found = {"label": "adverse", "slices": {"topic": [one]}}
    assert _slices(found, "topic", "ai", "documents").row_count == 1
