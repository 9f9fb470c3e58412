"""Two reports set side by side: what differs between two corpora, or one before and after a policy, tested as such.

Takes what ``tropescan report --json`` wrote, with audits or without. The two audits must be draws of their own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline import storage
from pipeline.prevalence.compare import difference_of, q_values
from pipeline.prevalence.figure import Basis
from pipeline.prevalence.two_phase import reading_from_json
from pipeline.schema import topic_digest

Plain = dict[str, Any]
_PARTS = {"folder", "label", "threshold", "headline", "curve", "model"}
_UNITS = ("documents", "words", "bytes")


def load_report(file: str) -> Plain:
    """The figures of a report from a file. Raises `ValueError` naming it if it is no such file."""
    wanted = "give what 'tropescan report DIR --json FILE' wrote"
    try:
        found = json.loads(storage.read_bytes(file))
    except ValueError as error:
        raise ValueError(f"{file}: not JSON ({error}); {wanted}") from error
    if not isinstance(found, dict) or not found.keys() >= _PARTS:
        raise ValueError(f"{file}: not a report's figures; {wanted}")
    if found.get("audit") and "differences" not in found["audit"]:
        raise ValueError(f"{file}: an earlier version made its audit's figures; estimate and report anew")
    return found


def compare(first: Plain, second: Plain) -> Plain:
    """Figures of both and their differences (second minus first), as plain values.

    ``labels``: prevalence by label and unit; ``slices``: of those in both, with q-values over each list; both empty
    unless both have an audit. Raises `ValueError` for reports on different labels, or of one draw.
    """
    if first["label"] != second["label"]:
        raise ValueError(
            f"{first['folder']} is a report on {first['label']!r}, {second['folder']} on {second['label']!r}; "
            "make both with the same --label"
        )
    audits = (first.get("audit"), second.get("audit"))
    if audits[0] and audits[1] and _draw(audits[0]) == _draw(audits[1]):
        raise ValueError(
            f"{first['folder']} and {second['folder']} are audited by one draw, {audits[0]['draw']!r}: the same "
            "documents were read, and a test that takes them for two independent draws says nothing; draw anew with "
            "another --seed"
        )
    return {
        "label": first["label"], "folders": [one["folder"] for one in (first, second)],
        "notes": list(_notes(first, second)), "flagged": _flagged(first, second),
        "topics": _topics(first, second), "curve": _curves(first, second),
        "labels": _labels(audits[0], audits[1]) if audits[0] and audits[1] else [],
        "slices": _slices(audits[0], audits[1]) if audits[0] and audits[1] else {},
        "filter": [one["filter"]["documents"] if one else None for one in audits],
        "against": [one["against"] if one else None for one in audits],
        "labelled": [one["labelled"] if one else None for one in audits],
    }  # fmt: skip


def _notes(first: Plain, second: Plain) -> Sequence[str]:
    notes = []
    if first["model"].get("digest") != second["model"].get("digest"):
        notes.append("The two were scored by different models: flag rates differ for that alone; prevalences do not.")
    if "" not in (topics := {topic_digest(one["model"]) for one in (first, second)}) and len(topics) > 1:
        notes.append("Topics are by different models: slices by topic differ for that alone.")
    if first["threshold"] != second["threshold"]:
        notes.append(f"Flag rates are at different thresholds, {first['threshold']:.4g} and {second['threshold']:.4g}.")
    audits = [one.get("audit") for one in (first, second)]
    if not all(audits):
        notes.append("Not both have an audit: flag rates alone are compared, and a flag rate is not a prevalence.")
    for one in filter(None, audits):
        notes += [f"{one['draw']}: {note}." for note in one["notes"]]
        if not _sample(one, one["label"], "documents"):
            notes.append(f"{one['draw']}: corrected for annotators' errors; such figures have no tested difference.")
    return notes


def _flagged(first: Plain, second: Plain) -> list[Plain]:
    return [
        {"unit": unit, "first": first["headline"][unit], "second": second["headline"][unit],
         "difference": _minus(second["headline"][unit]["share"], first["headline"][unit]["share"])}
        for unit in _UNITS
    ]  # fmt: skip


def _topics(first: Plain, second: Plain) -> list[Plain]:
    """Shares flagged of the topics that both list, in the order of the first; none where one has no topics."""
    known = [one.get("topics") or {"rows": []} for one in (first, second)]
    others = {row["name"]: row for row in known[1]["rows"]}
    return [
        {"topic": row["name"], "first": row["share"], "second": others[row["name"]]["share"],
         "difference": others[row["name"]]["share"] - row["share"]}
        for row in known[0]["rows"] if row["name"] in others and row["name"] is not None
    ]  # fmt: skip


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _curves(first: Plain, second: Plain) -> list[Plain]:
    """Shares flagged at the thresholds of both; exact counts."""
    totals = [one["headline"]["documents"]["total"] or 1 for one in (first, second)]
    return [
        {"threshold": a["threshold"], "first": a["documents"] / totals[0], "second": b["documents"] / totals[1]}
        for a, b in zip(first["curve"], second["curve"], strict=True)
    ]


def _draw(audit: Plain) -> tuple[Any, ...]:
    """What tells one draw from another: seed and strata decide which documents of a population are drawn."""
    strata = [(one["name"], one["documents"]) for one in audit["strata"]]
    return audit["plan"]["model"], audit["plan"]["seed"], audit["population"], strata


def _sample(audit: Plain, label: str, unit: str) -> Plain | None:
    found: Plain | None = audit["prevalence"][label][unit].get("sample")
    return found


def _labels(first: Plain, second: Plain) -> list[Plain]:
    rows = []
    for label in first["prevalence"]:
        for unit in _UNITS:
            figures = [one["prevalence"][label][unit] for one in (first, second)]
            rows.append({"label": label, "unit": unit, **_pair(*figures)})
    return rows


def _pair(first: Plain, second: Plain) -> Plain:
    """Two figures and their difference, where both have a sample that it can be made of."""
    if "sample" not in first or "sample" not in second:
        return {"first": first, "second": second, "difference": None}
    gap = difference_of(reading_from_json(second["sample"]), reading_from_json(first["sample"]))
    basis: Basis = "uncorrected" if "uncorrected" in (first["basis"], second["basis"]) else "design"
    few = first["too_few_labels"] or second["too_few_labels"]
    found = replace(gap, few=few, figure=replace(gap.figure, basis=basis))
    return {"first": first, "second": second, "difference": found.as_json()}


def _slices(first: Plain, second: Plain) -> dict[str, list[Plain]]:
    """Of slices that both audits list, the audits' label by documents, with false discoveries controlled over each
    list."""

    def own(row: Plain) -> Plain:
        figure: Plain = row["prevalence"][first["label"]]["documents"]
        return figure

    found = {}
    for by in first["slices"].keys() & second["slices"].keys():
        others = {row["slice"]: row for row in second["slices"][by]}
        rows = [
            {"slice": row["slice"], **_pair(own(row), own(others[row["slice"]]))}
            for row in first["slices"][by]
            if row["slice"] in others
        ]
        q = q_values(np.array([row["difference"]["p_value"] for row in rows]))
        found[by] = [row | {"q_value": float(value)} for row, value in zip(rows, q, strict=True)]
    return dict(sorted(found.items()))
