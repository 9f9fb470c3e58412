"""What the tests of the readers share: reading a file with its accounting checked, and making WARC records."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from pipeline.accounting import ShardReport, Tally
from pipeline.readers import read_documents
from pipeline.schema import DOCUMENTS
from pipeline.tasks import ReadOptions, ShardTask

SHARED = Path(__file__).parent.parent.parent / "shared"


@dataclass(frozen=True)
class Shard:
    """What was read of a file: its documents as rows, the batches' sizes, and the tally."""

    documents: list[dict[str, Any]]
    sizes: list[int]
    tally: Tally

    @property
    def texts(self) -> list[str]:
        return [document["text"] for document in self.documents]

    @property
    def ids(self) -> list[str]:
        return [document["id"] for document in self.documents]

    @property
    def rejected(self) -> dict[str, int]:
        return dict(self.tally.rejected)


def batches_of(url: str, tally: Tally, **options: Any) -> Iterator[pa.RecordBatch]:
    for batch in read_documents(ShardTask(url, "shard", 0, "test"), ReadOptions(**options), tally):
        batch.validate(full=True)
        assert batch.schema == DOCUMENTS
        yield batch


def read(path: Path | str, *, size: int | None = None, **options: Any) -> Shard:
    """Read a shard; what must hold of every shard is asserted here."""
    tally, documents, sizes = Tally(), [], []
    for batch in batches_of(str(path), tally, **options):
        assert len(batch) > 0
        documents += batch.to_pylist()
        sizes.append(len(batch))
    rows = [document["row"] for document in documents]
    assert rows == sorted(set(rows))
    assert not rows or rows[-1] < tally.read
    ShardReport(read=tally.read, tagged=len(documents), rejected=dict(tally.rejected))
    if isinstance(path, Path):
        size = path.stat().st_size
    assert size is None or tally.input_bytes == size
    return Shard(documents, sizes, tally)


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def record(number: int, block: bytes, kind: str = "conversion", *, length: object = None, **headers: str) -> bytes:
    """One WARC record; ``length`` overrides its Content-Length, and None for a header leaves it out."""
    fields = {
        "WARC-Type": kind,
        "WARC-Record-ID": f"<urn:uuid:{number}>",
        "WARC-Date": "2024-05-06T07:08:09Z",
        "WARC-Target-URI": f"https://site{number}.example/page",
        "Content-Type": "text/plain" if kind == "conversion" else "application/http; msgtype=response",
        "Content-Length": str(len(block) if length is None else length),
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"WARC/1.0\r\n{head}\r\n".encode() + block + b"\r\n\r\n"


def http(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """An HTTP response as a WARC record holds it; HTML unless ``headers`` say otherwise."""
    fields = {"Content-Type": "text/html; charset=utf-8"} | {k.replace("_", "-"): v for k, v in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def page(text: str, *, head: str = "") -> str:
    """A small HTML page around a text."""
    return (
        f"<!DOCTYPE html><html><head><title>A page</title>{head}</head><body><nav><a href='/'>Home</a></nav>"
        f"<main><p>{text}</p></main><footer>Imprint</footer></body></html>"
    )


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


def shared(*parts: str) -> Path:
    """A file that lies beside the repository on some machines; the test is skipped where it does not."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return path
