"""The source pages and their parts: blocks of text, comments, plain text.

Knows neither shards nor site templates. A page's text is light Markdown: ``# `` headings, ``- `` list items,
``> `` quotations, code indented by four spaces, ``**bold**``, ``*italic*`` and `` `code` ``; blank lines part blocks.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

PAGES = Path(__file__).with_name("pages.jsonl")
COMMENTS = re.compile(r"(\d+ |YOUR )?(comments?|Комментарии|Σχόλια)\b.*", re.IGNORECASE)
INLINE = {
    "b": re.compile(r"\*\*([^*\n]+)\*\*"),
    "em": re.compile(r"(?<![\w*])\*([^*\s][^*\n]*)\*(?![\w*])"),
    "code": re.compile(r"`([^`\n]+)`"),
}
"""HTML element of each inline sign."""
_SIGNS = {"# ": "heading", "- ": "list", ">": "quote", "    ": "code", "---": "rule"}


@dataclass(frozen=True)
class Block:
    """A heading, paragraph, list, quote, code or rule (``kind``), and its lines without the sign of the kind."""

    kind: str
    lines: tuple[str, ...]

    @property
    def plain(self) -> str:
        """The block as a text file would have it."""
        if self.kind == "code":
            return "\n".join(self.lines)
        sign = {"list": "- ", "quote": "> "}.get(self.kind, "")
        return "\n".join(sign + without_inline_signs(line) for line in self.lines)


@dataclass(frozen=True)
class Page:
    """A page as its author wrote it. ``labels`` follow the codebook; none means background."""

    host: str
    path: str
    date: str
    lang: str
    title: str
    labels: tuple[str, ...]
    text: str

    @property
    def url(self) -> str:
        """Address, unique among the pages."""
        return f"https://{self.host}{self.path}"

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the URL: all that looks random in the mini crawl comes from it."""
        return hashlib.sha256(self.url.encode()).digest()

    @property
    def time(self) -> str:
        """When it was crawled: some time on the page's date, UTC, as WARC writes it."""
        hour, minute, second = self.digest[0] % 24, self.digest[1] % 60, self.digest[2] % 60
        return f"{self.date}T{hour:02}:{minute:02}:{second:02}Z"

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The text's blocks in order."""
        parts = re.split(r"\n\s*\n", self.text)
        grouped = [(kind, tuple(lines)) for part in parts for kind, lines in groupby(part.split("\n"), _kind)]
        return tuple(block for kind, lines in grouped for block in _blocks(kind, lines))

    @property
    def main(self) -> tuple[Block, ...]:
        """The blocks before the comments."""
        return self.blocks[: self._comments_at]

    @property
    def comments(self) -> tuple[Block, ...]:
        """The blocks of the comment section, its heading first; none on most pages."""
        return self.blocks[self._comments_at :]

    @cached_property
    def _comments_at(self) -> int:
        found = (i for i, b in enumerate(self.blocks) if b.kind == "heading" and COMMENTS.fullmatch(b.lines[0]))
        return next(found, len(self.blocks))

    @property
    def plain(self) -> str:
        """The whole text without Markdown."""
        return plain_text(self.blocks)


def plain_text(blocks: tuple[Block, ...]) -> str:
    """Blocks as plain text, parted by blank lines."""
    return "\n\n".join(block.plain for block in blocks)


def without_inline_signs(text: str) -> str:
    """The text without the signs of bold, italic and code."""
    for pattern in INLINE.values():
        text = pattern.sub(r"\1", text)
    return text


def read_pages(path: Path = PAGES) -> list[Page]:
    """All pages, in the order of the file."""
    with path.open(encoding="utf-8") as file:
        return [Page(**(record := json.loads(line)) | {"labels": tuple(record["labels"])}) for line in file]


def _kind(line: str) -> str:
    return next((kind for sign, kind in _SIGNS.items() if line.startswith(sign)), "paragraph")


def _blocks(kind: str, lines: tuple[str, ...]) -> list[Block]:
    size = {"heading": 2, "list": 2, "quote": 1, "code": 4}.get(kind, 0)
    bare = tuple(line[size:].rstrip() if kind == "code" else line[size:].strip() for line in lines)
    return [Block(kind, (line,)) for line in bare] if kind == "heading" else [Block(kind, bare)]
