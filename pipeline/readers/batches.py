"""Documents one by one to DOCUMENTS batches of bounded size. Knows no format."""

from __future__ import annotations

import hashlib

import pyarrow as pa

from pipeline.schema import DOCUMENTS

BATCH_BYTES = 8 << 20
BATCH_ROWS = 10_000


def digest_id(url: str | None, text: str | bytes) -> str:
    """An id for a document that has none: ``sha256:`` and the first 32 hex digits of SHA-256 over the URL, a newline
    and the text, in UTF-8."""
    digest = hashlib.sha256(f"{url or ''}\n".encode())
    digest.update(text.encode() if isinstance(text, str) else text)
    return f"sha256:{digest.hexdigest()[:32]}"


class BatchBuilder:
    """Collects documents; ask `full_with` before each `add` and `take` the batch when it says so."""

    def __init__(self) -> None:
        self._size = 0
        self._columns: dict[str, list[object]] = {name: [] for name in DOCUMENTS.names}

    def __len__(self) -> int:
        return len(self._columns["row"])

    def full_with(self, size: int) -> bool:
        """Whether a document of ``size`` bytes belongs into the next batch; a large one gets its own."""
        n = len(self)
        return n >= BATCH_ROWS or (n > 0 and self._size + size > BATCH_BYTES)

    def add(
        self,
        *,
        row: int,
        text: str | bytes,
        size: int,
        id: str | None = None,
        url: str | None = None,
        date: str | None = None,
        source: str | None = None,
        lang: str | None = None,
    ) -> None:
        """``text`` as a string, or as bytes of valid UTF-8 (spares a large document a copy); ``size`` in bytes."""
        columns = self._columns
        columns["id"].append(digest_id(url, text) if id is None else id)
        columns["text"].append(text)
        columns["url"].append(url)
        columns["date"].append(date)
        columns["source"].append(source)
        columns["lang"].append(lang)
        columns["row"].append(row)
        self._size += size

    def take(self) -> pa.RecordBatch:
        """The batch so far; the builder is empty afterwards."""
        arrays = []
        for field in DOCUMENTS:
            arrays.append(pa.array(self._columns[field.name], field.type))
            self._columns[field.name] = []
        self._size = 0
        return pa.RecordBatch.from_arrays(arrays, schema=DOCUMENTS)
