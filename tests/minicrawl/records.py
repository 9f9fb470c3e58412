"""WARC and WET records as bytes, and the gzip, zstd and HTTP wrappings around them.

Knows neither pages nor which shard a record goes into. WARC/1.0, as Common Crawl writes it; one gzip member or zstd
frame a record. Written without a WARC library, so that no library's reader is tested against its own writer.
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import hashlib
import io
import uuid
from collections.abc import Iterable, Mapping
from email.utils import formatdate

import zstandard

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "minicrawl.example")
SOFTWARE = b"software: minicrawl 1\r\nformat: WARC File Format 1.0\r\nrobots: obeyed\r\n"


def record_id(kind: str, url: str) -> str:
    """WARC-Record-ID: the same for the same kind of record of the same URL."""
    return f"<urn:uuid:{uuid.uuid5(NAMESPACE, f'{kind} {url}')}>"


def sha1(data: bytes) -> str:
    """A digest as WARC headers have it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def warc_record(kind: str, url: str | None, time: str, block: bytes, headers: Mapping[str, str]) -> bytes:
    """One WARC record."""
    lines = {
        "WARC-Type": kind,
        "WARC-Date": time,
        "WARC-Record-ID": record_id(kind, url or time),
        "Content-Length": str(len(block)),
        **({"WARC-Target-URI": url} if url else {}),
        **headers,
        "WARC-Block-Digest": sha1(block),
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + block + b"\r\n\r\n"


def warcinfo(time: str) -> bytes:
    """The record that opens a file."""
    return warc_record("warcinfo", None, time, SOFTWARE, {"Content-Type": "application/warc-fields"})


def exchange(url: str, time: str, status: str, http: Mapping[str, str], body: bytes) -> list[bytes]:
    """Request, response and metadata records of one fetch; ``body`` as it went over the wire."""
    host, _, path = url.removeprefix("https://").partition("/")
    request = f"GET /{path} HTTP/1.1\r\nUser-Agent: minicrawl/1\r\nAccept: */*\r\nHost: {host}\r\n\r\n".encode()
    lines = "".join(f"{key}: {value}\r\n" for key, value in http.items())
    block = f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body
    asked, answered = record_id("request", url), record_id("response", url)
    message = "application/http; msgtype="
    return [
        warc_record("request", url, time, request, {"Content-Type": f"{message}request"}),
        warc_record(
            "response", url, time, block,
            {"Content-Type": f"{message}response", "WARC-Concurrent-To": asked, "WARC-Payload-Digest": sha1(body)},
        ),
        warc_record(
            "metadata", url, time, b"fetchTimeMs: 41\r\n",
            {"Content-Type": "application/warc-fields", "WARC-Concurrent-To": answered},
        ),
    ]  # fmt: skip


def conversion(url: str, time: str, text: str, languages: str) -> bytes:
    """A WET record: the plain text of a response."""
    headers = {
        "Content-Type": "text/plain",
        "WARC-Refers-To": record_id("response", url),
        "WARC-Identified-Content-Language": languages,
    }
    return warc_record("conversion", url, time, text.encode(), headers)


def http_date(time: str) -> str:
    """An HTTP ``Date`` header for a WARC date."""
    return formatdate(dt.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp(), usegmt=True)


def chunked(body: bytes, size: int = 1500) -> bytes:
    """The body in chunked transfer encoding, chunks of ``size`` bytes and the last shorter."""
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def gzipped(data: bytes) -> bytes:
    """One gzip member without time or name."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def gzip_members(records: Iterable[bytes]) -> bytes:
    """A ``.warc.gz``: each record a member."""
    return b"".join(map(gzipped, records))


def zstd_frames(records: Iterable[bytes]) -> bytes:
    """A ``.warc.zst``: each record a frame with its content's size and checksum."""
    compressor = zstandard.ZstdCompressor(level=9, write_checksum=True)
    return b"".join(map(compressor.compress, records))
