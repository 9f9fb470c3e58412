"""``tropescan why``: from any folder; of documents that are gone but for what was kept, or were mixed in; and under a
policy that was built in Python."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner
from made_scan import made_up_records, scan, write_lines
from rich.console import Console

from classifiers.card import default_model
from classifiers.explanation import token_shares
from classifiers.score import FastTextScorer
from jobs.apply import make_apply_job
from jobs.explain import STRONGEST, strongest_words
from jobs.main import cli
from pipeline.apply.plan import open_scan, plan_apply, write_apply_report
from pipeline.policy import All, Drop, KeepShare, Measure, MixIn, Not, OnHost, OwnDocument, Policy, Rule, Scored
from tests.command import tropescan

RULES = """seed = 11
mix_in = { documents = "own.jsonl", rate = 0.3 }
[[exempt]]
name = "hosts"
when.host_file = "hosts.txt"
[[rule]]
name = "overt"
when.score.adverse.min = 0.6
drop = "overt"
"""
ADVERSE = Measure("score", "adverse")
OWN = [{"id": f"good@{k}", "text": " ".join(["good"] * (5 + k))} for k in range(5)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scan, and a policy that names files, applied from its own folder by its relative path."""
    write_lines(tmp_path / "crawl" / "x.jsonl", made_up_records(120, 1))
    scan(tmp_path / "crawl", tmp_path / "scanned")
    (tmp_path / "p.toml").write_text(RULES)
    (tmp_path / "hosts.txt").write_text("s1.example\n")
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in OWN))
    monkeypatch.chdir(tmp_path)
    words = ["apply", tmp_path / "crawl", tmp_path / "scanned", "--out", tmp_path / "out", "--keep-dropped"]
    words += ["--policy", "p.toml", "--workers", 1, "--quiet"]
    assert CliRunner().invoke(cli, list(map(str, words))).exit_code == 0
    return tmp_path


def why(id: str, run: Path) -> str:
    """What is said, from another folder than the policy's."""
    done = tropescan("why", id, run)
    assert done.returncode == 0, done.stderr
    return done.stdout


def decisions(work: Path) -> list[dict[str, Any]]:
    return pq.read_table(work / "out" / "decisions" / "x.jsonl.parquet").to_pylist()


def dropped(work: Path) -> dict[str, Any]:
    return next(one for one in decisions(work) if one["action"] == "drop")


def written(work: Path) -> list[dict[str, Any]]:
    data = (work / "out" / "data" / "x.jsonl.jsonl.zst").read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read().splitlines()
    return [json.loads(line) for line in lines]


def test_a_policy_is_found_from_another_folder(work: Path) -> None:
    content = json.loads((work / "out" / "apply.json").read_text())
    assert content["policy_file"] == str(work / "p.toml")
    said = why(dropped(work)["id"], work / "out")
    assert "0.6 <= score.adverse" in said and "host is s1.example, or below" in said and "not shown" not in said


def test_files_that_are_gone_are_not_files_that_changed(work: Path) -> None:
    id = dropped(work)["id"]
    (work / "hosts.txt").write_text("s2.example\n")
    said = why(id, work / "out")
    assert "the rules are not shown: " in said and "files that it names have changed since" in said
    (work / "hosts.txt").unlink()
    said = why(id, work / "out")
    assert f"the rules are not shown: {work}/p.toml:5: " in said and f"{work}/hosts.txt cannot be read" in said
    assert "have changed" not in said and "drop by 'overt'; weight 0" in said


def test_what_was_kept_of_a_dropped_document_is_shown_when_all_else_is_gone(work: Path) -> None:
    rows = pq.read_table(work / "out" / "dropped" / "x.jsonl.parquet").to_pylist()
    one = next(row for row in rows if row["spans"])
    span = max(one["spans"], key=lambda span: span["score"])
    excerpt = repr(one["text"][span["start"] : span["end"]])
    whole = why(one["id"], work / "out")
    assert f"characters {span['start']} to {span['end']}: {excerpt}" in whole and "as kept in" not in whole
    shutil.rmtree(work / "crawl")
    said = why(one["id"], work / "out")
    assert "its text cannot be read" in said and "0.6 <= score.adverse" in said and excerpt in said
    shutil.rmtree(work / "scanned")
    said = why(one["id"], work / "out")
    assert "its tags cannot be looked at" in said and excerpt in said
    assert f"text and evidence as kept in {work}/out/dropped/x.jsonl.parquet" in said
    assert "made by another model (SHA-256 000" in said
    kept = next(row for row in decisions(work) if row["action"] == "keep")
    assert "evidence" not in why(kept["id"], work / "out")


def test_a_document_that_was_mixed_in_is_known_by_its_id(work: Path) -> None:
    mixed = [row for row in written(work) if row["provenance"]]
    assert len(mixed) > 20
    for row in mixed[:4]:
        own, behind = row["id"].rpartition("#")[0].rsplit("@", 1)
        decided = next(one for one in decisions(work) if one["id"] == behind)
        said = why(row["id"], work / "out")
        assert f"mixed in: the policy's own document '{own}'" in said
        assert f"behind {behind}: x.jsonl, row {decided['row']}, weight 1; number " in said
        place = next(k for k, one in enumerate(OWN) if one["id"] == own)
        assert f"(seed 11): document {place + 1} of 5 in own.jsonl, which are to be 0.3 of all words" in said
        assert "id alone" not in said
    own, _, behind = mixed[0]["id"].partition("#")[0].rpartition("@")
    other = next(one["id"] for one in OWN if one["id"] != own)
    for id in (f"{other}@{behind}#0", f"{own}@{behind}#999999999999", f"{own}@nobody#0", f"{own}@{behind}#00"):
        done = tropescan("why", id, work / "out")
        assert done.returncode == 2 and "no document" in done.stderr
    (work / "own.jsonl").unlink()
    assert "taken from the id alone" in why(mixed[0]["id"], work / "out")


def test_a_policy_built_in_python_is_explained(work: Path) -> None:
    spared = Rule("hosts", when=OnHost(("s1.example",)))
    rules = (
        Rule("overt", Drop("overt"), All((Scored(ADVERSE, least=0.6), Not(OnHost(("s2.example",)))))),
        Rule("half", KeepShare(0.5)),
    )  # fmt: skip
    own = MixIn(tuple(OwnDocument(one["id"], one["text"], 5) for one in OWN), 0.3, "ours")
    policy = Policy(rules, (spared,), seed=3, mix_in=own)
    job = make_apply_job(policy, open_scan(str(work / "scanned")), str(work / "built"))
    tasks = plan_apply([str(work / "crawl")], open_scan(str(work / "scanned")))
    for task in tasks:
        job.run(task)
    write_apply_report(job, tasks, [], "from Python")
    found = pq.read_table(work / "built" / "decisions" / "x.jsonl.parquet").to_pylist()
    said = why(next(one["id"] for one in found if one["rule"] == "half"), work / "built")
    assert "0.6 <= score.adverse" in said and "host is s2.example, or below" in said and "share 0.5" in said
    assert "not shown" not in said and json.loads((work / "built" / "apply.json").read_text())["policy_file"] == ""
    kept = [one["id"] for one in found if one["weight"]]
    told = [tropescan("why", f"{one['id']}@{kept[0]}#0", work / "built").stdout for one in OWN]
    assert all("of 5 in ours, which are to be 0.3 of all words" in one and "id alone" in one for one in told)


def test_a_word_is_listed_once_with_the_sum_of_what_it_adds() -> None:
    text = "The machine lied and lied and lied to them all. " * 4
    scorer = FastTextScorer.open(default_model())
    shares = token_shares(scorer, text, "adverse")
    console = Console(record=True, width=100)
    console.print(strongest_words(text, shares))
    lines = [line.split() for line in console.export_text().splitlines()]
    total = sum(one.share for one in shares if text.encode()[one.start : one.end] == b"lied")
    assert [line for line in lines if line[-1:] == ["lied"]] == [[f"{total:+.3f}", "12", "lied"]]
    assert len([line for line in lines if line]) <= 1 + STRONGEST
