"""The report: figures against counts by hand, hostile text on the page, and the states a folder of tags can be in."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import subprocess
import threading
from base64 import b64decode
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from command import tropescan
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from jobs.main import cli
from jobs.report import command
from pipeline.accounting import ShardReport
from pipeline.report.collect import ReportOptions, collect
from pipeline.report.excerpts import cut, within_shards
from pipeline.report.figures import percent, windows_picture
from pipeline.report.folder import TagsError
from pipeline.report.page import is_link, render, shard_link, visible
from pipeline.report.queries import BINS, CELLS, edges
from pipeline.schema import label_columns, schema_of
from pipeline.tasks import ReadOptions

MODEL: dict[str, Any] = {
    "name": "hand-made", "digest": "d1" * 32, "labels": ["adverse", "ai"], "target": "adverse", "threshold": 0.5,
    "span_thresholds": {"adverse": 0.5}, "window": 128, "stride": 64,
}  # fmt: skip


def document(row: int, score: float | None, **values: Any) -> dict[str, Any]:
    """One row of tags; ``score`` is the first label's, and its window's unless ``window`` is given."""
    window = values.pop("window", score)
    base = {
        "id": f"doc{row}", "row": row, "chars": 40, "bytes": 50, "words": 10, "url": None, "host": None, "date": None,
        "lang": None, "source": None, "topic": None, "topic_score": None, "spans": [],
        "status": "ok" if score is not None else "no_words",
    }  # fmt: skip
    return {**base, "score": score, "window": window, **values}


def write_tags(folder: Path, name: str, rows: list[dict[str, Any]], model: dict[str, Any] = MODEL,
               shard: str | None = None) -> None:  # fmt: skip
    """A tags file and its report, as a scan leaves them. All labels but the first score 0.25."""
    url = shard or f"crawl/{name}"
    metadata = {"tropescan.version": "1", "tropescan.model": json.dumps(model, sort_keys=True),
                "tropescan.options": json.dumps(vars(ReadOptions())), "tropescan.shard": url}  # fmt: skip
    schema = schema_of(model).with_metadata(metadata)
    columns: dict[str, list[Any]] = {}
    for i, column in enumerate(label_columns(model["labels"])):
        columns[column] = [row["score"] if i == 0 else 0.25 for row in rows]
        columns[f"{column}_window"] = [row["window"] if i == 0 else 0.25 for row in rows]
    arrays = [pa.array(columns.get(f.name) or [row[f.name] for row in rows], f.type) for f in schema]
    path = folder / "tags" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path)
    figures = ShardReport(shards=1, read=len(rows) + 1, tagged=len(rows), rejected={"bad_json": 1}, seconds=2.0)
    report = {"shard": {"url": url, "name": name, "size": 1, "identity": "i"}, "job": "j", "fingerprint": "f",
              "complete": True, "figures": figures.to_dict(),
              "rejection_examples": [{"reason": "bad_json", "row": 7, "offset": 99, "detail": "<b>x</b>"}]}  # fmt: skip
    target = folder / "reports" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report), "utf-8")


def write_scan(folder: Path, model: dict[str, Any] = MODEL, **values: Any) -> None:
    """A ``scan.json`` that adds up the reports in the folder."""
    total = ShardReport()
    for path in (folder / "reports").rglob("*.json"):
        total += ShardReport(**json.loads(path.read_text("utf-8"))["figures"])
    tags = folder / "tags"
    names = sorted(str(path.relative_to(tags)).removesuffix(".parquet") for path in tags.rglob("*.parquet"))
    content = {"command": "tropescan scan crawl --out scanned", "version": "1", "model": model,
               "label": model["labels"][0],
               "threshold": 0.5, "shards": 1, "figures": total.to_dict(), "failed": [], "with_rejections": [],
               "with_rejections_not_listed": 0, "tags": names, **values}  # fmt: skip
    (folder / "scan.json").write_text(json.dumps(content), "utf-8")


ROWS = [
    document(0, 0.75, host="a.example", date="2019-05-01", lang="en", words=100, bytes=600),
    document(1, 0.5, host="a.example", date="2019-05-30T10:00:00Z", lang="en", words=50, bytes=300),
    document(
        2, 0.25, window=0.9, host="a.example", date="Sat, 04 May 2019 10:00:00 GMT", lang="de", words=3000, bytes=9000
    ),
    document(3, 0.0, host="b.example", date="20190612", lang="en", words=0, bytes=100),
    document(4, None, host=None, date="yesterday", words=0, bytes=0),
    document(5, 1.00001, window=1.00001, host="once.example", lang="en", words=850, bytes=10000),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tags(tmp_path, "part.jsonl", ROWS)
    write_scan(tmp_path)
    return tmp_path


def test_headline_counts(folder: Path) -> None:
    headline = collect(str(folder))["headline"]
    assert headline["documents"] == {"flagged": 3, "total": 6, "share": 0.5}
    assert headline["words"] == {"flagged": 1000, "total": 4000, "share": 0.25}
    assert headline["bytes"] == {"flagged": 10900, "total": 20000, "share": 0.545}
    assert headline["no_score"] == 1


def test_curve_counts_at_or_over_each_threshold(folder: Path) -> None:
    curve = {point["threshold"]: point for point in collect(str(folder))["curve"]}
    assert list(curve) == sorted(curve)
    assert [curve[t]["documents"] for t in (0.0001, 0.25, 0.26, 0.5, 0.51, 0.75, 0.76, 0.9999)] == [
        4,
        4,
        3,
        3,
        2,
        2,
        1,
        1,
    ]
    assert curve[0.5] == {"threshold": 0.5, "documents": 3, "words": 1000, "bytes": 10900}


def test_bins_are_exact_at_the_float32_neighbours_of_each_threshold() -> None:
    """The claim beside `BINS`, for every bound."""
    for step in range(1, BINS + 1):
        near = pa.scalar(step / BINS, pa.float32()).as_py()
        for score in (near, near * (1 - 2**-23), near * (1 + 2**-23)):
            single = pa.scalar(score, pa.float32()).as_py()
            assert (math.floor(single * BINS) >= step) == (single >= step / BINS)


@pytest.mark.parametrize("threshold", [0.7, 0.1, 1 / 3, 0.99, 0.0])
def test_flagged_is_what_the_scan_counts(tmp_path: Path, threshold: float) -> None:
    """`pipeline.tag` compares with pyarrow, the report with DuckDB: scores beside the threshold tell them apart."""
    near = pa.scalar(threshold, pa.float32()).as_py()
    scores = [near, near * (1 - 2**-23), near * (1 + 2**-23), 0.0, 1.0]
    write_tags(tmp_path, "part", [document(i, score) for i, score in enumerate(scores)])
    counted = pc.sum(pc.greater_equal(pa.array(scores, pa.float32()), threshold)).as_py()
    found = collect(str(tmp_path), ReportOptions(threshold=threshold))
    assert found["headline"]["documents"]["flagged"] == counted
    assert found["threshold_from"] == "the command line"


def test_windows_over_the_threshold_in_documents_below_it(folder: Path) -> None:
    windows = collect(str(folder))["windows"]
    assert [windows[key] for key in ("both", "window_only", "document_only", "neither")] == [3, 1, 0, 2]
    assert sum(map(sum, windows["grid"])) == 5
    assert windows["by_length"] == [
        {"from": 0, "below": 128, "documents": 4, "flagged": 2, "window_only": 0},
        {"from": 512, "below": 2048, "documents": 1, "flagged": 1, "window_only": 0},
        {"from": 2048, "below": 8192, "documents": 1, "flagged": 0, "window_only": 1},
    ]


def test_histograms_hold_every_score(folder: Path) -> None:
    labels = collect(str(folder))["labels"]
    target, other = labels["shown"]
    assert (target["label"], other["label"], labels["total"]) == ("adverse", "ai", 2)
    assert sum(target["document_bars"]) == sum(target["window_bars"]) == 5
    assert (target["documents"], target["windows"]) == (3, 4)
    found = {labels["bar_edges"][bar]: n for bar, n in enumerate(target["document_bars"]) if n}
    assert list(found.values()) == [1, 1, 1, 1, 1]
    assert next(iter(found)) == 0.0 and edges(50)[25] == 0.5
    assert other["document_bars"][next(i for i, edge in enumerate(edges(50)) if edge > 0.25) - 1] == 6


def test_a_host_of_one_page_does_not_lead(tmp_path: Path) -> None:
    rows = [document(i, 0.9 if i < 30 else 0.0, host="many.example") for i in range(1000)]
    rows += [document(1000, 0.9, host="once.example"), document(1001, 0.0, host="clean.example"), document(1002, 0.9)]
    write_tags(tmp_path, "part", rows)
    hosts = collect(str(tmp_path))["hosts"]
    assert [row["name"] for row in hosts["by_rate"]] == ["many.example"]
    assert [row["name"] for row in hosts["by_count"]] == ["many.example", "once.example"]
    assert (hosts["distinct_names"], hosts["with_flagged"], hosts["documents"], hosts["flagged"]) == (3, 2, 1002, 31)
    many = hosts["by_rate"][0]
    assert (many["flagged"], many["documents"], many["share"]) == (30, 1000, 0.03)
    # Wilson's interval of 30 of 1,000, worked out from the formula with z = 1.96
    assert (many["low"], many["high"]) == pytest.approx((0.02109, 0.04252), abs=2e-5)


def test_what_a_filter_takes_from_each_host(tmp_path: Path) -> None:
    scores = {"first.example": [0.95, 0.6, 0.2, 0.0], "second.example": [0.6, 0.6], "clean.example": [0.0] * 9}
    rows = [document(0, score, host=host) for host, of in scores.items() for score in of]
    write_tags(tmp_path, "part", [row | {"row": k} for k, row in enumerate(rows)])
    hosts = collect(str(tmp_path), ReportOptions(threshold=0.6))["hosts"]
    assert hosts["thresholds"] == [0.05, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 0.99]
    lost = {}
    for cell in hosts["costs"]:
        assert cell["words_lost"] == cell["words"] // cell["documents"] * cell["documents_lost"]
        lost.setdefault(cell["name"], []).append(cell["documents_lost"])
    assert list(lost.items()) == [
        ("first.example", [3, 3, 2, 2, 2, 1, 1, 0]),
        ("second.example", [2, 2, 2, 2, 2, 0, 0, 0]),
        ("clean.example", [0] * 8),
    ]


def test_dates_of_several_forms(folder: Path) -> None:
    dates = collect(str(folder))["dates"]
    assert (dates["period"], dates["missing"], dates["unreadable"]) == ("month", 1, 1)
    assert [(row["name"], row["flagged"], row["documents"]) for row in dates["rows"]] == [
        ("2019-05", 2, 3),
        ("2019-06", 0, 1),
    ]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("2019", "2019"), ("2019-12-31", "2019"), ("2019/1/5", "2019"), ("20191231235959", "2019"),
        ("5 May 2019", "2019"), ("1556841600", None),
        ("", None), ("2019-13-01", None), ("19-05-01", None), ("0000-01-01", None), ("201", None),
    ],
)  # fmt: skip
def test_one_date(tmp_path: Path, given: str, name: str | None) -> None:
    write_tags(tmp_path, "part", [document(0, 0.1, date=given), document(1, 0.1, date="1818")])
    dates = collect(str(tmp_path))["dates"]
    assert [row["name"] for row in dates["rows"]] == ["1818", *([name] if name else [])]
    assert dates["unreadable"] == (0 if name else 1)


def test_languages_most_flagged_first_with_those_not_given(folder: Path) -> None:
    found = collect(str(folder))["languages"]
    assert [(row["name"], row["documents"], row["flagged"]) for row in found["rows"]] == [
        ("en", 4, 3),
        ("de", 1, 0),
        (None, 1, 0),
    ]
    assert (found["distinct_names"], found["documents"]) == (2, 5)
    assert collect(str(folder))["sources"]["rows"] == []


def test_records_add_up(folder: Path) -> None:
    found = collect(str(folder))["records"]
    assert (found["from"], found["figures"]["read"], found["figures"]["tagged"], found["rejected"]) == (
        "scan.json",
        7,
        6,
        1,
    )
    assert found["agrees"] and found["figures"]["rejected"] == {"bad_json": 1}
    assert found["with_rejections"][0]["examples"][0]["offset"] == 99


def test_failed_shards_that_the_scan_does_not_name_are_counted(folder: Path) -> None:
    path = folder / "scan.json"
    failed = [{"shard": f"s3://crawl/{k}", "error": "torn"} for k in range(60)]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"failed": failed, "failed_not_listed": 7}))
    found = collect(str(folder))["records"]
    assert len(found["failed"]) == 50 and found["failed_not_listed"] == 17


# --- examples and their text


def span(label: str, start: int, end: int, score: float) -> dict[str, Any]:
    return {"label": label, "start": start, "end": end, "score": score}


def write_shard(folder: Path, texts: list[str], urls: list[str | None] | None = None,
                ids: list[str] | None = None) -> Path:  # fmt: skip
    """A JSONL shard and its tags, each document flagged and with one span: its second half."""
    shard = folder / "crawl" / "part.jsonl"
    shard.parent.mkdir(parents=True, exist_ok=True)
    urls, ids = urls or [None] * len(texts), ids or [f"doc{i}" for i in range(len(texts))]
    lines = [json.dumps({"id": i, "text": t, "url": u}) for i, t, u in zip(ids, texts, urls, strict=True)]
    shard.write_text("\n".join(lines) + "\n", "utf-8")
    rows = [
        document(row, 0.9 - row / 1000, id=ids[row], chars=len(text), url=urls[row], host=urls[row],
                 spans=[span("adverse", len(text) // 2, len(text), 0.9 - row / 1000)])
        for row, text in enumerate(texts)
    ]  # fmt: skip
    write_tags(folder / "scanned", "part.jsonl", rows, shard=str(shard))
    write_scan(folder / "scanned")
    return folder / "scanned"


def test_excerpts_are_read_again_by_code_point(tmp_path: Path) -> None:
    texts = ["шесть🙂 " * 3 + "it will not be switched off 🤖🤖🤖", "plain"]
    found = collect(str(write_shard(tmp_path, texts)))["examples"]
    assert [example["row"] for example in found["strongest"]] == [0, 1]
    for kind in ("strongest", "drawn"):
        for example in found[kind]:
            text = texts[example["row"]]
            excerpt = example["excerpt"]
            assert (excerpt["before"], excerpt["marked"]) == (text[: len(text) // 2], text[len(text) // 2 :])
            assert not excerpt["left_out"] and not excerpt["earlier"] and not excerpt["more"]


def test_a_changed_or_lost_shard_is_said(tmp_path: Path) -> None:
    scanned = write_shard(tmp_path, ["one two three", "four five six"])
    shard = tmp_path / "crawl" / "part.jsonl"
    shard.write_text(shard.read_text().replace("four", "fourteen").splitlines()[1] + "\n")
    missing = [example["excerpt"]["missing"] for example in collect(str(scanned))["examples"]["strongest"]]
    assert "has changed" in missing[0] and "no longer has this row" in missing[1]
    shard.unlink()
    report = collect(str(scanned))
    assert all("cannot be read again" in e["excerpt"]["missing"] for e in report["examples"]["strongest"])
    assert "No excerpt: the shard cannot be read again" in render(report)


def test_long_spans_are_cut_in_the_middle() -> None:
    text = "before " * 100 + "S" + "pan " * 1000 + "after " * 100
    start, end = text.index("S"), text.index("after")
    parts = cut(text, start, end)
    assert len(parts["marked"] + parts["marked_end"]) <= 600 and len(parts["before"]) <= 160
    assert parts["left_out"] + len(parts["marked"]) + len(parts["marked_end"]) == end - start
    assert text[:start].endswith(parts["before"]) and text[end:].startswith(parts["after"])
    assert parts["earlier"] and parts["more"]
    assert cut("x" * 5000, None, None)["after"] == "x" * 600


def test_examples_lie_in_few_shards() -> None:
    examples = [{"file": file} for file in "abcabcab"]
    assert within_shards(examples, 4, 2) == [{"file": file} for file in "abab"]
    assert within_shards(examples, 3, 9) == [{"file": file} for file in "abc"]


def test_few_examples_of_a_host_and_copies_once(tmp_path: Path) -> None:
    rows = [document(i, 0.9, host="a.example", chars=i, spans=[span("adverse", 0, 5, 0.9)]) for i in range(6)]
    rows += [document(6 + i, 0.8, host=f"{i}.example", chars=77, spans=[span("adverse", 0, 5, 0.8)]) for i in range(4)]
    rows += [document(10, 0.7, spans=[span("ai", 0, 5, 0.99), span("adverse", 1, 5, 0.6), span("adverse", 7, 9, 0.7)])]
    write_tags(tmp_path, "part", rows)
    found = collect(str(tmp_path), ReportOptions(excerpt_shards=0))["examples"]["strongest"]
    assert [(e["row"], e["start"], e["copies"]) for e in found] == [
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 0),
        (6, 0, 3),
        (10, 7, 0),
    ]
    assert "excerpt" not in found[0]


# --- the page


class Elements(HTMLParser):
    """Start tags with attributes, and all text, of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


ATTACK = (
    "</blockquote></script><script>document.title='owned'</script><img src=http://evil.example/x onerror=alert(1)>"
    "\x00\u202egnp"
)
OURS = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "h3", "p", "bdi", "b", "code", "nav", "ul",
    "li", "a", "aside", "section", "div", "figure", "picture", "source", "img", "figcaption", "table", "caption",
    "thead", "tbody", "tr", "th", "td", "svg", "rect", "line", "article", "blockquote", "mark", "span", "dl", "dt",
    "dd", "details", "summary", "pre", "footer", "i", "br",
}  # fmt: skip


def hostile_folder(folder: Path, url: str = "javascript:alert(1)//") -> Path:
    """A scan in which everything that a crawl decides is an attack."""
    scanned = write_shard(
        folder, [ATTACK * 3, ATTACK], [f"{url}{ATTACK}", "https://good.example/?a=1&b=2"], [ATTACK, ATTACK + "2"]
    )
    model = {
        **MODEL,
        "labels": [ATTACK, "$\\frac{"],
        "name": ATTACK,
        "metrics": {"<i>f1</i>": {"value": 0.5, "low": 0.4, "high": 0.6}},
    }
    rows = pq.read_table(scanned / "tags" / "part.jsonl.parquet").to_pylist()
    rows = [document(row["row"], row["adverse"], **{k: row[k] for k in ("id", "chars", "url", "host")}, date=ATTACK,
                     lang=ATTACK, source=ATTACK, spans=[{**row["spans"][0], "label": ATTACK}])
            for row in rows]  # fmt: skip
    write_tags(scanned, "part.jsonl", rows, model=model, shard=str(folder / "crawl" / "part.jsonl"))
    write_scan(scanned, model, command=f"tropescan {ATTACK}", failed=[{"shard": ATTACK, "error": ATTACK}])
    return scanned


def test_crawl_text_never_becomes_markup(tmp_path: Path) -> None:
    page = render(collect(str(hostile_folder(tmp_path))))
    elements = Elements(page)
    assert {tag for tag, _ in elements.tags} <= OURS
    attributes = {(tag, name) for tag, found in elements.tags for name in found}
    assert not [name for _, name in attributes if name.startswith("on") or name == "style"]
    links = [found["href"] or "" for tag, found in elements.tags if tag == "a"]
    inside = ("#", "data:text/csv;charset=utf-8;base64,")
    shard = (tmp_path / "crawl" / "part.jsonl").as_uri()
    assert {link for link in links if not link.startswith(inside)} == {
        "https://good.example/?a=1&b=2", f"{shard}#row=0", f"{shard}#row=1"
    }  # fmt: skip
    assert all(found["rel"] == "noreferrer noopener nofollow" for tag, found in elements.tags
               if tag == "a" and (found["href"] or "").startswith("http"))  # fmt: skip
    sources = [
        found.get("src") or found.get("srcset") or "" for tag, found in elements.tags if tag in ("img", "source")
    ]
    assert sources and all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert "document.title='owned'" in elements.text  # shown as text
    assert not set(page) & {"\x00", "\u202e"} and "\u2400" in page and "⟨U+202E⟩" in page


def test_policy_allows_only_the_style_and_inline_images(folder: Path) -> None:
    page = render(collect(str(folder)))
    (policy,) = (found["content"] for tag, found in Elements(page).tags if found.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "script-src" not in policy and "unsafe" not in policy
    assert "url(" not in page and "@import" not in page
    for image in re.findall(r'"data:image/svg\+xml;base64,([^"]+)"', page):
        svg = b64decode(image).decode()
        outside = re.findall(r'(?:href|src)="([^"]+)"', svg)
        assert all(link.startswith(("#", "data:image/png")) for link in outside) and "<script" not in svg


def test_page_says_what_a_flag_rate_is_not_and_shows_the_figures(folder: Path) -> None:
    page = render(collect(str(folder)))
    text = Elements(page).text
    for part in ("A flag rate is not a prevalence", "50.0\N{NO-BREAK SPACE}%", "3 of 6", "10,900 of 20,000",
                 "7 read = 6 tagged + 1 rejected",
                 "hand-made", "d1" * 32, "tropescan scan crawl --out scanned", "record 7, byte 99"):  # fmt: skip
        assert part in text
    images = [found for tag, found in Elements(page).tags if tag == "img"]
    assert images and all(len(found["alt"] or "") > 40 for found in images)


def test_same_tags_same_page_and_the_page_needs_only_the_json(folder: Path) -> None:
    report = collect(str(folder))
    assert json.loads(json.dumps(report, allow_nan=False)) == report == collect(str(folder))
    assert render(json.loads(json.dumps(report))) == render(report)


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://a.example/b?c=d", True), ("http://a.example", True), ("javascript:alert(1)", False),
        ("//a.example", False),
        ("https://a.example/\u202egnp", False), ("https://a b", False), ('https://a"onclick="x', False), (None, False),
        (" https://a.example", False), ("https://a\n", False), ("data:text/html,x", False), ("HTTPS://a", False),
    ],
)  # fmt: skip
def test_links(url: str | None, fits: bool) -> None:
    assert is_link(url) is fits


@pytest.mark.parametrize(
    ("shard", "link"),
    [
        ("/crawl/a b/ü\"><script>.warc.gz", "file:///crawl/a%20b/%C3%BC%22%3E%3Cscript%3E.warc.gz#row=7"),
        ("file:///crawl/a%20b.parquet", "file:///crawl/a%20b.parquet#row=7"),
        ("/crawl/a#row=1.jsonl", "file:///crawl/a%23row%3D1.jsonl#row=7"),
        ("https://a.example/b.parquet?c=d", "https://a.example/b.parquet?c=d#row=7"),
        ("/crawl/\\udcff.jsonl", "file:///crawl/%FF.jsonl#row=7"),  # as metadata hold a byte that is no Unicode
        ("/crawl/page.html", None), ("/crawl/part-00000", None),  # a browser might run what is in it
        ("crawl/a.jsonl", None), ("s3://bucket/a.jsonl", None), ("javascript:alert(1)//.jsonl", None),
        ("https://a.example/\u202e.parquet", None), ("javascript://a.jsonl", None), ("", None),
    ],
)  # fmt: skip
def test_links_to_shards(shard: str, link: str | None) -> None:
    assert shard_link(shard, 7) == link


def test_every_example_names_the_command_that_shows_its_whole_text(tmp_path: Path) -> None:
    name = "it's $(touch owned); <b>.jsonl"
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / name).write_text('{"id": "d1", "text": "The robot lied to its crew and killed them."}\n' * 2)
    scanned = tmp_path / "scan ned"
    assert tropescan("scan", tmp_path / "crawl", "--out", scanned, "--threshold", 0.01, "--workers", 1).returncode == 0
    report = collect(str(scanned))
    every = [one for kind in ("strongest", "drawn") for one in report["examples"][kind]]
    assert every and all("file" not in one for one in every)
    for one in every:
        program, *arguments = shlex.split(one["explain"])
        done = CliRunner().invoke(cli, arguments)
        assert program == "tropescan" and done.exit_code == 0, done.exception
        assert done.output.startswith(f"d1: {tmp_path}/crawl/{name}, row {one['row']}") and "killed" in done.output
    page = Elements(render(report))
    assert every[0]["explain"] in page.text
    assert f"{(tmp_path / 'crawl' / name).as_uri()}#row=0" in {found["href"] for tag, found in page.tags if tag == "a"}


def test_visible_leaves_scripts_alone() -> None:
    assert visible("a\tb\nשלום 🙂\u200d") == "a\tb\nשלום 🙂\u200d"
    assert visible("\x07\x7f\u2066\U000e0041") == "␇␡⟨U+2066⟩⟨U+E0041⟩"


def test_file_names_that_are_not_unicode(folder: Path) -> None:
    write_scan(folder, failed=[{"shard": "crawl/\udcff.jsonl", "error": "\ud800"}])
    result = CliRunner().invoke(command, [str(folder), "--out", str(folder / "page.html"), "--json", "-"])
    assert result.exit_code == 0, result.exception
    assert "crawl/⟨U+DCFF⟩.jsonl" in (folder / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0, "0 %"),
        (1, "100 %"),
        (0.5, "50.0 %"),
        (0.9973, "99.7 %"),
        (0.9996, "99.96 %"),
        (0.0119, "1.19 %"),
        (0.0000456, "0.00456 %"),
        (1e-9, "1.0e-07 %"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


# --- states of a folder


def test_a_killed_scan_is_reported_over_what_is_there(tmp_path: Path) -> None:
    write_tags(tmp_path, "part.jsonl", ROWS)
    write_tags(tmp_path, "second.jsonl", ROWS)
    (tmp_path / "reports" / "second.jsonl.json").unlink()
    report = collect(str(tmp_path))
    assert report["headline"]["documents"]["total"] == 6 and report["records"]["agrees"]
    page = render(report)
    assert "There is no scan.json" in page and "1 tags files are left out, second.jsonl first: without a report" in page


def test_tags_that_the_scan_does_not_name_are_left_out(folder: Path) -> None:
    """Of a shard that is no longer an input, or whose second scan failed."""
    write_tags(folder, "old/part.jsonl", ROWS, model={**MODEL, "digest": "another"})
    report = collect(str(folder))
    assert report["headline"]["documents"]["total"] == 6 and report["records"]["agrees"]
    assert report["notes"] == [
        "1 tags files are left out, old/part.jsonl first: of shards that failed or are not in the last scan."
    ]
    (folder / "tags" / "part.jsonl.parquet").unlink()
    with pytest.raises(TagsError, match=r"the tags of 1 shards, part\.jsonl first, are not there"):
        collect(str(folder))


@pytest.mark.parametrize(
    "rows", [[], [document(0, None)], [document(i, 0.0) for i in range(3)]], ids=["empty", "no score", "clean"]
)
def test_little_to_show(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write_tags(tmp_path, "part", rows)
    write_scan(tmp_path)
    report = collect(str(tmp_path))
    assert report["headline"]["documents"]["flagged"] == 0
    text = Elements(render(report)).text
    assert "0 of" in text
    assert ("nothing to plot" in text) == (not rows) and ("No document has a URL" in text) == bool(rows)


def test_one_document(tmp_path: Path) -> None:
    write_tags(tmp_path, "part", [document(0, 0.7, host="a.example", date="2020-01-01")])
    write_scan(tmp_path)
    page = render(collect(str(tmp_path)))
    text = Elements(page).text
    assert "1 document from 1 shard" in text and not re.search(r"\b1 (documents|hosts|shards)", text)
    images = [b64decode(image).decode() for image in re.findall(r'"data:image/svg\+xml;base64,([^"]+)"', page)]
    assert any(">100 %<" in image for image in images) and not any("1000 %" in image for image in images)


def test_folders_named_like_columns(tmp_path: Path) -> None:
    """DuckDB takes ``lang=xx`` in a path for a column of that name unless it is told not to."""
    write_tags(tmp_path, "lang=xx/part", [document(0, 0.7, lang="en")])
    assert [row["name"] for row in collect(str(tmp_path))["languages"]["rows"]] == ["en"]


def test_only_shards_that_failed(tmp_path: Path) -> None:
    write_scan(tmp_path, failed=[{"shard": "x", "error": "y"}])
    with pytest.raises(TagsError, match="no tags there"):
        collect(str(tmp_path))


def test_many_labels_of_another_model(tmp_path: Path) -> None:
    names = ["id", *(f"l{i}" for i in range(172)), "a", "A", 'quote"d']
    model = {**MODEL, "labels": names, "target": "id", "span_thresholds": {}}
    write_tags(tmp_path, "part", [document(i, 0.6) for i in range(4)], model=model)
    report = collect(str(tmp_path), ReportOptions(label="A"))
    assert report["labels"]["total"] == 176 and len(report["labels"]["shown"]) == 6
    assert (report["label"], report["threshold"], report["headline"]["documents"]["flagged"]) == ("A", 0.5, 0)
    assert collect(str(tmp_path))["headline"]["documents"]["flagged"] == 4
    assert "and 146 more" in render(report)


def test_labels_that_differ_in_case_are_two(tmp_path: Path) -> None:
    model = {**MODEL, "labels": ["B", "b"], "target": "B", "span_thresholds": {}}
    for name in ("one", "two"):
        write_tags(tmp_path, name, [document(0, 0.75)], model=model)
    shown = {each["label"]: each["documents"] for each in collect(str(tmp_path))["labels"]["shown"]}
    assert shown == {"B": 2, "b": 0}


def test_shard_names_that_look_like_patterns(tmp_path: Path) -> None:
    write_tags(tmp_path, "a[1]/x*?.jsonl", ROWS)
    write_tags(tmp_path, "a1/xyz.jsonl", ROWS)
    report = collect(str(tmp_path))
    assert report["headline"]["documents"]["total"] == 12
    assert {e["tags"] for e in report["examples"]["drawn"]} == {"a[1]/x*?.jsonl", "a1/xyz.jsonl"}


def test_tags_of_two_models_are_refused(folder: Path) -> None:
    write_tags(folder, "other.jsonl", ROWS, model={**MODEL, "digest": "e2" * 32})
    write_scan(folder)
    with pytest.raises(TagsError, match=r"2 models.*other\.jsonl\.parquet.*part\.jsonl\.parquet.*of their own"):
        collect(str(folder))


def test_files_that_are_no_tags(folder: Path) -> None:
    stray = folder / "tags" / "stray.parquet"
    pq.write_table(pa.table({"x": [1]}), stray)
    write_scan(folder)
    with pytest.raises(TagsError, match=r"stray\.parquet: not a tags file"):
        collect(str(folder))
    stray.write_bytes(b"PAR1 torn")
    with pytest.raises(TagsError, match=r"stray\.parquet"):
        collect(str(folder))


def test_scan_json_of_another_model_or_torn(folder: Path) -> None:
    write_scan(folder, {**MODEL, "digest": "other"})
    with pytest.raises(TagsError, match=r"scan\.json: of another model"):
        collect(str(folder))
    (folder / "scan.json").write_text('{"torn')
    with pytest.raises(TagsError, match=r"scan\.json: not valid JSON"):
        collect(str(folder))


def test_nan_is_no_score(tmp_path: Path) -> None:
    write_tags(tmp_path, "part", [document(0, math.nan), document(1, 0.9)])
    report = collect(str(tmp_path))
    assert report["headline"]["documents"]["flagged"] == 1 and report["curve"][0]["documents"] == 1
    render(report)


def test_tags_in_an_object_store(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/report-test", recursive=True)
    try:
        found = collect("memory://report-test")
    finally:
        memory.rm("/report-test", recursive=True)
    here = collect(str(folder))
    assert {key: found[key] for key in ("headline", "curve", "hosts")} == {
        key: here[key] for key in ("headline", "curve", "hosts")
    }


# --- the command


def test_command_writes_page_and_json(folder: Path) -> None:
    page, figures = folder / "page.html", folder / "figures.json"
    result = CliRunner().invoke(command, [str(folder), "--out", str(page), "--json", str(figures)])
    assert result.exit_code == 0 and "a flag rate, not a prevalence" in result.stderr
    report = json.loads(figures.read_text("utf-8"))
    assert report == collect(str(folder)) and page.read_text("utf-8") == render(report)


def test_command_json_to_standard_output(folder: Path) -> None:
    result = CliRunner().invoke(command, [str(folder), "--threshold", "0.75", "--label", "adverse", "--json"])
    assert json.loads(result.stdout)["headline"]["documents"]["flagged"] == 2
    assert not list(folder.glob("*.html"))


def test_command_refuses(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(folder), "--label", "nope"])
    assert isinstance(result.exception, ValueError) and "has no label 'nope'; it has adverse, ai" in str(
        result.exception
    )
    for same in ("-", str(tmp_path / "x")):
        assert CliRunner().invoke(command, [str(folder), "--out", same, "--json", same]).exit_code == 2
    result = CliRunner().invoke(command, [str(tmp_path / "nowhere")])
    assert isinstance(result.exception, TagsError) and "tropescan scan --out" in str(result.exception)


# --- a browser


class Counting(BaseHTTPRequestHandler):
    """Counts the requests that reach it."""

    paths: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_error(404)

    def log_message(self, *_: Any) -> None: ...


def test_a_browser_runs_no_script_and_asks_for_nothing(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    server = HTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    attack = f"<img src={here}/img><script src={here}/js></script><link rel=stylesheet href={here}/css>"
    scanned = hostile_folder(tmp_path, url=f"{here}/{attack}")
    page = tmp_path / "page.html"
    page.write_text(render(collect(str(scanned))), "utf-8")
    arguments = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
        "--enable-logging=stderr",
    ]  # fmt: skip
    try:
        done = subprocess.run([*arguments, page.as_uri()], capture_output=True, text=True, timeout=60, check=False)
    finally:
        server.shutdown()
        server.server_close()
    elements = Elements(done.stdout)
    assert re.findall(r"<title>(.*?)</title>", done.stdout)[0].endswith("scan report")  # the attack would set it
    assert not [tag for tag, _ in elements.tags if tag in ("script", "link", "iframe", "object")]
    assert "Content Security Policy" not in done.stderr  # nothing of ours is blocked, and nothing else tried
    assert Counting.paths == []


@pytest.mark.parametrize("most", [1, 9_999, 10_000, 10**6, 10**9])
def test_all_text_of_the_heat_map_lies_on_the_canvas(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    cells = len(edges(CELLS)) - 1
    windows = {"grid": [[most] * cells] * cells, "grid_edges": edges(CELLS), "window_only": 3}
    windows_picture({"windows": windows, "threshold": 0.5})
    figure, canvas = drawn[0], FigureCanvasAgg(drawn[0])
    width, height = figure.bbox.size
    boxes = {text.get_text(): text.get_window_extent(canvas.get_renderer()) for text in figure.findobj(Text)}
    shown = {text: box for text, box in boxes.items() if text not in ("", "0") and 0 < (box.y0 + box.y1) / 2 < height}
    # Ticks beyond the colour bar's ends, "0" among them, are there but not drawn.
    assert {"Score of the document", "Score of its strongest window", "Documents (log scale)"} <= shown.keys()
    for text, box in shown.items():  # to two pixels: layout and measure round differently
        assert box.x0 >= -2 and box.x1 <= width + 2 and box.y0 >= -2 and box.y1 <= height + 2, (text, box)


def test_a_file_in_the_place_of_the_folder_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "scan.json").write_text("{}")
    done = CliRunner().invoke(command, [str(tmp_path / "scan.json"), "--out", str(tmp_path / "r.html")])
    assert done.exit_code == 2 and "name the folder that 'tropescan scan --out' wrote" in done.output
