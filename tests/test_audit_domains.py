"""Audits that draw whole domains, by their own commands: what is drawn, what is estimated, what is refused."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_audit import MARK, PLAIN, done, label_all, run

from jobs.audit_labels import DOMAINS as METHOD
from labels.store import Candidate, add_draw, designed_selections, open_store
from labels.store.tables import DESIGNED
from pipeline.prevalence.clusters import Clusters, by_domains
from pipeline.prevalence.domains import DomainPlan, DrawnDocument, domain_plan_from_json, first_domains
from pipeline.prevalence.sample import count_sample, size_biased, stratified

DOMAINS, SHARDS = 80, 3
IDS = {"id": "{domain}/{i}", "row": "{i}"}
"""How documents are called: by names of their own, or by counters that begin anew in each shard."""


def crawl(folder: Path, ids: str) -> Path:
    """Pages of 80 domains over three shards, 1 to 40 of each; in one domain of eight half of them are adverse."""
    source = random.Random(5)
    rows: list[dict[str, str]] = []
    for domain in range(DOMAINS):
        for i in range(source.choice((1, 3, 10, 40))):
            adverse = domain % 8 == 0 and source.random() < 0.5
            text = " ".join([*source.choices(PLAIN, k=60 if adverse else 30), *([MARK] if adverse else []), str(i)])
            rows.append({"url": f"https://www{i % 2}.site{domain}.co.uk/{i}", "text": f"{text} {domain}"})
    source.shuffle(rows)
    (folder / "crawl").mkdir()
    for k in range(SHARDS):
        shard = [one | {"id": ids.format(domain=one["url"], i=i)} for i, one in enumerate(rows[k::SHARDS])]
        (folder / "crawl" / f"{k}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in shard))
    done("scan", folder / "crawl", "--out", folder / "scanned", "--quiet")
    return folder / "scanned"


@pytest.fixture(scope="module", params=["id", "row"])
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A scan beside a store in which some 40 domains are drawn and labelled, whole ("whole") or 5 of each ("part")."""
    key: str = request.param
    folder = tmp_path_factory.mktemp(key)
    scanned, place = crawl(folder, IDS[key]), folder / "labels.sqlite"
    for name, extra in (("whole", ["--budget", 640]), ("part", ["--budget", 150, "--each", 5])):
        done("audit", "plan", scanned, "--whole-domains", *extra, "--key", key, "--out", folder / f"{name}.json")
        done("audit", "draw", scanned, "--plan", folder / f"{name}.json", "--store", place, "--name", name)
    store = open_store(place)
    for name in ("whole", "part"):
        label_all(store, name, "human", lambda text: MARK in text)
    store.close()
    return scanned, key


def texts(scanned: Path) -> list[dict[str, Any]]:
    files = sorted((scanned.parent / "crawl").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def domain_of(url: str) -> str:
    return ".".join(url.split("/")[2].split(".")[1:])


def test_domains_are_drawn_whole_with_their_probabilities(drawn: tuple[Path, str]) -> None:
    scanned, _ = drawn
    held = Counter(domain_of(one["url"]) for one in texts(scanned))
    store = open_store(scanned.parent / "labels.sqlite")
    for name, each in (("whole", None), ("part", 5)):
        plan = domain_plan_from_json(json.loads((scanned.parent / f"{name}.json").read_text()))
        assert plan.domains == len(held) == DOMAINS and plan.documents == sum(held.values())
        pairs = designed_selections(store, [name])
        read = Counter(selection.stratum for selection, _ in pairs)
        assert len(read) == plan.drawn and all(n == min(held[d or ""], each or n) for d, n in read.items())
        for selection, item in pairs:
            size = held[selection.stratum or ""]
            assert selection.inclusion_probability == plan.drawn / DOMAINS * min(1, (each or size) / size)
            assert domain_of(item.url or "") == selection.stratum
        order = [selection.stratum for selection, _ in pairs]
        assert sum(a != b for a, b in pairwise(order)) == plan.drawn - 1, "domain by domain"
        assert len({selection.document for selection, _ in pairs}) == len(pairs)
    store.close()


def test_estimates_hold_the_truth_with_design_effect_and_effective_labels(drawn: tuple[Path, str]) -> None:
    scanned, _ = drawn
    every = texts(scanned)
    words = [len(one["text"].split()) for one in every]
    truth = {
        "documents": sum(MARK in one["text"] for one in every) / len(every),
        "words": sum(n for one, n in zip(every, words, strict=True) if MARK in one["text"]) / sum(words),
    }
    for name in ("whole", "part"):
        estimate = ("audit", "estimate", scanned, "--store", scanned.parent / "labels.sqlite", "--draw", name)
        found = done(*estimate, "--by", "mode", "--json")
        assert found["design"] == "whole domains" and found["population"]["domains"] == DOMAINS
        for unit, share in truth.items():
            one = found["prevalence"]["adverse"][unit]
            assert (one["low"] or 0) <= share <= one["high"] and one["design_effect"] > 1.5 and one["positives"]
            assert one["effective_labels"] == pytest.approx(one["labels"] / one["design_effect"])
        assert found["modes"]["adverse"]["fiction"] == found["prevalence"]["adverse"]["documents"]
        assert found["prevalence"]["admirable"]["words"]["too_few_labels"]
        printed = done(*estimate)
        assert all(word in printed for word in ("design", "effect", "effective")) and f"of {DOMAINS} domains" in printed
        exact = done(*estimate, "--exact", "--json")["prevalence"]["adverse"]["documents"]
        assert exact["high"] > found["prevalence"]["adverse"]["documents"]["high"]


def test_what_a_draw_of_domains_cannot_tell_is_refused_with_the_reason(drawn: tuple[Path, str], tmp_path: Path) -> None:
    scanned, _ = drawn
    place = scanned.parent / "labels.sqlite"
    words = ("audit", "estimate", scanned, "--store", place, "--draw", "whole")
    for option, value, reason in (
        ("--by", "year", "too few of the domains"), ("--regression", None, "within strata"),
        ("--people", "x", "second phase"),
        ("--sensitivity", "9/10", "drawn one by one"), ("--out", tmp_path / "x.json", "drawn one by one"),
    ):  # fmt: skip
        refused = str(run(*words, option, *([] if value is None else [value])).exception)
        assert reason in refused and option in refused
    assert "hold against" in str(run(*words, "--compare", "year", "2020", "2021").exception)
    assert not (tmp_path / "x.json").exists()
    again = run("audit", "recheck", "--store", place, "--draw", "whole", "--name", "p", "--passed", 5)
    pilot = run("audit", "plan", scanned, "--budget", 50, "--pilot", "whole", "--store", place, "--out", tmp_path / "p")
    model = run("audit", "model-based", scanned, "--store", place, "--draw", "whole")
    assert all("is of whole domains" in str(one.exception) for one in (again, pilot, model))


def test_plans_that_cannot_be_drawn_are_refused(drawn: tuple[Path, str], tmp_path: Path) -> None:
    scanned, _ = drawn
    plan = ("audit", "plan", scanned, "--whole-domains", "--out", tmp_path / "p.json", "--budget")
    assert "does not reach for two domains" in str(run(*plan, 3).exception)
    assert "is of strata" in run(*plan, 300, "--expect", 0.1).output
    assert "there is no label 'foo'" in str(run(*plan, 300, "--label", "foo").exception)
    assert "--each goes with" in run("audit", "plan", scanned, "--budget", 300, "--each", 5).output
    (tmp_path / "crawl").mkdir()
    rows = [{"id": str(i), "text": f"{i} {' '.join(PLAIN)}"} for i in range(9)]
    (tmp_path / "crawl" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done("scan", tmp_path / "crawl", "--out", tmp_path / "scanned", "--quiet")
    without = run("audit", "plan", tmp_path / "scanned", "--whole-domains", "--budget", 5, "--out", tmp_path / "p.json")
    assert "9 of 9 documents have no domain" in str(without.exception) and not (tmp_path / "p.json").exists()


def test_other_tags_and_probabilities_are_refused(drawn: tuple[Path, str], tmp_path: Path) -> None:
    scanned, _ = drawn
    plain = json.loads((scanned.parent / "whole.json").read_text())
    store = open_store(scanned.parent / "labels.sqlite")
    item = Candidate("x", "s", text=f"a text {plain['key']}", stratum="site0.co.uk", inclusion_probability=0.9)
    add_draw(store, "wrong", DESIGNED, [item], method=METHOD, parameters={"plan": plain})
    store.close()
    wrong = run("audit", "estimate", scanned, "--store", scanned.parent / "labels.sqlite", "--draw", "wrong")
    assert "not that of its domain" in str(wrong.exception)
    (tmp_path / "fewer.json").write_text(json.dumps(plain | {"domains": plain["domains"] - 1}))
    drawn_of = run("audit", "draw", scanned, "--plan", tmp_path / "fewer.json", "--store",
                   tmp_path / "labels.sqlite", "--name", "a1")  # fmt: skip
    assert "plan and draw anew" in str(drawn_of.exception)
    (tmp_path / "none.json").write_text(json.dumps({"design": "whole domains", "seed": 1}))
    none = run("audit", "draw", scanned, "--plan", tmp_path / "none.json", "--store",
               tmp_path / "labels.sqlite", "--name", "a1")  # fmt: skip
    assert "not a plan of whole domains" in str(none.exception)


def test_labelling_that_stops_early_leaves_a_sample_of_domains(drawn: tuple[Path, str]) -> None:
    """Half of the draw is labelled: domains without a label are no part of the estimate, and a note says so."""
    scanned, key = drawn
    place, name = scanned.parent / "labels.sqlite", "early"
    plan = scanned.parent / "early.json"
    done("audit", "plan", scanned, "--whole-domains", "--budget", 340, "--seed", 9, "--key", key, "--out", plan)
    done("audit", "draw", scanned, "--plan", plan, "--store", place, "--name", name)
    result = run("audit", "estimate", scanned, "--store", place, "--draw", name, "--json")
    found = json.loads(result.stdout)
    assert "have no settled label" in result.stderr and found["labelled"] < found["drawn"]
    assert found["domains"]["labelled"] < found["domains"]["drawn"]


def test_spark_draws_and_counts_the_same(spark: Any, drawn: tuple[Path, str], tmp_path: Path) -> None:
    scanned, key = drawn
    plan, place = tmp_path / "plan.json", tmp_path / "labels.sqlite"
    done("audit", "plan", scanned, "--whole-domains", "--budget", 150, "--each", 5, "--key", key, "--out", plan,
         "--engine", "spark")  # fmt: skip
    assert json.loads(plan.read_text()) == json.loads((scanned.parent / "part.json").read_text())
    done("audit", "draw", scanned, "--plan", plan, "--store", place, "--name", "part", "--engine", "spark")
    stores = [open_store(place), open_store(scanned.parent / "labels.sqlite")]
    here, there = ([(one.document, one.stratum) for one, _ in designed_selections(s, ["part"])] for s in stores)
    for store in stores:
        store.close()
    assert here == there and here
    words = ("audit", "estimate", scanned, "--store", scanned.parent / "labels.sqlite", "--draw", "part", "--json")
    assert done(*words, "--engine", "spark") == done(*words)


# the formulas


def clusters(domains: int, held: np.ndarray, read: np.ndarray, positives: np.ndarray, sizes: np.ndarray) -> Clusters:
    whole = float(sizes.sum())
    found = positives.astype(np.float64)
    return Clusters(domains, int(whole), whole, size_biased(sizes.astype(np.float64)), held, read, positives, found)


def test_domains_drawn_whole_count_as_domains() -> None:
    random = np.random.default_rng(11)
    sizes = random.integers(10, 30, 50_000)
    read = sizes[:100]
    positives = np.where(np.arange(100) < 10, read // 2, 0)
    one = by_domains(clusters(50_000, read, read, positives, sizes))
    counts = (np.array([n], np.int64) for n in (sizes.sum(), read.sum(), positives.sum()))
    alone = stratified(count_sample(*counts))
    assert one.design_effect is not None and one.design_effect > 5
    assert one.estimate.high - one.estimate.low > 2 * (alone.estimate.high - alone.estimate.low)
    with pytest.raises(ValueError, match="no domain was read"):
        by_domains(clusters(5, read[:0], read[:0], read[:0], sizes[:5]))


def test_all_domains_read_whole_are_known_and_in_part_are_not() -> None:
    sizes = np.array([4, 8, 4])
    known = by_domains(clusters(3, sizes, sizes, np.array([2, 4, 0]), sizes)).estimate
    assert known.low == known.value == known.high == 6 / 16
    part = by_domains(clusters(3, sizes, np.array([4, 4, 4]), np.array([2, 2, 0]), sizes)).estimate
    assert part.low < part.value == 6 / 16 < part.high


@pytest.mark.parametrize("each", [None, 4])
def test_intervals_of_whole_domains_hold_and_the_estimate_is_unbiased(each: int | None) -> None:
    random = np.random.default_rng(3)
    held = np.maximum(1, random.geometric(1 / 12, 3000))
    positives = random.binomial(held, np.where(np.arange(3000) % 5 == 0, 0.4, 0.0))
    truth, inside, values = positives.sum() / held.sum(), 0, []
    for seed in range(250):
        at = random.choice(3000, 300, replace=False)
        read = held[at] if each is None else np.minimum(held[at], each)
        found = random.hypergeometric(positives[at], held[at] - positives[at], read)
        drawn = clusters(3000, held[at], read, found, held)
        one = by_domains(drawn, seed=seed, draws=2000).estimate
        inside += one.low <= truth <= one.high
        values.append(float(drawn.totals().mean()) * 3000 / held.sum())
    assert inside >= 0.92 * 250
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / 250**0.5)
    effect = drawn.design_effect()
    n, srs = int(read.sum()), truth * (1 - truth)
    assert effect == pytest.approx(np.var(values) * n / srs, rel=0.4)


def test_the_draw_is_the_same_in_any_order_and_domains_are_equally_likely() -> None:
    plan = DomainPlan("adverse", 1, "", 40, 400, 0, 0, 10, 3, 30.0, 30, 30)
    source, counts = random.Random(1), Counter[str]()
    for _ in range(300):
        keys = {f"d{k}": source.random() for k in range(40)}
        documents = [
            DrawnDocument(key, name, source.random(), f"{name}/{i}", "") for name, key in keys.items() for i in range(5)
        ]
        whole = first_domains(documents, plan)
        source.shuffle(documents)
        parts = [first_domains(documents[:70], plan), first_domains(documents[70:], plan)]
        assert first_domains([one for part in parts for one in part], plan) == whole and len(whole) == 30
        counts.update({one.domain for one in whole})
        assert sorted({one.domain_key for one in whole}) == sorted(keys.values())[:10]
    assert all(40 < counts[f"d{k}"] < 115 for k in range(40)), "75 expected, four standard deviations either way"
