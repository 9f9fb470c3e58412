"""The page of an audit: what it says, what it leaves unsaid, hostile text, its one script, and two reports compared."""

from __future__ import annotations

import csv
import json
import re
import shutil
from base64 import b64decode, b64encode
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import done, run
from test_report import ATTACK, MODEL, OURS, Elements, document, span, write_scan, write_tags

from labels.codebook import LABELS
from labels.store import designed_selections, open_store, record_label
from pipeline.prevalence.compare import difference_of
from pipeline.prevalence.ratio import Pairs, ratio
from pipeline.prevalence.sample import count_sample, sample_from_json
from pipeline.report.audit_page import bare, in_counts, in_percent
from pipeline.report.csv_link import csv_text
from pipeline.report.queries import COST_THRESHOLDS

TEXT = ["a robot that lies and will not be switched off", "a garden in the rain"]
ROWS = 400


def adverse(row: int) -> bool:
    """Whether the document is, by these tests: 60 of 80 that are flagged, and 10 of the rest."""
    return row < 60 or 100 <= row < 110


def topic_of(row: int) -> str | None:
    """Of tags with topics: 50 documents of health, 250 of politics, 50 of travel, 50 of none."""
    return "Health" if row < 50 else "Politics" if row < 300 else None if row % 2 else "Travel & Places"


def write_crawl(folder: Path, attack: str = "", model: dict[str, Any] = MODEL) -> Path:
    """A shard and hand-made tags of 400 documents, of which 80 score 0.9, the rest 0.1."""
    shard = folder / "crawl" / "part.jsonl"
    shard.parent.mkdir(parents=True)
    texts = [TEXT[0 if adverse(row) else 1] + attack + "!" * (row % 7) for row in range(ROWS)]
    ids = [f"doc{row}{attack}" for row in range(ROWS)]
    shard.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in zip(ids, texts, strict=True)), "utf-8")
    tags = [
        document(row, 0.9 if row < 80 else 0.1, id=ids[row], chars=len(texts[row]), words=100, bytes=500,
                 host=f"h{row % 3}.example{attack}" if row % 3 else f"=h0.example{attack}",
                 date=f"20{19 + row % 2}-05-01", topic=topic_of(row), topic_score=0.7, source=attack or None,
                 spans=[span("adverse", 2, 7, 0.9)] if row < 80 else [])
        for row in range(ROWS)
    ]  # fmt: skip
    write_tags(folder / "scanned", "part.jsonl", tags, model, shard=str(shard))
    write_scan(folder / "scanned", model)
    return folder / "scanned"


def audited(scanned: Path, folder: Path, *more: str, budget: int = 200, seed: int = 1) -> Path:
    """The file of an estimate from a labelled draw."""
    plan, place, out = folder / "plan.json", folder / "labels.sqlite", folder / "audit.json"
    done("audit", "plan", scanned, "--budget", budget, "--expect", 0.15, "--seed", seed, "--out", plan)
    done("audit", "draw", scanned, "--plan", plan, "--store", place, "--name", "a1")
    store = open_store(place)
    for selection, item in designed_selections(store, ["a1"]):
        holds = adverse(item.row or 0)
        held = dict.fromkeys(LABELS, False) | dict.fromkeys(("ai", "adverse", "hostile"), holds)
        record_label(store, item.id, "reader", "human", held, "fiction" if holds else "none", token=str(selection.id))
    store.close()
    done("audit", "estimate", scanned, "--store", place, "--draw", "a1", "--out", out, *more)
    return out


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def estimate(scanned: Path) -> Path:
    return audited(scanned, scanned.parent, "--compare", "domain", "h2.example", "h1.example")


@pytest.fixture(scope="module")
def report(scanned: Path, estimate: Path) -> dict[str, Any]:
    out = scanned.parent / "report.json"
    done("report", scanned, "--audit", estimate, "--json", out, "--out", scanned.parent / "page.html")
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def page(scanned: Path, report: dict[str, Any]) -> str:
    return (scanned.parent / "page.html").read_text("utf-8")


# --- figures


def test_thresholds_are_recounted(report: dict[str, Any]) -> None:
    rows = report["audit"]["thresholds"]
    assert [row["flagged"]["documents"] for row in rows] == [400, 80]
    assert rows[1]["flagged"] == {"documents": 80, "words": 8000, "bytes": 40000}
    assert sum(row["own"] for row in rows) == 1
    for row, positive in zip(rows, (70, 60), strict=True):
        size, kept, recall = row["flagged"]["documents"], row["precision"], row["recall"]
        assert kept["low"] <= positive / size <= kept["high"] and recall["low"] <= positive / 70 <= recall["high"]
        wrong = row["wrong"]["documents"]
        assert (wrong["low"] or 0) <= 1 - positive / size <= wrong["high"]
        assert row["wrong"]["words"]["high"] == pytest.approx(wrong["high"], abs=0.05)  # all are 100 words


def test_what_domains_lose_wrongly_at_several_thresholds_is_recounted(report: dict[str, Any], page: str) -> None:
    costs = report["audit"]["costs"]["domain"]
    assert costs["thresholds"] == sorted({*COST_THRESHOLDS, report["audit"]["plan"]["threshold"]})
    for cell in costs["costs"]:
        k = {"=h0.example": 0, "h1.example": 1, "h2.example": 2}[cell["name"]]
        rows = [row for row in range(ROWS) if row % 3 == k]
        scores = {row: float(np.float32(0.9 if row < 80 else 0.1)) for row in rows}  # as tags store them
        lost = [row for row in rows if scores[row] >= cell["threshold"]]
        assert (cell["documents"], cell["documents_lost"]) == (len(rows), len(lost))
        assert (cell["words"], cell["words_lost"]) == (100 * len(rows), 100 * len(lost))
        if lost:
            share = sum(not adverse(row) for row in lost) / len(lost)
            assert (cell["wrong"]["low"] or 0) <= share <= cell["wrong"]["high"], cell
        assert bool(lost) == (cell["wrong"] is not None)
    assert {cell["documents_lost"] for cell in costs["costs"]} > {0, len(range(0, 80, 3))}
    found = csv_of(dict(downloads(Elements(page)))["lost-wrongly-by-domain.csv"])
    assert [float(row["threshold"]) for row in found] == [cell["threshold"] for cell in costs["costs"]]


def test_what_was_read_and_quoted_is_recounted(report: dict[str, Any]) -> None:
    audit = report["audit"]
    assert sum(one["documents"] for one in audit["strata"]) == ROWS
    assert sum(one["labelled"] for one in audit["strata"]) == sum(audit["read"]["read"]) == 200
    assert sum(audit["read"]["positive"]) == sum(one["positives"] for one in audit["strata"])
    quoted = {kind: [one["row"] for one in found] for kind, found in audit["examples"].items()}
    assert all(row < 60 for row in quoted["strongest"] + quoted["found"]) and len(quoted["found"]) == 8
    assert all(60 <= row < 80 for row in quoted["wrong"]) and all(100 <= row < 110 for row in quoted["missed"])
    every = [row for rows in quoted.values() for row in rows]
    assert len(every) == len(set(every))
    excerpt = audit["examples"]["found"][0]["excerpt"]
    assert (excerpt["before"], excerpt["marked"]) == ("a ", "robot") and audit["examples"]["found"][0]["labels"]


def test_slices_by_date_and_domain_add_up(report: dict[str, Any]) -> None:
    slices = report["audit"]["slices"]
    assert [(row["slice"], row["documents"]) for row in slices["month"]] == [("2019-05", 200), ("2020-05", 200)]
    assert "year" not in slices
    for by in ("domain", "month", "length"):
        assert sum(row["documents"] for row in slices[by]) == ROWS
        for unit, size in (("documents", 1), ("words", 100), ("bytes", 500)):
            assert sum(row[unit] for row in slices[by]) == size * ROWS
            assert sum(row["flagged"][unit] for row in slices[by]) == size * 80
    for row in slices["month"]:
        for unit, figure in row["prevalence"]["hostile"].items():
            again = sample_from_json(figure["sample"])
            assert again.documents.sum() == 200 and again.n == figure["labels"]
            assert again.size.sum() == row[unit]


def test_the_ratio_of_two_labels_by_hand() -> None:
    strata, documents = np.zeros(100, np.int64), np.array([100_000])
    first, second = np.arange(100) < 20, (np.arange(100) >= 10) & (np.arange(100) < 20)
    both = ratio(Pairs.of(documents, strata, first, second))
    assert both.value == 2.0 and both.low >= 1.0 and both.first == 20 and both.second == 10
    apart = ratio(Pairs.of(documents, strata, np.arange(100) < 20, np.arange(100) >= 90))
    # of 30 that hold one of them, 20 hold the first: Clopper and Pearson give 0.4719 to 0.8271, odds of 0.893 to 4.785
    assert apart.low == pytest.approx(0.893, rel=0.12) and apart.high == pytest.approx(4.785, rel=0.12)
    none = ratio(Pairs.of(documents, strata, first, np.zeros(100, bool)))
    assert none.as_json()["value"] is None and none.as_json()["high"] is None and "at least" in none.in_words()
    whole = ratio(Pairs.of(np.array([100]), strata, first, np.zeros(100, bool)))
    assert "not defined" in whole.in_words() and json.dumps(whole.as_json(), allow_nan=False)


# --- the page


def test_the_headline_has_its_interval_and_no_flag_rate_passes_for_it(report: dict[str, Any], page: str) -> None:
    text = Elements(page).text
    figure = report["audit"]["prevalence"]["adverse"]["documents"]
    assert figure["low"] <= 70 / ROWS <= figure["high"]
    main, rest = figure["words"].split(" (")
    assert main in text and f"({rest}" in text and "20.0\N{NO-BREAK SPACE}%, which is no prevalence" in text
    for part in ("Clopper and Pearson", "Šidák", "Särndal", "before it,", "Strata of the draw"):
        assert part in text
    assert report["threshold_from"] == "the audit's plan"
    assert "Shrunken" not in text  # no slice here has such a figure


def test_changes_of_dates_and_named_differences_are_on_the_page(report: dict[str, Any], page: str) -> None:
    text, audit = Elements(page).text, report["audit"]
    (month,), (named,) = (audit["differences"][by] for by in ("month", "domain"))
    assert (month["slice"], month["against"]) == ("2020-05", "2019-05")
    assert (named["slice"], named["against"]) == ("h2.example", "h1.example")
    for one in (month, named):
        gap = one["differences"]["adverse"]["documents"]
        assert gap["low"] <= 0 <= gap["high"] and gap["words"] in text  # rows of either kind alternate
    assert "2020-052019-05" in "".join(text.split()) and "Holm" in text
    assert "year" not in audit["differences"]


def test_every_slice_has_its_other_labels_and_units_on_the_page(report: dict[str, Any], page: str) -> None:
    tables = re.findall(r"<details><summary>The other labels.*?</details>", page, re.DOTALL)
    assert len(tables) == len([by for by in report["audit"]["slices"] if f'id="by-{by}"' in page]) + 1
    (months,) = (table for table in tables if "2019-05" in table)
    for row in report["audit"]["slices"]["month"]:
        figures = row["prevalence"]
        wanted = [figures["adverse"]["words"], figures["adverse"]["bytes"],
                  *(figures[label]["documents"] for label in LABELS if label != "adverse")]  # fmt: skip
        (cells,) = re.findall(rf"<bdi>{row['slice']}</bdi></td>(.*?)</tr>", months)
        assert re.findall(r"<td>([^<]*)</td>", cells) == [in_percent(one) for one in wanted]


def test_too_few_labels_print_a_bound_and_never_a_number(report: dict[str, Any], page: str) -> None:
    admirable = report["audit"]["prevalence"]["admirable"]["documents"]
    assert admirable["value"] is None and admirable["low"] is None
    cells = re.findall(r"<td>admirable</td><td>all</td><td>([^<]*)</td>", page)
    assert cells == [bare(admirable["words"])] and "too few labels" in cells[0] and cells[0].startswith("at most")
    assert in_counts({"value": None, "low": None, "high": 0.5, "basis": "design"}, 100) == "at most 50"
    known = {"value": 0.25, "low": 0.2, "high": 0.345, "basis": "design"}
    assert in_percent(known) == "25\N{NO-BREAK SPACE}% (20 to 34.5)"
    known = {"value": 0.25, "low": 0.25, "high": 0.25, "basis": "design"}
    assert in_counts(known, 8) == "2"
    sure = {"value": None, "low": 0.9, "high": 1.0, "basis": "uncorrected"}
    assert in_percent(sure) == "at least 90\N{NO-BREAK SPACE}%, uncorrected"
    assert in_percent(sure | {"low": None}) == "anything, uncorrected"


def test_without_an_audit_the_page_says_so_and_runs_no_script(scanned: Path, tmp_path: Path) -> None:
    done("report", scanned, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "This page holds no audit" in page and "<script" not in page and "script-src" not in page


def test_one_script_and_its_hash(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (policy,) = (found["content"] or "" for tag, found in Elements(page).tags if found.get("http-equiv"))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy and "unsafe" not in policy
    assert "innerHTML" not in script and "eval" not in script


def test_hostile_names_never_become_markup_nor_formulas(tmp_path: Path) -> None:
    scanned = write_crawl(tmp_path, ATTACK)
    done("report", scanned, "--audit", audited(scanned, tmp_path), "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    elements = Elements(page)
    extra = {"label", "input", "output", "select", "option", "script", "br", "aside"}
    assert {tag for tag, _ in elements.tags} <= OURS | extra
    assert [tag for tag, _ in elements.tags].count("script") == 1
    assert not [name for _, found in elements.tags for name in found if name.startswith("on") or name == "style"]
    links = [found["href"] or "" for tag, found in elements.tags if tag == "a"]
    inside = ("#", "data:text/csv;charset=utf-8;base64,", f"{tmp_path.as_uri()}/")  # the last: shards
    assert all(link.startswith(inside) for link in links)
    assert not set(page) & {"\x00", "\u202e"}
    table = next(csv_of(link) for name, link in downloads(elements) if name == "prevalence-by-domain.csv")
    assert len(table) == 3 * len(LABELS) * 3 and any(row["slice"].startswith("'=h0.example") for row in table)


def downloads(elements: Elements) -> list[tuple[str, str]]:
    return [(found["download"] or "", found["href"] or "") for tag, found in elements.tags if "download" in found]


def csv_of(link: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(b64decode(link.split(",")[1]).decode())))


def test_every_table_of_figures_is_there_as_csv(report: dict[str, Any], page: str) -> None:
    found = dict(downloads(Elements(page)))
    assert {"thresholds.csv", "strata.csv", "by-month.csv", "prevalence-by-domain.csv", "labels-and-modes.csv",
            "flagged-by-threshold.csv"} <= found.keys()  # fmt: skip
    assert {"differences-by-month.csv", "differences-by-domain.csv"} <= found.keys()
    slices, tested = report["audit"]["slices"], report["audit"]["differences"]
    for by in ("month", "domain"):
        rows = csv_of(found[f"prevalence-by-{by}.csv"])
        assert len(rows) == len(slices[by]) * len(LABELS) * 3
        known = {(row["slice"], row["label"], row["unit"]): row for row in rows}
        for row in slices[by]:
            for label, unit in (("ai", "bytes"), ("adverse", "words"), ("admirable", "documents")):
                shown, figure = known[row["slice"].replace("=h", "'=h"), label, unit], row["prevalence"][label][unit]
                assert float(shown["high"]) == pytest.approx(figure["high"], rel=1e-5)
                assert int(shown["size"]) == row[unit] and (shown["value"] == "") is (figure["value"] is None)
        rows = csv_of(found[f"differences-by-{by}.csv"])
        assert len(rows) == len(tested[by]) * len(LABELS) * 3
        assert all(float(row["p_adjusted"]) >= float(row["p_value"]) for row in rows)
    rows = csv_of(found["thresholds.csv"])
    assert [int(row["flagged.documents"]) for row in rows] == [400, 80]
    assert float(rows[1]["recall.high"]) == report["audit"]["thresholds"][1]["recall"]["high"]


def test_csv_of_awkward_cells() -> None:
    text = csv_text([{"a": '=1+1,"x"', "b": {"c": None, "sample": {"d": 1}}}, {"a": -2, "e": ["x", "y"]}])
    assert text.splitlines() == ["a,b.c,e", '"\'=1+1,""x""",,', "-2,,x; y"]


def test_an_audit_of_other_tags_is_refused(scanned: Path, estimate: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{}")
    assert "audit estimate --out" in str(run("report", scanned, "--audit", tmp_path / "x").exception)
    earlier = json.loads(estimate.read_text())
    differences = earlier.pop("differences")
    (tmp_path / "older").write_text(json.dumps(earlier))
    assert "earlier version" in str(run("report", scanned, "--audit", tmp_path / "older").exception)
    earlier["differences"] = differences
    del earlier["strata"][0]["score"]
    (tmp_path / "earlier").write_text(json.dumps(earlier))
    assert "earlier version" in str(run("report", scanned, "--audit", tmp_path / "earlier").exception)
    shutil.copytree(scanned, tmp_path / "other")
    file = tmp_path / "other" / "tags" / "part.jsonl.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    assert "estimate anew" in str(run("report", tmp_path / "other", "--audit", estimate).exception)


def test_an_audit_goes_with_its_own_label_and_threshold(scanned: Path, estimate: Path, tmp_path: Path) -> None:
    words = ("report", scanned, "--audit", estimate, "--json", tmp_path / "r.json")
    assert "the audit is of 'adverse', not of 'hostile'" in str(run(*words, "--label", "hostile").exception)
    assert "leave --threshold out" in str(run(*words, "--threshold", 0.8).exception)
    done(*words, "--label", "adverse", "--threshold", 0.5)


@pytest.mark.parametrize("documents", [5, 6])
def test_five_documents_read_whole_are_known(tmp_path: Path, documents: int) -> None:
    """And nothing flagged: all scores are 0.1."""
    shard = tmp_path / "part.jsonl"
    shard.write_text("".join(json.dumps({"id": f"d{i}", "text": TEXT[0]}) + "\n" for i in range(documents)))
    rows = [document(i, 0.1, id=f"d{i}", chars=len(TEXT[0])) for i in range(documents)]
    write_tags(tmp_path / "scanned", "part.jsonl", rows, shard=str(shard))
    write_scan(tmp_path / "scanned", MODEL)
    file = audited(tmp_path / "scanned", tmp_path, budget=documents)
    done("report", tmp_path / "scanned", "--audit", file, "--out", tmp_path / "page.html")
    text = Elements((tmp_path / "page.html").read_text("utf-8")).text
    assert "100 in 100 documents" in text and "(known exactly)" in text
    (own,) = json.loads(file.read_text())["thresholds"][-1:]
    assert own["own"] and own["flagged"]["documents"] == 0 and own["precision"] is None and own["recall"]["high"] == 0


# --- two reports


def test_a_comparison_tests_the_difference(scanned: Path, report: dict[str, Any], tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps(report))
    audit = report["audit"]
    fewer = json.loads(json.dumps(report))
    fewer["audit"]["plan"]["seed"] = 2
    sample = audit["prevalence"]["adverse"]["documents"]["sample"]
    changed = fewer["audit"]["prevalence"]["adverse"]["documents"]
    changed["sample"]["sizes"] = [0 for _ in sample["sizes"]]
    changed |= {"value": None, "low": None, "too_few_labels": True, "words": "at most 2 in 100"}
    second.write_text(json.dumps(fewer))
    found = json.loads(done("report", "compare", first, second, "--json"))
    row = next(one for one in found["labels"] if (one["label"], one["unit"]) == ("adverse", "documents"))
    counts = count_sample(*(np.array(sample[key]) for key in ("documents", "labelled")), np.array(sample["sizes"]))
    none = count_sample(counts.documents, counts.labelled, np.zeros(len(counts.documents), np.int64))
    expected = difference_of(none, counts)
    assert row["difference"]["high"] == expected.figure.estimate.high < 0 and row["difference"]["p_value"] < 0.01
    assert row["difference"]["value"] is None and "too few labels" in row["difference"]["words"]
    again, mixed = tmp_path / "again.json", tmp_path / "mixed.json"
    changed["basis"] = "uncorrected"
    mixed.write_text(json.dumps(fewer))
    rows = json.loads(done("report", "compare", first, mixed, "--json"))["labels"]
    marked = [one["difference"]["words"].endswith(", uncorrected (annotator: language model)") for one in rows]
    assert marked == [(one["label"], one["unit"]) == ("adverse", "documents") for one in rows]
    again.write_text(json.dumps(of_another_draw(report)))
    same = json.loads(done("report", "compare", first, again, "--json"))
    assert all(one["difference"]["low"] <= 0 <= one["difference"]["high"] for one in same["labels"])
    assert {"month", "domain"} <= same["slices"].keys()
    assert all(one["q_value"] > 0.5 for one in same["slices"]["month"])


def of_another_draw(report: dict[str, Any]) -> dict[str, Any]:
    """The same figures, as if another seed had drawn the documents."""
    audit = report["audit"]
    return report | {"audit": audit | {"plan": audit["plan"] | {"seed": 2}}}


def test_one_draw_is_not_compared_with_itself(report: dict[str, Any], tmp_path: Path) -> None:
    """However it was labelled anew, and whatever its name: the two are not independent."""
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps(report))
    second.write_text(json.dumps(report | {"audit": report["audit"] | {"draw": "relabelled", "labelled": 190}}))
    assert "draw anew with another --seed" in str(run("report", "compare", first, second).exception)


def test_the_page_of_a_comparison(report: dict[str, Any], scanned: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps(report | {"folder": ATTACK}))
    (tmp_path / "again.json").write_text(json.dumps(of_another_draw(report)))
    done("report", scanned, "--json", second)
    done("report", "compare", first, tmp_path / "again.json", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "no difference shown" in page and [tag for tag, _ in Elements(page).tags].count("script") == 1
    assert "&lt;script&gt;document.title" in page
    result = run("report", "compare", first, second, "--out", tmp_path / "flags.html")
    assert "flag rates alone are compared" in result.stderr
    assert "By label" not in (tmp_path / "flags.html").read_text("utf-8")
    other = json.loads(first.read_text()) | {"label": "ai"}
    (tmp_path / "c.json").write_text(json.dumps(other))
    assert "same --label" in str(run("report", "compare", first, tmp_path / "c.json").exception)
    older = {part: found for part, found in report["audit"].items() if part != "differences"}
    (tmp_path / "older.json").write_text(json.dumps(report | {"audit": older}))
    assert "earlier version" in str(run("report", "compare", first, tmp_path / "older.json").exception)
    (tmp_path / "d.json").write_text("[]")
    assert "tropescan report DIR --json FILE" in str(run("report", "compare", first, tmp_path / "d.json").exception)


# --- a browser

HIDDEN_CELLS = """[...document.querySelectorAll('td:not([aria-hidden]):not(.dots):not(.bars)')]
    .filter((cell) => getComputedStyle(cell).display === 'none').length"""


def test_hover_slider_and_filter_in_a_browser(page: str, scanned: Path) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    with sync.sync_playwright() as playwright:
        shown = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab, said = shown.new_page(), list[str]()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        tab.goto((scanned.parent / "page.html").as_uri())
        assert "a filter drops" in tab.inner_text("#slider-says")
        tab.locator(".cost-slider input").fill("0")
        assert tab.inner_text("#slider-says").startswith("At 0.0") and tab.locator("tr.chosen").count() == 1
        tab.locator("figure[data-points] img").first.hover()
        assert "in 100" in tab.locator("figure .tip").first.inner_text()
        tab.emulate_media(media="print")
        assert not tab.evaluate(HIDDEN_CELLS)
        tab.emulate_media(media="screen")
        tab.set_viewport_size({"width": 390, "height": 800})
        assert not tab.evaluate(HIDDEN_CELLS)
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390  # tables scroll in their boxes
        tab.locator(".picker select").select_option("adverse")
        hidden = tab.locator("article[data-labels][hidden]").count()
        assert 0 < hidden < tab.locator("article[data-labels]").count()
        shown.close()
    assert said == []
