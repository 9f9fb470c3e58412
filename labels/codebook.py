"""The labels and what holds between them (``docs/codebook.md`` has their meaning). Knows neither stores nor models."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.schema import MODES as MODES

VERSION = "1"
LABELS = ("ai", "adverse", "hostile", "self_preserving", "admirable")
"""What a text can be labelled; several may hold. ``adverse``, the target, is ``hostile or self_preserving``."""
IMPLIES = {"adverse": "ai", "hostile": "ai", "self_preserving": "ai", "admirable": "ai", **dict.fromkeys(MODES, "ai")}
"""What holds wherever a label or a mode does."""
NO_MODE = "none"
ANNOTATOR_KINDS = ("human", "llm", "rule", "adjudicated")


class CodebookError(ValueError):
    """Labels that the codebook rules out; the message says which and why."""


def check(labels: Mapping[str, bool], mode: str) -> None:
    """Raise `CodebookError` unless the five labels and the mode are consistent."""
    if missing := [name for name in LABELS if name not in labels]:
        raise CodebookError(f"labels {missing} are not given; each of {', '.join(LABELS)} must be true or false")
    if labels["adverse"] != (labels["hostile"] or labels["self_preserving"]):
        raise CodebookError("`adverse` must be exactly `hostile or self_preserving`")
    if not labels["ai"] and any(labels[name] for name in LABELS):
        raise CodebookError("a label other than `ai` holds, but `ai` does not: each of them implies it")
    if labels["ai"] and mode not in MODES:
        raise CodebookError(f"mode {mode!r} is unknown; where `ai` holds it is one of {', '.join(MODES)}")
    if not labels["ai"] and mode != NO_MODE:
        raise CodebookError(f"mode {mode!r} without `ai`; it is {NO_MODE!r} then")
