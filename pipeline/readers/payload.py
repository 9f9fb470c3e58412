"""What a WARC record carries, to text: the HTTP part, media types, charsets, and which payloads are refused, and why.

Knows one record at a time, not files. fastwarc parses HTTP and undoes its encodings.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from fastwarc.warc import WarcRecord
from resiliparse.parse.encoding import detect_mime

from pipeline.readers.extract import decode, html_to_text
from pipeline.tasks import ReadOptions

HELD_PAYLOAD = 64 << 20
"""Larger HTTP responses and HTML pages are refused: parsing takes about thirty times a page's size in memory."""
HTML = frozenset({"text/html", "application/xhtml+xml"})
PLAIN = "text/plain"


class Refusal(NamedTuple):
    """Why a record is no document."""

    reason: str
    detail: str


class Payload(NamedTuple):
    """Bytes, their media type (lower case, without parameters) and the declared charset."""

    data: bytes
    media: str
    charset: str | None


def text_of(kind: str, headers: dict[str, str], block: bytes, size: int, options: ReadOptions) -> bytes | Refusal:
    """The text of a record, in UTF-8, or why it has none. ``kind`` is its WARC-Type, ``headers`` its WARC header by
    lower-case name, ``block`` its content, or the start of it if ``size`` (bytes) is too large to be held."""
    content_type = headers.get("content-type", "")
    if kind == "response" and (content_type.startswith("application/http") or block.startswith(b"HTTP/")):
        payload = _http(block, whole=len(block) == size, identified=headers.get("warc-identified-payload-type", ""))
    else:
        media, _, parameters = content_type.partition(";")
        charset = _charset(parameters) or ("utf-8" if kind == "conversion" else None)
        payload = Payload(block, media.strip().lower() or PLAIN, charset)
    if isinstance(payload, Refusal):
        return payload
    if payload.media not in HTML and payload.media != PLAIN:
        return Refusal("media_type", payload.media)
    longest = options.max_document_bytes if kind == "conversion" else min(options.max_document_bytes, HELD_PAYLOAD)
    if size > len(block) or len(payload.data) > longest:
        return Refusal("too_large", f"over {longest} bytes of {payload.media}")
    return _text(payload, options)


def _http(block: bytes, *, whole: bool, identified: str) -> Payload | Refusal:
    head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http; msgtype=response\r\n"
    raw = b"%sContent-Length: %d\r\n\r\n%s" % (head, len(block), block)
    record = _parsed(raw, "none")
    status = record.http_headers.status_code if record else None
    if record is None or status is None:
        return Refusal("bad_http", f"no HTTP status line: {block[:60]!r}")
    if status != 200:
        return Refusal("http_status", str(status))
    content_type = record.http_headers.get("content-type") or identified
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if not whole or (media and media not in HTML and media != PLAIN):
        return Payload(b"", media, None)
    data = _decoded(raw, record)
    if data is None:
        return Refusal("bad_http", f"the content is not encoded as declared ({_encodings(record)})")
    return Payload(data, media or detect_mime(data[:4096]), _charset(parameters))


def _parsed(raw: bytes, auto_decode: Literal["none", "all"]) -> WarcRecord | None:
    try:
        record = WarcRecord.from_bytes(raw)
        record.parse_http(auto_decode, quirks_mode=True, strict_mode=False)
    except (OSError, ValueError):
        return None
    return record


def _encodings(record: WarcRecord) -> str:
    names = ("transfer-encoding", "content-encoding")
    return ", ".join(f"{name}: {value}" for name in names if (value := record.http_headers.get(name)))


def _decoded(raw: bytes, record: WarcRecord) -> bytes | None:
    """The payload with its encodings undone. Many crawlers store it decoded and keep the header, so what does not
    decode is taken as it stands, unless it looks compressed; None if it does."""
    if _encodings(record) and (decoding := _parsed(raw, "all")):
        try:
            return decoding.reader.read(HELD_PAYLOAD + 1)
        except (OSError, ValueError):
            pass
    data = record.reader.read()
    compressed = _encodings(record) and (data.startswith(b"\x1f\x8b") or b"\0" in data[:1024])
    return None if compressed else data


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'") or None
    return None


def _text(payload: Payload, options: ReadOptions) -> bytes | Refusal:
    if payload.media == PLAIN:
        if _is_ready(payload):
            return payload.data
        text = decode(payload.data, payload.charset)
        if "\0" in text[:1024]:
            return Refusal("media_type", "binary content under text/plain")
    else:
        text = html_to_text(decode(payload.data, payload.charset, html=True), options)
    if not text.strip():
        return Refusal("empty_text", f"{len(payload.data)} bytes of {payload.media} without text")
    return text.encode("utf-8", "replace")


def _is_ready(payload: Payload) -> bool:
    """Whether the bytes are the text already: WET records, but for broken ones."""
    data = payload.data
    plain = payload.charset in (None, "utf-8", "UTF-8") and not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe"))
    return plain and not data.isspace() and b"\0" not in data[:1024] and is_utf8(data)


def is_utf8(data: bytes) -> bool:
    """Whether bytes are valid UTF-8. Large ones are not decoded for it: that takes up to four times their size."""
    if len(data) < 64 << 10:
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return True
    offsets = pa.py_buffer(np.array([0, len(data)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
