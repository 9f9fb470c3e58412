"""All that `tropescan eval` tells of a model, as plain figures: for the terminal, JSON, the page and the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.audit import audit
from classifiers.calibration import Calibration, log_odds
from classifiers.evaluation import precision_recall, roc
from classifiers.scored import ScoredTexts
from classifiers.training import Example
from jobs.baselines import VECTORS, baseline_scores, comparisons, fits
from jobs.measure import aggregations, measure, reliability_rows, slices, thresholds_section
from labels.records import text_digest
from pipeline.schema import Estimate

CURVE_POINTS = 200
ERRORS = 30


@dataclass(frozen=True)
class Request:
    """What to evaluate: the label, the thresholds of the target by name, the one that flags, calibrations by label, and
    how finely."""

    label: str
    thresholds: Mapping[str, float]
    threshold: float
    maps: Mapping[str, Calibration] = field(default_factory=dict)
    encoder: Path | None = None
    cache: Path | None = None
    resamples: int = 500

    @property
    def calibration(self) -> Calibration | None:
        """That of the label, if there is one."""
        return self.maps.get(self.label)


def label_figures(texts: ScoredTexts, maps: Mapping[str, Calibration], resamples: int) -> dict[str, dict[str, Any]]:
    """The figures of every label and mode that some real document holds."""
    labels = [label for label in texts.document if texts.truth(label)[texts.real].any()]
    return {label: _plain(measure(texts, label, maps.get(label), resamples=resamples)) for label in labels}


def evaluate(
    texts: ScoredTexts,
    training: Callable[[NDArray[np.bool_]], Sequence[Example]],
    folds: NDArray[np.int64],
    request: Request,
) -> dict[str, Any]:
    """Figures, baselines, curves, thresholds, calibration, slices and errors of one label."""  # fmt: skip
    label, n = request.label, request.resamples
    scores = baseline_scores(texts, training, folds, label, fits(label, request.encoder, request.cache))
    return {
        "label": label,
        "documents": _counts(texts, label),
        "figures": _plain(measure(texts, label, request.calibration, resamples=n)),
        "labels": label_figures(texts, request.maps, n),
        "baselines": comparisons(texts, scores, label, n),
        "left out": [] if request.encoder else [f"{VECTORS}: no --encoder was given"],
        "curves": _curves(texts, scores, label),
        "thresholds": thresholds_section(texts, label, request.thresholds, resamples=n),
        "calibration": asdict(request.calibration) if request.calibration else None,
        "reliability": reliability_rows(texts, label, request.calibration) if request.calibration else [],
        "reliability of others": {
            name: reliability_rows(texts, name, one)
            for name, one in request.maps.items()
            if name != label and texts.truth(name)[texts.real].any()
        },
        "slices": slices(texts, label, request.threshold),
        "aggregations": {name: _plain(found) for name, found in aggregations(texts, label).items()},
        "errors": worst_errors(texts, label, request.threshold),
    }


def audited(model: Path, texts: ScoredTexts, training: Sequence[Example], request: Request) -> dict[str, Any]:
    """The shortcut audit of a model file on held-out texts."""
    return audit(model, texts, training, request.label, request.threshold, request.resamples)


def _plain(figures: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    return {name: asdict(figure) for name, figure in figures.items()}


def _counts(texts: ScoredTexts, label: str) -> dict[str, int]:
    return {
        "real": int(texts.real.sum()),
        "of which about AI": int((texts.real & texts.about_ai).sum()),
        f"of which {label}": int((texts.real & texts.truth(label)).sum()),
        "sources": len(np.unique(texts.sources[texts.real])),
        "background": int((~texts.read).sum()),
        "written for this project": int(texts.written.sum()),
    }


def _curves(texts: ScoredTexts, baselines: Mapping[str, NDArray[np.float64]], label: str) -> dict[str, Any]:
    """Precision against recall among documents about AI; recall against the false positive rate on background and on
    documents about AI. The model comes first."""
    on_ai, apart = texts.real & texts.about_ai, (texts.real & texts.truth(label)) | ~texts.read
    every = {"model": texts.document[label], **baselines}
    truth = texts.truth(label)
    return {
        "precision-recall": {k: _thinned(*precision_recall(truth[on_ai], v[on_ai])) for k, v in every.items()},
        "roc, background": {k: _thinned(*roc(truth[apart], v[apart])) for k, v in every.items()},
        "roc, documents about AI": {k: _thinned(*roc(truth[on_ai], v[on_ai])) for k, v in every.items()},
    }


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[list[float]]:
    if not len(x):
        return []
    kept = np.unique(np.geomspace(1, len(x), CURVE_POINTS).astype(int)) - 1
    return [[round(float(x[k]), 5), round(float(y[k]), 5)] for k in kept]


def worst_errors(texts: ScoredTexts, label: str, threshold: float) -> list[dict[str, Any]]:
    """The real documents furthest on the wrong side of the threshold, as pointers without text: first the missed."""
    texts = texts.of(~texts.written)
    truth, distance = texts.truth(label), log_odds(texts.document[label]) - float(log_odds(threshold))
    missed = [k for k in np.argsort(distance) if truth[k] and distance[k] < 0]
    alarms = [k for k in np.argsort(-distance) if not truth[k] and distance[k] >= 0]
    half = ERRORS // 2
    chosen = [*missed[: max(half, ERRORS - len(alarms))], *alarms[: max(half, ERRORS - len(missed))]]
    return [_error(texts, int(k), label) for k in chosen]


def _error(texts: ScoredTexts, k: int, label: str) -> dict[str, Any]:
    one = texts.examples[k]
    return {
        "sha256": text_digest(one.text), "labels": sorted(one.labels),
        "source": one.source,
        "words": int(texts.words[k]), "score": float(texts.document[label][k]),
        "kind": "missed" if label in one.labels else "false alarm",
    }  # fmt: skip
