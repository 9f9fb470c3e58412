"""A shard as built: its bytes and what is in them; and the WARC records of a page as its site answers.

Knows neither which shards there are nor which page goes where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .pages import Page
from .records import chunked, exchange, gzipped, http_date
from .sites import html_page

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


def documents_of(hand: Sequence[Page], rows: Sequence[dict[str, Any]]) -> list[tuple[Page, str | None]]:
    """Each page with its row's id, if rows have one."""
    ids = [row.get("id", row.get("doc_id")) for row in rows]
    return [(page, None if id is None else str(id)) for page, id in zip(hand, ids, strict=False)]


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
