"""Baselines beside a model: fitted on the same training texts, scored on the same documents, compared in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from classifiers.baselines import Baseline, famous_names, fit_proximity, fit_tfidf, fit_vectors, source_guess
from classifiers.comparison import paired
from classifiers.evaluation import Metric, average_precision, by_source, recall_at_fpr
from classifiers.scored import ScoredTexts
from classifiers.training import Example

PROXIMITY, NAMES = "blocklist: AI term near villain term", "blocklist: famous hostile AIs"
TFIDF, VECTORS, SOURCE = "TF-IDF, logistic regression", "MiniLM, logistic regression", "guess by source"
Fit = Callable[[Sequence[Example]], Baseline]


def fits(label: str, encoder: Path | None, cache: Path | None) -> dict[str, Fit]:
    """How each baseline that learns is fitted; sentence embeddings only where there is an encoder."""
    found: dict[str, Fit] = {
        PROXIMITY: lambda examples: fit_proximity(examples, label),
        NAMES: lambda examples: famous_names,
        TFIDF: lambda examples: fit_tfidf(examples, label),
    }
    if encoder:
        from classifiers.passage_vectors import PassageEncoder  # here: it loads a deep-learning library

        encode = PassageEncoder(encoder, cache / "vectors.npz" if cache else None)
        found[VECTORS] = lambda examples: fit_vectors(examples, label, encode)
    return found


def baseline_scores(
    texts: ScoredTexts,
    training: Callable[[NDArray[np.bool_]], Sequence[Example]],
    folds: NDArray[np.int64],
    label: str,
    ways: dict[str, Fit],
) -> dict[str, NDArray[np.float64]]:
    """Scores of the texts by each baseline. ``folds`` is a number for each text; ``training`` gives, for the texts of a
    fold, the examples to learn from."""  # fmt: skip
    scores = {name: np.zeros(len(folds)) for name in ways}
    for fold in np.unique(folds):
        inside = folds == fold
        examples, kept = training(inside), [text for text, its in zip(texts.texts, inside, strict=True) if its]
        for name, fit in ways.items():
            click.echo(f"baseline: {name} …", err=True)
            scores[name][inside] = fit(examples)(kept)
    scores[SOURCE] = source_guess(texts.truth(label), list(texts.sources))
    return scores


def comparisons(
    texts: ScoredTexts, scores: dict[str, NDArray[np.float64]], label: str, resamples: int
) -> dict[str, dict[str, Any]]:
    """For each baseline its figures, and the model's minus its own by paired bootstrap over sources."""
    rows: dict[str, tuple[NDArray[np.bool_], Metric]] = {
        "average precision": (texts.real, average_precision),
        "average precision, documents about AI": (texts.real & texts.about_ai, average_precision),
        "recall at FPR 1e-2, documents about AI": (texts.real & texts.about_ai, recall_at_fpr(1e-2)),
        "recall at FPR 1e-3, background": ((texts.real & texts.truth(label)) | ~texts.read, recall_at_fpr(1e-3)),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, its in scores.items():
        found[name] = {}
        for figure, (kept, metric) in rows.items():
            truth, sources = texts.truth(label)[kept], list(texts.sources[kept])
            # Background is of other sources than positives are: a guess by source would be asked what it was told.
            if not truth.any() or truth.all() or (name == SOURCE and "background" in figure):
                continue
            found[name][figure] = {
                "baseline": asdict(by_source(metric, truth, its[kept], sources, resamples=resamples)),
                "difference": asdict(
                    paired(
                        metric, truth, its[kept], texts.document[label][kept], sources, resamples=resamples
                    ).difference
                ),
            }
    return found
