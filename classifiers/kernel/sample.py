"""Evenly spaced stretches of texts, whole words where there are spaces near, copied into a buffer of their own."""

from __future__ import annotations

from typing import Any

from numba import uint8

from pipeline.compiled.stage import stage

LONGEST_WORD = 64
"""Bytes to look for a space. Scripts without spaces are cut between two characters."""


def sample_texts(data: Any, offsets: Any, n_texts: Any, stretches: Any, size: Any, out: Any, ends: Any) -> None:
    """Copy ``stretches`` (at least 2) stretches of each text, of ``size`` bytes or up to `LONGEST_WORD` more, with a
    space behind each. A text that is no longer than all of them is copied whole.

    ``data`` uint8 and ``offsets`` int64 (texts + 1,) are those of an Arrow string column; ``out`` uint8 with room for
    ``stretches * (size + LONGEST_WORD + 1)`` bytes a text; ``ends`` int64 (texts + 1,) gets the offsets in it.
    """
    at = 0
    for text in range(n_texts):
        ends[text] = at
        start, stop = offsets[text], offsets[text + 1]
        if stop - start <= stretches * size:
            at = _copy(data, start, stop, out, at)
            continue
        step = (stop - start - size) // (stretches - 1)
        for i in range(stretches):
            first = start + i * step
            first = _word_boundary(data, first, stop) if i > 0 else first
            at = _copy(data, first, _word_boundary(data, first + size, stop), out, at)
    ends[n_texts] = at


@stage
def _word_boundary(data: Any, at: Any, stop: Any) -> Any:
    """The first space from ``at`` on, or the first character if there is none near."""
    limit = min(at + LONGEST_WORD, stop)
    for i in range(at, limit):
        if data[i] <= 32:
            return i
    while at < limit and data[at] & 0xC0 == 0x80:
        at += 1
    return min(at, stop)


@stage
def _copy(data: Any, first: Any, last: Any, out: Any, at: Any) -> Any:
    for i in range(first, last):
        out[at] = data[i]
        at += 1
    out[at] = uint8(32)
    return at + 1
