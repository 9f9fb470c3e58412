"""A text's passages: what an encoder, which reads a limited number of word pieces at once, gets of it.

Knows texts only.
"""

from __future__ import annotations


def passages(text: str, words: int) -> list[str]:
    """The text cut into parts of equal length, of about ``words`` words; one empty part of an empty text."""
    every = text.split()
    parts = max(1, round(len(every) / words))
    step = max(1, -(-len(every) // parts))
    return [" ".join(every[k : k + step]) for k in range(0, len(every), step)] or [""]
