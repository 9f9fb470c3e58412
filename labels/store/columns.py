"""Column types that keep what a crawl contains exactly, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import re

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator

_UNSTORABLE = re.compile("[\x00\x1a\ud800-\udfff]")
_ESCAPED = re.compile("\x1a(00|1a|d[89a-f][0-9a-f]{2})")


class ExactText(TypeDecorator[str]):
    """Text that comes back as it went in.

    PostgreSQL stores no NUL and neither database lone surrogates, which crawled text and URLs do contain; they are
    written as U+001A and their hexadecimal number. All other text is stored as it stands.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _UNSTORABLE.sub(lambda found: f"\x1a{ord(found[0]):02x}", value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value)


SORTED_TEXT = String().with_variant(String(collation="C"), "postgresql")
"""Sorted by code points, as SQLite does: the order of a cluster's locale may differ from machine to machine."""
