"""Builds the mini crawl: ``pages.jsonl`` to shards of every format, some broken on purpose, and ``expected.json``.

    python -m tests.minicrawl.build [--out DIR]

Every page goes into exactly one shard; which one follows from its URL, so that adding a page moves few others.

    warc/     WARC: two .gz, one plain, one .zst. HTML of nine kinds of sites, eight charsets (declared in HTTP, in the
              page, wrongly or not at all), chunked and gzipped bodies; in mini-00001 also what is no page
    wet/      the same as plain text, with the sites' navigation left in, as in Common Crawl's WET
    jsonl/    four layouts, gzip and zstd; jsonl/dolma is a Dolma folder, jsonl/datatrove a datatrove one
    parquet/  FineWeb's columns, nested ones, and large_string, dictionary and null values
    broken/   each broken in another way

``expected.json`` holds for each shard the documents that are in it (URL, and id where the shard gives one), how many
records are no documents, by what they are, and whether the shard is whole. It is made from what was put in; no reader
of the project had a part in it. The committed shards are what the demo scans: Parquet and compressed bytes may differ
with the libraries' versions, documents not.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from . import oddities, tables
from .pages import Page, read_pages
from .records import (
    chunked,
    conversion,
    exchange,
    gzip_members,
    gzipped,
    http_date,
    warcinfo,
    zstd_frames,
)
from .sites import html_page

HERE = Path(__file__).parent
SHARDS, EXPECTED = HERE / "shards", HERE / "expected.json"
Row = Callable[[Page, int], dict[str, Any]]

FOREIGN = "warc/mini-00001.warc.gz"
REST = "warc/mini-00000.warc.gz"
PLACES = {
    "warc/mini-00002.warc": 12,
    "warc/mini-00003.warc.zst": 16,
    "wet/mini-00000.warc.wet.gz": 26,
    "jsonl/web-00000.jsonl.zst": 16,
    "jsonl/posts-00000.jsonl.gz": 14,
    "jsonl/datatrove/00000.jsonl.gz": 14,
    "jsonl/dolma/documents/mini-0000.jsonl.zst": 12,
    "parquet/fineweb-00000.parquet": 18,
    "parquet/nested-00000.parquet": 12,
    "parquet/arrow-00000.parquet": 12,
}
"""Pages in each sound shard; the rest goes into `REST`."""
BROKEN_PLACES = {
    "broken/clipped.warc.gz": 4,
    "broken/flipped.warc.gz": 5,
    "broken/torn-line.jsonl.gz": 4,
    "broken/truncated.jsonl.gz": 5,
    "broken/bad-lines.jsonl": 5,
    "broken/torn-footer.parquet": 3,
    "broken/error-page.warc.gz": 0,
    "broken/empty.warc.gz": 0,
}
"""Pages in each broken shard, those lost included: background only, so that a demo shows all that is of interest."""
CHARSETS: dict[str, tuple[str, str | None, str | None]] = {
    "revue-lamarge.test": ("windows-1252", "windows-1252", None),
    "elfarodelsur.test": ("windows-1252", "ISO-8859-1", None),  # the web takes Latin-1 for windows-1252
    "kleingarten-ost.test": ("utf-8", None, None),
    "zapiski.kotelnik.test": ("koi8-r", None, "koi8-r"),
    "nikki.amamizu.test": ("shift_jis", None, "Shift_JIS"),
    "syntages-yiayias.test": ("iso-8859-7", "ISO-8859-7", None),
    "zh": ("gbk", None, "gb2312"),  # the web takes GB 2312 for GBK
    "pl": ("iso-8859-2", "iso-8859-2", "iso-8859-2"),
    "daily-clarion.test": ("windows-1252", None, "utf-8"),  # wrong, as on many a real page
    "gardenpath.example": ("utf-8", "UTF-8", None),
    "hollowaygazette.test": ("utf-8", None, "utf-8"),
}
"""By host or language: how bytes are encoded, what HTTP says and what the page says. Others: UTF-8, said by both."""


@dataclass(frozen=True)
class Made:
    """A shard's bytes and what is in them. ``documents`` are (page, id as given); ``rejected`` counts records that are
    no documents by what they are; ``complete`` is false where the end of the shard cannot be read."""

    data: bytes
    documents: Sequence[tuple[Page, str | None]] = ()
    rejected: dict[str, int] = field(default_factory=dict)
    complete: bool = True

    def expected(self) -> dict[str, Any]:
        """The shard's entry in ``expected.json``."""
        return {
            "documents": [{"url": page.url, "id": id} for page, id in self.documents],
            "rejected": self.rejected,
            "complete": self.complete,
        }


def deal(pages: Sequence[Page]) -> dict[str, list[Page]]:
    """Which pages go into which shard. Two of three pages in other languages go where the charsets are shown."""
    foreign = [page for page in pages if page.lang != "en" and page.digest[4] % 3]
    left = sorted((page for page in pages if page not in foreign), key=lambda page: page.digest)
    background = [page for page in left if not page.labels]
    hands = {FOREIGN: foreign}
    for name, count in BROKEN_PLACES.items():
        hands[name], background = background[:count], background[count:]
    broken = {page.url for name in BROKEN_PLACES for page in hands[name]}
    left = [page for page in left if page.url not in broken]
    for name, count in PLACES.items():
        hands[name], left = left[:count], left[count:]
    return hands | {REST: left}


def fetch(page: Page, pages: Sequence[Page], number: int) -> list[bytes]:
    """The WARC records of a page as HTML; how the body travels depends on ``number``."""
    codec, in_http, in_page = CHARSETS.get(page.host) or CHARSETS.get(page.lang) or ("utf-8", "utf-8", "utf-8")
    neighbours = [other for other in pages if other.host == page.host]
    body = html_page(page, neighbours, in_page).encode(codec, "xmlcharrefreplace")
    http = {"Date": http_date(page.time), "Content-Type": "text/html" + (f"; charset={in_http}" if in_http else "")}
    if number % 3 == 1:
        body, http["Content-Encoding"] = gzipped(body), "gzip"
    if number % 4 == 3:
        body, http["Transfer-Encoding"] = chunked(body), "chunked"
    else:
        http["Content-Length"] = str(len(body))
    return exchange(page.url, page.time, "200 OK", http, body)


def make_warc(name: str, hand: Sequence[Page], pages: Sequence[Page], pack: Callable[[list[bytes]], bytes]) -> Made:
    """A sound WARC shard; that of `FOREIGN` has the oddities between its pages."""
    odd = oddities.records() if name == FOREIGN else []
    made = [warcinfo(Path(name).name, oddities.TIME)]
    for number, page in enumerate(hand):
        made += fetch(page, pages, number)
        made += odd[number][1] if number < len(odd) else []
    rejected = Counter(kind for kind, _ in odd if not kind.startswith(":"))
    return Made(pack(made), [(page, None) for page in hand], dict(rejected))


def make_wet(name: str, hand: Sequence[Page]) -> Made:
    """A sound WET shard."""
    names = {"en": "eng", "fr": "fra", "de": "deu,eng", "es": "spa", "ru": "rus", "el": "ell", "ja": "jpn", "zh": "zho"}
    made = [warcinfo(Path(name).name, oddities.TIME)]
    for page in hand:
        text = f"{page.title}\nHome\nAbout\nArchive\n{page.plain}\nPrivacy\nAll rights reserved\n"
        made.append(conversion(page.url, page.time, text, names.get(page.lang, "und")))
    return Made(gzip_members(made), [(page, None) for page in hand])


def make_table(hand: Sequence[Page], row: Row, pack: Callable[[list[dict[str, Any]]], bytes]) -> Made:
    """A sound shard of rows."""
    rows = [row(page, number) for number, page in enumerate(hand)]
    return Made(pack(rows), _documents(hand, rows))


def _documents(hand: Sequence[Page], rows: Sequence[dict[str, Any]]) -> list[tuple[Page, str | None]]:
    ids = [row.get("id", row.get("doc_id")) for row in rows]
    return [(page, None if id is None else str(id)) for page, id in zip(hand, ids, strict=False)]


def make_arrow(hand: Sequence[Page]) -> Made:
    """Large strings, dictionaries and dates, and every fifth row without a text."""
    rows = [tables.arrow_row(page, number) for number, page in enumerate(hand)]
    nulls = [row | {"id": f"null-{n:04}", "text": None} for n, row in enumerate(rows[::5])]
    mixed = [row for n, given in enumerate(rows) for row in ([given, nulls[n // 5]] if n % 5 == 0 else [given])]
    data = tables.parquet(mixed, schema=tables.ARROW_TYPES, compression="gzip")
    return Made(data, _documents(hand, rows), {"null text": len(nulls)})


def two_members(rows: list[dict[str, Any]]) -> bytes:
    """JSON lines as gzip members that part in the middle of a line, as tools that cut by size write them."""
    data = tables.json_lines(rows, ascii_only=True)
    return gzipped(data[: len(data) // 2]) + gzipped(data[len(data) // 2 :])


def make_sound(hands: dict[str, list[Page]], pages: Sequence[Page]) -> Iterator[tuple[str, Made]]:
    """(name, shard) of all sound shards."""
    zstd = zstandard.ZstdCompressor(level=9).compress
    for name, pack in ((REST, gzip_members), (FOREIGN, gzip_members)):
        yield name, make_warc(name, hands[name], pages, pack)
    for name, pack in (("warc/mini-00002.warc", b"".join), ("warc/mini-00003.warc.zst", zstd_frames)):
        yield name, make_warc(name, hands[name], pages, pack)
    yield (name := "wet/mini-00000.warc.wet.gz"), make_wet(name, hands[name])
    layouts: tuple[tuple[str, Row, Callable[[list[dict[str, Any]]], bytes]], ...] = (
        ("jsonl/web-00000.jsonl.zst", tables.web_row, lambda rows: zstd(tables.json_lines(rows))),
        ("jsonl/posts-00000.jsonl.gz", tables.content_row, two_members),
        ("jsonl/datatrove/00000.jsonl.gz", tables.datatrove_row, lambda rows: gzipped(tables.json_lines(rows))),
        (
            "jsonl/dolma/documents/mini-0000.jsonl.zst",
            tables.dolma_row,
            lambda rows: zstd(tables.json_lines(rows[:5])) + zstd(tables.json_lines(rows[5:])),
        ),
        ("parquet/fineweb-00000.parquet", tables.fineweb_row, tables.parquet),
        ("parquet/nested-00000.parquet", tables.nested_row, lambda rows: tables.parquet(rows, compression="snappy")),
    )
    for name, row, pack_rows in layouts:
        yield name, make_table(hands[name], row, pack_rows)
    yield (name := "parquet/arrow-00000.parquet"), make_arrow(hands[name])


def clipped_warc(hand: Sequence[Page], pages: Sequence[Page]) -> Made:
    """Cut in the middle of the last page's response, as by an upload that broke off."""
    made = [warcinfo("clipped.warc.gz", oddities.TIME)]
    made += [record for number, page in enumerate(hand) for record in fetch(page, pages, number)]
    last = gzipped(made[-2])
    return Made(
        gzip_members(made[:-2]) + last[: len(last) // 2],
        [(page, None) for page in hand[:-1]],
        {"truncated stream": 1},
        complete=False,
    )


def flipped_warc(hand: Sequence[Page], pages: Sequence[Page]) -> Made:
    """Some bits are wrong in the third page's response; every other member is sound."""
    made = [warcinfo("flipped.warc.gz", oddities.TIME)]
    made += [record for number, page in enumerate(hand) for record in fetch(page, pages, number)]
    members = [bytearray(gzipped(record)) for record in made]
    hit = members[1 + 3 * 2 + 1]
    for at in range(len(hit) // 2, len(hit) // 2 + 8):
        hit[at] ^= 0x55
    return Made(b"".join(members), [(page, None) for n, page in enumerate(hand) if n != 2], {"damaged member": 1})


def torn_line(hand: Sequence[Page]) -> Made:
    """A sound gzip file whose last line was never written whole."""
    rows = [tables.web_row(page, number) for number, page in enumerate(hand)]
    data = tables.json_lines(rows)
    return Made(gzipped(data[: len(data) - 300]), _documents(hand[:-1], rows), {"bad JSON": 1})


def truncated_jsonl(hand: Sequence[Page]) -> Made:
    """A gzip file cut at two thirds: whole lines before the cut are documents."""
    rows = [tables.web_row(page, number) for number, page in enumerate(hand)]
    data = gzipped(tables.json_lines(rows))
    cut = data[: len(data) * 2 // 3]
    whole = zlib.decompressobj(wbits=31).decompress(cut).count(b"\n")
    return Made(cut, _documents(hand[:whole], rows), {"truncated stream": 1}, complete=False)


def bad_lines(hand: Sequence[Page]) -> Made:
    """Sound lines with all kinds of wrong ones between them."""
    rows = [tables.web_row(page, number) for number, page in enumerate(hand)]
    lines = [tables.json_lines([row]) for row in rows]
    bad = {
        b'{"id": "b1", "text": "the line was never fin': "bad JSON",
        b"<html><body>502 Bad Gateway</body></html>": "bad JSON",
        b'{"id": "b2", "url": "https://filmrot.test/x"}': "no text field",
        b'{"id": "b3", "text": null}': "null text",
        b'{"id": "b4", "text": 42}': "text of another type",
        b'{"id": "b5", "text": ["a", "list"]}': "text of another type",
        b'["b6", "an array"]': "no object",
        b'{"id": "b7", "text": "caf\xe9 cr\xe8me"}': "invalid UTF-8",
    }
    wrong = iter(bad)
    mixed = [part for line in lines for part in (line, next(wrong) + b"\n")] + [line + b"\n" for line in wrong]
    return Made(b"".join(mixed), _documents(hand, rows), dict(Counter(bad.values())))


def make_broken(hands: dict[str, list[Page]], pages: Sequence[Page]) -> Iterator[tuple[str, Made]]:
    """(name, shard) of all broken shards."""
    hand = {Path(name).name: hands[name] for name in BROKEN_PLACES}
    torn = tables.parquet([tables.fineweb_row(page, n) for n, page in enumerate(hand["torn-footer.parquet"])])
    page = b"<html><head><title>503 Service Unavailable</title></head><body><h1>Slow Down</h1></body></html>\n"
    yield "broken/clipped.warc.gz", clipped_warc(hand["clipped.warc.gz"], pages)
    yield "broken/flipped.warc.gz", flipped_warc(hand["flipped.warc.gz"], pages)
    yield "broken/torn-line.jsonl.gz", torn_line(hand["torn-line.jsonl.gz"])
    yield "broken/truncated.jsonl.gz", truncated_jsonl(hand["truncated.jsonl.gz"])
    yield "broken/bad-lines.jsonl", bad_lines(hand["bad-lines.jsonl"])
    yield "broken/torn-footer.parquet", Made(torn[:-200], (), {"torn footer": 1}, complete=False)
    yield "broken/error-page.warc.gz", Made(page, (), {"not a shard": 1}, complete=False)
    yield "broken/empty.warc.gz", Made(b"", (), {"not a shard": 1}, complete=False)


def build(out: Path = SHARDS, expected: Path = EXPECTED, pages: Sequence[Page] = ()) -> dict[str, Any]:
    """Write all shards below ``out`` and ``expected``; returns what ``expected`` holds, by shard."""
    pages = pages or read_pages()
    hands = deal(pages)
    entries = {}
    for name, made in (*make_sound(hands, pages), *make_broken(hands, pages)):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(made.data)
        entries[name] = made.expected()
    expected.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return entries


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the mini crawl's shards from pages.jsonl.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for shards/ and expected.json")
    out: Path = parser.parse_args().out
    entries = build(out / "shards", out / "expected.json")
    documents = sum(len(entry["documents"]) for entry in entries.values())
    size = sum((out / "shards" / name).stat().st_size for name in entries)
    print(f"{len(entries)} shards, {documents} documents, {size / 1e6:.2f} MB in {out / 'shards'}")


if __name__ == "__main__":
    main()
