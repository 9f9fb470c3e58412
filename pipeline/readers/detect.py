"""What a shard is, by its first bytes; its name helps only where they leave it open. Reads no more than a head, and a
longer one only if the first says nothing: one bad record in front must not hide what a file is."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

import orjson

from pipeline.accounting import Tally
from pipeline.readers.json_values import loads
from pipeline.readers.streams import Compression, Source, compression_in, compression_of, pieces
from pipeline.storage import open_input

HEADS = (64 << 10, 4 << 20)
"""Bytes that are looked at; the second number where the first lot says nothing."""
BZIP2_BLOCK = 1 << 20
"""bzip2 gives nothing before a whole block, of up to 900 kB."""
BOM = b"\xef\xbb\xbf"
RECORD = re.compile(rb"WARC/[01]\.[0-9]{1,2}[ \t]*\r?\n[A-Za-z][A-Za-z0-9-]*:")
"""How a WARC record begins."""
ARROW_HEAD = re.compile(rb"(?:ARROW1\0\0)?\xff{4}[^\0]..\0\x10\0\0\0", re.DOTALL)
"""How Arrow's files and streams begin: with the length of a message and the place of its root."""
SHARD_NAME = re.compile(
    r"\.(?:(?P<warc>warc|wet|arc)|(?P<jsonl>jsonl|json|ndjson|jsonlines)|(?P<parquet>parquet|pq))"
    r"(?:\.(?P<packed>gz|gzip|zst|zstd|bz2|xz))?$",
    re.IGNORECASE,
)
PACKINGS = {
    "gz": Compression.GZIP, "gzip": Compression.GZIP, "zst": Compression.ZSTD, "zstd": Compression.ZSTD,
    "bz2": Compression.BZIP2, "xz": Compression.XZ,
}  # fmt: skip
ARROW = (
    "Arrow files, as datasets' save_to_disk writes them, are not read; write Parquet instead: "
    "datasets.load_from_disk(FOLDER).to_parquet(FILE), for each split"
)
ARCHIVE_HEAD = re.compile(rb"PK\x03\x04|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|.{256}\0ustar", re.DOTALL)
"""How zip, 7z, rar and tar begin. Some hold their members as they are, which could be taken for lines."""
NEITHER = "neither WARC, nor JSON lines, nor Parquet"
NOT_DOCUMENTS = frozenset({
    "apply.json", "config.json", "croissant.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json",
    "executor.json", "metadata.json", "package.json", "scan.json", "state.json", "stats.json",
})  # fmt: skip
"""JSON files that lie beside shards in data set and job folders."""


TOOLS = {
    ("scan.json", "reports"): {"tags", "reports"},
    ("apply.json", "reports"): {"decisions", "dropped", "reports"},
    ("executor.json", "logs"): {"stats", "completions", "logs"},
    ("documents", "attributes"): {"attributes"},
}
"""By two that lie side by side in the root of what a tool writes (our scan and apply, datatrove's logs, Dolma's data
sets): the folders there that hold no documents."""


class Format(StrEnum):
    """What a shard's content is. WET is WARC."""

    WARC = "warc"
    ARC = "arc"
    JSONL = "jsonl"
    PARQUET = "parquet"
    UNKNOWN = "unknown"


class Detected(NamedTuple):
    """``hint`` says why the format is unknown; ``newline`` is what ends lines of JSON."""

    format: Format
    compression: Compression = Compression.NONE
    hint: str = ""
    newline: bytes = b"\n"


UNDECIDED = Detected(Format.UNKNOWN)


class Head(NamedTuple):
    """The first bytes of a file, decompressed; ``whole`` says that it has no more. ``newline`` is what ends lines."""

    data: bytes
    whole: bool
    newline: bytes = b"\n"


def is_shard(url: str) -> bool:
    """Whether a file found in a folder looks like a shard by its name: ``.warc``, ``.wet``, ``.arc``, ``.jsonl``,
    ``.json``, ``.ndjson``, ``.jsonlines``, ``.parquet`` or ``.pq``, with ``.gz``, ``.zst``, ``.bz2`` or ``.xz`` after
    it or not; but none of `NOT_DOCUMENTS`."""
    name = url.rsplit("/", 1)[-1]
    return bool(SHARD_NAME.search(name)) and name.lower() not in NOT_DOCUMENTS


def left_by_tools(urls: Collection[str]) -> set[str]:
    """Which of the files of a folder are no documents by the folder that they are in: what lies in `TOOLS`."""
    there = {part for url in urls for part in _and_folders(url)}
    aside = set()
    for (marker, beside), folders in TOOLS.items():
        roots = {path.rpartition("/")[0] for path in there if path.endswith(f"/{marker}")}
        aside |= {f"{root}/{folder}" for root in roots if f"{root}/{beside}" in there for folder in folders}
    return {url for url in urls if not aside.isdisjoint(_and_folders(url))}


def _and_folders(url: str) -> Iterator[str]:
    while "/" in url:
        yield url
        url = url.rpartition("/")[0]


def detect_format(url: str) -> Format:
    """The format of the file at ``url`` (path or fsspec URL). Raises `OSError` if it cannot be read."""
    with open_input(url) as file:
        return detect(Source(file, url, Tally()), url).format


def detect(source: Source, url: str) -> Detected:
    """Format and compression from the head of a source, which stays unread."""
    compression = compression_of(source.peek(HEADS[0]))
    found = _look(source, url, compression)
    packed = SHARD_NAME.search(url)
    if found.hint == NEITHER and compression is Compression.NONE and packed and packed["packed"]:
        # The first frame may have lost its magic number.
        compression = compression_in(source.peek(HEADS[-1]), PACKINGS[packed["packed"].lower()])
        found = _look(source, url, compression)
    return found


def _look(source: Source, url: str, compression: Compression) -> Detected:
    named = _named(url)
    for size in HEADS:
        wanted = max(size, BZIP2_BLOCK) if compression is Compression.BZIP2 else size
        stored = source.peek(wanted)
        if stored.startswith(b"PAR1") or (not stored and named is Format.PARQUET):
            return Detected(Format.PARQUET)
        if not stored:
            return _empty(url, named)
        head = _decompressed_head(stored, compression, size, whole=len(stored) < wanted)
        found = _by_content(head)
        if found != UNDECIDED:
            break
    else:
        found = _by_name(head.data, named, damaged=compression is not Compression.NONE and not head.data.strip())
    return found._replace(compression=compression)


def _empty(url: str, named: Format) -> Detected:
    match = SHARD_NAME.search(url)
    if match and match["packed"]:
        return Detected(Format.UNKNOWN, hint="the file is empty, which no compressed file is")
    return Detected(named, hint="the file is empty")


def _decompressed_head(stored: bytes, compression: Compression, size: int, *, whole: bool) -> Head:
    data = bytearray()
    for piece in pieces(Source(io.BytesIO(stored), "", Tally()), compression):
        data += b"\n" if piece.damage and piece.damage.resumes else piece.data
        if len(data) > size:
            return Head(bytes(data[:size]), False)
    return Head(bytes(data), whole)


def _by_content(head: Head) -> Detected:
    text = head.data.removeprefix(BOM).lstrip()
    if ARCHIVE_HEAD.match(head.data):
        return Detected(Format.UNKNOWN, hint="an archive (zip, 7z, rar or tar) of files; unpack it")
    if text.startswith(b"WARC/") or RECORD.search(text):
        return Detected(Format.WARC)
    if ARROW_HEAD.match(head.data):
        return Detected(Format.UNKNOWN, hint=ARROW)
    if text.startswith(b"filedesc://"):
        return Detected(Format.ARC, hint="ARC, the format before WARC: convert it (warcio recompress)")
    if head.data.startswith((b"\xff\xfe{\0", b"\xfe\xff\0{", b"{\0", b"\0{")):
        return Detected(Format.UNKNOWN, hint="JSON in UTF-16; convert it to UTF-8")
    newline = b"\r" if b"\r" in text and b"\n" not in text else b"\n"
    return _json(Head(text, head.whole, newline))


def _json(head: Head) -> Detected:
    """Lines of which one is an object are JSON lines, whatever the others are, unless together they are one value."""
    first, *others = head.data.split(head.newline)
    array = first.startswith(b"[")
    several = Detected(
        Format.UNKNOWN,
        hint="a JSON array; write one object a line" if array else "a JSON object over several lines; write one a line",
    )
    if first.startswith((b"[", b"{")) and _is_one_value(head, first):
        return several
    if any(map(_is_object, (first, *others))):
        return Detected(Format.JSONL, newline=head.newline)
    if (others and first.startswith((b"[", b"{")) and _goes_on(first)) or (array and head.whole):
        return several
    if first.startswith(b"{") or (array and not others):
        return Detected(Format.JSONL, newline=head.newline)
    return UNDECIDED


def _is_one_value(head: Head, first: bytes) -> bool:
    """Whether a head is a JSON value, or the start of one, that goes beyond its first line, or an array on the only
    line that there is."""
    if not _goes_on(first) and not (first.startswith(b"[") and head.whole and len(head.data.rstrip()) <= len(first)):
        return False
    if not head.whole:
        return len(head.data) > len(first) and _goes_on(head.data.rpartition(head.newline)[0])
    with suppress(ValueError):
        return isinstance(loads(head.data), (dict, list))
    return False


def _goes_on(text: bytes) -> bool:
    """Whether a text is the start of a JSON value, but not all of it."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return error.pos >= len(text.decode("utf-8", "replace"))
    return False


def _is_object(line: bytes) -> bool:
    if not line.lstrip().startswith(b"{"):
        return False
    with suppress(ValueError):
        return isinstance(loads(line), dict)
    return False


def _named(url: str) -> Format:
    match = SHARD_NAME.search(url)
    if not match:
        return Format.UNKNOWN
    return Format.WARC if match["warc"] else Format.JSONL if match["jsonl"] else Format.PARQUET


def _by_name(head: bytes, named: Format, *, damaged: bool) -> Detected:
    """For a head that says nothing: damaged from the start, or garbage before the first record."""
    if named is Format.WARC and (damaged or b"WARC/" in head):
        return Detected(named)
    if named is Format.JSONL and (damaged or b"\0" not in head):
        return Detected(named)
    return Detected(Format.UNKNOWN, hint=NEITHER)
