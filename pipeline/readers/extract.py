"""HTML to text by resiliparse or trafilatura, and bytes to HTML with the charset found as browsers find it.

Knows one page at a time.
"""

from __future__ import annotations

import codecs

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from pipeline.tasks import ReadOptions

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def decode(data: bytes, declared: str | None, *, html: bool = False) -> str:
    """Bytes as text: by the byte order mark, the charset declared in HTTP, the one in the page (``html``), or by
    detection, in this order. What does not decode becomes U+FFFD.

    The order is that of the WHATWG's HTML standard (determining the character encoding).
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    encoding = _known(declared) or _known(detect_encoding(data, from_html_meta=html)) or "utf-8"
    return data.decode(encoding, "replace")


def _known(name: str | None) -> str | None:
    """Python's codec for a charset label, which means what browsers take it for (latin-1 is windows-1252)."""
    if not name or not (label := map_encoding_to_html5(name, fallback_utf8=False)):
        return None
    try:
        return codecs.lookup(label).name
    except LookupError:
        return None


def html_to_text(html: str, options: ReadOptions) -> str:
    """The text of a page by ``options.extractor``; ``options.main_content`` leaves out navigation and the like.

    Raises `ImportError` if trafilatura is asked for and not installed.
    """
    if options.extractor == "trafilatura":
        return _trafilatura(html, main_content=options.main_content)
    return extract_plain_text(html, main_content=options.main_content, alt_texts=False)


def _trafilatura(html: str, *, main_content: bool) -> str:
    try:
        import trafilatura
    except ImportError as error:
        raise ImportError("the extractor trafilatura is not installed: pip install 'tropescan[trafilatura]'") from error
    if not main_content:
        return trafilatura.html2txt(html) or ""
    return trafilatura.extract(html, include_comments=True, include_tables=True) or ""
