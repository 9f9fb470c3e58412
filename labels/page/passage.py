"""A text as it can be shown safely: in pages, and code point for code point, so that spans keep their places.

What cannot be shown as it is, or would change how the text around it reads (controls, overrides of direction), is
replaced by one visible sign each and counted. Escaping is the template's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

PAGE_CHARS = 20_000
"""Code points on a page: some 13 sheets of paper, and light enough for a phone."""
_OVERRIDES = "\u202a-\u202e\u2066-\u2069"
_NOT_SHOWN = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_OVERRIDES}\u2028\u2029\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")


@dataclass(frozen=True)
class Passage:
    """One page of a text: ``shown`` begins at code point ``start`` of ``chars``; pages count from 1.

    ``replaced``: what is not shown as it is on this page, as Unicode names with numbers.
    """

    shown: str
    start: int
    chars: int
    page: int
    pages: int
    replaced: str


def passage(text: str, page: int = 1) -> Passage:
    """The page of that number; the nearest there is, for another."""
    pages = max(1, -(-len(text) // PAGE_CHARS))
    page = min(max(page, 1), pages)
    start = (page - 1) * PAGE_CHARS
    part = text[start : start + PAGE_CHARS]
    after = text[start + PAGE_CHARS : start + PAGE_CHARS + 1]  # a line's end may lie on both pages
    return Passage(shown(part + after)[: len(part)], start, len(text), page, pages, _replaced(part))


def shown(text: str) -> str:
    """The text with one harmless code point for each of its own.

    A carriage return before a newline becomes an invisible word joiner, since HTML would drop it and shift the rest.
    """
    ends = _LINE_END.sub(lambda found: "\u2060\n" if len(found[0]) == 2 else "\n", text)
    return _NOT_SHOWN.sub(lambda found: _sign(found[0]), ends)


def _sign(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)  # control pictures
    return {"\x7f": "\u2421", "\u2028": "\n", "\u2029": "\n"}.get(character, "\u25a2" if code > 0x9F else "\ufffd")


def _replaced(text: str) -> str:
    counts = Counter(_NOT_SHOWN.findall(text))
    return ", ".join(f"{n} × {_name(character)}" for character, n in counts.most_common(8))


def _name(character: str) -> str:
    return unicodedata.name(character, f"U+{ord(character):04X}").lower().replace("u+", "U+")


def quote(text: str, start: int, end: int, most: int = 160) -> str:
    """A stretch of a text to be read in a line; its middle is left out if it is long."""
    part = shown(text[start:end]).replace("\n", " ")
    return part if len(part) <= most else f"{part[: most // 2]} … {part[-most // 2 :]}"
