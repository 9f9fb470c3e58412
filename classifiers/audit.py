"""The shortcut audit: whether a model goes by what texts say of artificial minds, or by names, style and topic.

Knows a model, scored texts and rewrites; knows neither label records nor commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.calibration import log_odds
from classifiers.comparison import paired
from classifiers.contributions import contributions, explains
from classifiers.evaluation import area_under_roc, average_precision, by_source, pairs_ranked_right
from classifiers.fasttext_file import read_model
from classifiers.operating_points import rate
from classifiers.rewrites import SWAPS, Rewrite, masked_names, swapped
from classifiers.scored import ScoredTexts, scores_by_label
from classifiers.settings import labels_of
from classifiers.training import Example
from pipeline.schema import Estimate

TOP = 15


@dataclass(frozen=True)
class Swap:
    """Positives with their artificial minds made something else: share flagged before and after, and by how much the
    log-odds of the score fall in the median."""

    before: Estimate
    after: Estimate
    median_fall: float


def audit(
    model: str | Path,
    held: ScoredTexts,
    training: Sequence[Example],
    label: str,
    threshold: float,
    resamples: int = 500,
) -> dict[str, Any]:
    """All parts of the audit as plain figures, by name, for a card and a page."""
    real = held.of(held.real)
    return {
        "names masked": asdict(name_masking(model, real, label, resamples)),
        "style leak": {name: asdict(one) for name, one in style_leak(held, label, resamples).items()},
        "minimal pairs ranked right": asdict(minimal_pairs(held, label)),
        "swaps": {kind: asdict(one) for kind, one in swaps(model, real, label, threshold, resamples).items()},
        "n-grams": top_ngrams(model, training),
    }


def rescored(model: str | Path, texts: ScoredTexts, rewrite: Rewrite, label: str) -> NDArray[np.float64]:
    """Scores of the rewritten texts, (texts,); a text that the rewrite leaves alone keeps its score."""
    changed = [rewrite(text) for text in texts.texts]
    differs = np.array([a != b for a, b in zip(changed, texts.texts, strict=True)], bool)
    scores = texts.document[label].copy()
    if differs.any():
        kept = [text for text, other in zip(changed, differs, strict=True) if other]
        scores[differs] = scores_by_label(model, kept)[0][label]
    return scores


def name_masking(model: str | Path, real: ScoredTexts, label: str, resamples: int = 500) -> Estimate:
    """Average precision with famous names made neutral, in positives and negatives alike, minus that without: among
    texts about artificial minds, the only ones with such names."""
    kept = real.of(real.about_ai)
    masked = rescored(model, kept, masked_names, label)
    sources = list(kept.sources)
    return paired(
        average_precision, kept.truth(label), kept.document[label], masked, sources, resamples=resamples
    ).difference


def style_leak(held: ScoredTexts, label: str, resamples: int = 500) -> Mapping[str, Estimate]:
    """How often a negative that a machine wrote for this project scores higher than a human one: 0.5 says that the
    score does not tell them apart. Negatives about AI and others apart, since the topics of both kinds differ."""
    negative = held.read & ~held.truth(label)
    found = {}
    for name, rows in (("about AI", negative & held.about_ai), ("without AI", negative & ~held.about_ai)):
        part = held.of(rows)
        found[name] = by_source(
            area_under_roc, part.written, part.document[label], list(part.sources), resamples=resamples
        )
    return found


def minimal_pairs(held: ScoredTexts, label: str) -> Estimate:
    """Share of minimal pairs ranked right. The two of a pair have a source of their own."""
    written = held.of(held.written)
    return pairs_ranked_right(written.truth(label), written.document[label], list(written.sources))


def swaps(
    model: str | Path, real: ScoredTexts, label: str, threshold: float, resamples: int = 500
) -> Mapping[str, Swap]:
    """What becomes of positives once their artificial minds are people, plants or firms: the codebook then says that
    the label does not hold (a reader would say so of nearly all, not of every one)."""
    positives = real.of(real.truth(label))
    everything, sources = np.ones(len(positives.examples), bool), list(positives.sources)
    before = positives.document[label]
    found = {}
    for kind in SWAPS:
        after = rescored(model, positives, swapped(kind), label)
        found[kind] = Swap(
            rate(before >= threshold, everything, sources, resamples),
            rate(after >= threshold, everything, sources, resamples),
            float(np.median(log_odds(before) - log_odds(after))) if len(before) else float("nan"),
        )
    return found


def top_ngrams(model: str | Path, training: Sequence[Example]) -> dict[str, list[dict[str, Any]]]:
    """The n-grams that set texts with each label apart, by the model; nothing for a model that cannot tell them."""
    file = read_model(model)
    if not explains(file):
        return {}
    truth = {label: np.array([label in one.labels for one in training], bool) for label in labels_of(file)}
    found = contributions(file, [one.text for one in training], truth, TOP)
    return {label: [asdict(one) for one in ngrams] for label, ngrams in found.items()}
