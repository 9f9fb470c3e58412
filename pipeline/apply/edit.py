"""Texts as a rule changes them, and what of them is no target of training: in code points, so none is ever split.

Knows texts and spans; neither files nor why a document is edited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.policy.actions import ControlTokens, Evidence, Excise, Mask
from pipeline.policy.tokens import Spans, Tokenizer
from pipeline.words import count_words


@dataclass(frozen=True)
class Edited:
    """``text`` None: as it was. ``masked``: spans of code points of the text as it is written; ``masked_tokens``: spans
    of its tokens. ``words_masked`` and ``words_cut`` are words between white space that are masked, or no longer there;
    one of which a part is counts."""

    text: str | None = None
    masked: Spans = ()
    masked_tokens: Spans = ()
    words_masked: int = 0
    words_cut: int = 0


def spans_of(evidence: Evidence, spans: Iterable[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """The stretches of a text that hold the evidence: rising, and none touches the next."""
    fitting = [s for s in spans if s["label"] in evidence.labels and s["score"] >= evidence.at_least]
    joined: list[tuple[int, int]] = []
    for start, end in sorted((s["start"], s["end"]) for s in fitting):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def edit(
    action: Mask | Excise | ControlTokens,
    text: str,
    spans: Iterable[dict[str, Any]],
    tokenizer: Tokenizer | None = None,
) -> Edited:
    """What a rule's action makes of a text with these spans of tags.

    Raises `ValueError` for a span that is not inside the text.
    """
    if isinstance(action, ControlTokens) and action.evidence is None:
        return Edited(f"{action.before}{text}{action.after}")
    assert action.evidence is not None
    found = spans_of(action.evidence, spans)
    if found and found[-1][1] > len(text):
        raise ValueError(f"a span ends at character {found[-1][1]} of a text with {len(text)}")
    match action:
        case Mask():
            return Edited(None, found, tokenizer.spans(text, found) if tokenizer else (), _words(text, found))
        case Excise(marker=marker):
            return Edited(_joined(text, found, lambda _: marker), words_cut=_words(text, found))
        case ControlTokens(before, after):
            return Edited(_joined(text, found, lambda part: f"{before}{part}{after}"))


def _words(text: str, spans: Iterable[tuple[int, int]]) -> int:
    return sum(count_words(text[start:end]) for start, end in spans)


def _joined(text: str, spans: Sequence[tuple[int, int]], made: Any) -> str:
    """The text with something else in place of each span."""
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], made(text[start:end])]
        at = end
    return "".join([*parts, text[at:]])
