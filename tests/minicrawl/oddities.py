"""What a crawl holds besides pages: redirects, errors, images, and so on, as WARC records.

Each gives records that are no documents, and the class under which ``expected.json`` counts them.
"""

from __future__ import annotations

import struct
import zlib

from .records import exchange, http_date, record_id, sha1, warc_record

TIME = "2026-03-01T05:06:07Z"
NOT_COUNTED = "revisit"
"""The class of what is no answer of a site, and so not counted."""
NOT_FOUND = (
    b"<!DOCTYPE html><html><head><title>Not found</title></head><body><h1>404</h1>"
    b"<p>The page that you asked for has gone to live with its sister in Hove.</p></body></html>"
)
SHELL = (
    b'<!doctype html><html><head><meta charset="utf-8"><title></title></head>'
    b'<body><div id="root"></div><script>fetch("/api/all").then(render)</script></body></html>'
)
MOVED = b'<html><head><title>301 Moved</title></head><body><a href="/2019/05/slugs">moved</a></body></html>'


def png() -> bytes:
    """A grey image of one pixel."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = (head, b"IDAT" + zlib.compress(b"\0\x80"), b"IEND")
    made = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def pdf() -> bytes:
    """A document of one empty page."""
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
    )
    data, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(data)
    return data + b"xref\n0 4\n0000000000 65535 f \n" + table + end


def records() -> list[tuple[str, list[bytes]]]:
    """(class, records) of every kind."""
    html, ok = "text/html; charset=utf-8", "200 OK"
    answers = (
        ("redirect", "gardenpath.example/2019/5/slugs", "301 Moved Permanently", html, MOVED),
        ("not found", "harrowmere-times.example/news/2009/fete", "404 Not Found", html, NOT_FOUND),
        ("image", "museum.fenholt.test/img/glaive.png", ok, "image/png", png()),
        ("pdf", "dunstow.gov.example/docs/standing-orders.pdf", ok, "application/pdf", pdf()),
        ("json", "shop.kettleworks.example/api/stock", ok, "application/json", b'{"no-2": 14, "tyrant": 3}'),
        ("no text", "lab.cobaltline.example/careers", ok, html, SHELL),
        ("no text", "filmrot.test/reviews/draft", ok, html, b""),
    )
    made = [(name, _answer(address, status, media, body)) for name, address, status, media, body in answers]
    return [*made, ("dns", [_dns()]), (NOT_COUNTED, [_revisit()])]


def _answer(address: str, status: str, media: str, body: bytes) -> list[bytes]:
    http = {"Date": http_date(TIME), "Content-Type": media, "Content-Length": str(len(body))}
    if status.startswith("301"):
        http["Location"] = "/2019/05/slugs"
    return exchange(f"https://{address}", TIME, status, http, body)


def _dns() -> bytes:
    block = b"20260301050607\nfilmrot.test.\t300\tIN\tA\t192.0.2.17\n"
    return warc_record("response", "dns:filmrot.test", TIME, block, {"Content-Type": "text/dns"})


def _revisit() -> bytes:
    url = "https://st-oswin.parish.test/notices/harvest-2013"
    block = f"HTTP/1.1 200 OK\r\nDate: {http_date(TIME)}\r\nContent-Type: text/html\r\n\r\n".encode()
    headers = {
        "Content-Type": "application/http; msgtype=response",
        "WARC-Profile": "http://netpreserve.org/warc/1.0/revisit/identical-payload-digest",
        "WARC-Refers-To": record_id("response", url),
        "WARC-Payload-Digest": sha1(b"as before"),
    }
    return warc_record("revisit", url, TIME, block, headers)
