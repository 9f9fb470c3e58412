"""Fourth stage: the row of each word n-gram, and which words fastText leaves out altogether.

An n-gram belongs to its last word here (fastText files it under its first): the sum over a document is the
same, and what runs over the end of a block is carried on by hashes alone.
"""

from __future__ import annotations

from typing import Any

from numba import int32, int64, uint64

from classifiers.kernel.hashing import EOS_PREFIX, LABEL_PREFIX
from classifiers.kernel.loads import high_product
from pipeline.compiled.stage import stage

MULTIPLIER = 116049371


@stage
def remainder(value: Any, divisor: Any, reciprocal: Any) -> Any:
    """``value % divisor`` by the precomputed ``2**64 // divisor``: the quotient is at most one too small."""
    rest = value - high_product(value, reciprocal) * divisor
    return rest - divisor if rest >= divisor else rest


@stage
def ngram_rows(n: Any, hashes: Any, chain: Any, tail: Any, order: Any, bucket: Any, reciprocal: Any, rows: Any) -> None:
    """Buckets of the n-grams of ``order`` + 2 words that end at each word.

    ``chain[t]`` holds the hash of the n-gram one word shorter and is replaced by the new one;
    ``tail[order]`` is the last such hash of the block before.
    """
    before = tail[order]
    for t in range(n):
        shorter = chain[t]
        chain[t] = before * uint64(MULTIPLIER) + uint64(int64(int32(hashes[t])))
        rows[t] = remainder(chain[t], bucket, reciprocal)
        before = shorter
    if n > 0:
        tail[order] = before


@stage
def start_chain(n: Any, hashes: Any, chain: Any) -> None:
    """Hashes of single words, as fastText extends their sign."""
    for t in range(n):
        chain[t] = uint64(int64(int32(hashes[t])))


@stage
def clear_document_starts(n: Any, ends: Any, n_ends: Any, before: Any, order: Any, none: Any, rows: Any) -> None:
    """N-grams that would reach into the document before do not exist: row ``none``.

    ``before`` is the number of words of the first document that stood in earlier blocks.
    """
    for t in range(0, min(n, order + 1 - before)):
        rows[t] = none
    for e in range(n_ends):
        for t in range(ends[e], min(n, ends[e] + order + 1)):
            rows[t] = none


@stage
def drop_special(
    n: Any, edges: Any, prefix: Any, keys: Any, data: Any, hashes: Any, slots: Any, n_slots: Any, odd_labels: Any,
    ends: Any, n_ends: Any, stopped: Any,
) -> Any:  # fmt: skip
    """Do what fastText does with labels in the text (skip them) and with a literal `</s>` (read no further).

    Moves what stays to the front; returns how many stay. ``stopped[0]`` says, before and after, whether the document
    that the block cuts is read no further.
    """
    kept, e, stop = 0, 0, stopped[0] != 0
    for t in range(n):
        start, size = edges[2 * t], edges[2 * t + 1] - edges[2 * t]
        label = size > 8 and slots[t] == n_slots and prefix[t] == uint64(LABEL_PREFIX) and data[start + 8] == 95
        for k in range(odd_labels.size):
            label |= keys[t] == odd_labels[k]
        if not (stop or label):
            edges[2 * kept], edges[2 * kept + 1] = start, edges[2 * t + 1]
            prefix[kept], keys[kept], hashes[kept], slots[kept] = prefix[t], keys[t], hashes[t], slots[t]
            kept += 1
            stop = start >= 0 and size == 4 and prefix[t] == uint64(EOS_PREFIX)
        if e < n_ends and ends[e] == t + 1:
            ends[e] = kept
            e += 1
            stop = False
    stopped[0] = stop
    return kept
