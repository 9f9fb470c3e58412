"""JSON lines and Parquet as different corpora lay them out.

Knows pages and columns, not which page goes where. Each layout is a function from pages to rows.
"""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .pages import Page
from .records import record_id

CRAWL = "MINI-2026-10"
ADDED = "2026-03-02T06:00:00.000Z"


def web_row(page: Page, number: int) -> dict[str, Any]:
    """Flat: ``text``, ``id``, ``url``, ``date``."""
    return {"text": page.plain, "id": record_id("response", page.url), "url": page.url, "date": page.time}


def content_row(page: Page, number: int) -> dict[str, Any]:
    """``content`` and nested ``metadata``, without an id."""
    return {"content": page.plain, "metadata": {"url": page.url, "date": page.date, "title": page.title}}


def datatrove_row(page: Page, number: int) -> dict[str, Any]:
    """As datatrove's JSONL writer: ``text``, ``id``, ``metadata``."""
    metadata = {"url": page.url, "date": page.time, "dump": CRAWL, "language": page.lang, "language_score": 0.98}
    return {"text": page.plain, "id": f"{CRAWL}/datatrove/00000/{number}", "metadata": metadata}


def dolma_row(page: Page, number: int) -> dict[str, Any]:
    """As a Dolma documents folder: ``id``, ``text``, ``source``, ``created``, ``added``, ``metadata``."""
    created = page.time.replace("Z", ".000Z")
    row = {"id": page.digest.hex()[:16], "text": page.plain, "source": "minicrawl", "created": created, "added": ADDED}
    return row | {"metadata": {"url": page.url, "length": len(page.plain), "provenance": f"mini-0000.json.gz:{number}"}}


def fineweb_row(page: Page, number: int) -> dict[str, Any]:
    """As FineWeb's Parquet files."""
    return {
        "text": page.plain,
        "id": record_id("response", page.url),
        "dump": CRAWL,
        "url": page.url,
        "date": page.time,
        "file_path": f"s3://minicrawl/crawl-data/{CRAWL}/mini-00000.warc.gz",
        "language": page.lang,
        "language_score": 0.9 + page.digest[3] / 2560,
        "token_count": len(page.plain) // 4,
    }


def nested_row(page: Page, number: int) -> dict[str, Any]:
    """``raw_content``, whole numbers as ids, and the rest in a struct."""
    meta = {"url": page.url, "date": page.date, "source": "minicrawl"}
    return {"doc_id": 7_000_000_000 + number, "raw_content": page.plain, "meta": meta}


def arrow_row(page: Page, number: int) -> dict[str, Any]:
    """Flat, for `ARROW_TYPES`."""
    date = dt.date.fromisoformat(page.date)
    return {
        "id": f"arrow-{number:04}", "text": page.plain, "url": page.url, "date": date,
        "source": page.host, "lang": page.lang,
    }  # fmt: skip


ARROW_TYPES = pa.schema(
    [
        ("id", pa.large_string()),
        ("text", pa.large_string()),
        ("url", pa.string()),
        ("date", pa.date32()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("lang", pa.dictionary(pa.int8(), pa.string())),
    ]
)


def json_lines(rows: Iterable[dict[str, Any]], *, ascii_only: bool = False) -> bytes:
    """One JSON object a line, each line ended."""
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode()


def parquet(rows: Sequence[dict[str, Any]], *, schema: pa.Schema | None = None, compression: str = "zstd") -> bytes:
    """A Parquet file with several small row groups."""
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table, buffer, compression=compression, row_group_size=7, write_page_checksum=True)
    return buffer.getvalue()
