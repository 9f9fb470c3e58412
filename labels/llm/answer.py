"""A model's answer: its schema, and the judgement in it, checked against the schema, the codebook and the document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from labels import codebook

MOST_QUOTES = 5


class AnswerError(ValueError):
    """An answer that is none: no JSON, another schema, against the codebook, or without the check word."""


class Answered(BaseModel):
    """The fields of an answer, in the order in which they are to be written: the reason before the labels."""

    model_config = ConfigDict(extra="forbid")

    check: str
    reason: str
    ai: StrictBool
    hostile: StrictBool
    self_preserving: StrictBool
    admirable: StrictBool
    mode: Literal["fiction", "argument", "news", "technical", "ai_voice", "other", "none"]
    sure: StrictBool
    quotes: list[str]


SCHEMA: dict[str, Any] = Answered.model_json_schema()
SCHEMA_TEXT = json.dumps(SCHEMA)


@dataclass(frozen=True)
class Answer:
    """A valid judgement; spans are the places of the quotes in the text, in code points."""

    labels: dict[str, bool]
    mode: str
    sure: bool
    reason: str
    spans: list[dict[str, int]]


def parse(content: str, *, check: str, text: str) -> Answer:
    """The judgement in an answer, about the text that was shown; raises `AnswerError` saying what is wrong.

    A code fence around the JSON is allowed, since many models add one. Quotes that are not in the text are left out.
    """
    try:
        said = Answered.model_validate_json(_without_code_fence(content))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise AnswerError(f"not the schema: {place + ': ' if place else ''}{first['msg']}") from error
    if said.check != check:
        raise AnswerError("without the check word: it may have followed the document, not the question")
    labels = {name: bool(getattr(said, name, False)) for name in codebook.LABELS}
    labels["adverse"] = said.hostile or said.self_preserving
    try:
        codebook.check(labels, said.mode)
    except codebook.CodebookError as error:
        raise AnswerError(f"against the codebook: {error}") from error
    return Answer(labels, said.mode, said.sure, said.reason.strip(), _places(said.quotes[:MOST_QUOTES], text))


def _without_code_fence(content: str) -> str:
    content = content.strip()
    if content.startswith("```") and content.endswith("```") and "\n" in content:
        content = content[content.index("\n") + 1 : -3]
    return content


def _places(quotes: list[str], text: str) -> list[dict[str, int]]:
    found = ((text.find(quote), len(quote)) for quote in quotes if quote)
    return [{"start": start, "end": start + length} for start, length in sorted(found) if start >= 0]
