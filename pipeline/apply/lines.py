"""Outgoing documents as JSON lines under Zstandard: a line of the input that nothing changes stays byte by byte.

Knows JSON; nothing of rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import orjson
import zstandard

from pipeline.apply.outgoing import AddedColumns, Outgoing

_LEVEL = 3


class LinesOutput:
    """Writes outgoing documents of a shard; ``where`` names it in errors."""

    def __init__(self, file: IO[bytes], added: AddedColumns, where: str) -> None:
        self._added, self._where = added, where
        self._names = [field.name for field in added.fields]
        compressor = zstandard.ZstdCompressor(_LEVEL, write_checksum=True)
        self._stream: Any = compressor.stream_writer(file, closefd=False)

    def write(self, part: Outgoing) -> None:
        """Write a batch: each document with its copies, and what is mixed in behind it."""
        if not self._names and not part.edits and isinstance(part.records.originals, list):
            originals = part.records.originals
            lines: Any = (originals[i] for i in np.repeat(np.arange(len(originals)), part.copies))
        else:
            lines = self.lines(part)
        self._stream.write(b"".join(part for line in lines for part in (line, b"\n")))

    def close(self) -> None:
        """End the stream."""
        self._stream.close()

    def lines(self, part: Outgoing) -> Iterator[bytes]:
        """The lines of a batch, without their newlines."""
        originals, mixed = _as_lines(part), iter(part.mixed)
        following = next(mixed, None)
        for position in np.flatnonzero(part.copies):
            line = self._line(part, int(position), originals[position])
            yield from [line] * int(part.copies[position])
            while following is not None and following.position == position:
                record = following.record(part.records.text, part.records.id or ("id",))
                yield orjson.dumps(record | {name: following.added[name] for name in self._names})
                following = next(mixed, None)

    def _line(self, part: Outgoing, position: int, line: bytes) -> bytes:
        text = part.edits[position].text if position in part.edits else None
        if text is not None:
            line = _with_text(line, part.records.text, text)
        return self._with_fields(line, self._fields(part, position)) if self._names else line

    def _fields(self, part: Outgoing, position: int) -> dict[str, Any]:
        edited = part.edits.get(position)
        spans = {
            "loss_mask": edited.masked if edited else (),
            "loss_mask_tokens": edited.masked_tokens if edited else (),
        }
        every: dict[str, Any] = {name: [{"start": s, "end": e} for s, e in found] for name, found in spans.items()}
        every |= {"weight": float(part.weights[position]), "provenance": None}
        return {name: every[name] for name in self._names}

    def _with_fields(self, line: bytes, fields: dict[str, Any]) -> bytes:
        """The line with further fields behind its own, which stay as they are written."""
        if any(b'"%s"' % name.encode() in line for name in fields):
            self._added.check(list(json.loads(line)), self._where)
        return line.rstrip()[:-1] + b"," + orjson.dumps(fields)[1:]


def _as_lines(part: Outgoing) -> list[bytes]:
    """The records as JSON, one for each document."""
    originals = part.records.originals
    if isinstance(originals, list):
        return originals
    rows = part.records.documents.drop_columns(["row"]) if originals is None else originals
    return [orjson.dumps(row, default=plain) for row in rows.to_pylist()]


def _with_text(line: bytes, path: tuple[str, ...], text: str) -> bytes:
    value = json.loads(line)  # not orjson, which rounds numbers beyond 64 bits
    inner = value
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = text
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate in another field, which only an escape can hold
        return json.dumps(value, separators=(",", ":")).encode()


def plain(value: Any) -> Any:
    """What JSON has no type for: bytes as hex digits, all else (decimals, durations) as it is printed."""
    return value.hex() if isinstance(value, bytes) else str(value)
