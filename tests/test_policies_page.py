"""docs/policies.md tells the truth: each policy in it is carried out, and every condition and command stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from made_scan import made_up_records, scan, write_lines
from made_tags import LABELS, MODEL

from jobs.apply import make_apply_job
from pipeline.apply.plan import open_scan, plan_apply
from pipeline.apply.replacement_plan import planned
from pipeline.policy import load_policy
from pipeline.policy.read import ACTION_KEYS, CONDITION_KEYS
from pipeline.reweight.weights import ScoreFactor, Weights, save_weights

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


def test_every_condition_and_action_stands_there() -> None:
    assert len(POLICIES) == 5 and {"adverse", "admirable", "technical"} <= set(LABELS)
    assert not [name for name in (*CONDITION_KEYS, *ACTION_KEYS, "replace", "weights", "mix_in") if name not in PAGE]
