"""Batches of tags with values that a test chooses, for what is decided by tags alone."""

from __future__ import annotations

import json
import random
from typing import Any

import pyarrow as pa

from pipeline.schema import MODES, schema_of

LABELS = ("adverse", "admirable", "ai", *MODES)
MODEL = {
    "name": "made up", "digest": "0" * 64, "labels": list(LABELS), "target": "adverse", "threshold": 0.5,
    "language": "en", "span_thresholds": {"adverse": 0.25, "admirable": 0.25},
    "calibration": {
        "adverse": {"slope": 1.5, "intercept": -3.0, "base_rate": 0.001},
        "admirable": {"slope": 0.7, "intercept": -1.5, "base_rate": 0.003},
    },
}  # fmt: skip


def tags(rows: list[dict[str, Any]], model: dict[str, Any] = MODEL) -> pa.RecordBatch:
    """TAGS of these rows; what a row does not say is made up, the same for each of that number."""
    schema = schema_of(model).with_metadata({"tropescan.model": json.dumps(model)})
    scores = {name: 0.1 for name in schema.names if name.split("_window")[0] in model["labels"]}
    usual = {"chars": 100, "bytes": 120, "words": 20, "spans": [], "status": "ok", **scores}
    full = [{"id": f"d{i}", "row": i, **usual, **row} for i, row in enumerate(rows)]
    return pa.RecordBatch.from_pylist(full, schema=schema)


def random_rows(n: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows of all kinds: without score, in another language, without host or date, with spans and without."""
    source, rows = random.Random(seed), []
    for i in range(n):
        score = None if source.random() < 0.1 else source.random()
        spans = [_span(source, 10 * k) for k in range(source.randint(0, 2))]
        rows.append({
            "id": f"<{seed}-{i}>", "words": source.randint(0, 2000), "spans": spans,
            "adverse": score, "adverse_window": None if score is None else max(score, source.random()),
            **{mode: None if score is None else source.random() for mode in MODES},
            "host": source.choice([None, "example.org", "www.example.org", "notexample.org", "b.example", "localhost"]),
            "date": source.choice([None, "2020-01-31T00:00:00Z", "20210601120000", "2023-07-01", "yesterday"]),
            "lang": source.choice([None, "en", "de"]), "source": source.choice([None, "a", "b"]),
            "status": "no_words" if score is None else source.choice(["ok", "ok", "other_language"]),
        })  # fmt: skip
    return rows


def _span(source: random.Random, start: int) -> dict[str, Any]:
    label = source.choice(["adverse", "admirable"])
    return {"label": label, "start": start, "end": start + source.randint(1, 9), "score": source.uniform(0.25, 1)}
