"""What an annotator said in the form, checked against the codebook. Knows forms, not stores."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData

from labels import codebook
from labels.page.guard import field as text_field
from labels.store.tables import Label

LONGEST_NOTE = 10_000
MOST_SPANS = 200
CHOICES = ("ai", "hostile", "self_preserving", "admirable")
"""What is asked; ``adverse`` follows."""


@dataclass(frozen=True)
class Judgement:
    """``labels`` are the codebook's five; ``answered`` says that something was chosen, if only "none of these"."""

    labels: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(codebook.LABELS, False))
    mode: str = codebook.NO_MODE
    sure: bool = True
    note: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)
    answered: bool = False

    @property
    def spans_json(self) -> str:
        """The spans as the form carries them: [start, end] in code points."""
        return json.dumps([[one["start"], one["end"]] for one in self.spans])


def from_form(form: FormData, chars: int) -> Judgement:
    """The judgement as sent; spans must lie in the text's ``chars`` code points.

    Raises `CodebookError`, in words for the annotator, if it is not complete, or against the codebook.
    """
    said = read(form)
    if not said.answered:
        raise codebook.CodebookError("Choose a label, or “none of these”.")
    if text_field(form, "none") and any(said.labels.values()):
        raise codebook.CodebookError("“None of these” and a label cannot both hold.")
    if said.labels["ai"] and said.mode not in codebook.MODES:
        raise codebook.CodebookError("Choose a mode: a text about AI has one.")
    codebook.check(said.labels, said.mode)
    if len(said.note) > LONGEST_NOTE:
        raise codebook.CodebookError(f"The note has over {LONGEST_NOTE:,} characters; shorten it.")
    if len(said.spans) > MOST_SPANS or not all(0 <= one["start"] < one["end"] <= chars for one in said.spans):
        raise codebook.CodebookError("A marked passage does not lie in the text; mark it again.")
    return said


def read(form: FormData, *, lenient: bool = False) -> Judgement:
    """The form's content, whether or not it is allowed; `adverse` is worked out, a mode without `ai` dropped.

    Spans that cannot be read raise `CodebookError`; ``lenient`` leaves them out.
    """
    labels = {name: bool(text_field(form, name)) for name in CHOICES}
    labels["adverse"] = labels["hostile"] or labels["self_preserving"]
    mode = text_field(form, "mode") if labels["ai"] else codebook.NO_MODE
    return Judgement(
        {name: labels[name] for name in codebook.LABELS}, mode, not text_field(form, "unsure"),
        text_field(form, "note").replace("\r\n", "\n").strip(),
        _spans(text_field(form, "spans"), lenient=lenient),
        bool(text_field(form, "none")) or any(labels.values()),
    )  # fmt: skip


def from_label(label: Label) -> Judgement:
    """What was said before, to be seen or changed."""
    labels = {name: bool(getattr(label, name)) for name in codebook.LABELS}
    return Judgement(labels, label.mode, label.sure, label.note, list(label.spans), True)


def _spans(value: str, *, lenient: bool) -> list[dict[str, Any]]:
    """Spans as the form carries them: a list of [start, end]."""
    try:
        pairs = json.loads(value or "[]")
        spans = [{"start": start, "end": end} for start, end in pairs]
        if all(type(place) is int for one in spans for place in one.values()):
            return spans
    except (ValueError, TypeError, RecursionError):
        pass  # said below
    if lenient:
        return []
    raise codebook.CodebookError("The marked passages cannot be read; load the page again.")
