"""What tropescan is measured against: fasttext's own predict, datatrove's pipeline, decoders that drop the text.

Each as its users would run it, at its best: start-up and loading of the model are not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import fasttext
import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from fastwarc.warc import ArchiveIterator, WarcRecordType

KEPT_FROM = 0.5
"""datatrove keeps documents of the first label from this score on, and writes those; tropescan tags all."""


class PeerError(RuntimeError):
    """A peer could not run; the message is the end of what it printed."""


@lru_cache(maxsize=1)
def load_fasttext(path: str) -> Any:
    """fastText's own model; one at a time, because each takes about a gigabyte."""
    fasttext.FastText.eprint = lambda *_: None
    return fasttext.load_model(path)


def fasttext_predict(model: Any, texts: Sequence[str]) -> None:
    """All labels of each text, without newlines; one call a text, which is faster than a call with a list."""
    for text in texts:
        model.predict(text, k=-1)


def decode_parquet(path: Path) -> int:
    """pyarrow, the text column only; returns the bytes of text, as the other decoders do."""
    with pq.ParquetFile(path) as file:
        return sum(
            pc.sum(pc.binary_length(batch.column(0))).as_py()
            for batch in file.iter_batches(columns=["text"], use_threads=False)
        )


def copy_parquet(path: Path, out: Path) -> None:
    """pyarrow, a batch at a time: all columns read and written as they are, under zstd as ours are."""
    with pq.ParquetFile(path) as file, pq.ParquetWriter(out, file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(use_threads=False):
            writer.write_batch(batch)


def decode_jsonl_zst(path: Path) -> int:
    """zstandard in pieces, orjson by line."""
    size, rest = 0, b""
    with open(path, "rb") as file:
        for piece in zstandard.ZstdDecompressor().read_to_iter(file, read_size=1 << 20, write_size=1 << 20):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                size += len(orjson.loads(line)["text"])
    return size


def decode_wet_gz(path: Path) -> int:
    """fastwarc, conversion records, each as text, as orjson gives it of JSON lines."""
    return sum(len(content.decode("utf-8", "replace")) for content in _wet_contents(path))


def inflate_wet_gz(path: Path) -> int:
    """fastwarc, conversion records, each as bytes, which nobody looks at."""
    return sum(map(len, _wet_contents(path)))


def _wet_contents(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.conversion):
            yield record.reader.read()


DECODERS: dict[str, Callable[[Path], int]] = {
    "parquet": decode_parquet,
    "jsonl.zst": decode_jsonl_zst,
    "wet.gz": decode_wet_gz,
}


@dataclass(frozen=True)
class DatatroveRun:
    """Processor seconds of a pipeline: ``run``, and what is not counted, ``start`` (imports) and ``load`` (the model).
    ``scored`` documents reached the filter, ``written`` passed it."""

    start: float
    load: float
    run: float
    scored: int
    written: int


def run_datatrove(format: str, shard: Path, model: Path, label: str | None) -> DatatroveRun:
    """datatrove's reader, `FastTextClassifierFilter` and `ParquetWriter` on a shard: one task, in one process of its
    own; without a ``label`` the filter asks nothing of a model and drops no document. Raises `PeerError`."""
    arguments = json.dumps([format, str(shard), str(model), label])
    command = [sys.executable, "-m", "tests.bench.peers", arguments]
    # datatrove copies the model into this cache before it loads it
    environment = os.environ | {"HF_ASSETS_CACHE": str(model.parent / "assets")}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)
    if done.returncode:
        raise PeerError(f"datatrove on {shard.name}: {done.stderr.strip()[-500:]}")
    return DatatroveRun(**json.loads(done.stdout.splitlines()[-1]))


class _Load:
    """A step that loads the filter's model before the first document; the executor copies both together."""

    def __init__(self, scored: Any) -> None:
        self.filter = scored

    def __call__(self, data: Any, rank: int, world_size: int) -> Any:
        _MARKS.append(time.process_time())
        getattr(self.filter, "model", None)  # a property that loads
        _MARKS.append(time.process_time())
        return data


_MARKS: list[float] = []


def _keep(document: Any) -> bool:
    return bool(document.text)


def _datatrove(format: str, shard: str, model: str, label: str | None) -> DatatroveRun:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import FastTextClassifierFilter, LambdaFilter
    from datatrove.pipeline.readers import JsonlReader, ParquetReader, WarcReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.logging import logger

    logger.remove()
    reader = {"parquet": ParquetReader, "jsonl.zst": JsonlReader, "wet.gz": WarcReader}[format]
    folder, name = os.path.split(shard)
    scored = FastTextClassifierFilter(model, keep_labels=[(label, KEPT_FROM)]) if label else LambdaFilter(_keep)
    with tempfile.TemporaryDirectory() as out:
        steps = [_Load(scored), reader(folder, glob_pattern=name), scored, ParquetWriter(f"{out}/kept")]
        stats = LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=f"{out}/logs").run()
        end = time.process_time()
    begin, loaded = _MARKS
    counts = stats.stats[1].stats
    return DatatroveRun(begin, loaded - begin, end - loaded, int(counts["total"].total), int(counts["forwarded"].total))


if __name__ == "__main__":
    print(json.dumps(asdict(_datatrove(*json.loads(sys.argv[1])))))
