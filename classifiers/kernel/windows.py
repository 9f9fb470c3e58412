"""Last stage: probabilities, the strongest window of each label, and the windows over a threshold, merged.

A window's sum is the difference of two running sums, so every window of a document costs one subtraction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import float32, float64, int64
from numpy.typing import NDArray

from classifiers.kernel.loads import code_points64
from pipeline.compiled.stage import stage

SOFTMAX, SIGMOID, TREE = 0, 1, 2
LOG_FLOOR = 1e-5
"""fastText takes ``log(p + 1e-5)`` and returns its exponential, so its probabilities can pass 1 by as much."""
SIGMOID_STEPS, SIGMOID_LIMIT = 512, 8


class Head(NamedTuple):
    """From sums of rows to probabilities.

    ``projection`` float64 (outputs, width) where rows are embeddings, of size 0 where they are already logits.
    ``sigmoid`` float32 (513,) is fastText's table. ``nodes`` and ``turns`` int32 (labels, depth) are each label's
    path in the Huffman tree of hierarchical softmax, with ``depths`` int32 (labels,). ``prior`` float64 (outputs,)
    is a sum of logits that every sum begins with, and ``prior_weight`` of how many rows it counts as. ``given``
    int32 (labels,) names the label by whose probability one is multiplied, -1 for none. The last labels are the
    lexicons: ``absent`` float64 (lexicons, labels) is added to the logits where one's own is at most ``nothing``
    float64 (lexicons,), as without any of its words.
    """

    kind: int
    n_labels: int
    projection: NDArray[np.float64]
    sigmoid: NDArray[np.float32]
    nodes: NDArray[np.int32]
    turns: NDArray[np.int32]
    depths: NDArray[np.int32]
    prior: NDArray[np.float64]
    prior_weight: float
    given: NDArray[np.int32]
    absent: NDArray[np.float64]
    nothing: NDArray[np.float64]


class Room(NamedTuple):
    """Work space of `score_batch`: logits, probabilities and best ones of the labels, a sum, and the windows of the
    longest document, with the merged ones."""

    logits: NDArray[np.float64]
    now: NDArray[np.float64]
    best: NDArray[np.float64]
    total: NDArray[np.float64]
    marks: NDArray[np.float64]
    found: NDArray[np.float64]


def new_room(n_labels: int, width: int, first_chunk: NDArray[np.int64]) -> Room:
    """Room for documents whose chunks begin at ``first_chunk``."""
    longest = max(1, int(np.diff(first_chunk).max(initial=0)))
    return Room(
        logits=np.zeros(n_labels),
        now=np.zeros(n_labels),
        best=np.zeros(n_labels),
        total=np.zeros(width),
        marks=np.zeros((longest, n_labels)),
        found=np.zeros((longest, 3)),
    )


@stage
def probabilities(head: Head, total: Any, count: Any, logits: Any, out: Any) -> None:
    """fastText's probabilities of all labels for one sum of rows; ``logits`` is work space (labels,)."""
    rows = count + head.prior_weight
    for k in range(head.n_labels):
        of_text = total[k] if head.projection.size == 0 else project(head.projection[k], total)
        logits[k] = (of_text + head.prior[k]) / rows
    if head.kind == SOFTMAX:
        _softmax(logits, out)
    elif head.kind == SIGMOID:
        _add_absent(head, logits)
        for k in range(head.n_labels):
            out[k] = _table_sigmoid(head.sigmoid, float32(logits[k])) + LOG_FLOOR
    else:
        _tree(head, logits, out)
    for k in range(head.n_labels):
        if head.given[k] >= 0:  # what it is given depends on nothing: its own probability stands
            out[k] *= out[head.given[k]]


@stage
def _add_absent(head: Head, logits: Any) -> None:
    n_lexicons = head.nothing.size
    for i in range(n_lexicons):
        if logits[head.n_labels - n_lexicons + i] <= head.nothing[i]:
            for k in range(head.n_labels):
                logits[k] += head.absent[i, k]


@stage
def project(weights: Any, total: Any) -> Any:
    """A row of the output matrix times a sum of embeddings."""
    value = 0.0
    for j in range(weights.size):
        value += weights[j] * total[j]
    return value


@stage
def _softmax(logits: Any, out: Any) -> None:
    highest, norm = logits[0], 0.0
    for k in range(1, logits.size):
        highest = max(highest, logits[k])
    for k in range(logits.size):
        out[k] = np.exp(logits[k] - highest)
        norm += out[k]
    for k in range(logits.size):
        out[k] = out[k] / norm + LOG_FLOOR


@stage
def _table_sigmoid(table: Any, x: Any) -> Any:
    """fastText's sigmoid is a table of 512 steps between -8 and 8 (`BinaryLogisticLoss`, `Loss::sigmoid`)."""
    if x < -SIGMOID_LIMIT:
        return float64(0.0)
    if x > SIGMOID_LIMIT:
        return float64(1.0)
    step = (x + float32(SIGMOID_LIMIT)) * float32(SIGMOID_STEPS) / float32(SIGMOID_LIMIT) / float32(2)
    return float64(table[int64(step)])


@stage
def _tree(head: Head, logits: Any, out: Any) -> None:
    """Product along each label's path (`HierarchicalSoftmaxLoss::dfs`); the sigmoid is exact here."""
    for k in range(head.n_labels):
        log_probability = 0.0
        for depth in range(head.depths[k]):
            right = 1.0 / (1.0 + np.exp(-logits[head.nodes[k, depth]]))
            step = right if head.turns[k, depth] == 1 else 1.0 - right
            log_probability += np.log(step + LOG_FLOOR)
        out[k] = np.exp(log_probability)


@stage
def strongest_window(head: Head, sums: Any, doc: Any, per_window: Any, room: Any) -> None:
    """Best probability of each label over the windows of ``doc``; ``room.marks`` (windows, labels) gets them all.

    A window is ``per_window`` chunks and begins at every chunk until one reaches the document's end.
    """
    a, b = sums.first_chunk[doc], sums.first_chunk[doc + 1]
    room.best[:] = -1.0
    for i in range(max(1, b - a - per_window + 1)):
        count = window_sum(sums, a + i, min(a + i + per_window, b) - 1, i == 0, room.total)
        if count > 0:
            probabilities(head, room.total, count, room.logits, room.now)
        for k in range(head.n_labels):
            room.marks[i, k] = room.now[k] if count > 0 else -1.0
            room.best[k] = max(room.best[k], room.marks[i, k])


@stage
def window_sum(sums: Any, first: Any, last: Any, from_start: Any, total: Any) -> Any:
    """Fill ``total`` (width,) with the sum over chunks ``first`` to ``last`` of a document; returns its rows."""
    for column in range(total.size):
        before = 0.0 if from_start else sums.chunk_totals[first - 1, column]
        total[column] = sums.chunk_totals[last, column] - before
    return sums.chunk_counts[last] - (0 if from_start else sums.chunk_counts[first - 1])


@stage
def merge_windows(sums: Any, doc: Any, per_window: Any, label: Any, threshold: Any, room: Any) -> Any:
    """Windows of ``doc`` at or over ``threshold``, merged where they overlap or touch.

    Fills ``room.found`` (windows, 3) with first byte, last byte and highest probability; returns how many.
    """
    a, b = sums.first_chunk[doc], sums.first_chunk[doc + 1]
    marks, found = room.marks, room.found
    n, reach = 0, -1
    for i in range(max(1, b - a - per_window + 1)):
        if marks[i, label] < threshold:
            continue
        stop = min(a + i + per_window, b) - 1
        if n > 0 and i <= reach + 1:
            found[n - 1, 2] = max(found[n - 1, 2], marks[i, label])
        else:
            found[n, 0], found[n, 2] = sums.chunk_bytes[a + i, 0], marks[i, label]
            n += 1
        found[n - 1, 1] = sums.chunk_bytes[stop, 1]
        reach = stop - a
    return n


def score_batch(
    head: Head, sums: Any, data: Any, offsets: Any, per_window: Any, thresholds: Any, span_labels: Any, room: Any,
    scores: Any, windows: Any, spans: Any,
) -> Any:  # fmt: skip
    """Scores of all documents from their sums; returns the number of spans.

    ``scores`` and ``windows`` float32 (documents, labels), NaN where the model knows no word of the document;
    ``thresholds`` (labels,); ``spans`` float64 (room, 5): document, label, first and last code point, probability.
    When there are more spans than fit, the returned number is larger: call again with room for as many.
    """
    n_spans = 0
    for doc in range(scores.shape[0]):
        if sums.counts[doc] == 0:
            scores[doc, :] = np.nan
            windows[doc, :] = np.nan
            continue
        probabilities(head, sums.totals[doc], sums.counts[doc], room.logits, room.now)
        _write_row(scores, doc, room.now)
        strongest_window(head, sums, doc, per_window, room)
        _write_row(windows, doc, room.best)
        for label in span_labels:
            if room.best[label] >= thresholds[label]:
                n = merge_windows(sums, doc, per_window, label, thresholds[label], room)
                _write_spans(data, offsets[doc], doc, label, room.found, n, spans, n_spans)
                n_spans += n
    return n_spans


@stage
def _write_row(table: Any, row: Any, values: Any) -> None:
    for k in range(values.size):
        table[row, k] = values[k]


@stage
def _write_spans(data: Any, byte: Any, doc: Any, label: Any, found: Any, n: Any, spans: Any, row: Any) -> None:
    """Spans from row ``row`` on, as far as there is room; one pass over the text, since they stand in its order."""
    position = 0
    for s in range(min(n, spans.shape[0] - row)):
        start, stop = int64(found[s, 0]), int64(found[s, 1])
        position += code_points(data, byte, start)
        spans[row + s, 0], spans[row + s, 1], spans[row + s, 2] = doc, label, position
        position += code_points(data, start, stop)
        spans[row + s, 3], spans[row + s, 4] = position, found[s, 2]
        byte = stop


@stage
def code_points(data: Any, start: Any, stop: Any) -> Any:
    """Unicode code points that begin in a stretch of UTF-8 bytes."""
    count = 0
    while start + 64 <= stop:
        count += code_points64(data, start)
        start += 64
    for i in range(start, stop):
        count += (data[i] & 0xC0) != 0x80
    return count
