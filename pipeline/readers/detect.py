"""What a shard is, by its first bytes; its name helps only where they leave it open. Reads no more than a head."""

from __future__ import annotations

import io
import re
from enum import StrEnum
from typing import NamedTuple

from pipeline.accounting import Tally
from pipeline.readers.streams import Compression, Source, compression_of, pieces
from pipeline.storage import open_input

HEAD = 64 << 10
BZIP2_BLOCK = 1 << 20
"""bzip2 gives nothing before a whole block, of up to 900 kB."""
BOM = b"\xef\xbb\xbf"
SHARD_NAME = re.compile(
    r"\.(?:(?P<warc>warc|wet|arc)|(?P<jsonl>jsonl|json|ndjson|jsonlines)|(?P<parquet>parquet|pq))"
    r"(?:\.(?P<packed>gz|gzip|zst|zstd|bz2|xz))?$",
    re.IGNORECASE,
)
NOT_DOCUMENTS = frozenset({
    "config.json", "croissant.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json", "metadata.json",
    "package.json", "scan.json", "state.json", "stats.json",
})  # fmt: skip
"""JSON files that lie beside shards in data set and job folders."""


class Format(StrEnum):
    """What a shard's content is. WET is WARC."""

    WARC = "warc"
    ARC = "arc"
    JSONL = "jsonl"
    PARQUET = "parquet"
    UNKNOWN = "unknown"


class Detected(NamedTuple):
    """``hint`` says why the format is unknown."""

    format: Format
    compression: Compression
    hint: str = ""


def is_shard(url: str) -> bool:
    """Whether a file found in a folder looks like a shard by its name: ``.warc``, ``.wet``, ``.arc``, ``.jsonl``,
    ``.json``, ``.ndjson``, ``.jsonlines``, ``.parquet`` or ``.pq``, with ``.gz``, ``.zst``, ``.bz2`` or ``.xz`` after
    it or not; but no hidden or underscored file and none of `NOT_DOCUMENTS`."""
    name = url.rsplit("/", 1)[-1]
    return bool(SHARD_NAME.search(name)) and not name.startswith((".", "_")) and name.lower() not in NOT_DOCUMENTS


def detect_format(url: str) -> Format:
    """The format of the file at ``url`` (path or fsspec URL). Raises `OSError` if it cannot be read."""
    with open_input(url) as file:
        return detect(Source(file, url, Tally()), url).format


def detect(source: Source, url: str) -> Detected:
    """Format and compression from the head of a source, which stays unread."""
    compression = compression_of(source.peek(HEAD))
    stored = source.peek(BZIP2_BLOCK if compression is Compression.BZIP2 else HEAD)
    named = _named(url)
    if stored.startswith(b"PAR1") or (not stored and named is Format.PARQUET):
        return Detected(Format.PARQUET, Compression.NONE)
    if not stored:
        return _empty(url, named)
    head = _decompressed_head(stored, compression)
    found = _by_content(head)
    if found.format is Format.UNKNOWN and not found.hint:
        found = _by_name(head, named, stored)
    return found._replace(compression=compression)


def _empty(url: str, named: Format) -> Detected:
    match = SHARD_NAME.search(url)
    if match and match["packed"]:
        return Detected(Format.UNKNOWN, Compression.NONE, "the file is empty, which no compressed file is")
    return Detected(named, Compression.NONE, "the file is empty")


def _decompressed_head(stored: bytes, compression: Compression) -> bytes:
    head = b""
    for piece in pieces(Source(io.BytesIO(stored), "", Tally()), compression):
        if piece.damage or len(head) >= HEAD:
            break
        head += piece.data
    return head[:HEAD]


def _by_content(head: bytes) -> Detected:
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"WARC/"):
        return Detected(Format.WARC, Compression.NONE)
    if text.startswith(b"filedesc://"):
        return Detected(Format.ARC, Compression.NONE, "ARC, the format before WARC: convert it (warcio recompress)")
    if text.startswith(b"["):
        return Detected(Format.UNKNOWN, Compression.NONE, "a JSON array; write one object a line")
    if text.startswith(b"{"):
        if text.split(b"\n", 1)[0].strip() == b"{":
            return Detected(Format.UNKNOWN, Compression.NONE, "a JSON object over several lines; write one a line")
        return Detected(Format.JSONL, Compression.NONE)
    return Detected(Format.UNKNOWN, Compression.NONE)


def _named(url: str) -> Format:
    match = SHARD_NAME.search(url)
    if not match:
        return Format.UNKNOWN
    return Format.WARC if match["warc"] else Format.JSONL if match["jsonl"] else Format.PARQUET


def _by_name(head: bytes, named: Format, stored: bytes) -> Detected:
    """For a head that says nothing: damaged from the start, or garbage before the first record."""
    damaged = not head and compression_of(stored) is not Compression.NONE
    if named is Format.WARC and (damaged or b"WARC/" in head):
        return Detected(named, Compression.NONE)
    if named is Format.JSONL and (damaged or _is_text(head)):
        return Detected(named, Compression.NONE)
    return Detected(Format.UNKNOWN, Compression.NONE, "neither WARC, nor JSON lines, nor Parquet")


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and b"\0" not in head
    return b"\0" not in head
