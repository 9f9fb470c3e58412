"""Folders of tags made up for tests: rows by chance but alike for a seed, and the folder that a scan would leave."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.accounting import ShardReport
from pipeline.schema import schema_of
from pipeline.tasks import ReadOptions

LABELS = ["adverse", "admirable", "fiction"]
MODEL: dict[str, Any] = {
    "name": "made up", "digest": "ab" * 32, "labels": LABELS, "target": "adverse", "threshold": 0.5, "language": "en",
    "span_thresholds": {}, "window": 128, "stride": 64,
    "calibration": {label: {"slope": 1.2, "intercept": -0.7, "base_rate": 0.05} for label in LABELS},
}  # fmt: skip
TOPICS = ["Travel & Places", "Health", "Politics"]
WITH_TOPICS: dict[str, Any] = {**MODEL, "topic_model": {"name": "topics.ftz", "digest": "cd" * 32, "labels": TOPICS}}
"""The same model, of a scan that had a model of topics, too."""
HOSTS = ("news.example.com", "www.example.com", "forum.example.org", "blog.example.net", "a.example.co.uk", None)
Row = dict[str, Any]


def row(number: int, **values: Any) -> Row:
    """A row of tags; scores not given are 0.01, windows as documents."""
    base = {
        "id": f"doc{number}", "row": number, "chars": 60, "bytes": 60, "words": 10, "url": None, "host": None,
        "date": None, "lang": None, "source": None, "spans": [], "status": "ok", **dict.fromkeys(LABELS, 0.01),
    }  # fmt: skip
    filled = {**base, **values}
    return {**{f"{label}_window": filled[label] for label in LABELS}, **filled}


def rows(number: int, seed: int) -> list[Row]:
    """Rows with everything that tags can hold: no score, another language, no host, odd dates."""
    chance = random.Random(seed)
    return [_chosen(i, chance) for i in range(number)]


def _chosen(number: int, chance: random.Random) -> Row:
    host = chance.choice(HOSTS)
    lean = 0.4 if host == "forum.example.org" else 0.1
    status = chance.choices(("ok", "no_words", "other_language"), (90, 5, 5))[0]
    scores: dict[str, Any] = {
        label: round(min(0.999, chance.random() ** 3 + lean * chance.random()), 4) for label in LABELS
    }
    return row(
        number, host=host, words=int(chance.lognormvariate(5.5, 1.3)) + (chance.random() < 0.98),
        date=chance.choice(("2021-03-04", "20210411", "2022-01-01T00:00:00Z", "x", None)),
        lang="de" if status == "other_language" else chance.choice(("en", "en", None)),
        source=chance.choice(("wet", "books", None)), status=status,
        topic=(*TOPICS, "Health", None)[number % 5], topic_score=0.5 + number % 5 / 10,
        **(dict.fromkeys(LABELS) if status == "no_words" else scores),
    )  # fmt: skip


def batch(found: Sequence[Row], model: dict[str, Any] = MODEL) -> pa.RecordBatch:
    """Rows as TAGS of a model: without topics where it has none."""
    return pa.RecordBatch.from_pylist(list(found), schema_of(model))


def write_folder(folder: Path, shards: dict[str, Sequence[Row]], model: dict[str, Any] = MODEL) -> str:
    """Tags, and ``scan.json``, by names of shards; returns the folder."""
    for name, found in shards.items():
        metadata = {
            "tropescan.version": "1", "tropescan.model": json.dumps(model, sort_keys=True),
            "tropescan.options": json.dumps(vars(ReadOptions())), "tropescan.shard": f"crawl/{name}",
        }  # fmt: skip
        path = folder / "tags" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_batches([batch(found, model)]).replace_schema_metadata(metadata), path)
    tagged = sum(map(len, shards.values()))
    figures = ShardReport(shards=len(shards), read=tagged, tagged=tagged).to_dict()
    (folder / "scan.json").write_text(json.dumps({"model": model, "tags": list(shards), "figures": figures}), "utf-8")
    return str(folder)
