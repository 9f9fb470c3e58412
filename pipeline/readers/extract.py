"""HTML to text by resiliparse or trafilatura, and bytes to HTML with the charset found as browsers find it.

Knows one page at a time.
"""

from __future__ import annotations

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from pipeline.tasks import ReadOptions

DEEP = 10_000_000
OPEN_TAGS = 5_000
LONG_TAG = 50_000
_TAG = re.compile(r"<(/?)(div\b|article\b)?", re.IGNORECASE)
_BODY = re.compile(r"<body\b[^>]*>", re.IGNORECASE)
"""resiliparse takes short blocks near the body for navigation or content by their depth alone: a block around all lets
it keep a shop's list of features and drop the newsletter's box."""
_FORMATTING = re.compile(r"<(/?)(?:a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)\b", re.IGNORECASE)
_LONG_TAG = re.compile(rf"<[a-zA-Z][^<>]{{{LONG_TAG},}}")
_HTML_LANG = re.compile(rb"<html\b[^<>]{0,1000}?[\s\"']lang\s*=\s*[\"']?([A-Za-z][A-Za-z0-9_-]{1,30})", re.IGNORECASE)
_BEFORE_HTML = 8 << 10
"""Bytes in which a page's ``<html>`` is looked for: behind the HTTP header, a comment or two."""
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_WIDER = {"shift_jis": "cp932", "euc_kr": "cp949", "gbk": "gb18030", "big5": "big5hkscs", "iso8859-11": "cp874"}
"""What browsers read by a name is more than Python's codec of that name does."""


def decode(data: bytes, declared: str | None, *, html: bool = False) -> str:
    """Bytes as text: by the byte order mark, the charset declared in HTTP, the one in the page (``html``), or by
    detection, in this order. What does not decode becomes U+FFFD.

    The order is that of the WHATWG's HTML standard (determining the character encoding). Where it leads to
    windows-1252, which anything decodes as, but the bytes are UTF-8, they are read as UTF-8.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    encoding = _known(declared) or _found(data, html=html)
    if encoding.startswith("utf-16") and b"\0" not in data[:256]:
        encoding = "utf-8"
    return data.decode(encoding, "replace")


def _known(name: str | None) -> str | None:
    """Python's codec for a charset label, which means what browsers take it for (latin-1 is windows-1252)."""
    label = map_encoding_to_html5(name, fallback_utf8=False) if name else None
    return _WIDER.get(label, label) if label else None


def _found(data: bytes, *, html: bool) -> str:
    found = _known(detect_encoding(data, from_html_meta=html)) or "utf-8"
    if found != "cp1252":
        return found
    try:
        data.decode()
    except UnicodeDecodeError:
        return found
    return "utf-8"


def language_of_page(block: bytes | memoryview) -> str | None:
    """What a page's ``<html lang>`` says, from the HTTP response that holds it; None where there is none, or where it
    is compressed there."""
    found = _HTML_LANG.search(block, 0, _BEFORE_HTML)
    return found[1].decode() if found else None


class TooComplexError(ValueError):
    """A page made, or broken, so that parsing it would take minutes."""


def check_complexity(html: str) -> None:
    """Raise `TooComplexError` for markup on which the parser or resiliparse take time by the square of its size:
    elements deep inside ``div`` (each costs some 90 ns a level), formatting never closed, a tag of endless attributes.
    """
    tags = html.count("<")
    if tags * (html.count("<div") + html.count("<article") + html.count("<DIV")) > DEEP and _levels(html) > DEEP:
        raise TooComplexError("elements nested too deeply")
    if tags > OPEN_TAGS and sum(-1 if close else 1 for close in _FORMATTING.findall(html)) > OPEN_TAGS:
        raise TooComplexError("formatting that is never closed")
    if len(html) > LONG_TAG and any(tag.group().count("=") > OPEN_TAGS for tag in _LONG_TAG.finditer(html)):
        raise TooComplexError("a tag with thousands of attributes")


def _levels(html: str) -> int:
    """Sum over all tags of the blocks that each stands in."""
    depth = total = 0
    for close, block in _TAG.findall(html):
        if block:
            depth += -1 if close else 1
        total += max(depth, 0)
    return total


def html_to_text(html: str, options: ReadOptions) -> str:
    """The text of a page by ``options.extractor``; ``options.main_content`` leaves out navigation and the like.

    Raises `TooComplexError`, and `ImportError` if trafilatura is asked for and not installed.
    """
    check_complexity(html)
    if options.extractor == "trafilatura":
        return _trafilatura(html, main_content=options.main_content)
    if options.main_content:
        html = _BODY.sub(r"\g<0><div>", html, count=1)
    return extract_plain_text(html, main_content=options.main_content, alt_texts=False)


def _trafilatura(html: str, *, main_content: bool) -> str:
    try:
        import trafilatura
    except ImportError as error:
        raise ImportError("the extractor trafilatura is not installed: pip install 'tropescan[trafilatura]'") from error
    if not main_content:
        return trafilatura.html2txt(html) or ""
    return trafilatura.extract(html, include_comments=True, include_tables=True) or ""
