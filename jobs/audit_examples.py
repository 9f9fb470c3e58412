"""Which documents of an audit a report quotes: what the filter found, flagged wrongly, and missed. Reads no text."""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.audit_figures import Audit, Plain
from jobs.tag_rows import Row, Tags
from pipeline.schema import window_column

KINDS = ("strongest", "found", "wrong", "missed")
"""Positives by score; then, each in the draw's random order, positives that are flagged, flagged documents that are not
positive, and positives that are not flagged."""


def examples(tags: Tags, audit: Audit, most: int) -> dict[str, list[Plain]]:
    """At most so many of each kind, each document once."""
    positive, scores = audit.positive, np.nan_to_num(audit.audited.scores, nan=-1.0)
    flagged = scores >= audit.labelled.plan.threshold
    orders = {
        "strongest": np.flatnonzero(positive)[np.argsort(-scores[positive], kind="stable")],
        "found": np.flatnonzero(positive & flagged),
        "wrong": np.flatnonzero(~positive & flagged),
        "missed": np.flatnonzero(positive & ~flagged),
    }
    taken: set[int] = set()
    chosen: dict[str, list[Plain]] = {}
    for kind in KINDS:
        kept = [int(i) for i in orders[kind] if i not in taken][:most]
        taken.update(kept)
        chosen[kind] = [_example(tags, audit, i) for i in kept]
    return chosen


def _example(tags: Tags, audit: Audit, i: int) -> Plain:
    row, labelled = audit.rows[i], audit.labelled
    start, end, score = _strongest_span(row, labelled.plan.label)
    return {
        "tags": tags.folder.name_of(row["file"]), "row": row["row"], "id": row["id"], "url": row["url"],
        "host": row["host"], "date": row["date"], "lang": row["lang"], "chars": row["chars"], "words": row["words"],
        "score": row[labelled.plan.columns.score], "strongest": row[window_column(labelled.plan.columns.score)],
        "start": start, "end": end, "span_score": score,
        "labels": [name for name, held in labelled.labels[i].items() if held], "mode": labelled.modes[i],
        "stratum": labelled.plan.strata[int(labelled.strata[i])].name,
    }  # fmt: skip


def _strongest_span(row: Row, label: str) -> tuple[Any, Any, Any]:
    spans = [span for span in row["spans"] if span["label"] == label]
    best = max(spans, key=lambda span: span["score"], default=None)
    return (best["start"], best["end"], best["score"]) if best else (None, None, None)
