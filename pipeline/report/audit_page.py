"""What the page of a report shows of an audit: its pictures, and rows of its tables in words.

Knows the figures of an audit as plain values; no markup, and nothing of how they were made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pipeline.prevalence.figure import NEARLY_ALL, brief
from pipeline.prevalence.slices import SLICES
from pipeline.report.audit_figures import (
    cost_picture,
    label_picture,
    quality_picture,
    strata_picture,
    trend_picture,
)
from pipeline.report.audit_slices import dated, long_differences, long_rows, own_label, tested_rows
from pipeline.report.figures import percent

Plain = dict[str, Any]
_DATES = ("month", "year")
_ZEROS = re.compile(r"\b0+(?=\d)")
"""In front of numbers of words, for their order."""
_UNIT = re.compile(r"(?<=\d) (documents|words|bytes)\b")


def audit_view(report: Plain) -> Plain:
    """All that the templates need beside the audit's figures; they come into a report as ``report["audit"]``."""
    audit, population = report["audit"], report["audit"]["population"]
    costs = [row | {"said": _said(row, population)} for row in audit["thresholds"]]
    own, label = audit["plan"]["threshold"], audit["label"]
    drawn = [row for row in costs if row["flagged"]["documents"]]
    slices = {by: own_label(rows, label) for by, rows in audit["slices"].items()}
    period = next((by for by in slices if by in _DATES), "")
    dates = _named(slices.get(period, []))
    tested = {by: tested_rows(pairs, label) for by, pairs in audit["differences"].items()}
    scores = next((one for one in report["labels"]["shown"] if one["label"] == label), None)
    return {
        "headline": [_headline(audit, unit) for unit in ("documents", "words", "bytes")],
        "costs": costs, "dates": dated(period, dates, tested.get(period, [])),
        "tested": tested, "csv": {by: list(long_rows(rows)) for by, rows in audit["slices"].items()},
        "tested_csv": {by: list(long_differences(rows)) for by, rows in audit["differences"].items()},
        "others": [name for name in audit["prevalence"] if name != label],
        "groups": [_group(by, rows) for by, rows in slices.items() if by not in _DATES and len(_named(rows)) > 1],
        "shrunken": any(
            row["shrunken"] and row["figure"]["too_few_labels"]
            for by, rows in slices.items() if by not in _DATES for row in _named(rows)
        ),
        "kinds": _kinds(audit), "labels": sorted({name for one in _quoted(audit) for name in one["labels"]}),
        "modes": sorted({one["mode"] for one in _quoted(audit)}),
        "labels_table": list(_labels_table(audit)),
        "pictures": {
            "trend": trend_picture(dates, label) if len(dates) > 1 else None,
            "strata": strata_picture(scores, audit) if scores else None,
            "quality": quality_picture(drawn, own) if len(drawn) > 1 else None,
            "cost": cost_picture(drawn, population, own) if len(drawn) > 1 else None,
            "labels": [(name, label_picture(name, _whole_and_modes(audit, name))) for name in audit["prevalence"]],
        },
        "counted": in_counts, "in_percent": in_percent,
    }  # fmt: skip


def _headline(audit: Plain, unit: str) -> Plain:
    """The recommended figure of a unit."""
    figure, corrected = audit["prevalence"][audit["label"]][unit], audit["two_phase"] is not None
    main, _, rest = figure["words"].partition(" (")
    return {"unit": unit, "main": main, "rest": f"({rest}" if rest else "", "flagged": audit["flag_rate"][unit],
            "corrected": corrected, "figure": figure}  # fmt: skip


def _whole_and_modes(audit: Plain, label: str) -> dict[str, Plain]:
    modes = {mode: units["documents"] for mode, units in audit["modes"][label].items()}
    return {"all": audit["prevalence"][label]["documents"], **modes}


def _labels_table(audit: Plain) -> Iterable[Plain]:
    for label, units in audit["prevalence"].items():
        for mode, by in {"all": units, **audit["modes"][label]}.items():
            if mode == "all" or by["documents"]["positives"]:
                yield {"label": label, "mode": mode, "documents": by["documents"], "by_words": by["words"],
                       "by_bytes": by["bytes"]}  # fmt: skip


def _named(rows: Sequence[Plain]) -> list[Plain]:
    """Without the documents that have no date, or no domain: they stand on no axis, and are no slice to rank."""
    return [row for row in rows if not row["slice"].startswith("(")]


def _group(by: str, rows: list[Plain]) -> Plain:
    """Slices ranked: those with a figure by it, then those that have only a bound, by size."""

    def rank(row: Plain) -> tuple[bool, float]:
        value = row["figure"]["value"]
        return value is None, -row["documents"] if value is None else -value

    ranked = rows if by == "length" else sorted(rows, key=rank)
    known = [row["figure"]["high"] for row in rows if row["figure"]["value"] is not None]
    most = max(known or [row["figure"]["high"] for row in rows])
    named = [row | {"slice": _ZEROS.sub("", row["slice"])} for row in ranked] if by == "length" else ranked
    return {"by": by, "title": SLICES[by].title, "rows": named, "most": most or 1.0}


def in_counts(figure: Plain | None, total: int) -> str:
    """A share of ``total`` as a number of documents or words: "60 (20 to 150)", or "at most 150"."""
    return _beside(figure, lambda share: f"{share * total:,.0f}") if total else "–"


def in_percent(figure: Plain | None) -> str:
    """A share as "64 % (56 to 71)", "at most 71 %" or "at least 56 %"."""
    return _beside(figure, lambda share: f"{100 * share:.3g}", "\N{NO-BREAK SPACE}%")


def _beside(figure: Plain | None, number: Callable[[float], str], unit: str = "") -> str:
    if not figure:
        return "–"
    mark = ", uncorrected" if figure["basis"] == "uncorrected" else ""
    if figure["value"] is None and figure["low"]:
        return f"at least {number(figure['low'])}{unit}{mark}"
    if figure["value"] is None:
        return ("anything" if figure["high"] >= NEARLY_ALL else f"at most {number(figure['high'])}{unit}") + mark
    low, value, high = (number(figure[end] or 0.0) for end in ("low", "value", "high"))
    interval = f" ({low} to {high})" if figure["low"] != figure["high"] else ""  # all that could tell was read
    return f"{value}{unit}{interval}{mark}"


def bare(words: str) -> str:
    """A figure in words for a cell: brief, and without its unit, which a column of a table names."""
    return _UNIT.sub("", brief(words), count=1)


def _said(row: Plain, population: Plain) -> str:
    """A threshold in one sentence, for the slider and the pointer."""
    flagged = row["flagged"]
    lost = ", ".join(f"{flagged[u]:,} {u} ({percent(flagged[u] / max(1, population[u]))})" for u in flagged)
    left = f"; left in the rest: {row['elusion']['words']}" if row["elusion"] else ""
    return (
        f"At {row['threshold']:.4g} a filter drops {lost}; of the documents wrongly "
        f"{in_counts(row['wrong']['documents'], flagged['documents'])}. Precision {in_percent(row['precision'])}, "
        f"recall {in_percent(row['recall'])}{left}. In brackets: 95 %."
    )


def _quoted(audit: Plain) -> list[Plain]:
    return [one for kind in audit["examples"].values() for one in kind]


def _kinds(audit: Plain) -> list[Plain]:
    label = audit["label"]
    titles = {
        "strongest": (f"Strongest: {label}, by score", "They flatter the filter: do not judge it by these alone."),
        "found": (f"Random: {label} and flagged", "In the random order of the draw."),
        "wrong": (f"Random: flagged and not {label}", "What a filter would lose wrongly."),
        "missed": (f"Random: {label} and not flagged", "What a filter would let pass."),
    }
    return [
        {"id": kind, "title": titles[kind][0], "note": titles[kind][1], "examples": found}
        for kind, found in audit["examples"].items()
    ]
