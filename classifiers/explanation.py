"""Why a text gets its score: each token's share of the logit, exactly, since the folded model only adds up rows.

Knows the kernel and a prepared model; prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from classifiers.score import FastTextScorer, load_scoring_model, sum_texts, text_buffer


@dataclass(frozen=True)
class TokenShare:
    """A token's bytes in the UTF-8 text, and what it (with the n-grams that end in it) adds to the logit."""

    start: int
    end: int
    share: float


def token_shares(scorer: FastTextScorer, text: str, label: str) -> list[TokenShare]:
    """One share for each token of the text; they add up to the label's logit, but for the parts of the end-of-text
    token, of the model's prior, if it has one, and of the absence of a lexicon's words.

    Raises `ValueError` for a label that the model has not.
    """
    if label not in scorer.labels:
        raise ValueError(f"the model has no label {label!r}; it has {', '.join(scorer.labels)}")
    model = load_scoring_model(scorer.path, scorer.digest)
    sums = sum_texts(model, text_buffer(pa.array([text], pa.large_string())), stride=1)
    n, count = int(sums.first_chunk[1]), int(sums.counts[0])
    if count == 0:
        return []
    before = np.concatenate([np.zeros((1, sums.totals.shape[1])), sums.chunk_totals[:n]])
    shares = np.diff(model.logits(before, np.full(n + 1, count))[:, scorer.labels.index(label)])
    edges = sums.chunk_bytes[:n]
    return [
        TokenShare(int(a), int(b), float(share)) for (a, b), share in zip(edges, shares, strict=True) if b > a
    ]  # the end-of-text token has no bytes


@dataclass(frozen=True)
class Absence:
    """A lexicon of which a text has no word, and what that adds to the logit of a label."""

    lexicon: str
    label: str
    added: float


def absences(scorer: FastTextScorer, text: str) -> list[Absence]:
    """What the absence of words adds in a text, none where the model has no lexicon or knows no word of the text."""
    model = load_scoring_model(scorer.path, scorer.digest)
    sums = sum_texts(model, text_buffer(pa.array([text], pa.large_string())), stride=1)
    if sums.counts[0] == 0:
        return []
    without = model.without_words(model.logits(sums.totals, sums.counts))[0]
    return [
        Absence(lexicon, label, float(model.head.absent[i, k]))
        for i, lexicon in enumerate(model.lexicons)
        for k, label in enumerate(model.labels)
        if without[i] and model.head.absent[i, k]
    ]
