"""`tropescan eval` as a user runs it: figures, baselines, page, cross-validation and gate on a small set of records."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from classifiers.audit import SWAPPED
from jobs.evaluate import check_floors
from jobs.main import cli
from labels.records import LabelRecord, text_digest, write_records
from labels.split import is_held_out
from pipeline.report.evaluation_page import EXPECTED, render_evaluation
from pipeline.schema import Estimate

ERROR = "expected calibration error at the natural base rate"
SWAP = "from a human to a robot"
NAMED = {"ai": "about AI", "adverse": "adverse"}


def records() -> list[LabelRecord]:
    """Of 50 sources: adverse, about AI, and neither; and minimal pairs written for this project."""
    random, found = np.random.default_rng(0), []
    for k in range(400):
        words = [f"word{j}" for j in random.integers(0, 60, 25)]
        adverse, ai = k % 4 == 0, k % 4 < 3
        words[3] = "robot" if ai else "gardener"
        words[8] = str(random.choice(["destroys", "deceives"] if adverse else ["waters", "greets"]))
        pair = f"pair {k // 2}" if k >= 300 else None
        text = " ".join([*words, str(k)])
        found.append(
            LabelRecord(
                text_digest(text), str(k), f"source {k % 50}", ai, adverse, adverse, False, False,
                "fiction" if ai else "none", "a reader", "human", text=text, synthetic=k >= 300, pair=pair,
            )
        )  # fmt: skip
    return found


def held_out() -> list[LabelRecord]:
    """The real ones of them that training never saw."""
    return [one for one in records() if is_held_out(one.source) and not one.synthetic]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records, and a model trained on them with its card."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_records(records(), folder / "records.jsonl")
    done = CliRunner().invoke(
        cli, ["train", str(folder / "records.jsonl"), "--out", str(folder / "m.bin"), "--bucket", "500"]
    )
    assert done.exit_code == 0, done.output
    return folder


def run(folder: Path, *options: str) -> dict[str, Any]:
    """The JSON of an evaluation."""
    arguments = [
        "eval",
        str(folder / "records.jsonl"),
        "--model",
        str(folder / "m.bin"),
        "--json",
        "--resamples",
        "100",
    ]
    done = CliRunner().invoke(cli, [*arguments, *options])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_card_has_figures_baselines_thresholds_calibration_and_audit(folder: Path) -> None:
    card = json.loads((folder / "m.json").read_text())
    assert set(card["calibration"]) >= {"ai", "adverse"}
    assert set(card["operating_points"]) == {"high_recall", "balanced", "high_precision"}
    assert any("TF-IDF" in name for name in card["baselines"])
    assert "eval --encoder" in card["baselines"]["MiniLM, logistic regression"]
    assert any("masked" in name for name in card["audit"])
    swap = card["audit"][f"ordinary texts flagged from balanced, {SWAP}"]
    assert swap["before"]["n"] == swap["after"]["n"] == len([one for one in held_out() if not one.ai])
    assert ERROR in card["metrics"] and f"{ERROR} of ai" in card["metrics"]
    text = (folder / "m.md").read_text()
    assert f"| ordinary texts flagged from balanced, {SWAP} | before 0." in text
    for title in ("## Baselines", "## Thresholds", "## Calibration", "## Shortcut audit"):
        assert title in text


def test_an_evaluation_and_its_page(folder: Path) -> None:
    found = run(folder, "--out", str(folder / "page.html"))
    held = held_out()
    assert found["documents"]["real"] == len(held)
    assert found["documents"]["of which adverse"] == sum(one.adverse for one in held)
    assert found["figures"]["average precision"]["value"] > 0.8
    assert {row["name"] for row in found["slices"]["mode"]} == {"fiction"}
    for name, its in (("ai", found["reliability of others"]), ("adverse", {"adverse": found["reliability"]})):
        assert sum(row["positives"] for row in its[name]) == found["documents"][f"of which {NAMED[name]}"]
    assert found["labels"]["ai"][ERROR]["value"] < 0.1
    page = (folder / "page.html").read_text()
    assert page == render_evaluation(found)
    assert page.count("Line chart: precision") == 1 and page.count("Reliability plot of") == 1 + len(
        found["reliability of others"]
    )
    assert "default-src 'none'" in page and not re.search(r"<script|https?://|<link|url\((?!data)", page)
    assert "no --encoder was given" in page
    swapped = found["audit"]["swaps"]["ordinary texts"]
    assert swapped[SWAP]["before"]["n"] == sum(not one.ai for one in held) and swapped[SWAP]["higher"]["value"] == 1
    assert SWAP.capitalize() in page and set(EXPECTED) == set(SWAPPED)
    assert all((text in page) == bool(found["audit"]["swaps"][whose]) for whose, text in EXPECTED.items())
    assert not any(one.text in page for one in held if one.text)


def test_the_terminal_shows_the_audit(folder: Path) -> None:
    done = CliRunner().invoke(
        cli, ["eval", str(folder / "records.jsonl"), "--model", str(folder / "m.bin"), "--resamples", "100"]
    )
    assert done.exit_code == 0, done.output
    shown = done.stdout.partition("shortcut audit")[2]
    assert f"ordinary texts flagged, {SWAP}" in shown and "positives flagged, from an AI to a human" in shown


def test_cross_validation_leaves_the_held_out_documents_alone(folder: Path) -> None:
    found = run(folder, "--leave-source-out", "3", "--out", str(folder / "folds.html"))
    seen = [one for one in records() if not is_held_out(one.source) and not one.synthetic]
    assert found["documents"]["real"] == len(seen)
    assert found["audit"] is None and "3 folds" in found["how"]
    assert "TF-IDF, logistic regression" in found["baselines"]
    assert "audit" not in re.findall(r'<h2 id="(\w+)"', (folder / "folds.html").read_text())


def test_quick_gives_the_same_figures_and_nothing_else(folder: Path) -> None:
    assert run(folder, "--quick")["figures"] == run(folder)["figures"]
    assert "baselines" not in run(folder, "--quick")


def test_all_documents_can_be_unseen_ones(folder: Path, tmp_path: Path) -> None:
    ours, background = [one for one in records() if not one.synthetic], tmp_path / "ordinary"
    write_records(ours, tmp_path / "ours.jsonl")
    background.mkdir()
    lines = [json.dumps({"text": f"ordinary page {i} " * 9, "source": f"place {i}"}) for i in range(30)]
    (background / "pages.jsonl").write_text("\n".join(lines))
    options = ["--all", "--json", "--background", str(background), "--model", str(folder / "m.bin")]
    done = CliRunner().invoke(cli, ["eval", str(tmp_path / "ours.jsonl"), *options])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["figures"]["average precision"]["n"] == len(ours)
    assert found["figures"]["recall at FPR 1e-3, background"]["n"] == sum(one.adverse for one in ours) + 30
    assert found["digests"].keys() == {"real", "background"} and "baselines" not in found


def test_options_that_contradict_each_other(folder: Path) -> None:
    pairs = (["--out", "x.html"], ["--leave-source-out", "3"])
    for options in (*([one, *other] for one in ("--quick", "--all") for other in pairs), ["--out", "x.json"]):
        done = CliRunner().invoke(cli, ["eval", str(folder / "records.jsonl"), *options])
        assert done.exit_code == 2


def test_floors_and_ceilings(tmp_path: Path) -> None:
    pins = {"digest": "d", "floors": {"recall": 0.5, "error": {"at most": 0.02}}}
    (tmp_path / "floors.json").write_text(json.dumps({"real": pins}))

    def problems(recall: float, error: float) -> list[str]:
        figures = {name: Estimate(value, 0, 1, 9, "") for name, value in (("recall", recall), ("error", error))}
        return check_floors(figures, {"real": "d"}, tmp_path / "floors.json")

    assert problems(0.5, 0.02) == []
    assert len(problems(0.4, 0.02)) == 1 and "above the ceiling" in problems(0.6, 0.03)[0]
    assert len(check_floors({}, {"real": "d"}, tmp_path / "floors.json")) == 2
    assert "pinned d" in check_floors({}, {"real": "other"}, tmp_path / "floors.json")[0]
