"""Outgoing documents as a tar file for webdataset: each as a ``.txt`` with the text and a ``.json`` with the rest.

Knows tar and JSON; nothing of rules.
"""

from __future__ import annotations

import io
import tarfile
from typing import IO, Any

import orjson

from pipeline.apply.lines import LinesOutput
from pipeline.apply.outgoing import AddedColumns, Outgoing
from pipeline.readers.json_values import loads


class TarOutput:
    """Writes outgoing documents of a shard, under keys that count from 0; the same bytes every time."""

    def __init__(self, file: IO[bytes], added: AddedColumns, where: str) -> None:
        self._lines = LinesOutput(io.BytesIO(), added, where)
        self._file, self._size, self._written = file, 0, 0

    def write(self, part: Outgoing) -> None:
        """Write a batch, in the order of `LinesOutput`."""
        for line in self._lines.lines(part):
            record = loads(line)
            self._add("txt", _take_text(record, part.records.text).encode())
            self._add("json", orjson.dumps(record))
            self._written += 1

    def close(self) -> None:
        """End the file, as tar files end: with two blocks of zeros, filled up to a whole record."""
        self._put(bytes(2 * tarfile.BLOCKSIZE))
        self._put(bytes(-self._size % tarfile.RECORDSIZE))

    def _add(self, suffix: str, data: bytes) -> None:
        """Not by ``tarfile.TarFile``, which keeps what it knows of each member."""
        member = tarfile.TarInfo(f"{self._written:09d}.{suffix}")
        member.size, member.mode = len(data), 0o644
        for part in (member.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % tarfile.BLOCKSIZE)):
            self._put(part)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._size += len(data)


def _take_text(record: dict[str, Any], path: tuple[str, ...]) -> str:
    """The record's text, which is taken out of it."""
    *above, name = path
    inner: Any = record
    for key in above:
        inner = inner[key]
    return str(inner.pop(name))
