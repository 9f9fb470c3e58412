"""docs/policies.md tells the truth: each policy in it is carried out, and every condition and command stands there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from made_scan import made_up_records, scan, write_lines
from made_tags import LABELS, MODEL

from jobs.apply import make_apply_job
from pipeline.apply.plan import open_scan, plan_apply
from pipeline.apply.replacement_plan import planned
from pipeline.policy import load_policy, parse_plain
from pipeline.policy.read import ACTION_KEYS, CONDITION_KEYS
from pipeline.reweight.weights import ScoreFactor, Weights, save_weights
from tests.command import tropescan

PAGE = (Path(__file__).parent.parent / "docs" / "policies.md").read_text("utf-8")
POLICIES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan, and the files that the policies name."""
    folder = tmp_path_factory.mktemp("policies")
    write_lines(folder / "crawl" / "x.jsonl", made_up_records(150, 1))
    scan(folder / "crawl", folder / "scanned")
    (folder / "hosts.txt").write_text("s1.example # a remark\n")
    (folder / "own.jsonl").write_text(json.dumps({"id": "1", "text": "The machine kept its word."}) + "\n")
    save_weights(
        Weights((ScoreFactor("adverse", (0.5,), (0.0, -1.0)),), (), 0.01, 10.0, str(MODEL["digest"])),
        str(folder / "weights.json"),
    )
    return folder


@pytest.mark.parametrize("number", range(len(POLICIES)))
def test_the_policies_are_carried_out(folder: Path, number: int) -> None:
    if "tokenizer" in POLICIES[number]:
        tokenizers = pytest.importorskip("tokenizers")
        tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?")).save(str(folder / "tokenizer.json"))
    (folder / "policy.toml").write_text(POLICIES[number])
    found = open_scan(str(folder / "scanned"))
    job = make_apply_job(load_policy(str(folder / "policy.toml")), found, str(folder / f"out-{number}"))
    (task,) = planned(job, plan_apply([str(folder / "crawl")], found))
    report = job.run(task)
    assert report.read == 150 and (report.dropped or report.edited or report.words_weighed != report.words)


def test_the_policy_in_python_is_carried_out_and_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = (code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "pipeline.policy" in code)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(script, "docs/policies.md", "exec"), names)
    summary = json.loads((folder / "corpus" / "apply.json").read_text())
    assert summary["figures"]["dropped"]["overt"] > 20 and not summary["failed"]
    assert parse_plain(summary["policy_text"]) == names["policy"]
    assert '"Curve"' in (folder / "corpus" / "README.md").read_text()
    rows = pq.read_table(folder / "corpus" / "decisions" / "x.jsonl.parquet").to_pylist()
    said = tropescan("why", next(row["id"] for row in rows if row["weight"] == 0), folder / "corpus")
    assert "0.58 <= score.adverse" in said.stdout and "drop: high precision" in said.stdout


def test_a_policy_that_was_read_and_changed_gets_a_text_of_its_own(folder: Path) -> None:
    (folder / "policy.toml").write_text(POLICIES[0])
    policy = load_policy(str(folder / "policy.toml"))
    changed = replace(policy, seed=3, text="", file="")
    assert policy.text == POLICIES[0] and parse_plain(changed.text) == changed != policy


def test_every_condition_and_action_stands_there() -> None:
    assert len(POLICIES) == 5 and {"adverse", "admirable", "technical"} <= set(LABELS)
    assert not [name for name in (*CONDITION_KEYS, *ACTION_KEYS, "replace", "weights", "mix_in") if name not in PAGE]
