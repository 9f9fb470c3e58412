"""Builds the mini crawl: ``pages.jsonl`` to shards of every format, some broken on purpose, and ``expected.json``.

    python -m tests.minicrawl.build [--out DIR]

Every page goes into exactly one shard; which one follows from its URL, so that adding a page moves few others.

    warc/     WARC: two .gz, one plain, one .zst. HTML of nine kinds of sites, eight charsets (declared in HTTP, in the
              page, wrongly or not at all), chunked and gzipped bodies; mini-00001 also holds what is no page
    wet/      plain text with some navigation left in, as Common Crawl's WET files
    jsonl/    four layouts, gzip and zstd; jsonl/dolma is a Dolma folder, jsonl/datatrove a datatrove one
    parquet/  FineWeb's columns, nested ones, and large_string, dictionary and null values
    broken/   each broken in another way

``expected.json`` holds for each shard the documents that are in it (URL, and id where the shard gives one), how many
records are no documents, by what they are, and whether the shard is whole. It is made from what was put in; no reader
of the project has a part in it. The committed shards are what the demo scans: a rebuild may differ in bytes with the
versions of zlib, zstd and Arrow, in documents not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import broken, sound, tables
from .pages import Page, read_pages
from .records import zstd_frames
from .shard import Made

HERE = Path(__file__).parent
SHARDS, EXPECTED = HERE / "shards", HERE / "expected.json"
REST = "warc/mini-00000.warc.gz"
FOREIGN = "warc/mini-00001.warc.gz"
PLACES = {
    "warc/mini-00002.warc": 12,
    "warc/mini-00003.warc.zst": 18,
    "wet/mini-00000.warc.wet.gz": 28,
    "jsonl/web-00000.jsonl.zst": 16,
    "jsonl/posts-00000.jsonl.gz": 14,
    "jsonl/datatrove/00000.jsonl.gz": 14,
    "jsonl/dolma/documents/mini-0000.jsonl.zst": 12,
    "parquet/fineweb-00000.parquet": 18,
    "parquet/nested-00000.parquet": 12,
    "parquet/arrow-00000.parquet": 12,
}
"""Pages in each sound shard. Most pages in other languages go into `FOREIGN`, what is left into `REST`."""
BROKEN_PLACES = {
    "broken/clipped.warc.gz": 4,
    "broken/flipped.warc.gz": 5,
    "broken/torn-line.jsonl.gz": 4,
    "broken/truncated.jsonl.gz": 5,
    "broken/bad-lines.jsonl": 5,
    "broken/torn-footer.parquet": 3,
}
"""Pages in each broken shard, those lost included: background only, so that a demo loses nothing of interest."""


def deal(pages: Sequence[Page]) -> dict[str, list[Page]]:
    """Which pages go into which shard."""
    foreign = [page for page in pages if page.lang != "en" and page.digest[4] % 4]
    left = sorted((page for page in pages if page not in foreign), key=lambda page: page.digest)
    background = [page for page in left if not page.labels]
    hands = {FOREIGN: foreign}
    for name, count in BROKEN_PLACES.items():
        hands[name], background = background[:count], background[count:]
    spent = {page.url for name in BROKEN_PLACES for page in hands[name]}
    left = [page for page in left if page.url not in spent]
    for name, count in PLACES.items():
        hands[name], left = left[:count], left[count:]
    return hands | {REST: left}


def make_shards(hands: dict[str, list[Page]], pages: Sequence[Page]) -> dict[str, Made]:
    """All shards by name."""
    web, posts, datatrove, dolma = (name for name in PLACES if name.startswith("jsonl/"))
    fineweb, nested, arrow = (name for name in PLACES if name.startswith("parquet/"))
    plain, zstd = "warc/mini-00002.warc", "warc/mini-00003.warc.zst"
    wet = "wet/mini-00000.warc.wet.gz"
    clipped, flipped, torn_line, truncated, bad_lines, torn_footer = BROKEN_PLACES
    return {
        REST: sound.warc(hands[REST], pages),
        FOREIGN: sound.warc_with_oddities(hands[FOREIGN], pages),
        plain: sound.warc(hands[plain], pages, b"".join),
        zstd: sound.warc(hands[zstd], pages, zstd_frames),
        wet: sound.wet(hands[wet]),
        web: sound.table(hands[web], tables.web_row, sound.zstd_lines),
        posts: sound.table(hands[posts], tables.content_row, sound.gzip_lines_in_two),
        datatrove: sound.table(hands[datatrove], tables.datatrove_row, sound.gzip_lines),
        dolma: sound.table(hands[dolma], tables.dolma_row, sound.zstd_frames_of_lines),
        fineweb: sound.table(hands[fineweb], tables.fineweb_row, tables.parquet),
        nested: sound.table(hands[nested], tables.nested_row, sound.snappy_parquet),
        arrow: sound.arrow(hands[arrow]),
        clipped: broken.clipped_warc(hands[clipped], pages),
        flipped: broken.flipped_warc(hands[flipped], pages),
        torn_line: broken.torn_line(hands[torn_line]),
        truncated: broken.truncated_jsonl(hands[truncated]),
        bad_lines: broken.bad_lines(hands[bad_lines]),
        torn_footer: broken.torn_parquet(hands[torn_footer]),
        "broken/error-page.warc.gz": broken.error_page(),
        "broken/empty.warc.gz": broken.empty_file(),
    }


def build(out: Path) -> dict[str, Any]:
    """Write ``shards/`` and ``expected.json`` into ``out``; returns what the latter holds, by shard."""
    pages = read_pages()
    shards = make_shards(deal(pages), pages)
    for name, made in shards.items():
        path = out / "shards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.data)
    expected = {name: made.expected() for name, made in shards.items()}
    (out / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return expected


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the mini crawl's shards from pages.jsonl.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for shards/ and expected.json")
    out: Path = parser.parse_args().out
    expected = build(out)
    documents = sum(len(entry["documents"]) for entry in expected.values())
    size = sum((out / "shards" / name).stat().st_size for name in expected)
    print(f"{len(expected)} shards, {documents} documents, {size / 1e6:.2f} MB in {out / 'shards'}")


if __name__ == "__main__":
    main()
