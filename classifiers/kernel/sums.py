"""Fifth stage: add the rows of words and n-grams, in 64-bit floats and strictly in the order of the text.

The order makes a document's sum independent of where blocks and batches are cut.
"""

from __future__ import annotations

from typing import Any

from numba import float64, int8, int32, int64, uint32, uint64

from classifiers.kernel.hashing import EOS_PREFIX, FNV_PRIME, FNV_START
from classifiers.kernel.loads import add_four, add_two, prefetch
from classifiers.kernel.ngrams import remainder
from classifiers.kernel.tables import Tables
from pipeline.compiled.stage import stage

AHEAD = uint64(64)
"""Tokens between asking for an n-gram's row and adding it: its table is far larger than the caches. Behind the last
token of a block stand rows of blocks before, which are asked for in vain."""


@stage
def add_words(tables: Tables, slots: Any, rows: Any, a: Any, b: Any, sums: Any) -> Any:
    """Add tokens ``a`` to ``b``; returns the number of rows added. Two columns at a time stay in registers."""
    stride, width = tables.stride * uint64(2), tables.width
    values, buckets = tables.values, tables.buckets
    for column in range(uint64(0), width, uint64(2)):
        s0, s1 = sums[column], sums[column + uint64(1)]
        for t in range(a, b):
            x = slots[t] * stride + column + uint64(2)
            token0, token1 = float64(values[x]), float64(values[x + uint64(1)])
            for order in range(uint64(tables.orders)):
                prefetch(buckets, rows[order, t + AHEAD] * width + column)
                y = rows[order, t] * width + column
                token0 += float64(buckets[y])
                token1 += float64(buckets[y + uint64(1)])
            s0 += token0
            s1 += token1
        sums[column], sums[column + uint64(1)] = s0, s1
    return _count_rows(tables, slots, rows, a, b)


@stage
def _count_rows(tables: Tables, slots: Any, rows: Any, a: Any, b: Any) -> Any:
    """How many rows of tokens ``a`` to ``b`` are not the zero row."""
    count = 0
    for t in range(a, b):
        count += slots[t] != tables.n_slots
    for order in range(uint64(tables.orders)):
        for t in range(a, b):
            count += rows[order, t] != tables.none
    return count


@stage
def add_words_and_bigrams(tables: Tables, slots: Any, rows: Any, a: Any, b: Any, sums: Any) -> Any:
    """`add_words` for models with bigrams, the usual kind: both rows of a token at once, four columns at a time."""
    stride, width = tables.stride * uint64(2), tables.width
    values, buckets, bigrams = tables.values, tables.buckets, rows[0]
    fours, last = width & ~uint64(3), width - uint64(1)
    for t in range(a, b):
        ahead = bigrams[t + AHEAD] * width
        prefetch(buckets, ahead)
        prefetch(buckets, ahead + last)
        x, y = slots[t] * stride + uint64(2), bigrams[t] * width
        for column in range(uint64(0), fours, uint64(4)):
            add_four(sums, column, values, x + column, buckets, y + column)
        if fours < width:
            add_two(sums, fours, values, x + fours, buckets, y + fours)
    return _count_rows(tables, slots, rows, a, b)


@stage
def add_with_subwords(
    tables: Tables, data: Any, edges: Any, prefix: Any, slots: Any, rows: Any, a: Any, b: Any, sums: Any
) -> Any:
    """Add tokens ``a`` to ``b`` of a model with subwords; returns the number of rows added."""
    count = 0
    for t in range(a, b):
        if slots[t] != tables.n_slots:
            base = slots[t] * tables.stride * uint64(2) + uint64(2)
            for column in range(tables.width):
                sums[column] += float64(tables.values[base + column])
            count += tables.features[slots[t]]
        elif not (prefix[t] == uint64(EOS_PREFIX) and edges[2 * t + 1] - edges[2 * t] == 4):
            count += _add_subwords(tables, data, edges[2 * t], edges[2 * t + 1], sums)
        for order in range(tables.orders):
            count += _add_bucket(tables, rows[order, t], sums)
    return count


def sum_subwords_of_words(
    tables: Tables, data: Any, edges: Any, prefix: Any, slots: Any, rows: Any, sums: Any, counts: Any
) -> None:
    """Sums and how many rows they are, of each word by itself: ``sums`` (words, width) and ``counts`` (words,)."""
    for word in range(counts.size):
        counts[word] = add_with_subwords(tables, data, edges, prefix, slots, rows, word, word + 1, sums[word])


@stage
def _add_bucket(tables: Tables, row: Any, sums: Any) -> Any:
    if row == tables.none:
        return 0
    for column in range(tables.width):
        sums[column] += float64(tables.buckets[row * tables.width + column])
    return 1


@stage
def _add_subwords(tables: Tables, data: Any, start: Any, stop: Any, sums: Any) -> Any:
    """Character n-grams of ``<word>`` (`Dictionary::computeSubwords`); counts code points, not bytes."""
    size, count = stop - start + 2, 0
    for i in range(size):
        if _is_inside_code_point(data, start, size, i):
            continue
        h, j, n = uint32(FNV_START), i, 1
        while j < size and n <= tables.maxn:
            h = _hash_step(h, _byte(data, start, size, j))
            j += 1
            while j < size and _is_inside_code_point(data, start, size, j):
                h = _hash_step(h, _byte(data, start, size, j))
                j += 1
            if n >= tables.minn and not (n == 1 and (i == 0 or j == size)):
                count += _add_bucket(tables, stored_row(tables, uint64(h)), sums)
            n += 1
    return count


@stage
def _byte(data: Any, start: Any, size: Any, i: Any) -> Any:
    """Byte ``i`` of the word between angle brackets."""
    if i == 0:
        return int32(60)
    return int32(62) if i == size - 1 else int32(int8(data[start + i - 1]))


@stage
def _is_inside_code_point(data: Any, start: Any, size: Any, i: Any) -> Any:
    return (_byte(data, start, size, i) & 0xC0) == 0x80


@stage
def _hash_step(h: Any, byte: Any) -> Any:
    return uint32((h ^ uint32(byte)) * uint32(FNV_PRIME))


@stage
def stored_row(tables: Tables, hashed: Any) -> Any:
    """Row of a bucket; in a pruned model, row ``none`` for buckets that were left out."""
    bucket = remainder(hashed, tables.bucket, tables.reciprocal)
    if tables.bucket_rows.size == 0:
        return bucket
    row = int64(tables.bucket_rows[bucket])
    return uint64(row) if row >= 0 else tables.none
