"""Which words and pairs of words move a label most: their weight times how much more often texts with the label have
them than texts without.

Pairs have no names in a model, only hashed rows; they are named by hashing the pairs that stand in texts. Knows
folded models with plain words and pairs, such as `classifiers.linear` makes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from classifiers.fasttext_file import EOS, FastTextModel
from classifiers.features import FeatureSpace, plain_words
from classifiers.prepare import is_folded
from classifiers.settings import PLAIN_WORDS, settings_of


@dataclass(frozen=True)
class Contribution:
    """What an n-gram adds to the distance between the mean logits of texts with and without a label; ``texts`` have it.
    ``weight`` is what it would add to the logit of a text of nothing else: below 0, it is by its absence that it speaks
    for the label. ``shared`` are the occurrences of other pairs in the same hashed row, for each of this one's."""

    ngram: str
    weight: float
    logit: float
    texts: int
    shared: float


def explains(model: FastTextModel) -> bool:
    """Whether `contributions` can read the model: plain words, pairs, and one number a label in each row."""
    return PLAIN_WORDS in model.words and model.word_ngrams == 2 and is_folded(model)


def contributions(
    model: FastTextModel, texts: Sequence[str], truth: Mapping[str, NDArray[np.bool_]], n: int = 20
) -> dict[str, list[Contribution]]:
    """For each label of ``truth``, bool (texts,), the ``n`` n-grams that set its texts apart most, then the ``n`` that
    work against that most (of positive weight and rarer in its texts, or the other way round).

    The words of every text, "the" and "of", would lead any list by weight times frequency alone. A label given another
    is set apart from the other texts with that one, where its weights were learned. Raises `ValueError` for a model
    that `explains` refuses.
    """
    if not explains(model):
        raise ValueError("contributions are told only of folded models with plain words and pairs")
    settings, space = settings_of(model), FeatureSpace(tuple(model.words), model.bucket)
    counts = space.counts(texts)
    lengths = np.asarray(counts.sum(axis=1)).ravel() + settings.prior_weight
    shares = sparse.diags(1 / np.maximum(lengths, 1)) @ counts
    weights = (np.asarray(model.embedding, np.float64) - settings.prior) @ np.asarray(model.output, np.float64).T
    columns = {label: k for k, label in enumerate(model.label_names)}
    parts = {}
    for label, holds in truth.items():
        k = columns[label]
        within = truth[model.label_names[settings.given[k]]] if settings.given[k] >= 0 else np.ones(len(texts), bool)
        parts[label] = _contrast(shares[within], holds[within]) * weights[: counts.shape[1], k]
    chosen = np.concatenate([_ends(part, n) for part in parts.values()])
    names = _names_of_pairs(space, texts, {int(c) for c in chosen})
    texts_with = np.bincount(counts.indices, minlength=counts.shape[1])
    return {
        label: [
            Contribution(
                _name(space, names, c),
                float(weights[c, columns[label]]),
                float(part[c]),
                int(texts_with[c]),
                _shared(names, c),
            )
            for c in map(int, _ends(part, n))
            if texts_with[c]
        ]
        for label, part in parts.items()
    }


def _contrast(shares: sparse.csr_matrix, holds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean share of each column in texts with the label minus that in texts without."""
    sign = np.where(holds, 1 / max(1, holds.sum()), -1 / max(1, (~holds).sum()))
    return np.asarray(sign @ shares).ravel()


def _ends(logits: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    order = np.argsort(-logits, kind="stable")
    return np.concatenate([order[:n], order[::-1][:n]])


def _name(space: FeatureSpace, names: dict[int, Counter[str]], column: int) -> str:
    if column < len(space.words):
        return space.words[column].decode("utf-8", "replace")
    return names[column].most_common(1)[0][0]


def _shared(names: dict[int, Counter[str]], column: int) -> float:
    if column not in names:
        return 0.0
    most = names[column].most_common(1)[0][1]
    return (names[column].total() - most) / most


def _names_of_pairs(space: FeatureSpace, texts: Sequence[str], wanted: set[int]) -> dict[int, Counter[str]]:
    """The pairs of words that fall into each wanted column, with how often they stand in the texts."""
    names: dict[int, Counter[str]] = {}
    for text in texts:
        words = plain_words(text)
        columns = space.pair_columns(words)
        for place in np.flatnonzero(np.isin(columns, list(wanted))):
            pair = b" ".join([*words, EOS][place : place + 2]).decode("utf-8", "replace")
            names.setdefault(int(columns[place]), Counter())[pair] += 1
    return names
