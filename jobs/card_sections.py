"""What a model card says of how good the model is: figures, baselines beside it, thresholds, calibration and audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.calibration import Calibration
from jobs.baselines import VECTORS
from jobs.evaluating import Request, audited, evaluate
from jobs.measure import CALIBRATION_ERROR, held_out, measure
from jobs.training_data import TrainingData

FLAGGING = "balanced"
BASELINE_FIGURES = ("average precision, documents about AI", "recall at FPR 1e-3, background")
NGRAMS = 8
NO_VECTORS = {VECTORS: "left out in training; tropescan eval --encoder measures it"}


def card_sections(
    model: Path,
    data: TrainingData,
    label: str,
    thresholds: Mapping[str, float],
    maps: Mapping[str, Calibration],
    *,
    encoder: Path | None = None,
    cache: Path | None = None,
) -> dict[str, Any]:
    """The fields ``metrics``, ``baselines``, ``operating_points``, ``calibration`` and ``audit`` of a card.

    Without a real held-out document that holds the label, ``metrics`` are of passages written for training alone, and
    baselines, operating points and audit are left out; without ``encoder`` sentence embeddings are left out of the
    baselines, which then says so.
    """
    calibration = {name: asdict(one) for name, one in maps.items()}
    texts = held_out(model, data)
    if not texts.truth(label)[texts.real].any():
        figures = measure(texts, label, maps.get(label))
        return {"metrics": {name: asdict(figure) for name, figure in figures.items()}, "calibration": calibration}
    request = Request(label, thresholds, thresholds[FLAGGING], maps, encoder, cache)
    found = evaluate(texts, lambda _: data.training, np.zeros(len(texts.examples), np.int64), request)
    return {
        "metrics": {**found["figures"], **_of_labels(found["labels"], label)},
        "baselines": {**_baselines(found["baselines"]), **({} if encoder else NO_VECTORS)},
        "operating_points": {name: _point(point) for name, point in found["thresholds"].items()},
        "calibration": calibration,
        "audit": {**_audit(audited(model, texts, data.training, request)), **_aggregations(found["aggregations"])},
    }


def _of_labels(labels: dict[str, Any], target: str) -> dict[str, Any]:
    return {
        f"{figure} of {name}": figures[figure]
        for figure in ("average precision", CALIBRATION_ERROR)
        for name, figures in labels.items()
        if name != target and figure in figures
    }


def _baselines(found: dict[str, Any]) -> dict[str, Any]:
    """Each baseline's figures, and what the model has more."""
    return {
        f"{name}: {figure}": {"baseline": rows[figure]["baseline"], "model more by": rows[figure]["difference"]}
        for name, rows in found.items()
        for figure in BASELINE_FIGURES
        if figure in rows
    }


def _point(point: dict[str, Any]) -> dict[str, Any]:
    rates = {
        "recall": point["recall"],
        "FPR, background": point["fpr_background"],
        "FPR, about AI": point["fpr_about_ai"],
    }
    precision = {f"precision at prevalence {p}": figure for p, figure in point["precision"].items()}
    return {"from": point["threshold"], **rates, **precision}


def _audit(audit: dict[str, Any]) -> dict[str, Any]:
    rows = {
        "average precision with famous names masked, minus without": audit["names masked"],
        "minimal pairs ranked right": audit["minimal pairs ranked right"],
    }
    for kind, figure in audit["style leak"].items():
        rows[f"machine-written negative over a human-written one, {kind} (0.5: no leak)"] = figure
    for whose, swaps in audit["swaps"].items():
        for name, swap in swaps.items():
            rows[f"{whose} flagged from {FLAGGING}, {name}"] = {
                "before": swap["before"],
                "after": swap["after"],
                "change of log-odds, median": f"{swap['median_change']:+.2f}",
            }
    for label, ngrams in audit["n-grams"].items():
        named = [("no " if one["weight"] < 0 else "") + one["ngram"] for one in ngrams if one["logit"] > 0]
        rows[f"n-grams that set {label} apart most"] = "; ".join(named[:NGRAMS])
    return rows


def _aggregations(found: dict[str, Any]) -> dict[str, Any]:
    return {f"long documents, ranked by {name}": rows["average precision"] for name, rows in found.items()}
