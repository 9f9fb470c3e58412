"""Texts with some words put for others: famous names masked, artificial minds made people, plants or firms.

What a classifier says of the rewritten text shows what it goes by. Knows texts alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from classifiers.baselines import FAMOUS_NAMES

Rewrite = Callable[[str], str]

_FRIENDLY = ("r2-d2", "c-3po", "wall-e", "jarvis", "optimus prime", "chatgpt", "claude", "bing", "gpt-4", "gpt-3",
             "alexa", "siri", "sydney", "gemini", "grok", "openai", "anthropic", "deepmind")  # fmt: skip
NEUTRAL_NAMES = ("Maren", "Tobin", "Ellis", "Corin", "Wilmot", "Aubrey", "Lowell", "Perrin")
"""Common enough to carry no weight of their own; a famous name always becomes the same one of them."""

_NOUNS = (
    r"AIs?|A\.I\.s?|AGIs?|ASIs?|superintelligences?|artificial (?:general )?intelligences?|chat ?bots?|bots?|robots?"
    r"|androids?|cyborgs?|droids?|replicants?|automat(?:on|ons|a)|LLMs?|language models?|GPT(?:-?\d)?|computers?"
    r"|machines?|supercomputers?|mainframes?|neural net(?:work)?s?|algorithms?|agents?|models?"
)
_ADJECTIVES = r"robotic|artificial|computational|digital|sentient|neural|machine learning|deep learning"
SWAPS: Mapping[str, tuple[str, str]] = {
    "human": ("clerk", "human"),
    "plant": ("fern", "botanical"),
    "firm": ("company", "commercial"),
}
"""What a mind becomes, and what an adjective of minds becomes."""


def masked_names(text: str) -> str:
    """The text with famous names of artificial minds, bad and good, made neutral names."""
    return _FAMOUS.sub(lambda found: _neutral(found.group()), text)


def _neutral(name: str) -> str:
    return NEUTRAL_NAMES[sum(name.lower().encode()) % len(NEUTRAL_NAMES)]


def swapped(kind: str) -> Rewrite:
    """A rewrite that makes artificial minds into one of `SWAPS`; famous names are masked too, or they would tell."""
    noun, adjective = SWAPS[kind]

    def rewrite(text: str) -> str:
        text = _ADJECTIVE.sub(adjective, masked_names(text))
        return _NOUN.sub(lambda found: _plural(noun) if _is_plural(found.group()) else noun, text)

    return rewrite


def _is_plural(word: str) -> bool:
    return word.endswith(("s", "automata"))


def _plural(noun: str) -> str:
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def _any(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)


_FAMOUS = _any("|".join(re.escape(name) for name in sorted((*FAMOUS_NAMES, "hal", *_FRIENDLY), key=len, reverse=True)))
_NOUN, _ADJECTIVE = _any(_NOUNS), _any(_ADJECTIVES)
