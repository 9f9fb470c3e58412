"""Scans of made-up shards by a scorer that knows no model: scores come from the hash of the id, spans from the text."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from made_tags import LABELS, MODEL

from pipeline.keyed_hash import keys
from pipeline.scan import plan_scan, write_scan_report
from pipeline.schema import label_columns, scores_schema, window_column
from pipeline.tag import ScanJob, Scorer, tag_shard
from pipeline.tasks import ReadOptions

WORDS = ["robot", "garden", "crew", "naïve", "雪が", "👩‍🚀", "é", "ship", "\u0301x", "𝔊ate", "tea"]


@dataclass(frozen=True)
class MadeUpScorer:
    """Each label's score is the key of the id under the label's name; some stretches of words are evidence."""

    def __call__(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        ids, texts = documents.column("id").to_pylist(), documents.column("text")
        columns: dict[str, Any] = {"words": pc.utf8_split_whitespace(texts), "status": pa.array(["ok"] * len(ids))}
        columns["chars"] = pc.utf8_length(texts).cast(pa.int64())
        columns["words"] = pc.list_value_length(columns["words"]).cast(pa.int64())
        for label, column in zip(LABELS, label_columns(LABELS), strict=True):
            scores = keys(ids, label)
            columns[column] = pa.array(scores, pa.float32())
            columns[window_column(column)] = pa.array(np.sqrt(scores), pa.float32())
        schema = scores_schema(LABELS)
        columns["spans"] = pa.array(list(map(made_up_spans, texts.to_pylist())), schema.field("spans").type)
        return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def made_up_spans(text: str) -> list[dict[str, Any]]:
    """From one word's start to another one's end, for about half of all texts."""
    source = random.Random(text)
    starts = [i for i, sign in enumerate(text) if not sign.isspace() and (i == 0 or text[i - 1].isspace())]
    spans = []
    for _ in range(source.choice([0, 0, 1, 3])):
        start = source.choice(starts)
        end = start + len(text[start:].split()[0])
        label, score = source.choice(["adverse", "admirable"]), source.uniform(0.25, 1)
        spans.append({"label": label, "start": start, "end": end, "score": score})
    return sorted(spans, key=lambda span: span["start"])


def made_up_records(n: int, seed: int) -> list[dict[str, Any]]:
    """Records with columns of every kind beside the text."""
    source = random.Random(seed)
    return [
        {
            "id": f"{seed}/{i}", "text": " ".join(source.choices(WORDS, k=source.randint(1, 60))),
            "url": f"https://s{i % 4}.example/{i}", "date": f"202{i % 4}-0{1 + i % 9}-11", "language": "en",
            "meta": {"score": source.random(), "tags": ["a", "ü"][: i % 3], "big": [1, 12345678901234567890123][i % 2]},
            "n": i if i % 5 else None,
        }
        for i in range(n)
    ]  # fmt: skip


def write_parquet(path: Path, records: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [record | {"meta": record["meta"] | {"big": str(record["meta"]["big"])}} for record in records]
    pq.write_table(pa.Table.from_pylist(plain), path, row_group_size=70)


def write_lines(path: Path, records: Sequence[dict[str, Any]], between: str = "") -> None:
    """``between`` is put behind every third line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record, ensure_ascii=i % 2 == 0) + "\n" + (between if i % 3 == 0 else "")
             for i, record in enumerate(records)]  # fmt: skip
    data = "".join(lines).encode()
    path.write_bytes(zstandard.compress(data) if path.suffix == ".zst" else data)


def scan(crawl: Path, out: Path, options: ReadOptions | None = None, scorer: Scorer | None = None) -> Path:
    """Tag all shards as the command does; returns the folder."""
    job = ScanJob(str(out), scorer or MadeUpScorer(), dict(MODEL), "test", "adverse", 0.5, options or ReadOptions())
    tasks = plan_scan([str(crawl)])
    for task in tasks:
        tag_shard(job, task)
    write_scan_report(job, tasks, [], "made up")
    return out
