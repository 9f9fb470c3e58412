"""First stage: where words begin and end, 64 bytes at a time, document after document."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint8, uint64

from classifiers.kernel.loads import separator_mask, trailing_zeros
from classifiers.kernel.stage import stage

BLOCK = 2048
"""Tokens that go through the stages together."""
CAPACITY = BLOCK + 256
"""Tokens that a block may hold: a step adds at most 32 words, and one end of document."""
END_OF_DOCUMENT = -8
"""Start, in place of a byte position, of the `</s>` that fastText puts at the end of each line."""

# Positions in the state that lives from block to block.
DOCUMENT, BYTE, IN_WORD, EDGES, WORDS_BEFORE = 0, 1, 2, 3, 4
STATE_SIZE = 5


@stage
def _mask_at_end(data: Any, limit: Any, position: Any, scratch: Any) -> Any:
    """`separator_mask` where 64 bytes would pass the end of the buffer."""
    for k in range(64):
        scratch[k] = data[position + k] if position + k < limit else uint8(32)
    return separator_mask(scratch, 0)


@stage
def tokenise(
    data: Any, limit: Any, offsets: Any, last: Any, state: Any, edges: Any, ends: Any, words: Any, scratch: Any
) -> Any:
    """Fill ``edges`` with the start and end byte of the next tokens; returns (tokens, documents ended).

    ``edges`` (int64) holds start and end by turns; a word that the block cuts stays in it as a lone start.
    ``ends[e]`` is the number of tokens up to the end of the e-th document that ends in the block.
    """
    doc, at = state[DOCUMENT], state[BYTE]
    outside = uint64(1) - uint64(state[IN_WORD])
    n_edges, n_ends = uint64(state[EDGES]), 0
    before = state[WORDS_BEFORE]
    stop = offsets[doc + 1] if doc < last else 0
    while doc < last and n_edges < uint64(2 * BLOCK):
        rest = stop - at
        if rest > 0:
            mask = separator_mask(data, at) if at + 64 <= limit else _mask_at_end(data, limit, at, scratch)
            if rest < 64:
                mask |= (~uint64(0)) << uint64(rest)
            changes = mask ^ ((mask << uint64(1)) | outside)
            outside = mask >> uint64(63)
            while changes != 0:
                edges[n_edges] = at + np.int64(trailing_zeros(changes))
                n_edges += uint64(1)
                changes &= changes - uint64(1)
            at += 64
        if at >= stop:
            if outside == 0:  # the last word ends with the document
                edges[n_edges] = stop
                n_edges += uint64(1)
            words[doc] = before + np.int64(n_edges >> uint64(1))
            edges[n_edges] = END_OF_DOCUMENT
            edges[n_edges + uint64(1)] = END_OF_DOCUMENT + 4
            n_edges += uint64(2)
            before = -np.int64(n_edges >> uint64(1))
            ends[n_ends] = np.int64(n_edges >> uint64(1))
            n_ends += 1
            outside = uint64(1)
            doc += 1
            if doc < last:
                at, stop = offsets[doc], offsets[doc + 1]
    n = np.int64(n_edges >> uint64(1))
    state[DOCUMENT], state[BYTE], state[IN_WORD] = doc, at, np.int64(uint64(1) - outside)
    state[EDGES], state[WORDS_BEFORE] = np.int64(n_edges), before + n
    return n, n_ends


@stage
def keep_cut_word(state: Any, edges: Any) -> None:
    """Before the next block: a word that the block cut goes to the front."""
    if state[EDGES] & 1:
        edges[0] = edges[state[EDGES] - 1]
    state[EDGES] &= 1
