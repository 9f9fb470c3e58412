"""The likeliest label of each document, without the probabilities of all others: models of languages have hundreds."""

from __future__ import annotations

from typing import Any

import numpy as np

from classifiers.kernel.windows import LOG_FLOOR, TREE, Head, probabilities, project
from pipeline.compiled.stage import stage


def best_labels(head: Head, totals: Any, counts: Any, logits: Any, now: Any, labels: Any, scores: Any) -> None:
    """Fill ``labels`` int64 (documents,) and ``scores`` float64 (documents,) with the likeliest label's place and its
    probability as fastText gives it; -1 and 0 where the model knows no word.

    ``totals`` float64 (documents, width) and ``counts`` int64 (documents,) are sums of rows; ``logits`` and ``now``
    are work space, float64 (labels,).
    """
    for doc in range(counts.size):
        labels[doc], scores[doc] = -1, 0.0
        if counts[doc] == 0:
            continue
        if head.kind == TREE:
            labels[doc], scores[doc] = _best_leaf(head, totals[doc], counts[doc], now)
            continue
        probabilities(head, totals[doc], counts[doc], logits, now)
        for k in range(head.n_labels):
            if now[k] > scores[doc]:
                labels[doc], scores[doc] = k, now[k]


@stage
def _best_leaf(head: Head, total: Any, count: Any, right: Any) -> Any:
    """Of hierarchical softmax: paths are left where they fall behind the best so far, as in
    `HierarchicalSoftmaxLoss::dfs`. ``right`` (labels,) holds each node's probability of a right turn, -1 for none yet.
    """
    rows = count + head.prior_weight
    best, highest = 0, 0.0
    for k in range(head.n_labels):
        right[k] = -1.0
    for k in range(head.n_labels):
        score = 1.0
        for depth in range(head.depths[k]):
            node = head.nodes[k, depth]
            if right[node] < 0.0:
                of_text = total[node] if head.projection.size == 0 else project(head.projection[node], total)
                right[node] = 1.0 / (1.0 + np.exp(-(of_text + head.prior[node]) / rows))
            score *= (right[node] if head.turns[k, depth] == 1 else 1.0 - right[node]) + LOG_FLOOR
            if score <= highest:
                break
        if score > highest:
            best, highest = k, score
    return best, highest
