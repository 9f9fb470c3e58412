"""Runs the stages over a batch of documents, block by block, and keeps the running sums that windows need."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import int64, uint64
from numpy.typing import NDArray

from classifiers.kernel.hashing import (
    Parts,
    any_special,
    hash_parts,
    hash_rest,
    load_prefixes,
    lower_prefixes,
    new_parts,
)
from classifiers.kernel.lookup import look_up
from classifiers.kernel.ngrams import clear_document_starts, drop_special, ngram_rows, start_chain
from classifiers.kernel.sums import add_with_subwords, add_words, add_words_and_bigrams
from classifiers.kernel.tables import Tables
from classifiers.kernel.tokenise import BYTE, CAPACITY, STATE_SIZE, keep_cut_word, tokenise
from pipeline.compiled.stage import stage

# Where the sums stand: open chunk, tokens in it; rows, tokens, end of the last word of the document so far, and
# whether fastText would read no further.
CHUNK, IN_CHUNK, COUNT, BEFORE, LAST_BYTE, STOPPED = 0, 1, 2, 3, 4, 5


class Sums(NamedTuple):
    """What the kernel leaves behind.

    ``totals`` float64 (documents, width), ``counts`` int64 (documents,): sum of rows, and how many; ``chars`` and
    ``words`` int64 (documents,): code points, and words between separators. A chunk is ``stride`` tokens:
    ``chunk_totals`` float64 (chunks, width) and ``chunk_counts`` run from the document's start to the chunk's end;
    ``chunk_bytes`` int64 (chunks, 2) are where its first word begins and its last ends in the buffer; ``first_chunk``
    int64 (documents + 1,).
    """

    totals: NDArray[np.float64]
    counts: NDArray[np.int64]
    chars: NDArray[np.int64]
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
    parts: Parts
    slots: NDArray[np.uint64]
    chain: NDArray[np.uint64]
    rows: NDArray[np.uint64]
    tail: NDArray[np.uint64]
    scratch: NDArray[np.uint8]
    state: NDArray[np.int64]
    at: NDArray[np.int64]
    total: NDArray[np.float64]


def new_block(orders: int, width: int) -> Block:
    """Work space for one batch of a model with ``orders`` n-gram lengths beyond single words."""
    return Block(
        edges=np.zeros(2 * CAPACITY, np.int64),
        ends=np.zeros(CAPACITY, np.int64),
        prefix=np.zeros(CAPACITY, np.uint64),
        length=np.zeros(CAPACITY, np.int32),
        hashes=np.zeros(CAPACITY, np.uint32),
        keys=np.zeros(CAPACITY, np.uint64),
        long_words=np.zeros(CAPACITY, np.int64),
        parts=new_parts(CAPACITY),
        slots=np.zeros(CAPACITY, np.uint64),
        chain=np.zeros(CAPACITY, np.uint64),
        rows=np.zeros((max(orders, 1), CAPACITY), np.uint64),
        tail=np.zeros(max(orders, 1), np.uint64),
        scratch=np.zeros(128, np.uint8),
        state=np.zeros(STATE_SIZE, np.int64),
        at=np.zeros(6, np.int64),
        total=np.zeros(width),
    )


@stage
def _fill_block(tables: Tables, data: Any, limit: Any, block: Any, n: Any, n_ends: Any) -> Any:
    """Stages two and three, and the rare words that are left out; returns the tokens that stay."""
    n_long = load_prefixes(
        data, limit, block.edges, n, block.prefix, block.length, block.hashes, block.long_words
    )  # fmt: skip
    special = any_special(n, n_ends, block.prefix)
    if tables.plain_words:
        lower_prefixes(n, block.prefix)
    hash_parts(n, block.prefix, block.length, block.hashes)
    for t in range(uint64(n)):
        block.keys[t] = block.prefix[t]
    hash_rest(
        tables.plain_words, data, limit, block.edges, n_long, block.long_words, block.hashes, block.keys, block.parts
    )  # fmt: skip
    look_up(
        n, block.keys, tables.pilots, tables.shift, tables.n_slots, tables.records, tables.stride, block.slots
    )  # fmt: skip
    if special or block.at[STOPPED] or tables.odd_labels.size:
        return drop_special(
            n, block.edges, block.prefix, block.keys, data, block.hashes, block.slots, tables.n_slots,
            tables.odd_labels, block.ends, n_ends, block.at[STOPPED:],
        )  # fmt: skip
    return n


@stage
def _find_ngrams(tables: Tables, block: Any, n: Any, n_ends: Any, before: Any) -> None:
    """Stage four for each order."""
    start_chain(n, block.hashes, block.chain)
    for order in range(tables.orders):
        rows = block.rows[order]
        ngram_rows(n, block.hashes, block.chain, block.tail, order, tables.bucket, tables.reciprocal, rows)
        if tables.bucket_rows.size:
            for t in range(uint64(n)):
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
        return add_words_and_bigrams(tables, block.slots, block.rows, uint64(a), uint64(b), total)
    return add_words(tables, block.slots, block.rows, uint64(a), uint64(b), total)


@stage
def _note_chunk(out: Any, chunk: Any, edges: Any, a: Any, b: Any, in_chunk: Any, byte: Any) -> Any:
    """Widen the chunk's bytes by tokens ``a`` to ``b``; the end of a document stands where the last word ended."""
    if in_chunk == 0:
        out.chunk_bytes[chunk, 0] = edges[2 * a] if edges[2 * a] >= 0 else byte
    last = b - 1 if edges[2 * (b - 1)] >= 0 else b - 2
    byte = edges[2 * last + 1] if last >= a else byte
    out.chunk_bytes[chunk, 1] = byte
    return byte


@stage
def _add_run(tables: Tables, data: Any, block: Any, a: Any, b: Any, stride: Any, total: Any, at: Any, out: Any) -> None:
    """Add tokens ``a`` to ``b``, which belong to one document, and close the chunks that get full."""
    while a < b:
        stop = min(b, a + stride - at[IN_CHUNK])
        at[COUNT] += _add(tables, data, block, a, stop, total)
        at[LAST_BYTE] = _note_chunk(out, at[CHUNK], block.edges, a, stop, at[IN_CHUNK], at[LAST_BYTE])
        at[IN_CHUNK] += stop - a
        at[BEFORE] += stop - a
        a = stop
        if at[IN_CHUNK] == stride:
            _close_chunk(total, at, out)


@stage
def _close_chunk(total: Any, at: Any, out: Any) -> None:
    chunk = at[CHUNK]
    for column in range(total.size):  # assigning the row as a whole is several times slower in Numba
        out.chunk_totals[chunk, column] = total[column]
    out.chunk_counts[chunk] = at[COUNT]
    at[CHUNK] += 1
    at[IN_CHUNK] = 0


@stage
def _close_document(doc: Any, total: Any, at: Any, out: Any) -> None:
    if at[IN_CHUNK] > 0:
        _close_chunk(total, at, out)
    for column in range(total.size):
        out.totals[doc, column] = total[column]
        total[column] = 0.0
    out.counts[doc] = at[COUNT]
    out.first_chunk[doc + 1] = at[CHUNK]
    at[COUNT], at[BEFORE] = 0, 0


def sum_batch(
    tables: Tables, data: Any, limit: Any, offsets: Any, n_texts: Any, stride: Any, block: Any, out: Any
) -> Any:
    """Sum ``n_texts`` documents of an Arrow string buffer into ``out``; returns the number of chunks.

    ``data`` uint8, readable up to ``limit``; ``offsets`` int64 (documents + 1,); ``stride`` in tokens; ``block`` new.
    """
    state, at, total = block.state, block.at, block.total
    state[BYTE] = at[LAST_BYTE] = offsets[0]
    doc = 0
    out.first_chunk[0] = 0
    while doc < n_texts:
        n, n_ends = tokenise(
            tables.plain_words, data, limit, offsets, n_texts, state, block.edges, block.ends, out.chars, out.words,
            block.scratch,
        )  # fmt: skip
        n = _fill_block(tables, data, limit, block, n, n_ends)
        _find_ngrams(tables, block, n, n_ends, at[BEFORE])
        begin = int64(0)
        for e in range(n_ends):
            _add_run(tables, data, block, begin, block.ends[e], stride, total, at, out)
            _close_document(doc, total, at, out)
            doc, begin = doc + 1, block.ends[e]
            at[LAST_BYTE] = offsets[doc]
        _add_run(tables, data, block, begin, n, stride, total, at, out)
        keep_cut_word(state, block.edges)
    return at[CHUNK]
