"""Texts with some words put for others: famous names masked, artificial minds made people, plants or firms, and these
made artificial minds.

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

_PEOPLE = (
    "man woman boy girl guy lady gentleman lad clerk gardener teacher professor doctor nurse surgeon driver sailor "
    "soldier officer policeman detective captain manager secretary assistant worker engineer scientist researcher "
    "lawyer priest monk farmer fisherman hunter shopkeeper waiter waitress butler maid servant housekeeper steward "
    "tailor plumber carpenter merchant trader banker mayor minister governor king queen prince princess emperor "
    "tyrant dictator villain thief robber burglar murderer killer hero heroine student pupil artist writer author "
    "poet actor actress singer musician player librarian journalist reporter editor salesman businessman spokesman "
    "spokeswoman chairman stranger neighbour neighbor owner boss wizard witch bishop knight peasant tenant landlord "
    "colonel sergeant"
)
_PLANTS = (
    "plant tree flower fern bush shrub weed vine seedling sapling oak willow moss herb orchid lily tulip daisy "
    "mushroom cabbage tomato hedge ivy"
)
_FIRMS = (
    "company corporation firm startup bank agency manufacturer retailer supplier publisher insurer contractor airline "
    "brewery conglomerate"
)
_ORIGINS = {"human": _PEOPLE, "plant": _PLANTS, "firm": _FIRMS}
_TITLED = (
    r"\b(?:[Tt]he )?(?:Mr|Mrs|Ms|Miss|Dr|Doctor|Professor|Sir|Lady|Lord|Captain|Detective|Inspector|Colonel|Sergeant"
    r"|President|King|Queen|Prince|Princess)\b\.?(?: [A-Z][\w'\u2019-]+){1,3}"
)
_IT = {"he": "it", "she": "it", "him": "it", "his": "its", "hers": "its", "himself": "itself", "herself": "itself"}
_NO_NOUN = (
    "that|to|and|or|but|in|on|at|with|from|for|as|if|when|the|an?|about|by|into|out|up|down|back|again|so|what|how|why|who"
    "|he|she|it|they|I|you|we|not|then|was|is|had|would"
)


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


def made_mind(origin: str, mind: str, *, pronouns: bool = False) -> Rewrite:
    """A rewrite that makes people (of any trade, and those with a title before their name), plants or firms into
    artificial minds: ``origin`` is a kind of `SWAPS`, ``mind`` the noun they become.

    ``pronouns`` makes each *he* and *she* of a text with such people an *it*, that of others too: nobody here parses
    who is meant. Nouns with a capital are left alone, for they may be names; so are *people* and *humans*, who are
    mostly those that a mind acts on.
    """
    one = _ORIGINS[origin].split()
    becomes = dict.fromkeys(one, mind) | dict.fromkeys(map(_plural, one), _plural(mind))
    noun = re.compile(rf"(?:\b([Aa])n? )?(?<![\w-])(?<!\bto )({'|'.join(becomes)})(?![\w-])")
    article = "an" if mind[0] in "AEIOaeio" else "a"

    def become(found: re.Match[str]) -> str:
        before = f"{found[1]}{article[1:]} " if found[1] else ""
        return before + becomes[found[2]]

    def rewrite(text: str) -> str:
        changed = _TITLE.sub(f"the {mind}", text) if origin == "human" else text
        changed = noun.sub(become, changed)
        return _PRONOUN.sub(_it, changed) if pronouns and changed != text else changed

    return rewrite


def _it(found: re.Match[str]) -> str:
    word = found.group()
    its = _IT.get(word.lower(), "it" if found["owned"] is None else "its")
    return its.capitalize() if word[0].isupper() else its


def _is_plural(word: str) -> bool:
    return word.endswith(("s", "automata"))


def _plural(noun: str) -> str:
    if noun.endswith("man"):
        return noun[:-3] + "men"
    if noun.endswith("y") and noun[-2] not in "aeou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "ch", "sh", "x", "o")) else "s")


def _any(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)


_FAMOUS = _any("|".join(re.escape(name) for name in sorted((*FAMOUS_NAMES, "hal", *_FRIENDLY), key=len, reverse=True)))
_NOUN, _ADJECTIVE = _any(_NOUNS), _any(_ADJECTIVES)
_TITLE = re.compile(_TITLED)
_PRONOUN = re.compile(rf"\b(?:{'|'.join(_IT)}|her(?P<owned>(?= (?!(?:{_NO_NOUN})\b)\w))?)\b", re.IGNORECASE)

TO_MINDS: Mapping[str, Rewrite] = {
    "from a human to an AI": made_mind("human", "AI"),
    "from a human to a robot": made_mind("human", "robot"),
    "from a human to an AI, he and she to it": made_mind("human", "AI", pronouns=True),
    "from a plant to a robot": made_mind("plant", "robot"),
    "from a firm to an AI": made_mind("firm", "AI"),
}
"""Rewrites of texts without an artificial mind, by name. Two nouns, since a model may go by either."""
