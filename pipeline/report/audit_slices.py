"""Slices of an audit as the page and its CSV show them: the audit's label in rows of its own, all labels in long ones.

Knows the figures of an audit as plain values; no markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Plain = dict[str, Any]
_ENDS = ("value", "low", "high")
_COUNTS = ("labels", "positives", "effective_labels", "too_few_labels", "basis", "confidence")


def own_label(rows: Sequence[Plain], label: str) -> list[Plain]:
    """Each slice with the ``figure`` of one label by documents, its q-value, and what it is ``shrunken`` to."""
    figures = [row["prevalence"][label]["documents"] for row in rows]
    return [
        row | {"figure": one, "q_value": one["q_value"], "shrunken": one["shrunken"]}
        for row, one in zip(rows, figures, strict=True)
    ]


def tested_rows(pairs: Sequence[Plain], label: str) -> list[Plain]:
    """Differences of one label by documents: ``slice``, the one it is held ``against``, and ``difference``."""
    return [
        {"slice": one["slice"], "against": one["against"], "difference": one["differences"][label]["documents"]}
        for one in pairs
    ]


def dated(by: str, rows: Sequence[Plain], tested: Sequence[Plain]) -> Plain:
    """Dates with their ``change`` from the one before in the list, None of the first; and the other pairs tested."""
    known = {(one["slice"], one["against"]): one["difference"] for one in tested}
    before = ["", *(row["slice"] for row in rows)]
    pairs = [(row["slice"], earlier) for row, earlier in zip(rows, before, strict=False)]
    return {
        "by": by, "rows": [row | {"change": known.get(pair)} for row, pair in zip(rows, pairs, strict=True)],
        "tested": [one for one in tested if (one["slice"], one["against"]) not in pairs] or list(tested),
        "pairs": len(tested),
    }  # fmt: skip


def long_rows(rows: Sequence[Plain]) -> Iterator[Plain]:
    """A row for each slice, label and unit, to six digits, for a CSV."""
    for row in rows:
        for label, unit, figure in _each(row["prevalence"]):
            gap, shrunken = figure["difference_from_rest"] or {}, figure["shrunken"] or {}
            yield {
                "slice": row["slice"], "label": label, "unit": unit, "size": row[unit], "flagged": row["flagged"][unit],
                **_numbers(figure, (*_ENDS, "q_value")), **{name: figure[name] for name in _COUNTS},
                "difference_from_rest": _numbers(gap, (*_ENDS, "p_value")), "shrunken": _numbers(shrunken, _ENDS),
            }  # fmt: skip


def long_differences(pairs: Sequence[Plain]) -> Iterator[Plain]:
    """The same of differences between slices."""
    for one in pairs:
        for label, unit, gap in _each(one["differences"]):
            numbers = _numbers(gap, (*_ENDS, "p_value", "p_adjusted"))
            yield {"slice": one["slice"], "against": one["against"], "label": label, "unit": unit, **numbers,
                   "basis": gap["basis"]}  # fmt: skip


def _each(by_label: Plain) -> Iterator[tuple[str, str, Plain]]:
    for label, units in by_label.items():
        for unit, figure in units.items():
            if figure is not None:
                yield label, unit, figure


def _numbers(figure: Plain, names: Sequence[str]) -> Plain:
    return {name: _short(figure.get(name)) for name in names}


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
