"""Which columns of a table hold a document's text, id, URL and so on: named by option, or guessed by usual names.

Knows names and nesting, not file formats.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.tasks import ReadOptions

GUESSES = {
    "text": ("text", "content", "raw_content", "document", "body", "contents", "page_content", "article", "markdown"),
    "id": (
        "id", "doc_id", "document_id", "docid", "_id", "uuid", "warc_record_id", "record_id", "WARC-Record-ID",
        "warc-record-id", "meta.id", "metadata.id", "metadata.warc_record_id", "metadata.WARC-Record-ID",
        "warc_headers.warc-record-id", "metadata.warc-record-id",
    ),
    "url": (
        "url", "URL", "uri", "source_url", "target_uri", "meta.url", "metadata.url", "metadata.warc_url",
        "warc_target_uri", "WARC-Target-URI", "warc-target-uri", "metadata.WARC-Target-URI",
        "metadata.warc-target-uri", "warc_headers.warc-target-uri", "link",
    ),
    "date": (
        "date", "timestamp", "crawl_date", "date_crawled", "created", "added", "published", "date_download",
        "warc_date", "WARC-Date", "warc-date", "meta.date", "metadata.date", "meta.timestamp", "metadata.timestamp",
        "metadata.warc_date", "metadata.WARC-Date", "warc_headers.warc-date",
    ),
    "source": ("source", "source_name", "dataset", "meta.source", "metadata.source", "metadata.dataset"),
    "lang": (
        "language", "lang", "meta.language", "metadata.language", "meta.lang", "metadata.lang",
        "metadata.identification.label", "WARC-Identified-Content-Language",
        "warc_headers.warc-identified-content-language",
    ),
}  # fmt: skip
"""Tried in this order; dots reach into nested columns."""


class ColumnError(ValueError):
    """A column is missing or of a type that cannot hold what is asked of it."""


@dataclass(frozen=True)
class Columns:
    """Paths into a record (one name, or several where nested); None where there is no such column."""

    text: tuple[str, ...]
    id: tuple[str, ...] | None
    url: tuple[str, ...] | None
    date: tuple[str, ...] | None
    source: tuple[str, ...] | None
    lang: tuple[str, ...] | None


def choose(options: ReadOptions, paths: Collection[tuple[str, ...]], *, where: str) -> Columns:
    """Columns for ``paths``, all that there are in the file ``where``. Raises `ColumnError` if a named one is
    missing, or if none has a usual name for text."""
    by_name = {".".join(path): path for path in sorted(paths, key=len, reverse=True)}
    chosen = {role: _choose(role, getattr(options, f"{role}_column"), by_name, where) for role in GUESSES}
    if (text := chosen.pop("text")) is None:
        raise ColumnError(
            f"{where}: no column with a usual name for text ({', '.join(GUESSES['text'])}); "
            f"there are: {_listed(by_name)}; name one with --text-column"
        )
    return Columns(text=text, **chosen)


def _choose(role: str, named: str | None, by_name: dict[str, tuple[str, ...]], where: str) -> tuple[str, ...] | None:
    if named is None:
        return next((by_name[guess] for guess in GUESSES[role] if guess in by_name), None)
    if named not in by_name:
        raise ColumnError(f"{where}: no column {named!r} for {role}; there are: {_listed(by_name)}")
    return by_name[named]


def _listed(by_name: dict[str, tuple[str, ...]]) -> str:
    names = sorted(by_name)
    return ", ".join(names[:50]) + (f" and {len(names) - 50} more" if len(names) > 50 else "") or "none"
