"""The preview of a policy: exact tables, the keyed sample, and what its sliders show in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from jobs.main import cli
from pipeline.prevalence import draw as drawing
from pipeline.report.preview import PreviewOptions, preview, quota_of
from pipeline.report.preview_page import as_data, render_preview
from pipeline.report.queries import CELLS, REACH
from tests.bench.synthetic_tags import write_tags
from tests.tag_folders import MODEL, TOPICS, WITH_TOPICS, Row, row, rows, write_folder
from tests.test_collateral import HOSTILE, Page, score

OPTIONS = PreviewOptions(modes=("fiction", "admirable"), about="adverse", sample=300)


def plain(found: list[Row]) -> list[tuple[float, float, int]]:
    """Score, score of the raised label, words."""
    return [(score(one, "adverse"), score(one, "admirable"), one["words"]) for one in found]


def test_tables_are_those_of_a_plain_recount(tmp_path: Path) -> None:
    shards = {"a": rows(500, 1), "b": rows(300, 2), "c": []}
    found = preview(write_folder(tmp_path, shards, WITH_TOPICS), OPTIONS)
    every = plain([one for part in shards.values() for one in part])
    assert found["corpus"] == {"documents": 800, "words": sum(words for *_, words in every)}
    assert 0.5 in [line["threshold"] for line in found["grid"]]
    for line in found["grid"]:
        at = line["threshold"]
        assert line == {
            "threshold": at, "dropped": sum(s >= at for s, _, _ in every),
            "words_dropped": sum(w for s, _, w in every if s >= at),
            "label_words": sum(w for s, _, w in every if s >= 0.5),
            "label_words_kept": sum(w for s, _, w in every if 0.5 <= s < at),
            "raised_words": sum(w for _, r, w in every if r >= 0.5),
            "raised_words_kept": sum(w for s, r, w in every if r >= 0.5 and s < at),
        }  # fmt: skip
    assert sum(line["words"] for line in found["modes"]) == found["corpus"]["words"]
    for i, step in enumerate(found["modes"][0]["dropped"]):
        dropped = sum(line["dropped"][i]["words"] for line in found["modes"])
        assert dropped == sum(w for s, _, w in every if s >= step["threshold"])
    for line in found["topics"]:
        mine = plain([one for part in shards.values() for one in part if (one["topic"] or "(none)") == line["name"]])
        assert (line["documents"], line["words"]) == (len(mine), sum(w for *_, w in mine))
        for step in line["dropped"]:
            assert step["words"] == sum(w for s, _, w in mine if s >= step["threshold"])
    assert {line["name"] for line in found["topics"]} == {*TOPICS, "(none)"} == set(found["sample"]["topics"])
    page = render_preview(found)
    assert "Share of the words of each topic" in page and '<tbody id="topics-live">' in page
    without = render_preview(preview(write_folder(tmp_path / "without", shards), OPTIONS))
    assert "opic" not in without.split("<body>")[1].split("<script")[0].replace(str(tmp_path), "")


def test_the_raised_label_has_the_models_threshold_of_evidence_or_a_given_one(tmp_path: Path) -> None:
    found = rows(500, 1)
    model = {**MODEL, "span_thresholds": {"admirable": 0.17}}
    folder, every = write_folder(tmp_path / "tags", {"a": found}, model), plain(found)
    for arguments, at in (([], 0.17), (["--raise-threshold", "0.3"], 0.3)):
        page = tmp_path / "page.html"
        done = CliRunner().invoke(cli, ["policy", "preview", folder, "--out", str(page), *arguments])
        assert done.exit_code == 0, done.output
        options = PreviewOptions(raised_threshold=at if arguments else None, sample=300)
        figures = preview(folder, options)
        assert figures["raised_threshold"] == at
        assert figures["grid"][0]["raised_words"] == sum(w for _, r, w in every if r >= at)
        assert f"<bdi>admirable</bdi> from {at:.4f} on" in page.read_text("utf-8")
        data = json.loads(page.read_text("utf-8").split('id="data">')[1].split("</script>")[0])
        assert data["raised_threshold"] == at


def _stratum(one: Row) -> int:
    def step(value: float, steps: int) -> int:
        logit = np.log(max(value, 1e-9) / max(1 - value, 1e-9))
        return int(max(0, min(steps - 1, np.floor((logit + REACH) * steps / (2 * REACH)))))

    value, raised = score(one, "adverse"), score(one, "admirable")
    return -1 if value < 0 else 4 * step(value, CELLS) + step(raised, 4)


def test_the_sample_is_the_designed_draw_whatever_the_shards(tmp_path: Path) -> None:
    every = [{**one, "id": f"doc {i}é"} for i, one in enumerate(rows(900, 3))]
    halves = {"x": every[450:], "w": every[:450]}
    found = [
        preview(write_folder(tmp_path / str(i), shards), OPTIONS)["sample"]
        for i, shards in enumerate(({"a": every}, halves))
    ]
    assert found[0] == found[1]
    strata = np.array([_stratum(one) for one in every])
    names, at = np.unique(strata, return_inverse=True)
    sizes = np.bincount(at).astype(np.int64)
    quota = quota_of(sizes, 300)
    drawn = drawing.draw(
        [one["id"] for one in every], [str(i) for i in range(900)], at.astype(np.int64), np.full(len(names), quota), 1
    )
    assert found[0]["words"] == [every[int(i)]["words"] for i in drawn.where]
    assert found[0]["strata"] == [{"documents": int(n), "sampled": int(min(n, quota))} for n in sizes]
    assert 280 <= len(found[0]["words"]) <= 300
    other = preview(str(tmp_path / "0"), PreviewOptions(sample=300, seed=2, raised=None))["sample"]
    assert other["words"] != found[0]["words"] and other["modes"] == []


@pytest.mark.parametrize(
    ("sizes", "sample", "quota"), [([5, 100, 100], 65, 30), ([5, 5], 100, 5), ([], 5, 0), ([9], 0, 0)]
)
def test_quota(sizes: list[int], sample: int, quota: int) -> None:
    assert quota_of(np.array(sizes, np.int64), sample) == quota


def test_the_page_keeps_below_three_megabytes(tmp_path: Path) -> None:
    write_tags(tmp_path, 1, 45_000)
    figures = preview(str(tmp_path), PreviewOptions(sample=10**9))
    assert 39_000 < len(figures["sample"]["words"]) <= 40_000
    assert len(render_preview(figures).encode()) < 3_000_000


@pytest.mark.parametrize("found", [[], [row(0)], [row(0, adverse=None, words=0, status="no_words")]])
def test_folders_of_next_to_nothing(tmp_path: Path, found: list[Row]) -> None:
    figures = preview(write_folder(tmp_path, {"a": found}), OPTIONS)
    json.dumps(figures, allow_nan=False)
    assert len(figures["sample"]["words"]) == len(found)
    assert "Exact counts" in render_preview(figures)


def test_hostile_text_stays_text_and_only_our_script_runs(tmp_path: Path) -> None:
    found = [row(i, host=HOSTILE, id=f"{i}{HOSTILE}", adverse=0.9) for i in range(30)]
    model = {**MODEL, "name": HOSTILE}
    text = render_preview(preview(write_folder(tmp_path, {"a": found}, model), OPTIONS))
    page = Page(text)
    assert text.count("<script") == 2 and not page.handlers
    assert all(link.startswith("#") for link in page.links)
    script = text.split("<script>")[1].split("</script>")[0]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy[1]
    assert "default-src 'none'" in policy[1] and "unsafe" not in policy[1] and "\u202e" not in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["domains"][0].startswith("<script>") and "␀" in data["domains"][0]
    assert "</script" not in str(as_data(["</script><!--&amp;"]))


def test_a_label_that_the_model_lacks(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"a": rows(20, 1)})
    found = preview(folder, PreviewOptions(raised="kind"))
    assert found["raised"] is None and "no label 'kind' to raise" in found["notes"][0]
    assert "Strength of raising" not in render_preview(found)
    with pytest.raises(ValueError, match="no label 'kind'"):
        preview(folder, PreviewOptions(label="kind"))


def test_sliders_show_what_a_plain_count_gives(tmp_path: Path) -> None:
    """Of so few documents that all are in the sample; then of a part of them, within what it says is sure."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    found = rows(1500, 4)
    folder, path = write_folder(tmp_path / "tags", {"a": found}), tmp_path / "page.html"
    words = ["policy", "preview", folder, "--out", str(path), "--sample"]
    seen: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("console", lambda said: seen.append(said.text))
        page.on("request", lambda asked: None if asked.url == path.as_uri() else seen.append(asked.url))
        for sample in ("1500", "500"):
            assert CliRunner().invoke(cli, [*words, sample]).exit_code == 0
            page.goto(path.as_uri())
            page.evaluate("""() => { for (const [id, value] of [["keep", 20], ["lower", 50], ["raise", 30]]) {
                const slider = document.getElementById(id);
                slider.value = value; slider.dispatchEvent(new Event("input")); } }""")
            # not wait_for_function, which evaluates a script, and the page's policy forbids that
            expect(page.locator("#keep-is")).to_have_text(re.compile("^20"))
            _check(page, plain(found), exact=sample == "1500")
        page.set_viewport_size({"width": 500, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= 500")
        browser.close()
    assert seen == []


def _check(page: Any, every: list[tuple[float, float, int]], *, exact: bool) -> None:
    def shown(name: str) -> tuple[float, float]:
        text = page.text_content(f"#{name}-of").replace(",", "")
        value, _, error = re.match(r"([\d.]+)( ± (\d+))?", text).groups()  # type: ignore[union-attr]
        return float(value), float(error or 0)

    weights = [(0.2 if s >= 0.5 else 1 - 0.5 * max(0, s) / 0.5) * (1 + 3 * max(0, r)) for s, r, _ in every]
    size = sum(weights) ** 2 / sum(w * w for w in weights)
    held = [(w, n) for w, (s, _, n) in zip(weights, every, strict=True) if s >= 0.5]
    expected = {
        "documents": 0.8 * len(held), "words": sum(w * n for w, (*_, n) in zip(weights, every, strict=True)),
        "label": sum(w * n for w, n in held),
        "other": sum(w * n for w, (_, r, n) in zip(weights, every, strict=True) if r >= 0.5),
    }  # fmt: skip
    for name, value in expected.items():
        found, error = shown(name)
        if exact:
            assert (error, found) == (0, pytest.approx(value, rel=2e-4, abs=0.51)), name
        else:
            assert abs(found - value) < 2 * error + 1e-3 * value + 0.51, name
    assert shown("size")[0] == pytest.approx(size, rel=2e-4 if exact else 0.1, abs=0.51)
    assert page.locator("#domains-live tr").count() >= 3 and page.get_attribute("#line-all", "points").count(",") == 41
