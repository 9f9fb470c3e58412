"""The shards of the benchmark, made once from this machine's text: the same documents in every format.

Knows formats as their users write them (a Hugging Face data set, JSON lines, Common Crawl's WET); nothing of models.
"""

from __future__ import annotations

import json
import random
import shutil
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.bench.texts import Text, find_files, read_texts, repeated
from tests.minicrawl.records import conversion, exchange, gzip_members, warcinfo

FORMATS = {"parquet": ".parquet", "jsonl.zst": ".jsonl.zst", "wet.gz": ".warc.wet.gz"}
DATE = "2024-05-18T02:11:09Z"
ROWS_PER_GROUP = 10_000
PAGES = 40
"""HTML pages in each WARC shard."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """What was built: sizes in bytes of UTF-8 text, and of the stored shards by format."""

    folder: str
    shards: int
    documents: int
    text_bytes: int
    repeated_bytes: int
    bytes_by_kind: dict[str, int]
    stored_bytes: dict[str, int]
    shard_bytes: list[int]
    pages: int

    def shard(self, format: str, i: int) -> Path:
        """A shard; numbers go round."""
        suffix = FORMATS.get(format, ".warc.gz")
        return Path(self.folder) / format / f"part-{i % self.shards:05d}{suffix}"

    def texts(self, i: int) -> pa.Table:
        """The documents of a shard."""
        return pq.read_table(self.shard("parquet", i))


def build_corpus(folder: Path, size: int, shards: int) -> Corpus:
    """Shards with at least ``size`` bytes of text, from the cache in ``folder`` if they are there."""
    described = folder / "corpus.json"
    if described.exists():
        return Corpus(**json.loads(described.read_text("utf-8")))
    shutil.rmtree(folder, ignore_errors=True)
    files = find_files()
    texts = read_texts(files, size)
    real = sum(len(text.text.encode()) for text in texts)
    texts += repeated(texts, size - real)
    random.Random(2).shuffle(texts)
    dealt = [texts[i::shards] for i in range(shards)]
    for i, part in enumerate(dealt):
        _write_shard(folder, i, part)
    pages = _write_pages(folder, files["web"], shards)
    corpus = _describe(folder, dealt, real, pages)
    described.write_text(json.dumps(asdict(corpus), indent=1), "utf-8")
    return corpus


def _describe(folder: Path, dealt: Sequence[Sequence[Text]], real: int, pages: int) -> Corpus:
    sizes = [sum(len(text.text.encode()) for text in part) for part in dealt]
    kinds: Counter[str] = Counter()
    for part in dealt:
        for text in part:
            kinds[text.kind] += len(text.text.encode())
    stored = {name: sum(file.stat().st_size for file in (folder / name).iterdir()) for name in (*FORMATS, "warc.gz")}
    return Corpus(
        folder=str(folder),
        shards=len(dealt),
        documents=sum(map(len, dealt)),
        text_bytes=sum(sizes),
        repeated_bytes=sum(sizes) - real,
        bytes_by_kind=dict(kinds),
        stored_bytes=stored,
        shard_bytes=sizes,
        pages=pages,
    )


def _records(i: int, texts: Sequence[Text]) -> list[dict[str, Any]]:
    """As web data sets have them: a UUID, the URL, the date, the language, the text."""
    return [
        {
            "text": text.text,
            "id": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{i} {k}')}>",
            "url": f"https://{text.kind}.example/{text.source.replace(' ', '-')}/{i}-{k}",
            "date": DATE,
            "language": "eng",
        }
        for k, text in enumerate(texts)
    ]


def _write_shard(folder: Path, i: int, texts: Sequence[Text]) -> None:
    files = {name: folder / name / f"part-{i:05d}{suffix}" for name, suffix in FORMATS.items()}
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    records = _records(i, texts)
    table = pa.Table.from_pylist(records)
    pq.write_table(table, files["parquet"], compression="zstd", row_group_size=ROWS_PER_GROUP)
    lines = b"".join(orjson.dumps(record) + b"\n" for record in records)
    files["jsonl.zst"].write_bytes(zstandard.ZstdCompressor(level=3).compress(lines))
    wet = [warcinfo(DATE)] + [conversion(r["url"], DATE, r["text"], "eng") for r in records]
    files["wet.gz"].write_bytes(gzip_members(wet))


def _write_pages(folder: Path, paths: Sequence[Path], shards: int) -> int:
    """HTML pages, as found, into WARC files; returns how many."""
    pages = [path for path in paths if path.suffix == ".html" and 2_000 < path.stat().st_size < 200_000]
    (folder / "warc.gz").mkdir(parents=True, exist_ok=True)
    for i in range(shards):
        records = [warcinfo(DATE)]
        for path in pages[i * PAGES : (i + 1) * PAGES]:
            http = {"Content-Type": "text/html; charset=utf-8"}
            records += exchange(
                f"https://{path.parent.name}.example/{path.name}", DATE, "200 OK", http, path.read_bytes()
            )
        (folder / "warc.gz" / f"part-{i:05d}.warc.gz").write_bytes(gzip_members(records))
    return min(len(pages), shards * PAGES)
