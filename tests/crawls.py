"""Crawls of made-up texts that a model finds something in, and all that a scan of one leaves."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.lock import LOCK

WORDS = ["robot", "garden", "slugs", "the", "a", "machine", "obeys", "refuses", "crew", "tea", "naïve", "雪", "ghost"]


def write_shard(path: Path, n: int, seed: int) -> None:
    source = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        for i in range(n):
            text = " ".join(source.choices(WORDS, k=source.randint(1, 300)))
            row = {"id": f"{path.name}/{i}", "text": text, "url": f"https://Site{i % 3}.example:8080/p?{i}"}
            file.write(json.dumps(row) + "\n")


def contents(out: Path) -> dict[str, bytes]:
    """All files of a scan but the command's lock, with the times taken out of reports."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file() and p.name != LOCK):
        data = path.read_bytes()
        if path.suffix == ".json":
            report = json.loads(data)
            report.get("figures", {}).pop("seconds", None)
            report.pop("command", None)
            data = json.dumps(report).encode()
        found[str(path.relative_to(out))] = data
    return found


def read_tags(out: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((out / "tags").rglob("*.parquet")))
