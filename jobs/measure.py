"""The figures of a model on held-out documents: `train` writes them into the card, `eval` prints them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.evaluation import (
    average_precision,
    by_source,
    expected_calibration_error,
    pairs_ranked_right,
    recall_at_fpr,
    threshold_at_fpr,
    wilson,
)
from classifiers.score import FastTextScorer
from jobs.training_data import LabelledText, TrainingData, truth
from pipeline.schema import Estimate, label_columns

BACKGROUND_FPR = 1e-3


def scores_of(model: str | Path, texts: Sequence[str], label: str) -> NDArray[np.float64]:
    """Scores of one label, float64, shape (texts,); 0 where the model knows no word."""
    scorer = FastTextScorer.open(model, span_thresholds={})
    if label not in scorer.labels:
        raise ValueError(f"{model} has no label {label!r}; it has {', '.join(scorer.labels)}")
    batch = pa.RecordBatch.from_pydict({"text": pa.array(list(texts), pa.large_string())})
    column = label_columns(scorer.labels)[scorer.labels.index(label)]
    scored = scorer(batch).column(column).to_numpy(zero_copy_only=False)
    return np.nan_to_num(np.asarray(scored, np.float64))


def measure(model: str | Path, data: TrainingData, label: str) -> dict[str, Estimate]:
    """All figures of ``label`` that the held-out documents in ``data`` allow, by name."""
    figures: dict[str, Estimate] = {}
    real, written = data.held_out(synthetic=False), data.held_out(synthetic=True)
    if real:
        figures |= _on_real(model, real, [text for _, text in data.background_of(held_out=True)], label)
    if written:
        scores, positive = scores_of(model, [one.text for one in written], label), truth(written, label)
        groups = [one.group for one in written]
        figures["average precision, passages written for this project"] = by_source(
            average_precision, positive, scores, groups
        )
        figures["minimal pairs ranked right"] = pairs_ranked_right(
            positive, scores, [one.record.pair for one in written]
        )
    return figures


def _on_real(
    model: str | Path, items: Sequence[LabelledText], background: Sequence[str], label: str
) -> dict[str, Estimate]:
    scores, positive = scores_of(model, [one.text for one in items], label), truth(items, label)
    about_ai, sources = truth(items, "ai"), [one.group for one in items]
    on_ai = [source for source, holds in zip(sources, about_ai, strict=True) if holds]
    figures = {
        "average precision": by_source(average_precision, positive, scores, sources),
        "average precision, documents about AI": by_source(
            average_precision, positive[about_ai], scores[about_ai], on_ai
        ),
        "recall at FPR 1e-2, documents about AI": by_source(
            recall_at_fpr(1e-2), positive[about_ai], scores[about_ai], on_ai
        ),
        "expected calibration error": by_source(expected_calibration_error, positive, scores, sources),
    }
    if background:
        limit = threshold_at_fpr(scores_of(model, background, label), BACKGROUND_FPR)
        hits, n = int(np.sum(scores[positive] >= limit)), int(positive.sum())
        figures["recall at FPR 1e-3, background"] = Estimate(hits / max(1, n), *wilson(hits, n), n, "Wilson")
    return figures
