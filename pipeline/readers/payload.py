"""What a WARC record carries, to text: the HTTP part, media types, charsets, and which payloads are refused, and why.

Knows one record at a time, not files. fastwarc parses HTTP and undoes its encodings.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from fastwarc.warc import WarcRecord
from resiliparse.parse.encoding import detect_mime

from pipeline.readers.batches import Text, large_strings
from pipeline.readers.extract import TooComplexError, decode, html_to_text
from pipeline.tasks import ReadOptions

HEAD = 64 << 10
"""Bytes of a block that hold its HTTP header, or tell what it is."""
HTML_BYTES = 10 << 20
"""Larger pages, and larger contents of an HTTP encoding, are refused: parsing takes thirty to ninety times as much
memory as a page has bytes."""
HTML = frozenset({"text/html", "application/xhtml+xml"})
PLAIN = "text/plain"
_HTTP = (
    b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n"
)
NOT_TEXT = np.zeros(256, bool)
"""Of each byte, whether it can stand in white space: what has none but these may be blank."""
NOT_TEXT[[*range(0x09, 0x0E), *range(0x1C, 0x21), *range(0x80, 0x8B), 0x9A, 0x9F, 0xA0, 0xA8, 0xA9, 0xAF, 0xC2]] = True
NOT_TEXT[[0xE1, 0xE2, 0xE3]] = True
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class Refusal(NamedTuple):
    """Why a record is no document."""

    reason: str
    detail: str


class Payload(NamedTuple):
    """What a block carries from byte ``start`` on: media type (lower case, without parameters), the declared charset,
    the HTTP encodings that are to be undone, and whether the text was extracted already (WET)."""

    start: int
    media: str
    charset: str | None
    encodings: str = ""
    extracted: bool = False

    @property
    def is_utf8(self) -> bool:
        """Whether it says of itself that it is plain text in UTF-8, or does not say otherwise."""
        return self.media == PLAIN and self.charset in (None, "utf-8", "UTF-8")

    def largest(self, options: ReadOptions) -> int:
        """The most bytes that are read of such a payload."""
        most = options.max_document_bytes
        return min(most, HTML_BYTES) if self.media in HTML or self.encodings else most


def payload_of(kind: str, headers: dict[str, str], block: bytes | memoryview) -> Payload | Refusal:
    """What a record carries, or why that can be no document, by its WARC-Type, its WARC header by lower-case name, and
    its block, of which the first `HEAD` bytes count."""
    content_type = headers.get("content-type", "")
    if kind == "response" and (content_type.startswith("application/http") or block[:5] == b"HTTP/"):
        payload = _http(bytes(block[:HEAD]), headers.get("warc-identified-payload-type", ""))
        return payload if isinstance(payload, Refusal) else _if_text(payload)
    return _without_http(content_type, extracted=kind == "conversion")


@lru_cache(maxsize=256)
def _without_http(content_type: str, *, extracted: bool) -> Payload | Refusal:
    media, _, parameters = content_type.partition(";")
    charset = _charset(parameters) or ("utf-8" if extracted else None)
    return _if_text(Payload(0, media.strip().lower() or PLAIN, charset, extracted=extracted))


def _if_text(payload: Payload) -> Payload | Refusal:
    return payload if payload.media in HTML or payload.media == PLAIN else Refusal("media_type", payload.media)


def text_of(
    kind: str, headers: dict[str, str], block: bytes | memoryview, size: int, options: ReadOptions
) -> Text | Refusal:
    """The text of a record, in UTF-8, or why it has none. ``block`` is its content, or the start of it if ``size``
    (bytes) is too large to be held."""
    payload = payload_of(kind, headers, block)
    if isinstance(payload, Refusal):
        return payload
    if size > len(block):
        return Refusal("too_large", f"{size} bytes of {payload.media}; at most {payload.largest(options)} are read")
    data = _decoded(payload, bytes(block)) if payload.encodings else block[payload.start :]
    if data is None:
        return Refusal("bad_http", f"the content is not encoded as declared ({payload.encodings})")
    if len(data) > payload.largest(options):
        return Refusal("too_large", f"over {payload.largest(options)} bytes of {payload.media}")
    return _text(payload, data, options)


def _http(head: bytes, identified: str) -> Payload | Refusal:
    record = _parsed(head, "none")
    status = record.http_headers.status_code if record else None
    if record is None or status is None:
        return Refusal("bad_http", f"no HTTP status line: {head[:60]!r}")
    if status != 200:
        return Refusal("http_status", str(status))
    names = ("transfer-encoding", "content-encoding")
    encodings = ", ".join(f"{name}: {value}" for name in names if (value := record.http_headers.get(name)))
    media, _, parameters = (record.http_headers.get("content-type") or identified).partition(";")
    body = record.reader.read()
    return Payload(len(head) - len(body), media.strip().lower() or detect_mime(body), _charset(parameters), encodings)


def _parsed(block: bytes, auto_decode: Literal["none", "transfer", "all"]) -> WarcRecord | None:
    """An HTTP response as fastwarc reads it."""
    try:
        record = WarcRecord.from_bytes(_HTTP % len(block) + block)
        record.parse_http(auto_decode, quirks_mode=True, strict_mode=False)
    except (OSError, ValueError):
        return None
    return record


def _decoded(payload: Payload, block: bytes) -> bytes | None:
    """The payload with its encodings undone. Many crawlers store it decoded and keep the header, so what does not
    decode is taken as it stands, unless it looks compressed; None if it does."""
    if record := _parsed(block, "all"):
        try:
            return record.reader.read(HTML_BYTES + 1)
        except (OSError, ValueError):
            pass
    if (inflated := _inflated(payload, block)) is not None:
        return inflated
    data = block[payload.start :]
    return None if data.startswith(b"\x1f\x8b") or b"\0" in data[:1024] else data


def _inflated(payload: Payload, block: bytes) -> bytes | None:
    """What browsers read and fastwarc does not: ``x-gzip``, and ``deflate`` without the header of zlib."""
    if not any(name in payload.encodings.lower() for name in ("gzip", "deflate")):
        return None
    record = _parsed(block, "transfer")
    try:
        data = record.reader.read() if record else block[payload.start :]
    except (OSError, ValueError):
        return None
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        decoder = zlib.decompressobj(window)
        with suppress(zlib.error):
            inflated = decoder.decompress(data, HTML_BYTES + 1)
            if decoder.eof or len(inflated) > HTML_BYTES:
                return inflated
    return None


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'") or None
    return None


def _text(payload: Payload, data: bytes | memoryview, options: ReadOptions) -> Text | Refusal:
    if payload.is_utf8 and _is_text(data):
        return data
    if payload.media == PLAIN:
        text = decode(bytes(data), payload.charset)
        if not payload.extracted and "\0" in text[:1024]:
            return Refusal("media_type", "binary content under text/plain")
    else:
        try:
            text = html_to_text(decode(bytes(data), payload.charset, html=True), options)
        except TooComplexError as error:
            return Refusal("too_complex", str(error))
        except (ValueError, RuntimeError, RecursionError) as error:
            return Refusal("extraction_failed", f"{options.extractor}: {error!r}")
    if not text or text.isspace():
        return Refusal("empty_text", f"{len(data)} bytes of {payload.media} without text")
    return text.encode("utf-8", "replace")


def _is_text(data: bytes | memoryview) -> bool:
    """Whether bytes are text as they stand: UTF-8, no byte order mark or NUL, not blank. Large ones are not decoded
    to find out: that takes up to four times their size."""
    head = bytes(data[:1024])
    if b"\0" in head or head.startswith(_MARKS):
        return False
    if len(data) > HEAD:
        return _is_utf8(data) and not all(bytes(data[at : at + HEAD]).isspace() for at in range(0, len(data), HEAD))
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    return bool(text) and not text.isspace()


def are_texts(texts: pa.LargeStringArray) -> bool:
    """Whether texts, none of which is empty, blank or begins with a byte order mark, are such as they stand; one with a
    NUL far on counts as none."""
    return bool(np.frombuffer(texts.buffers()[2], np.uint8).min()) and _is_valid(texts)


def _is_utf8(data: bytes | memoryview) -> bool:
    return _is_valid(large_strings(data, [len(data)]))


def _is_valid(texts: pa.LargeStringArray) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
