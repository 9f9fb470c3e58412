"""Edits of texts by spans, for texts of any characters and spans of any kind."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.apply.edit import edit, spans_of
from pipeline.policy.actions import ControlTokens, Evidence, Excise, Mask

TEXTS = st.text(st.characters(codec="utf-8", categories=["L", "M", "N", "Z", "So", "Cf"]), max_size=60)
EVIDENCE = Evidence(("adverse",), 0.5)


@st.composite
def texts_with_spans(draw: Any) -> tuple[str, list[dict[str, Any]]]:
    """A text, and spans in it: overlapping, touching, empty, of other labels, and too weak."""
    text = draw(TEXTS)
    places = st.integers(0, len(text))
    spans = []
    for start, end in draw(st.lists(st.tuples(places, places), max_size=5)):
        label, score = draw(st.sampled_from(["adverse", "other"])), draw(st.sampled_from([0.2, 0.5, 0.9]))
        spans.append({"label": label, "start": min(start, end), "end": max(start, end), "score": score})
    return text, spans


def covered(spans: list[dict[str, Any]]) -> set[int]:
    fitting = [s for s in spans if s["label"] == "adverse" and s["score"] >= 0.5]
    return {i for s in fitting for i in range(s["start"], s["end"])}


@settings(max_examples=150, deadline=None)
@given(texts_with_spans())
def test_masks_are_the_characters_of_the_evidence_and_valid_for_the_text(given_: Any) -> None:
    text, spans = given_
    found = edit(Mask(EVIDENCE), text, spans)
    assert found.text is None
    assert {i for start, end in found.masked for i in range(start, end)} == covered(spans)
    ends = [place for span in found.masked for place in span]
    assert ends == sorted(ends) and all(0 <= place <= len(text) for place in ends)
    assert all(one[1] < other[0] for one, other in zip(found.masked, found.masked[1:], strict=False))


@settings(max_examples=150, deadline=None)
@given(texts_with_spans())
def test_what_is_left_is_what_stood_outside(given_: Any) -> None:
    text, spans = given_
    cut = edit(Excise(EVIDENCE, "\ue000"), text, spans).text
    assert cut is not None
    assert cut.replace("\ue000", "") == "".join(sign for i, sign in enumerate(text) if i not in covered(spans))
    assert cut.count("\ue000") == len(spans_of(EVIDENCE, spans))
    cut.encode()  # no half of a character is left


@settings(max_examples=150, deadline=None)
@given(texts_with_spans())
def test_marks_stand_around_the_evidence_and_nothing_is_lost(given_: Any) -> None:
    text, spans = given_
    marked = edit(ControlTokens("\ue000", "\ue001", evidence=EVIDENCE), text, spans).text
    assert marked is not None and marked.replace("\ue000", "").replace("\ue001", "") == text
    inside, characters = False, set()
    at = 0
    for sign in marked:
        if sign in "\ue000\ue001":
            inside = sign == "\ue000"
            continue
        characters |= {at} if inside else set()
        at += 1
    assert characters == covered(spans)


def test_a_span_beyond_the_text_is_an_error() -> None:
    with pytest.raises(ValueError, match="a span ends at character 9 of a text with 4"):
        edit(Mask(EVIDENCE), "text", [{"label": "adverse", "start": 0, "end": 9, "score": 1.0}])
