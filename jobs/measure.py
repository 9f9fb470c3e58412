"""The figures of a model on documents that it never saw: `train` writes them into the card, `eval` prints them.

Composes scores, truth and metrics; renders nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.audit import minimal_pairs
from classifiers.calibration import Calibration, fit_calibration, log_odds, reliability, web_weights
from classifiers.cross_validation import Logits
from classifiers.evaluation import (
    Metric,
    average_precision,
    by_source,
    expected_calibration_error,
    over_sources,
    recall_at_fpr,
)
from classifiers.operating_points import operating_point, rate, recall_beside
from classifiers.scored import ScoredTexts, scores_by_label
from classifiers.training import Example
from jobs.training_data import WRITTEN, TrainingData
from labels.codebook import LABELS, MODES
from pipeline.schema import Estimate

RATES = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4}
WEB = {"ai": 2e-2, "adverse": 1e-3}
"""Shares of ordinary web documents, assumed until an audit of a crawl says more: that of `adverse` is what the project
is built for, that of `ai` is of the order of what AI words hit. The other labels follow by `base_rates`."""
CALIBRATION_ERROR = "expected calibration error at the natural base rate"
LENGTHS = (0, 100, 300, 1000)
LEAST = 20
"""A slice of fewer documents gets no row of its own."""
LONG = 256
"""From so many words on, the strongest window (128 words) is less than half of a document."""


def held_out(model: str | Path, data: TrainingData) -> ScoredTexts:
    """The held-out documents, labelled and background, with the model's scores; none of them was trained on."""
    labelled = [one.example() for one in data.held_out()]
    background = [Example(text, frozenset(), source) for source, text in data.background_of(held_out=True)]
    examples = labelled + background
    whole, window = scores_by_label(model, [one.text for one in examples])
    read = np.arange(len(examples)) < len(labelled)
    return ScoredTexts(examples, read, _written(examples), whole, window)


def of_cross_validation(unseen: Sequence[Example], logits: Logits, scales: Mapping[str, float]) -> ScoredTexts:
    """The training documents, each with the scores of the model that saw nothing of its source."""
    whole = {label: logits.scores(label, scales) for label in logits.labels}
    window = {label: logits.window_scores(label, scales) for label in logits.labels}
    read = np.array([one.collection is not None for one in unseen], bool)  # background has none
    return ScoredTexts(unseen, read, _written(unseen), whole, window)


def _written(examples: Sequence[Example]) -> NDArray[np.bool_]:
    return np.array([one.collection == WRITTEN for one in examples], bool)


def scores_of(model: str | Path, texts: Sequence[str], label: str) -> NDArray[np.float64]:
    """Scores of one label, float64, shape (texts,); 0 where the model knows no word."""
    whole, _ = scores_by_label(model, texts)
    if label not in whole:
        raise ValueError(f"{model} has no label {label!r}; it has {', '.join(whole)}")
    return whole[label]


def measure(
    texts: ScoredTexts, label: str, calibration: Calibration | None = None, *, resamples: int = 1000
) -> dict[str, Estimate]:
    """All figures of ``label`` that the texts allow, by name."""
    if label not in texts.document:
        raise ValueError(f"the model has no label {label!r}; it has {', '.join(texts.document)}")
    figures: dict[str, Estimate] = {}
    if texts.truth(label)[texts.real].any():
        figures |= _ranking(texts, label, resamples)
    if texts.real.any() and calibration is not None:
        figures[CALIBRATION_ERROR] = calibration_error(texts, label, calibration, resamples)
    written = texts.of(texts.written)
    if written.truth(label).any():
        figures["average precision, passages written for this project"] = _metric(
            written, label, average_precision, resamples
        )
        pairs = minimal_pairs(texts, label)
        if pairs.n:
            figures["minimal pairs ranked right"] = pairs
    return figures


def _ranking(texts: ScoredTexts, label: str, resamples: int) -> dict[str, Estimate]:
    real, on_ai = texts.of(texts.real), texts.of(texts.real & texts.about_ai)
    figures = {
        "average precision": _metric(real, label, average_precision, resamples),
        "expected calibration error": _metric(real, label, expected_calibration_error, resamples),
    }
    # Labels that hold of all texts about AI, as `ai` itself, have no negatives there.
    if not on_ai.truth(label).all():
        figures["average precision, documents about AI"] = _metric(on_ai, label, average_precision, resamples)
        for name, fpr in RATES.items():
            figures[f"recall at FPR {name}, documents about AI"] = _metric(on_ai, label, recall_at_fpr(fpr), resamples)
    if not texts.read.all():
        apart = texts.of((texts.real & texts.truth(label)) | ~texts.read)
        for name, fpr in RATES.items():
            figures[f"recall at FPR {name}, background"] = _metric(apart, label, recall_at_fpr(fpr), resamples)
    return figures


def _metric(texts: ScoredTexts, label: str, metric: Metric, resamples: int) -> Estimate:
    return by_source(metric, texts.truth(label), texts.document[label], list(texts.sources), resamples=resamples)


def base_rates(examples: Sequence[Example]) -> dict[str, float]:
    """Assumed shares of web documents with each label and mode: `WEB`, times how often the label holds among training
    texts of which `adverse` does (for what it is made of) or `ai` does (for all else). A rough guess, that a user who
    knows better can replace in `Calibration.probability`."""
    rates = dict(WEB)
    for label in (*LABELS, *MODES):
        within = "adverse" if label in ("hostile", "self_preserving") else "ai"
        parents = [one for one in examples if within in one.labels]
        share = sum(label in one.labels for one in parents) / max(1, len(parents))
        rates.setdefault(label, max(WEB[within] * share, 1e-6))
    return rates


def fit_calibrations(texts: ScoredTexts) -> dict[str, Calibration]:
    """The calibration of each label at its base rate, from scores by models that saw nothing of a text's source.

    Passages written for this project are left out: they are what the model is to learn, not what the web is like."""
    kept = texts.of(~texts.written)
    rates = base_rates(texts.examples)
    found = {}
    for label, scores in kept.document.items():
        truth = kept.truth(label)
        if truth.any() and not truth.all():
            weights = web_weights(truth, kept.about_ai, rates[label], WEB["ai"])
            found[label] = fit_calibration(scores, truth, weights, rates[label])
    return found


def calibration_error(texts: ScoredTexts, label: str, calibration: Calibration, resamples: int) -> Estimate:
    """Of calibrated scores, with real documents and background weighing as on the web."""
    kept = texts.of(~texts.written)
    truth, probabilities = kept.truth(label), calibration.probability(kept.document[label])

    def error(rows: NDArray[np.int64]) -> float:
        weights = web_weights(truth[rows], kept.about_ai[rows], calibration.base_rate, WEB["ai"])
        return expected_calibration_error(truth[rows], probabilities[rows], weights)

    return over_sources(error, list(kept.sources), resamples=resamples)


def reliability_rows(texts: ScoredTexts, label: str, calibration: Calibration) -> list[dict[str, float]]:
    """The points of a reliability plot at the natural base rate."""
    kept = texts.of(~texts.written)
    truth = kept.truth(label)
    weights = web_weights(truth, kept.about_ai, calibration.base_rate, WEB["ai"])
    return reliability(truth, calibration.probability(kept.document[label]), weights)


def thresholds_section(
    texts: ScoredTexts, label: str, thresholds: Mapping[str, float], *, resamples: int = 500
) -> dict[str, Any]:
    """Recall, false positive rates and expected precision of each named threshold, on real documents and background."""
    kept = texts.of(~texts.written)
    truth, sources = kept.truth(label), list(kept.sources)
    if not truth.any():
        return {}
    return {
        name: asdict(
            operating_point(
                kept.document[label], truth, kept.about_ai, sources, threshold, ai_share=WEB["ai"], resamples=resamples
            )
        )
        for name, threshold in thresholds.items()
    }


def slices(
    texts: ScoredTexts, label: str, threshold: float, *, resamples: int = 300
) -> dict[str, list[dict[str, Any]]]:
    """Figures of real documents by mode, length and source: average precision, recall and false positive rate at the
    threshold, recall at the thresholds that so much of all background passes. Within one source documents are
    resampled, as if others of it were drawn: read those intervals so."""
    real, background = texts.of(texts.real), texts.of(~texts.read)
    parts: dict[str, Iterator[tuple[str, NDArray[np.bool_]]]] = {
        "mode": ((mode, real.truth(mode)) for mode in MODES),
        "length": _lengths(real),
        "source": ((str(name), real.sources == name) for name in np.unique(real.sources)),
    }
    return {
        part: [
            _slice(name, real.of(rows), background, label, threshold, resamples)
            for name, rows in groups
            if rows.sum() >= LEAST
        ]
        for part, groups in parts.items()
    }


def _lengths(real: ScoredTexts) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for low, high in zip(LENGTHS, (*LENGTHS[1:], None), strict=True):
        name = f"{low} words or more" if high is None else f"{low} to {high - 1} words"
        yield name, (real.words >= low) & (real.words < (high or np.inf))


def _slice(
    name: str, part: ScoredTexts, background: ScoredTexts, label: str, threshold: float, resamples: int
) -> dict[str, Any]:
    truth, scores, sources = part.truth(label), part.document[label], list(part.sources)
    flagged = scores >= threshold
    if len(set(sources)) == 1:
        sources = [str(k) for k in range(len(sources))]
    row: dict[str, Any] = {"name": name, "documents": len(truth), "positives": int(truth.sum())}
    if truth.any():
        row["recall"] = asdict(rate(flagged, truth, sources, resamples))
        found = [name for name, holds in zip(sources, truth, strict=True) if holds]
        ordinary, theirs = background.document[label], list(background.sources)
        for rate_name, fpr in RATES.items() if len(ordinary) else ():
            figure = recall_beside(scores[truth], found, ordinary, theirs, fpr, resamples)
            row[f"recall at FPR {rate_name}, background"] = asdict(figure)
    if not truth.all():
        row["fpr"] = asdict(rate(flagged, ~truth, sources, resamples))
    if truth.any() and not truth.all():
        row["average precision"] = asdict(by_source(average_precision, truth, scores, sources, resamples=resamples))
    return row


def aggregations(texts: ScoredTexts, label: str, *, resamples: int = 500) -> dict[str, dict[str, Estimate]]:
    """Of long real documents about AI and long background: the score of the whole, of the strongest window, and the
    mean of both (in log-odds), by how well each ranks."""
    kept = texts.of((texts.real | ~texts.read) & (texts.words >= LONG))
    truth, sources = kept.truth(label), list(kept.sources)
    if not truth.any():
        return {}
    whole, window = log_odds(kept.document[label]), log_odds(kept.window[label])
    found = {}
    for name, scores in (
        ("whole document", whole),
        ("strongest window", window),
        ("mean of both", (whole + window) / 2),
    ):
        found[name] = {
            "average precision": by_source(average_precision, truth, scores, sources, resamples=resamples),
            "recall at FPR 1e-2": by_source(recall_at_fpr(1e-2), truth, scores, sources, resamples=resamples),
        }
    return found
