"""The sound shards, one function for each format.

Knows layouts, not which page goes where.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import zstandard

from . import oddities, tables
from .pages import Page
from .records import conversion, gzip_members, gzipped, warcinfo
from .shard import Made, documents_of, fetch

Rows = list[dict[str, Any]]
WET_LANGUAGES = {"de": "deu,eng", "el": "ell", "en": "eng", "es": "spa", "fr": "fra", "ja": "jpn", "ru": "rus"}


def warc(hand: Sequence[Page], pages: Sequence[Page], pack: Callable[[Sequence[bytes]], bytes] = gzip_members) -> Made:
    """WARC of HTML pages; ``pages`` are all there are, for links."""
    records = [warcinfo(oddities.TIME), *(record for n, page in enumerate(hand) for record in fetch(page, pages, n))]
    return Made(pack(records), [(page, None) for page in hand])


def warc_with_oddities(hand: Sequence[Page], pages: Sequence[Page]) -> Made:
    """The same, with what is no page between the pages."""
    odd = oddities.records()
    records = [warcinfo(oddities.TIME)]
    for number in range(max(len(hand), len(odd))):
        records += fetch(hand[number], pages, number) if number < len(hand) else []
        records += odd[number][1] if number < len(odd) else []
    rejected = Counter(name for name, _ in odd if name != oddities.NOT_COUNTED)
    return Made(gzip_members(records), [(page, None) for page in hand], dict(rejected))


def wet(hand: Sequence[Page]) -> Made:
    """WET: plain text with some of the site's navigation left in."""
    records = [warcinfo(oddities.TIME)]
    for page in hand:
        text = f"{page.title}\nHome\nAbout\nArchive\n{page.plain}\nPrivacy\nAll rights reserved\n"
        records.append(conversion(page.url, page.time, text, WET_LANGUAGES.get(page.lang, "und")))
    return Made(gzip_members(records), [(page, None) for page in hand])


def table(hand: Sequence[Page], row: Callable[[Page, int], dict[str, Any]], pack: Callable[[Rows], bytes]) -> Made:
    """A shard of rows, packed as JSON lines or Parquet."""
    rows = [row(page, number) for number, page in enumerate(hand)]
    return Made(pack(rows), documents_of(hand, rows))


def arrow(hand: Sequence[Page]) -> Made:
    """Parquet with large strings, dictionaries and dates; after every fifth row one without a text."""
    rows = [tables.arrow_row(page, number) for number, page in enumerate(hand)]
    nulls = {n: row | {"id": f"null-{n:04}", "text": None} for n, row in enumerate(rows) if n % 5 == 0}
    mixed = [row for n, given in enumerate(rows) for row in (given, nulls.get(n)) if row]
    data = tables.parquet(mixed, schema=tables.ARROW_TYPES, compression="gzip")
    return Made(data, documents_of(hand, rows), {"null text": len(nulls)})


def zstd_lines(rows: Rows) -> bytes:
    """JSON lines as one zstd frame."""
    return zstandard.ZstdCompressor(level=9).compress(tables.json_lines(rows))


def zstd_frames_of_lines(rows: Rows) -> bytes:
    """JSON lines as two zstd frames, the second without its content's size."""
    half = len(rows) // 2
    compressor = zstandard.ZstdCompressor(level=9, write_content_size=False)
    return zstd_lines(rows[:half]) + compressor.compress(tables.json_lines(rows[half:]))


def gzip_lines(rows: Rows) -> bytes:
    """JSON lines as one gzip member."""
    return gzipped(tables.json_lines(rows))


def gzip_lines_in_two(rows: Rows) -> bytes:
    """JSON lines in ASCII as gzip members that part within a line, as tools that cut by size write them."""
    data = tables.json_lines(rows, ascii_only=True)
    return gzipped(data[: len(data) // 2]) + gzipped(data[len(data) // 2 :])


def snappy_parquet(rows: Rows) -> bytes:
    """Parquet compressed with Snappy."""
    return tables.parquet(rows, compression="snappy")
