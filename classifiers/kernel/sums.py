"""Fifth stage: add the rows of words and n-grams, in 64-bit floats and strictly in the order of the text.

The order makes a document's sum independent of where blocks and batches are cut.
"""

from __future__ import annotations

from typing import Any

from numba import float64, int8, int32, int64, uint32, uint64

from classifiers.kernel.hashing import EOS_PREFIX, FNV_PRIME, FNV_START
from classifiers.kernel.loads import prefetch
from classifiers.kernel.ngrams import remainder
from classifiers.kernel.stage import stage
from classifiers.kernel.tables import Tables

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
    """`add_words` for models with bigrams, the usual kind: a loop less, four columns at a time if there are."""
    column = uint64(0)
    while column + uint64(4) <= tables.width:
        _add_four(tables, slots, rows[0], a, b, column, sums)
        column += uint64(4)
    if column < tables.width:
        _add_two(tables, slots, rows[0], a, b, column, sums)
    return _count_rows(tables, slots, rows, a, b)


@stage
def _add_two(tables: Tables, slots: Any, rows: Any, a: Any, b: Any, column: Any, sums: Any) -> None:
    stride, width = tables.stride * uint64(2), tables.width
    values, buckets, one = tables.values, tables.buckets, uint64(1)
    s0, s1 = sums[column], sums[column + one]
    for t in range(a, b):
        prefetch(buckets, rows[t + AHEAD] * width + column)
        x, y = slots[t] * stride + column + uint64(2), rows[t] * width + column
        s0 += float64(values[x]) + float64(buckets[y])
        s1 += float64(values[x + one]) + float64(buckets[y + one])
    sums[column], sums[column + one] = s0, s1


@stage
def _add_four(tables: Tables, slots: Any, rows: Any, a: Any, b: Any, column: Any, sums: Any) -> None:
    stride, width = tables.stride * uint64(2), tables.width
    values, buckets = tables.values, tables.buckets
    one, two, three = uint64(1), uint64(2), uint64(3)
    s0, s1, s2, s3 = sums[column], sums[column + one], sums[column + two], sums[column + three]
    for t in range(a, b):
        prefetch(buckets, rows[t + AHEAD] * width + column)
        x, y = slots[t] * stride + column + two, rows[t] * width + column
        s0 += float64(values[x]) + float64(buckets[y])
        s1 += float64(values[x + one]) + float64(buckets[y + one])
        s2 += float64(values[x + two]) + float64(buckets[y + two])
        s3 += float64(values[x + three]) + float64(buckets[y + three])
    sums[column], sums[column + one], sums[column + two], sums[column + three] = s0, s1, s2, s3


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
