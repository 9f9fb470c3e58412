"""Replacements over the whole corpus: matched, the budget held, alike in any order, and said where there are none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from crawls import contents
from hypothesis import given, settings
from hypothesis import strategies as st
from made_scan import WORDS, scan, write_lines, write_parquet
from made_tags import tags
from processes import killed_before_file
from test_apply import apply, decisions, figures, invoke, job_of, rows

from jobs.replacing import strata_counts
from jobs.running import local_engine, run_shards
from pipeline.apply.plan import open_scan, plan_apply, write_apply_report
from pipeline.apply.replacement import Matching, Replacements
from pipeline.apply.replacement_plan import in_order, is_planned, planned
from pipeline.apply.strata import Running, ShardStrata, strata_of
from pipeline.policy import parse_policy

DROP = '[[rule]]\nname = "overt"\nwhen.score.adverse.min = 0.7\ndrop = "overt"\nreplace = true\n'
POLICY = parse_policy(DROP)
Row = dict[str, Any]


# --- the match


def matched(shards: Sequence[Sequence[Row]], order: Sequence[int] | None = None) -> list[Replacements]:
    """The part of each shard, worked out in some order."""
    strata = [strata_of([tags(list(shard))] if shard else [], POLICY) for shard in shards]
    running = Running()
    before = [running.add(one.counts) for one in strata]
    found: dict[int, Replacements] = {}
    for i in order or range(len(shards)):
        found[i] = Matching(running.total, POLICY.seed).of(strata[i], before[i])
    return [found[i] for i in range(len(shards))]


def pairs(shards: Sequence[Sequence[Row]], found: Sequence[Replacements]) -> list[tuple[Row, Row]]:
    """Each replaced document with the one in its place; every name stands on both sides once."""
    gone = [(name, shard[i]) for shard, one in zip(shards, found, strict=True) for i, name in one.replaced.items()]
    kept = [(name, shard[i]) for shard, one in zip(shards, found, strict=True)
            for i, names in one.replaces.items() for name in names]  # fmt: skip
    assert len(dict(gone)) == len(gone) and len(dict(kept)) == len(kept) and dict(gone).keys() == dict(kept).keys()
    by = dict(kept)
    return [(row, by[name]) for name, row in gone]


ROW = st.fixed_dictionaries({
    "adverse": st.sampled_from([0.1, 0.2, 0.9]), "lang": st.sampled_from(["en", "de", None]),
    "source": st.sampled_from(["a", None]), "words": st.sampled_from([0, 1, 9, 10, 11, 100, 5000]),
})  # fmt: skip
SHARDS = st.lists(st.lists(ROW, max_size=25), min_size=1, max_size=5)


def named(shards: Sequence[Sequence[Row]]) -> list[list[Row]]:
    return [[{**row, "id": f"{k}/{i}"} for i, row in enumerate(shard)] for k, shard in enumerate(shards)]


@settings(max_examples=150, deadline=None)
@given(SHARDS)
def test_each_dropped_document_has_one_kept_document_of_the_closest_class_that_there_is(
    shards: list[list[Row]],
) -> None:
    shards = named(shards)
    every = [row for shard in shards for row in shard]
    kept, gone = [row for row in every if row["adverse"] < 0.7], [row for row in every if row["adverse"] >= 0.7]
    found = matched(shards)
    replaced = pairs(shards, found)
    assert sum(one.unreplaced for one in found) + len(replaced) == len(gone)
    for row, by in replaced:
        assert by["adverse"] < 0.7 and max(by["words"], 1) < 1.2 * max(row["words"], 1) < 1.44 * max(by["words"], 1)
        for names in (["lang", "source"], ["lang"]):
            if any(similar(one, row, names) for one in kept):
                assert similar(by, row, names)
                break
    without = {row["id"] for row in gone} - {row["id"] for row, _ in replaced}
    assert not [row for row in gone if row["id"] in without and any(similar(one, row, []) for one in kept)]


def similar(one: Row, other: Row, names: Sequence[str]) -> bool:
    """Of one bucket of lengths, of which the test has but a few, and alike in these columns."""
    buckets = {0: 1, 1: 1, 9: 9, 10: 10, 11: 10, 100: 100, 5000: 5000}
    return buckets[one["words"]] == buckets[other["words"]] and all(one[name] == other[name] for name in names)


@settings(max_examples=60, deadline=None)
@given(SHARDS, st.randoms(use_true_random=False))
def test_any_order_of_work_finds_the_same(shards: list[list[Row]], chance: Any) -> None:
    shards, order = named(shards), list(range(len(shards)))
    chance.shuffle(order)
    for one, other in zip(matched(shards), matched(shards, order), strict=True):
        assert one.replaced == other.replaced and one.replaces == other.replaces
        assert one.extra.tolist() == other.extra.tolist()


@settings(max_examples=60, deadline=None)
@given(SHARDS)
def test_no_document_of_a_stratum_counts_over_once_more_than_another(shards: list[list[Row]]) -> None:
    shards = named(shards)
    times: dict[Any, list[int]] = {}
    for shard, found in zip(shards, matched(shards), strict=True):
        strata = strata_of([tags(shard)] if shard else [], POLICY)
        for i in strata.kept:
            own = [name for name in found.replaces.get(int(i), []) if name.count(",") == 2]
            times.setdefault(strata.strata[strata.codes[i]], []).append(len(own))
    assert all(max(of) - min(of) <= 1 for of in times.values())


def test_every_document_has_the_same_chance_wherever_it_stands() -> None:
    """Over many seeds each of 30 kept documents in three uneven shards takes 7 of 30 places; 5 standard errors."""
    shards = [[{"id": f"{k}/{i}", "words": 10, "adverse": 0.9 if i < 3 - k else 0.1} for i in range(n + 3 - k)]
              for k, n in enumerate((20, 8, 2))]  # fmt: skip
    shards[2].append({"id": "last", "words": 10, "adverse": 0.9})
    counts: Counter[str] = Counter()
    seeds = 1000
    for seed in range(seeds):
        policy = parse_policy(f"seed = {seed}\n{DROP}")
        strata = [strata_of([tags(shard)], policy) for shard in shards]
        running = Running()
        before = [running.add(one.counts) for one in strata]
        matching = Matching(running.total, seed)
        for shard, one, start in zip(shards, strata, before, strict=True):
            counts.update(shard[i]["id"] for i in matching.of(one, start).replaces)
    share = 7 / 30
    error = 5 * (share * (1 - share) / seeds) ** 0.5
    assert len(counts) == 30 and all(abs(n / seeds - share) < error for n in counts.values())


def test_shards_that_hold_nothing_are_no_trouble() -> None:
    none = strata_of([], POLICY)
    assert isinstance(none, ShardStrata) and none.counts == {}
    found = Matching({}, 0).of(none, {})
    assert found.unreplaced == 0 and found.between(0, 0)[0].tolist() == []


# --- through the files


def records(n: int, seed: int, lang: str, *, least: int = 5, most: int = 80) -> list[Row]:
    chance = np.random.default_rng(seed)
    return [{"id": f"{lang}/{seed}/{i}", "language": lang, "source": ["web", "books"][i % 2],
             "text": " ".join(chance.choice(WORDS, int(chance.integers(least, most))))} for i in range(n)]  # fmt: skip


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shards; of one, whose documents are long, all are dropped where the policy asks for its source."""
    folder = tmp_path_factory.mktemp("crawl") / "crawl"
    write_lines(folder / "a.jsonl", records(300, 1, "en"))
    write_lines(folder / "b.jsonl", records(200, 2, "de"))
    write_lines(folder / "c.jsonl", records(250, 3, "en") + records(40, 4, "fr", least=300, most=301))
    write_lines(folder / "d.jsonl", [one | {"source": "forum"} for one in records(150, 5, "en")])
    write_lines(folder / "e.jsonl", [])
    write_lines(folder / "e.jsonl", records(1, 6, "en"))
    return folder


@pytest.fixture(scope="module")
def scanned(crawl: Path) -> Path:
    return scan(crawl, crawl.parent / "scanned")


def by_id(scanned: Path) -> dict[str, Row]:
    return {row["id"]: row for path in (scanned / "tags").rglob("*.parquet") for row in pq.read_table(path).to_pylist()}


FORUM = f'{DROP}[[rule]]\nname = "forum"\nwhen.source = "forum"\ndrop = "forum"\nreplace = true\n'
NAMES = [f"{letter}.jsonl" for letter in "abcde"]


@pytest.mark.parametrize("weight_as", ["column", "repeat"])
def test_the_budget_holds_over_the_corpus_by_documents_of_other_shards(
    crawl: Path, scanned: Path, tmp_path: Path, weight_as: str
) -> None:
    """Where a whole shard is dropped, too: within 1 % of the words, and of each language within 2 %."""
    apply(crawl, scanned, tmp_path / "out", f'weight_as = "{weight_as}"\n{FORUM}')
    total, every, found = figures(tmp_path / "out"), by_id(scanned), {}
    for name in NAMES:
        found |= {one["id"]: one | {"shard": name} for one in decisions(tmp_path / "out", name)}
    assert total["words_weighed"] + total["words_unreplaced"] == pytest.approx(total["words"], rel=0.01)
    assert total["words_replacing"] == pytest.approx(total["words_replaced"], rel=0.03)
    assert total["words_weighed"] == total["words_kept"] + total["words_replacing"]
    assert total["replaced"] + total["unreplaced"] == sum(total["dropped"].values()) > 300
    assert sum(one["action"] == "keep" for one in found.values() if one["shard"] == "d.jsonl") == 0
    for lang in ("en", "de", "fr"):
        before = sum(row["words"] for row in every.values() if row["lang"] == lang)
        after = sum(row["words"] * found[id]["weight"] for id, row in every.items() if row["lang"] == lang)
        assert after == pytest.approx(before, rel=0.02)
    donors = {name: one for one in found.values() for name in one["replaces"] or ()}
    for one in found.values():
        assert one["weight"] == (0 if one["action"] == "drop" else 1 + len(one["replaces"] or ()))
        if one["replacement"]:
            assert one["action"] == "drop" and donors[one["replacement"]]["action"] == "keep"
    places = [(one["shard"], donors[one["replacement"]]["shard"]) for one in found.values() if one["replacement"]]
    assert sum(one != other for one, other in places) > 100
    if weight_as == "repeat":
        written = [row["id"] for name in NAMES for row in rows(tmp_path / "out" / "data" / f"{name}.jsonl.zst")]
        assert Counter(written) == {one["id"]: int(one["weight"]) for one in found.values() if one["weight"]}


def test_where_the_corpus_keeps_none_the_report_says_so(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    policy = '[[rule]]\nname = "french"\nwhen.lang = "fr"\ndrop = "french"\nreplace = true\n'
    apply(crawl, scanned, tmp_path / "out", policy)
    summary = json.loads((tmp_path / "out" / "apply.json").read_text())
    assert summary["unreplaced"] == [
        {"lang": "fr", "source": source, "words": [256, 304], "documents": 20} for source in ("books", "web")
    ]
    total = summary["figures"]
    assert (total["replaced"], total["unreplaced"], total["words_unreplaced"]) == (0, 40, 40 * 300)
    (tmp_path / "p.toml").write_text(policy)
    shown = invoke("apply", crawl, scanned, "--policy", tmp_path / "p.toml", "--out", tmp_path / "again", "--quiet")
    assert "with none like them in the corpus: 40 of 12,000 words" in shown.output


def test_why_names_both_sides(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", FORUM)
    gone = next(one for one in decisions(tmp_path / "out", "d.jsonl") if one["replacement"])
    said = invoke("why", gone["id"], tmp_path / "out").output
    by = next(line for line in said.splitlines() if "in its place counts once more" in line).split(": ", 1)[1]
    id, shard = by.split(" (")[0], by.split(" (")[1].split(",")[0]
    assert gone["replacement"] in next(one for one in decisions(tmp_path / "out", shard) if one["id"] == id)["replaces"]
    assert gone["replacement"] in invoke("why", id, tmp_path / "out").output.replace("\n", "")


def test_workers_and_order_do_not_matter(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "one", FORUM)
    job, tasks = job_of(scanned, tmp_path / "two", FORUM), plan_apply([str(crawl)], open_scan(str(scanned)))
    tasks = planned(job, tasks[::-1], strata_counts(job, in_order(tasks), 2, quiet=True))
    assert run_shards(job, tasks, local_engine(2, quiet=True), quiet=True) == []
    write_apply_report(job, tasks, [], "")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("engine", ["datatrove", "spark"])
def test_engines_agree_byte_for_byte(crawl: Path, scanned: Path, tmp_path: Path, engine: str) -> None:
    (tmp_path / "p.toml").write_text(FORUM)
    for out, kind in (("one", "local"), ("two", engine)):
        done = invoke("apply", crawl, scanned, "--policy", tmp_path / "p.toml", "--quiet", "--out", tmp_path / out,
                      "--engine", kind, "--workers", 2)  # fmt: skip
        assert done.exit_code == 0, done.output
    for part in ("data", "decisions"):
        one, two = ({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
                    for folder in (tmp_path / "one" / part, tmp_path / "two" / part))  # fmt: skip
        assert one == two and len(one) == 5


def test_killed_between_any_two_files(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    """The plan is one of the files; a whole one is not made again, and shards before it stay."""
    apply(crawl, scanned, tmp_path / "whole", FORUM)
    for k in (0, 1, 2, 5, 15):
        out = tmp_path / f"out-{k}"
        killed_before_file(k, partial(apply, crawl, scanned, out, FORUM))
        assert (out / "replacement.parquet").exists() == (k > 0)
        assert len(apply(crawl, scanned, out, FORUM)) == 5 - max(0, k - 1) // 3
        assert contents(out) == contents(tmp_path / "whole")


def test_another_shard_among_the_inputs_changes_the_draw_and_all_is_done_again(
    crawl: Path, scanned: Path, tmp_path: Path
) -> None:
    inputs = [crawl / f"{letter}.jsonl" for letter in "abc"]
    folder = tmp_path / "some"
    folder.mkdir()
    for path in inputs:
        (folder / path.name).symlink_to(path)
    apply(folder, scanned, tmp_path / "out", FORUM)
    assert len(apply(crawl, scanned, tmp_path / "fresh", FORUM)) == 5
    assert len(apply(crawl, scanned, tmp_path / "fresh", FORUM)) == 0
    (folder / "d.jsonl").symlink_to(crawl / "d.jsonl")
    (folder / "e.jsonl").symlink_to(crawl / "e.jsonl")
    assert len(apply(folder, scanned, tmp_path / "out", FORUM)) == 5
    for name in NAMES:
        assert decisions(tmp_path / "out", name) == decisions(tmp_path / "fresh", name)


def test_a_shard_without_tags_is_left_out_of_the_plan_and_fails_alone(
    crawl: Path, scanned: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    for path in crawl.iterdir():
        (folder / path.name).symlink_to(path)
    write_parquet(folder / "f.parquet", [{"id": "x", "text": "a", "meta": {"big": 1}}])
    (tmp_path / "p.toml").write_text(FORUM)
    done = invoke("apply", folder, scanned, "--policy", tmp_path / "p.toml", "--out", tmp_path / "out", "--quiet",
                  "--workers", 1)  # fmt: skip
    assert done.exit_code == 1 and "failed: 1" in done.output, done.output
    apply(crawl, scanned, tmp_path / "fresh", FORUM)
    for name in NAMES:
        assert decisions(tmp_path / "out", name) == decisions(tmp_path / "fresh", name)


def test_a_plan_for_other_tags_is_an_error_and_not_another_draw(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    job, tasks = job_of(scanned, tmp_path / "out", FORUM), plan_apply([str(crawl)], open_scan(str(scanned)))
    made = planned(job, tasks)
    assert is_planned(job, made) and planned(job, made[:3])
    assert not is_planned(job, made)
    with pytest.raises(ValueError, match="was made for other shards or tags; apply again"):
        job.run(made[0])


def test_another_policy_does_not_write_over_the_plan(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", FORUM)
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match="made with another policy"):
        apply(crawl, scanned, tmp_path / "out", DROP)
    assert contents(tmp_path / "out") == before


def test_too_many_strata_are_an_error(
    crawl: Path, scanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.apply.replacement_plan.MOST_STRATA", 10)
    with pytest.raises(ValueError, match="more than 10 kinds of language, source and length"):
        planned(job_of(scanned, tmp_path / "out", FORUM), plan_apply([str(crawl)], open_scan(str(scanned))))
    assert not (tmp_path / "out" / "replacement.parquet").exists()


def test_the_dry_run_says_the_same(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(FORUM)
    shown = invoke("apply", crawl, scanned, "--policy", tmp_path / "p.toml", "--dry-run")
    apply(crawl, scanned, tmp_path / "out", FORUM)
    line = next(line.split() for line in shown.output.splitlines() if line.split()[:1] == ["all"])
    assert int(line[4].replace(",", "")) == figures(tmp_path / "out")["words_weighed"]
