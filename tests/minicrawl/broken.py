"""The shards broken on purpose, each in another way, and what a reader must still find in them.

Knows layouts, not which page goes where.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

from . import oddities, tables
from .pages import Page
from .records import gzip_members, gzipped, warcinfo
from .shard import Made, documents_of, fetch

ERROR_PAGE = b"<html><head><title>503 Service Unavailable</title></head><body><h1>Slow Down</h1></body></html>\n"
BAD_LINES = {
    b'{"id": "b1", "text": "the line was never fin': "bad JSON",
    b"<html><body>502 Bad Gateway</body></html>": "bad JSON",
    b'{"id": "b2", "url": "https://filmrot.test/x"}': "no text field",
    b'{"id": "b3", "text": null}': "null text",
    b'{"id": "b4", "text": 42}': "text of another type",
    b'{"id": "b5", "text": ["a", "list"]}': "text of another type",
    b'["b6", "an array"]': "no object",
    b'{"id": "b7", "text": "caf\xe9 cr\xe8me"}': "invalid UTF-8",
}


def clipped_warc(hand: Sequence[Page], pages: Sequence[Page]) -> Made:
    """Cut in the middle of the last page's response, as by an upload that broke off."""
    records = [warcinfo(oddities.TIME), *(record for n, page in enumerate(hand) for record in fetch(page, pages, n))]
    last = gzipped(records[-2])
    data = gzip_members(records[:-2]) + last[: len(last) // 2]
    return Made(data, [(page, None) for page in hand[:-1]], {"truncated stream": 1}, complete=False)


def flipped_warc(hand: Sequence[Page], pages: Sequence[Page], hit: int = 2) -> Made:
    """Some bits are wrong in the response with page number ``hit``; every other gzip member is sound."""
    data = gzipped(warcinfo(oddities.TIME))
    for number, page in enumerate(hand):
        request, response, metadata = (bytearray(gzipped(record)) for record in fetch(page, pages, number))
        if number == hit:
            middle = slice(len(response) // 2, len(response) // 2 + 8)
            response[middle] = bytes(byte ^ 0x55 for byte in response[middle])
        data += request + response + metadata
    return Made(data, [(page, None) for n, page in enumerate(hand) if n != hit], {"damaged member": 1})


def torn_line(hand: Sequence[Page]) -> Made:
    """A sound gzip file whose last line was never written whole."""
    rows = [tables.web_row(page, number) for number, page in enumerate(hand)]
    return Made(gzipped(tables.json_lines(rows)[:-300]), documents_of(hand[:-1], rows), {"bad JSON": 1}, complete=False)


def truncated_jsonl(hand: Sequence[Page], whole: int = 3) -> Made:
    """A gzip file cut off where ``whole`` lines and a part of the next can be decompressed."""
    rows = [tables.web_row(page, number) for number, page in enumerate(hand)]
    data = gzipped(tables.json_lines(rows))
    lines = [zlib.decompressobj(wbits=31).decompress(data[:size]).count(b"\n") for size in range(len(data))]
    first, last = lines.index(whole), lines.index(whole + 1)
    cut = data[: (first + last) // 2]
    return Made(cut, documents_of(hand[:whole], rows), {"truncated stream": 1}, complete=False)


def bad_lines(hand: Sequence[Page]) -> Made:
    """Sound lines with all kinds of wrong ones between and after them."""
    rows = [tables.web_row(page, number) for number, page in enumerate(hand)]
    wrong = [line + b"\n" for line in BAD_LINES]
    mixed = [part for row, bad in zip(rows, wrong, strict=False) for part in (tables.json_lines([row]), bad)]
    data = b"".join(mixed + wrong[len(rows) :])
    return Made(data, documents_of(hand, rows), dict(Counter(BAD_LINES.values())))


def torn_parquet(hand: Sequence[Page]) -> Made:
    """Parquet without the end of its footer."""
    data = tables.parquet([tables.fineweb_row(page, number) for number, page in enumerate(hand)])
    return Made(data[:-200], (), {"torn footer": 1}, complete=False)


def error_page() -> Made:
    """What a store answered where the shard should be."""
    return Made(ERROR_PAGE, (), {"not a shard": 1}, complete=False)


def empty_file() -> Made:
    """No byte at all."""
    return Made(b"", (), {"not a shard": 1}, complete=False)
