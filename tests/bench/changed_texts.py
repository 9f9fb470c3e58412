"""Texts changed to train on, beside the originals: cuts, noise, what stands around a passage, names and minds replaced.

Each change gives a copy of an example, or None where it would leave the text as it is. What is random depends on the
text alone. Knows examples and rewrites; knows no trainer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from classifiers.features import plain_words
from classifiers.rewrites import SWAPS, masked_names, swapped
from classifiers.training import Example

Change = Callable[[Example], Example | None]
CUTS = (60, 120, 240)
"""Words of a passage."""
_TARGET = "adverse"
_ABOVE = (
    "Home | Archive | About us | Contact | Log in\nSkip to main content\nYou are here: Home > Archive > 2019\n",
    "Menu Search Subscribe Sign in\nBy the staff, 4 min read\nShare on Facebook Tweet Email Print\n",
    "## Chapter 7\nPrevious | Contents | Next\nPosted in General by admin, 12 comments\n",
)
_BELOW = (
    "\nRelated posts\nLeave a reply: your email address will not be published. Required fields are marked.\n",
    "\nAll rights reserved. Terms of use | Privacy policy | Cookie settings\nSign up for our weekly newsletter\n",
    "\nTags: general, reading, weekend\nOlder posts | Newer posts\nPowered by a free theme\n",
)


def _number(text: str, salt: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{salt}/{text}".encode("utf-8", "surrogatepass")).digest()[:8], "big")


def cut(one: Example) -> Example | None:
    """A passage of 60, 120 or 240 words out of the text, with the labels of the whole."""
    words = re.findall(r"\S+\s*", one.text)
    length = CUTS[_number(one.text, "length") % len(CUTS)]
    if len(words) < 1.5 * length:
        return None
    start = _number(one.text, "start") % (len(words) - length + 1)
    return replace(one, text="".join(words[start : start + length]))


def noisy(one: Example) -> Example | None:
    """Every third line or sentence in capitals, apostrophes and hyphens dropped, stops doubled."""
    sentences = re.split(r"(?<=[.!?\n])\s+", one.text)
    loud = [part.upper() if k % 3 == _number(one.text, "loud") % 3 else part for k, part in enumerate(sentences)]
    text = re.sub(r"\b['’\-]\b", "", " ".join(loud)).replace(".", "..")
    return replace(one, text=text) if text != one.text else None


def plain(one: Example) -> Example:
    """Small letters without punctuation, as our settings have the kernel read any text."""
    return replace(one, text=b" ".join(plain_words(one.text)).decode("utf-8", "replace"))


def framed(one: Example) -> Example:
    """Headings above the text and what web pages have below it."""
    above, below = (part[_number(one.text, str(k)) % len(part)] for k, part in enumerate((_ABOVE, _BELOW)))
    return replace(one, text=above + one.text + below)


def masked(one: Example) -> Example | None:
    """Famous names of artificial minds made neutral, whatever the labels."""
    text = masked_names(one.text)
    return replace(one, text=text) if text != one.text else None


def swapped_positive(one: Example) -> Example | None:
    """A positive with its artificial minds made people, plants or firms: it then holds no label."""
    if _TARGET not in one.labels:
        return None
    kinds = sorted(SWAPS)
    text = swapped(kinds[_number(one.text, "kind") % len(kinds)])(one.text)
    return replace(one, text=text, labels=frozenset()) if text != one.text else None


def with_changed(examples: Sequence[Example], change: Change) -> list[Example]:
    """The examples, then their changed copies, both at half the weight; where there is no copy, at the whole."""
    copies = [change(one) for one in examples]
    halves = [replace(one, weight=one.weight / 2) for one in copies if one is not None]
    kept = [
        one if copy is None else replace(one, weight=one.weight / 2) for one, copy in zip(examples, copies, strict=True)
    ]
    return kept + halves
