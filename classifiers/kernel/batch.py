"""Runs the stages over a batch of documents, block by block, and keeps the running sums that windows need."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from classifiers.kernel.hashing import hash_prefixes, hash_rest, load_prefixes
from classifiers.kernel.lookup import look_up
from classifiers.kernel.ngrams import clear_document_starts, drop_special, ngram_rows, start_chain
from classifiers.kernel.stage import stage
from classifiers.kernel.sums import add_with_subwords, add_words, add_words_and_bigrams, count_features
from classifiers.kernel.tables import Tables
from classifiers.kernel.tokenise import CAPACITY, DOCUMENT, STATE_SIZE, keep_cut_word, tokenise


class Sums(NamedTuple):
    """What the kernel leaves behind.

    ``totals`` float64 (documents, width), ``counts`` int64 (documents,): sum of rows, and how many; ``words``
    int64 (documents,): words between separators. A chunk is ``stride`` tokens: ``chunk_totals`` float64
    (chunks, width) and ``chunk_counts`` run from the document's start to the chunk's end; ``chunk_bytes`` int64
    (chunks, 2) are its first and last byte in the buffer; ``first_chunk`` int64 (documents + 1,).
    """

    totals: NDArray[np.float64]
    counts: NDArray[np.int64]
    words: NDArray[np.int64]
    chunk_totals: NDArray[np.float64]
    chunk_counts: NDArray[np.int64]
    chunk_bytes: NDArray[np.int64]
    first_chunk: NDArray[np.int64]


class Block(NamedTuple):
    """Work space of one block."""

    edges: NDArray[np.int64]
    ends: NDArray[np.int64]
    prefix: NDArray[np.uint64]
    length: NDArray[np.int32]
    hashes: NDArray[np.uint32]
    keys: NDArray[np.uint64]
    long_words: NDArray[np.int64]
    slots: NDArray[np.uint64]
    chain: NDArray[np.uint64]
    rows: NDArray[np.uint64]
    tail: NDArray[np.uint64]
    scratch: NDArray[np.uint8]


def new_block(orders: int) -> Block:
    """Work space for a model with ``orders`` n-gram lengths beyond single words."""
    return Block(
        edges=np.zeros(2 * CAPACITY, np.int64),
        ends=np.zeros(CAPACITY, np.int64),
        prefix=np.zeros(CAPACITY, np.uint64),
        length=np.zeros(CAPACITY, np.int32),
        hashes=np.zeros(CAPACITY, np.uint32),
        keys=np.zeros(CAPACITY, np.uint64),
        long_words=np.zeros(CAPACITY, np.int64),
        slots=np.zeros(CAPACITY, np.uint64),
        chain=np.zeros(CAPACITY, np.uint64),
        rows=np.zeros((max(orders, 1), CAPACITY), np.uint64),
        tail=np.zeros(max(orders, 1), np.uint64),
        scratch=np.zeros(128, np.uint8),
    )


@stage
def _fill_block(tables: Tables, data: Any, limit: Any, block: Any, n: Any, n_ends: Any, stopped: Any) -> Any:
    """Stages two and three, and the rare words that are left out; returns (tokens, stopped)."""
    n_long, special = load_prefixes(data, limit, block.edges, n, block.prefix, block.length, block.long_words)
    hash_prefixes(n, block.prefix, block.length, block.hashes)
    block.keys[:n] = block.prefix[:n]
    hash_rest(data, block.edges, n_long, block.long_words, block.hashes, block.keys)
    look_up(
        n, block.keys, tables.pilots, tables.shift, tables.n_slots, tables.records, tables.stride, block.slots
    )  # fmt: skip
    if special or stopped or tables.odd_labels.size:
        return drop_special(
            n, block.edges, block.prefix, block.keys, data, block.hashes, block.slots, tables.n_slots,
            tables.odd_labels, block.ends, n_ends, stopped,
        )  # fmt: skip
    return n, stopped


@stage
def _find_ngrams(tables: Tables, block: Any, n: Any, n_ends: Any, before: Any) -> None:
    """Stage four for each order."""
    start_chain(n, block.hashes, block.chain)
    for order in range(tables.orders):
        rows = block.rows[order]
        ngram_rows(n, block.hashes, block.chain, block.tail, order, tables.bucket, tables.reciprocal, rows)
        if tables.bucket_rows.size:
            for t in range(n):
                row = tables.bucket_rows[rows[t]]
                rows[t] = uint64(row) if row >= 0 else tables.none
        clear_document_starts(n, block.ends, n_ends, before, order, tables.none, rows)


@stage
def _add(tables: Tables, data: Any, block: Any, a: Any, b: Any, total: Any) -> Any:
    """Stage five for tokens ``a`` to ``b``; returns the number of rows added."""
    if tables.maxn > 0:
        return add_with_subwords(
            tables, data, block.edges, block.prefix, block.slots, block.rows, a, b, total
        )  # fmt: skip
    if tables.orders == 1:
        add_words_and_bigrams(tables, block.slots, block.rows, a, b, total)
    else:
        add_words(tables, block.slots, block.rows, a, b, total)
    return count_features(tables, block.slots, block.rows, a, b)


@stage
def _note_chunk(out: Any, chunk: Any, edges: Any, a: Any, b: Any, in_chunk: Any) -> None:
    """Widen the chunk's bytes by tokens ``a`` to ``b``; the end of a document has no bytes."""
    if in_chunk == 0 and edges[2 * a] >= 0:
        out.chunk_bytes[chunk, 0] = edges[2 * a]
    last = b - 1 if edges[2 * (b - 1)] >= 0 else b - 2
    if last >= a:
        out.chunk_bytes[chunk, 1] = edges[2 * last + 1]


def sum_batch(
    tables: Tables, data: Any, limit: Any, offsets: Any, first: Any, last: Any, stride: Any, block: Any, out: Any
) -> Any:
    """Sum documents ``first`` to ``last`` of an Arrow string buffer into ``out``; returns the number of chunks.

    ``data`` uint8, readable up to ``limit``; ``offsets`` int32 or int64; ``stride`` in tokens.
    """
    state = np.zeros(STATE_SIZE, np.int64)
    state[DOCUMENT] = first
    if first < last:
        state[1] = offsets[first]
    total, count = np.zeros(tables.width), 0
    doc, chunk, in_chunk, before, stopped = first, 0, 0, 0, False
    out.first_chunk[0] = 0
    while doc < last:
        n, n_ends = tokenise(data, limit, offsets, last, state, block.edges, block.ends, out.words, block.scratch)
        n, stopped = _fill_block(tables, data, limit, block, n, n_ends, stopped)
        _find_ngrams(tables, block, n, n_ends, before)
        a = 0
        for e in range(n_ends + 1):
            b = block.ends[e] if e < n_ends else n
            while a < b:
                c = min(b, a + stride - in_chunk)
                count += _add(tables, data, block, a, c, total)
                _note_chunk(out, chunk, block.edges, a, c, in_chunk)
                in_chunk += c - a
                before += c - a
                a = c
                if in_chunk == stride:
                    out.chunk_totals[chunk], out.chunk_counts[chunk] = total, count
                    chunk, in_chunk = chunk + 1, 0
            if e < n_ends:
                if in_chunk > 0:
                    out.chunk_totals[chunk], out.chunk_counts[chunk] = total, count
                    chunk, in_chunk = chunk + 1, 0
                out.totals[doc - first], out.counts[doc - first] = total, count
                total[:], count, before = 0.0, 0, 0
                doc += 1
                out.first_chunk[doc - first] = chunk
        keep_cut_word(state, block.edges)
    return chunk
