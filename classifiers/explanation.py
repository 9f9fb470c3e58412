"""Why a text gets its score: each token's share of the logit, exactly, since the folded model only adds up rows.

Knows the kernel and a prepared model; prints nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.prepare import PreparedModel
from classifiers.score import FastTextScorer, load_scoring_model, sum_texts, text_buffer


@dataclass(frozen=True)
class TokenShare:
    """A token's bytes in the UTF-8 text, and what it (with the n-grams that end in it) adds to the logit."""

    start: int
    end: int
    share: float


def token_shares(scorer: FastTextScorer, text: str, label: str) -> list[TokenShare]:
    """One share for each token of the text; they add up to the label's logit, but for the end-of-text token's.

    Raises `ValueError` for a label that the model has not.
    """
    if label not in scorer.labels:
        raise ValueError(f"the model has no label {label!r}; it has {', '.join(scorer.labels)}")
    model = load_scoring_model(scorer.path, scorer.digest)
    sums = sum_texts(model, text_buffer(pa.array([text], pa.large_string())), stride=1)
    n, count = int(sums.first_chunk[1]), int(sums.counts[0])
    if count == 0:
        return []
    logits = _logits(model, sums.chunk_totals[:n], scorer.labels.index(label)) / count
    shares = np.diff(logits, prepend=0.0)
    edges = sums.chunk_bytes[:n]
    return [
        TokenShare(int(a), int(b), float(share)) for (a, b), share in zip(edges, shares, strict=True) if b > a
    ]  # the end-of-text token has no bytes


def _logits(model: PreparedModel, totals: NDArray[np.float64], label: int) -> NDArray[np.float64]:
    if model.head.projection.size == 0:
        return totals[:, label]
    projected: NDArray[np.float64] = totals @ model.head.projection[label]
    return projected
