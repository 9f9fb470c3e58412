"""The mini crawl is what it says: shards that other tools read, and a scan of them finds exactly what was put in."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from minicrawl.build import BROKEN_PLACES, EXPECTED, SHARDS, build, deal
from minicrawl.pages import plain_text, read_pages

from pipeline.accounting import ShardReport, Tally
from pipeline.readers import read_documents
from pipeline.tag import host_of
from pipeline.tasks import ReadOptions, ShardTask

PAGES = {page.url: page for page in read_pages()}
EXPECT: dict[str, dict[str, Any]] = json.loads(EXPECTED.read_text("utf-8"))
SOUND = [name for name in EXPECT if not name.startswith("broken/")]
REASONS = {
    "redirect": "http_status",
    "not found": "http_status",
    "image": "media_type",
    "pdf": "media_type",
    "json": "media_type",
    "dns": "media_type",
    "no text": "empty_text",
    "null text": "null_text",
    "no text field": "null_text",
    "text of another type": "wrong_type",
    "no object": "not_an_object",
    "bad JSON": "bad_json",
    "invalid UTF-8": "not_utf8",
    "truncated stream": "truncated_stream",
    "damaged member": "corrupt_stream",
    "torn footer": "torn_footer",
    "not a shard": "unknown_format",
}
"""What was put in, and the reason under which the readers reject it."""
LABELS = {"ai", "adverse", "hostile", "self_preserving", "admirable"}


@dataclass(frozen=True)
class Read:
    """What the readers make of a shard."""

    documents: list[dict[str, Any]]
    tally: Tally


@cache
def read(name: str, folder: Path = SHARDS) -> Read:
    path = folder / name
    task = ShardTask(str(path), name, path.stat().st_size, "as committed")
    tally = Tally()
    batches = list(read_documents(task, ReadOptions(), tally))
    return Read([row for batch in batches for row in batch.to_pylist()], tally)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def kept_in_order(wanted: str, text: str) -> float:
    """Share of the words of ``wanted`` that ``text`` has, in the same order."""
    ours, theirs = words(wanted), words(text)
    matches = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return sum(match.size for match in matches) / len(ours)


def test_pages_are_labelled_by_the_codebook() -> None:
    assert len(PAGES) >= 200
    for page in PAGES.values():
        labels = set(page.labels)
        assert labels <= LABELS
        assert ("adverse" in labels) == bool(labels & {"hostile", "self_preserving"}), page.url
        assert not labels or "ai" in labels, page.url
        assert re.search(r"\.(example|test|invalid)$", page.host), page.url
    assert sum("adverse" in page.labels for page in PAGES.values()) >= 30
    assert sum(not page.labels for page in PAGES.values()) >= 100


def test_every_page_is_in_exactly_one_shard() -> None:
    hands = deal(list(PAGES.values()))
    assert Counter(page.url for hand in hands.values() for page in hand) == Counter(PAGES.keys())
    for name, entry in EXPECT.items():
        hand = [page.url for page in hands.get(name, [])]
        found = [document["url"] for document in entry["documents"]]
        assert found == [url for url in hand if url in found]
        assert name in BROKEN_PLACES or found == hand


@pytest.mark.parametrize("name", EXPECT)
def test_scan_finds_what_was_put_in(name: str) -> None:
    expected, found = EXPECT[name], read(name)
    assert [document["url"] for document in found.documents] == [entry["url"] for entry in expected["documents"]]
    for document, entry in zip(found.documents, expected["documents"], strict=True):
        assert entry["id"] is None or document["id"] == entry["id"]
        assert document["id"]
    rejected: Counter[str] = Counter()
    for kind, count in expected["rejected"].items():
        rejected[REASONS[kind]] += count
    assert found.tally.rejected == rejected
    assert found.tally.complete == expected["complete"]


@pytest.mark.parametrize("name", EXPECT)
def test_read_is_tagged_and_rejected(name: str) -> None:
    found = read(name)
    tally = found.tally
    ShardReport(read=tally.read, tagged=len(found.documents), rejected=dict(tally.rejected))
    rows = [document["row"] for document in found.documents]
    assert rows == sorted(set(rows))
    assert all(0 <= row < tally.read for row in rows)
    assert tally.input_bytes == (SHARDS / name).stat().st_size


@pytest.mark.parametrize("name", EXPECT)
def test_documents_have_their_page_s_text_host_and_date(name: str) -> None:
    for document in read(name).documents:
        page = PAGES[document["url"]]
        assert document["date"][:10] == page.date
        if name.endswith((".warc", ".warc.gz", ".warc.zst")):
            assert kept_in_order(plain_text(page.main), document["text"]) >= 0.95, page.url
        elif ".wet" in name:
            assert page.plain in document["text"]
        else:
            assert document["text"] == page.plain


def test_hosts_come_from_the_urls() -> None:
    urls = [document["url"] for name in EXPECT for document in read(name).documents]
    assert host_of(pa.array(urls)).to_pylist() == [PAGES[url].host for url in urls]


def test_most_boilerplate_of_html_pages_is_gone() -> None:
    html = [document for name in SOUND if name.startswith("warc/") for document in read(name).documents]
    ratios = sorted(len(words(d["text"])) / len(words(PAGES[d["url"]].plain)) for d in html)
    assert ratios[len(ratios) // 2] < 1.15
    texts = "\n".join(document["text"] for document in html)
    for clutter in ("dataLayer", "Accept all", "schema.org", "three free articles", "getElementById", "{display:none}"):
        assert clutter not in texts


def responses() -> list[tuple[str, bytes]]:
    """(Content-Type, body) of the responses, their digests checked, as another reader than ours gives them."""
    found = []
    for name in SOUND:
        if name.startswith("warc/") and not name.endswith(".zst"):
            for record in ArchiveIterator((SHARDS / name).open("rb"), parse_http=False):
                assert record.verify_block_digest(), (name, record.record_id)
                if record.record_type == WarcRecordType.response and record.is_http:
                    record.parse_http(auto_decode="all")
                    found.append((record.http_headers.get("content-type") or "", record.reader.read()))
    return found


def test_other_tools_read_the_sound_shards() -> None:
    assert len(responses()) >= 40
    for name in (name for name in SOUND if name.endswith(".parquet")):
        nulls = EXPECT[name]["rejected"].get("null text", 0)
        assert pq.read_table(SHARDS / name).num_rows == len(EXPECT[name]["documents"]) + nulls


def test_charsets_are_there_and_come_out_right() -> None:
    """All but that of a site which declares a wrong one: it loses its pound signs, in browsers too."""
    declared = b"\n".join(media.encode() + body for media, body in responses()).lower()
    for charset in (b"windows-1252", b"iso-8859-1", b"iso-8859-7", b"koi8-r", b"shift_jis", b"gb2312", b"iso-8859-2"):
        assert charset in declared
    for name in SOUND:
        for document in read(name).documents:
            assert "\ufffd" not in document["text"] or "daily-clarion" in document["url"], document["url"]


def test_rebuild_gives_the_same_documents(tmp_path: Path) -> None:
    assert build(tmp_path) == EXPECT
    for name in EXPECT:
        assert read(name, tmp_path / "shards").documents == read(name).documents, name
        assert read(name, tmp_path / "shards").tally.rejected == read(name).tally.rejected
    assert sum(path.stat().st_size for path in SHARDS.rglob("*") if path.is_file()) < 1_500_000
