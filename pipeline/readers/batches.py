"""Documents to DOCUMENTS batches of bounded size. Knows no format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.schema import DOCUMENTS

Text = bytes | bytearray | memoryview
"""A document's text in UTF-8; a large one is handed on where it stands, not copied."""
BATCH_BYTES = 8 << 20
BATCH_ROWS = 10_000
OTHERS = ("id", "url", "date", "source", "lang")


class Records(NamedTuple):
    """A DOCUMENTS batch, and what the shard itself holds of each document, where that is asked for: its row of all
    columns (Parquet), its line (JSON lines), or nothing else (WARC). ``text`` is the path of the text in it, ``id``
    that of the id, None where it has none."""

    documents: pa.RecordBatch
    originals: pa.RecordBatch | list[bytes] | None = None
    text: tuple[str, ...] = ("text",)
    id: tuple[str, ...] | None = ("id",)


def digest_id(url: str | None, text: Text) -> str:
    """An id for a document that has none: ``sha256:`` and the first 32 hex digits of SHA-256 over the URL, a newline
    and the text, in UTF-8."""
    digest = hashlib.sha256(f"{url or ''}\n".encode())
    digest.update(text)
    return f"sha256:{digest.hexdigest()[:32]}"


class BatchBuilder:
    """Collects documents; ask `full_with` before each `add` and `take` the batch when it says so."""

    def __init__(self) -> None:
        self._size = self._appended = 0
        self._chunks: list[pa.RecordBatch] = []
        self._texts: list[Text] = []
        self._sizes: list[int] = []
        self._rows: list[int] = []
        self._originals: list[bytes] = []
        self._others: dict[str, list[str | None]] = {name: [] for name in OTHERS}

    def __len__(self) -> int:
        return self._appended + len(self._rows)

    def full_with(self, size: int) -> bool:
        """Whether documents of ``size`` bytes belong into the next batch; a large one gets its own."""
        return len(self) > 0 and not self.fits(1, size)

    def fits(self, n: int, size: int) -> bool:
        """Whether ``n`` more documents, of ``size`` bytes in all, belong into this batch."""
        return len(self) + n <= BATCH_ROWS and self._size + size <= BATCH_BYTES

    def room_for(self, sizes: NDArray[np.int64]) -> int:
        """How many of the next documents, of so many bytes each, belong into this batch."""
        fit = int(np.searchsorted(self._size + np.cumsum(sizes), BATCH_BYTES, side="right"))
        return min(max(fit, int(not len(self))), BATCH_ROWS - len(self), len(sizes))

    def add(
        self,
        row: int,
        text: Text,
        *,
        id: str | None = None,
        url: str | None = None,
        date: str | None = None,
        source: str | None = None,
        lang: str | None = None,
        original: bytes | None = None,
    ) -> None:
        """One document; ``text`` in valid UTF-8, ``original`` as for `Records`."""
        others = self._others
        others["id"].append(digest_id(url, text) if id is None else id)
        others["url"].append(url)
        others["date"].append(date)
        others["source"].append(source)
        others["lang"].append(lang)
        self._texts.append(text)
        self._sizes.append(len(text))
        self._rows.append(row)
        self._size += len(text)
        if original is not None:
            self._originals.append(original)

    def extend(
        self,
        rows: Iterable[int],
        text: Text,
        sizes: Sequence[int],
        others: Mapping[str, Sequence[str | None]],
        originals: Sequence[Text] = (),
    ) -> None:
        """Several documents, by column (`OTHERS`, ids all there); ``text`` is that of all, one after the other, and
        ``sizes`` how many bytes of it are whose."""
        for name in OTHERS:
            self._others[name] += others[name]
        self._texts.append(text)
        self._sizes += sizes
        self._rows += rows
        self._size += sum(sizes)
        self._originals += map(bytes, originals)

    def append(self, documents: pa.RecordBatch, size: int) -> None:
        """Several documents with ``size`` bytes of text, as `DOCUMENTS`."""
        if self._rows:
            self._close()
        self._chunks.append(documents)
        self._appended += documents.num_rows
        self._size += size

    def take_records(self, text: tuple[str, ...], id: tuple[str, ...] | None) -> Records:
        """The batch so far with the originals; the builder is empty afterwards."""
        originals = self._originals
        return Records(self.take(), originals, text, id)

    def take(self) -> pa.RecordBatch:
        """The batch so far; the builder is empty afterwards."""
        if self._rows or not self._chunks:
            self._close()
        chunks = self._chunks
        self.__init__()  # type: ignore[misc]
        if len(chunks) == 1:
            return chunks[0]
        return pa.Table.from_batches(chunks, DOCUMENTS).combine_chunks().to_batches()[0]

    def _close(self) -> None:
        """Make the documents that came by themselves a chunk."""
        columns = {name: pa.array(values, pa.string()) for name, values in self._others.items()}
        columns["text"] = large_strings(_joined(self._texts), self._sizes)
        columns["row"] = pa.array(self._rows, pa.int64())
        chunk = pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENTS.names], schema=DOCUMENTS)
        self._appended += len(self._rows)
        self._chunks.append(chunk)
        self._texts, self._sizes, self._rows, self._originals = [], [], [], []
        self._others = {name: [] for name in OTHERS}


def _joined(texts: Sequence[Text]) -> Text:
    """One after the other; a single one, which may be large, is not copied."""
    return texts[0] if len(texts) == 1 else b"".join(texts)


def large_strings(texts: Text, sizes: Sequence[int]) -> pa.LargeStringArray:
    """An array of texts that stand one after the other, by their sizes in bytes. Made by hand: four times as fast as
    `pyarrow.array`."""
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    return pa.Array.from_buffers(pa.large_string(), len(sizes), [None, pa.py_buffer(ends), pa.py_buffer(texts)])
