"""Words of a text, counted as scorers count them for the tags, for texts that no scorer sees. Knows nothing else."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^ \n\r\t\v\f\0]+")
"""What fastText takes for a word: other white space, such as U+00A0 or U+3000, is part of it."""


def count_words(text: str) -> int:
    """Number of words, as in the column ``words`` of tags."""
    return sum(1 for _ in _WORD.finditer(text))
