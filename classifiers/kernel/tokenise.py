"""First stage: where words begin and end, 64 bytes at a time, document after document."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint8, uint64

from classifiers.kernel.loads import (
    byte_mask,
    continuation_mask,
    plain_separator_mask,
    separator_mask,
    set_bits,
    trailing_zeros,
)
from pipeline.compiled.stage import stage

BLOCK = 2048
"""Tokens that go through the stages together."""
CAPACITY = BLOCK + 256
"""Tokens that a block may hold: a step adds at most 32 words, and one end of document."""
USUAL_EDGES = 24
"""Starts and ends of words in 64 bytes of text; there are seldom more."""
END_OF_DOCUMENT = -8
"""Start, in place of a byte position, of the `</s>` that fastText puts at the end of each line."""

# Positions in the state that lives from block to block.
DOCUMENT, BYTE, IN_WORD, EDGES, WORDS_BEFORE = 0, 1, 2, 3, 4
# Of plain words only, all 0 where a document begins: words between white space so far, whether one is open, and what
# the last byte was: lead byte of two, lead byte of three, second byte of three.
SPACED_WORDS, IN_SPACED_WORD, AFTER_TWO, AFTER_THREE, AFTER_SECOND = 5, 6, 7, 8, 9
STATE_SIZE = 10
LEAD_OF_TWO = 0xC2
"""First byte of the characters U+0080 to U+00BF: no-break space, «», and the other punctuation of Latin-1."""
LEAD_OF_THREE = 0xE2
"""First byte of the characters U+2000 to U+2FFF: curly quotes, dashes, ellipsis, bullets, arrows."""


@stage
def _cuts_and_chars(plain_words: Any, data: Any, position: Any, rest: Any, state: Any) -> Any:
    """Of the next 64 bytes of a document that ends ``rest`` bytes on: the mask of those that are in no word, and how
    many code points begin in them."""
    over = (~uint64(0)) << uint64(rest) if rest < 64 else uint64(0)
    cuts = plain_mask(data, position, over, state) if plain_words else separator_mask(data, position)
    return cuts | over, set_bits(~(continuation_mask(data, position) | over))


@stage
def plain_mask(data: Any, position: Any, over: Any, state: Any) -> Any:
    """As `separator_mask`, the cuts of plain words; ``over`` marks the bytes behind the document's end.

    Words between white space are counted in ``state`` on the way, for the tags.
    """
    _count_spaced_words(separator_mask(data, position) | over, state)
    two, three = byte_mask(data, position, uint8(LEAD_OF_TWO)), byte_mask(data, position, uint8(LEAD_OF_THREE))
    inside = continuation_mask(data, position)
    after_three = (three << uint64(1)) | uint64(state[AFTER_THREE])
    second = (after_three | (two << uint64(1)) | uint64(state[AFTER_TWO])) & inside
    of_three = second & after_three
    third = ((of_three << uint64(1)) | uint64(state[AFTER_SECOND])) & inside
    state[AFTER_TWO], state[AFTER_THREE] = np.int64(two >> uint64(63)), np.int64(three >> uint64(63))
    state[AFTER_SECOND] = np.int64(of_three >> uint64(63))
    return plain_separator_mask(data, position) | two | three | second | third


@stage
def _count_spaced_words(spaces: Any, state: Any) -> None:
    inside = ~spaces
    before = (inside << uint64(1)) | uint64(state[IN_SPACED_WORD])
    state[SPACED_WORDS] += set_bits(inside & ~before)
    state[IN_SPACED_WORD] = np.int64(inside >> uint64(63))


@stage
def _end_spaced_words(state: Any) -> Any:
    """Number of words between white space of a document that ends; the next one begins anew."""
    words = state[SPACED_WORDS]
    for k in range(SPACED_WORDS, STATE_SIZE):
        state[k] = 0
    return words


@stage
def _note_edges(changes: Any, at: Any, edges: Any, n_edges: Any) -> Any:
    """Add the places of the bits of ``changes`` to ``edges``; returns how many there are then.

    As many as are usual in text are written whether they are there or not: what is written in vain costs less than
    a branch that is mispredicted at every end (Langdale and Lemire, VLDB Journal 28, 2019, section 3.1.3).
    """
    stop = n_edges + uint64(set_bits(changes))
    for k in range(uint64(USUAL_EDGES)):
        edges[n_edges + k] = at + np.int64(trailing_zeros(changes))
        changes &= changes - uint64(1)
    n_edges += uint64(USUAL_EDGES)
    while n_edges < stop:
        edges[n_edges] = at + np.int64(trailing_zeros(changes))
        n_edges += uint64(1)
        changes &= changes - uint64(1)
    return stop


@stage
def tokenise(
    plain_words: Any, data: Any, limit: Any, offsets: Any, last: Any, state: Any, edges: Any, ends: Any, chars: Any,
    words: Any, scratch: Any,
) -> Any:  # fmt: skip
    """Fill ``edges`` with the start and end byte of the next tokens; returns (tokens, documents ended).

    ``edges`` (int64) holds start and end by turns; a word that the block cuts stays in it as a lone start.
    ``chars``, at first all 0, gets the number of code points of each document, and ``words`` that of words between
    white space, whether or not words are plain.
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
            if at + 64 > limit:
                for k in range(64):
                    scratch[k] = data[at + k] if at + k < limit else uint8(32)
                mask, begun = _cuts_and_chars(plain_words, scratch, 0, rest, state)
            else:
                mask, begun = _cuts_and_chars(plain_words, data, at, rest, state)
            chars[doc] += begun
            changes = mask ^ ((mask << uint64(1)) | outside)
            outside = mask >> uint64(63)
            n_edges = _note_edges(changes, at, edges, n_edges)
            at += 64
        if at >= stop:
            if outside == 0:  # the last word ends with the document
                edges[n_edges] = stop
                n_edges += uint64(1)
            words[doc] = _end_spaced_words(state) if plain_words else before + np.int64(n_edges >> uint64(1))
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
