"""A document takes little more memory than it has bytes, however large, in the formats that allow it."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from reading import batches_of, http, record, write

from pipeline.accounting import Tally

SIZE = 48 << 20
MARGIN = 16 << 20
TEXT = b"A very long text, as b\xc3\xb6oks are. " * (SIZE // 34)
SMALL = b"A small text."
WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "a.jsonl": lambda text: json.dumps({"id": "x", "text": text.decode()}, ensure_ascii=False).encode() + b"\n",
    "a.warc.wet": lambda text: record(1, text),
    "a.warc": lambda text: record(1, http(text, Content_Type="text/plain"), "response"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_a_large_document_is_held_once(tmp_path: Path, name: str, packed: bool) -> None:
    parts = [WRITERS[name](text) for text in (SMALL, TEXT, SMALL)]
    path = write(tmp_path, name, b"".join(gzip.compress(part, 1) if packed else part for part in parts))
    del parts
    assert list(batches_of(str(write(tmp_path, "small.jsonl", WRITERS["a.jsonl"](SMALL))), Tally()))  # imports pandas
    tally, sizes = Tally(), []
    tracemalloc.start()
    for batch in batches_of(str(path), tally):
        sizes += [len(text.as_buffer()) for text in batch.column("text")]
        del batch
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [len(SMALL), len(TEXT), len(SMALL)] and not tally.rejected
    assert peak < 1.25 * SIZE + MARGIN
