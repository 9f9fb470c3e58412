"""The shortcut audit: whether a model goes by what texts say of artificial minds, or by names, style and topic.

Knows a model, scored texts and rewrites; knows neither label records nor commands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from classifiers.rewrites import SWAPS, TO_MINDS, Rewrite, masked_names, swapped
from classifiers.scored import ScoredTexts, scores_by_label
from classifiers.settings import labels_of
from classifiers.training import Example
from pipeline.schema import Estimate

TOP = 15


@dataclass(frozen=True)
class Swap:
    """Texts with their agents made something else: share flagged before and after, share that scores higher after, and
    by how much the log-odds of the score change in the median."""

    before: Estimate
    after: Estimate
    higher: Estimate
    median_change: float


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
        "swaps": {
            whose: {name: asdict(one) for name, one in found(model, held, label, threshold, resamples).items()}
            for whose, found in SWAPPED.items()
        },
        "n-grams": top_ngrams(model, training),
    }


def rescored(
    model: str | Path, texts: ScoredTexts, rewrite: Rewrite, label: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of the rewritten texts, and which the rewrite changes, both (texts,); the others keep their scores."""
    changed = [rewrite(text) for text in texts.texts]
    differs = np.array([a != b for a, b in zip(changed, texts.texts, strict=True)], bool)
    scores = texts.document[label].copy()
    if differs.any():
        kept = [text for text, other in zip(changed, differs, strict=True) if other]
        scores[differs] = scores_by_label(model, kept)[0][label]
    return scores, differs


def name_masking(model: str | Path, real: ScoredTexts, label: str, resamples: int = 500) -> Estimate:
    """Average precision with famous names made neutral, in positives and negatives alike, minus that without: among
    texts about artificial minds, the only ones with such names."""
    kept = real.of(real.about_ai)
    masked, _ = rescored(model, kept, masked_names, label)
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
    model: str | Path, held: ScoredTexts, label: str, threshold: float, resamples: int = 500
) -> Mapping[str, Swap]:
    """What becomes of real positives once their artificial minds are people, plants or firms: the codebook then says
    that the label does not hold (a reader would say so of nearly all, not of every one)."""
    positives = held.of(held.real & held.truth(label))
    found = {}
    for kind in SWAPS:
        after, _ = rescored(model, positives, swapped(kind), label)
        found[f"from an AI to a {kind}"] = _swap(positives, label, after, threshold, resamples)
    return found


def ordinary_swaps(
    model: str | Path, held: ScoredTexts, label: str, threshold: float, resamples: int = 500
) -> Mapping[str, Swap]:
    """What becomes of texts from elsewhere without an artificial mind once their people, plants or firms are minds, of
    those that have any: they are then about AI, and few of them adverse. A model that flags many goes by AI words."""
    ordinary = held.of(~held.written & ~held.about_ai)
    return _to_minds(model, ordinary, TO_MINDS, label, threshold, resamples)


def pair_swaps(
    model: str | Path, held: ScoredTexts, label: str, threshold: float, resamples: int = 500
) -> Mapping[str, Swap]:
    """The same for the member without AI of each minimal pair whose other member is a positive: a villain made a mind
    should come near to its twin. The last entry has all these members before, and their twins after."""
    written = held.of(held.written)
    positive = {source: k for k, source in enumerate(written.sources) if written.truth(label)[k]}
    alone = ~written.about_ai & np.isin(written.sources, list(positive))
    people = {name: rewrite for name, rewrite in TO_MINDS.items() if "human" in name}
    members = written.of(alone)
    found = dict(_to_minds(model, members, people, label, threshold, resamples))
    if len(members.examples):
        twins = written.document[label][[positive[source] for source in members.sources]]
        found["the twin with an AI in its place"] = _swap(members, label, twins, threshold, resamples)
    return found


def _to_minds(
    model: str | Path, texts: ScoredTexts, rewrites: Mapping[str, Rewrite], label: str, threshold: float, resamples: int
) -> Mapping[str, Swap]:
    """Of the texts that each rewrite changes; one that changes none has no figures."""
    found = {}
    for name, rewrite in rewrites.items():
        after, changed = rescored(model, texts, rewrite, label)
        if changed.any():
            found[name] = _swap(texts.of(changed), label, after[changed], threshold, resamples)
    return found


def _swap(texts: ScoredTexts, label: str, after: NDArray[np.float64], threshold: float, resamples: int) -> Swap:
    before, everything, sources = texts.document[label], np.ones(len(after), bool), list(texts.sources)
    return Swap(
        rate(before >= threshold, everything, sources, resamples),
        rate(after >= threshold, everything, sources, resamples),
        rate(after > before, everything, sources, resamples),
        float(np.median(log_odds(after) - log_odds(before))) if len(after) else float("nan"),
    )


SWAPPED: Mapping[str, Callable[[str | Path, ScoredTexts, str, float, int], Mapping[str, Swap]]] = {
    "positives": swaps,
    "ordinary texts": ordinary_swaps,
    "members without AI of our pairs": pair_swaps,
}


def top_ngrams(model: str | Path, training: Sequence[Example]) -> dict[str, list[dict[str, Any]]]:
    """The n-grams that set texts with each label apart, by the model; nothing for a model that cannot tell them."""
    file = read_model(model)
    if not explains(file):
        return {}
    truth = {label: np.array([label in one.labels for one in training], bool) for label in labels_of(file)}
    found = contributions(file, [one.text for one in training], truth, TOP)
    return {label: [asdict(one) for one in ngrams] for label, ngrams in found.items()}
