"""Figures of an audit by slice: host, domain, topic, date, language, source, length. Composes the estimators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.audit_figures import Audit, Plain, shown
from jobs.audit_phases import Phases
from jobs.tag_rows import Row
from pipeline.prevalence.compare import difference_of, q_values, shrunken, simultaneous, tails_together
from pipeline.prevalence.figure import LEAST_POSITIVES, Figure
from pipeline.prevalence.frame import Counted
from pipeline.prevalence.melding import TAILS
from pipeline.prevalence.sample import Sample, stratified
from pipeline.prevalence.slices import TOPIC, Slicer
from pipeline.prevalence.two_phase import two_phase
from pipeline.report.queries import MOST_TOPICS

DATES = ("year", "month")
MOST_SLICES = 20
LEAST_SLICES = 5
MOST_DATES = 60
"""Months or years shown at most: all of them hold at once, and each one more makes all intervals wider."""


def slices(audit: Audit, slicer: Slicer, most: int | None = None, phases: Phases | None = None) -> list[Plain]:
    """The largest slices, dates in order: estimate, flag rate, what the filter costs there, difference from the rest
    and its q-value.

    ``most`` of them; None: `MOST_SLICES`, or `MOST_TOPICS`. Intervals of dates hold at once. ``shrunken`` is
    model-based, and there for slices with too few labels. With ``phases`` the estimate is that corrected by people;
    difference and q-value are of settled labels.
    """
    if not audit.rows:
        return []
    counted = audit.census.slices[slicer.by]
    usual = MOST_TOPICS if slicer.by == TOPIC else MOST_SLICES
    names = _largest(counted, slicer, MOST_DATES if slicer.by in DATES else most or usual)
    mine = members(slicer, audit.rows, names)
    samples = [audit.audited.sample(counted[n].sums, audit.positive, mine=which) for n, which in mine.items()]
    if phases:
        figures = _corrected(audit, slicer, {name: counted[name] for name in names}, phases)
    else:
        figures = simultaneous(samples) if slicer.by in DATES else [stratified(one) for one in samples]
    gaps = [_gap(audit, counted[name], mine[name], one) for name, one in zip(names, samples, strict=True)]
    controlled = q_values(np.array([gap["p_value"] if gap else 1.0 for gap in gaps]))
    drawn = shrunken_slices(figures)
    rows = zip(names, samples, figures, gaps, controlled, drawn, strict=True)
    return [
        _sizes(counted[name]) | {
            "slice": name, "figure": shown(figure) | {"sample": one.to_json()}, "difference_from_rest": gap,
            "q_value": float(q), "shrunken": shown(small) if small else None,
            "wrong": _wrong(audit, counted[name], mine[name]),
        }
        for name, one, figure, gap, q, small in rows
    ]  # fmt: skip


def _corrected(audit: Audit, slicer: Slicer, counted: dict[str, Counted], phases: Phases) -> list[Figure]:
    mine = members(slicer, [audit.census.rows[document] for document in phases.first.documents], list(counted))
    tails = tails_together(len(counted)) if slicer.by in DATES else TAILS
    documents = {name: np.rint(one.sums[:, 0]).astype(np.int64) for name, one in counted.items()}
    return [two_phase(phases.counts(documents[name], mine[name]), tails=tails) for name in counted]


def _largest(counted: dict[str, Counted], slicer: Slicer, most: int) -> list[str]:
    kept = sorted(counted, key=lambda name: (-counted[name].sums[:, 0].sum(), name))[:most]
    return sorted(kept) if slicer.by in (*DATES, "length") else kept


def members(slicer: Slicer, rows: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    """Which of the documents read are in each slice: bool, shape (rows,), by name."""
    found, at = slicer.of(pa.RecordBatch.from_pylist(list(rows)))
    values = np.array(found, object)[at]
    return {name: values == name for name in names}


def _sizes(counted: Counted) -> Plain:
    documents, words = (round(total) for total in counted.sums[:, :2].sum(axis=0))
    flagged, flagged_words = (round(total) for total in counted.flagged[:2])
    return {
        "documents": documents, "words": words, "flagged": flagged, "flagged_words": flagged_words,
        "flag_rate": flagged / documents,
    }  # fmt: skip


def _gap(audit: Audit, counted: Counted, which: Any, one: Sample) -> Plain | None:
    rest = audit.audited.sample(audit.census.whole.sums - counted.sums, audit.positive, mine=~which)
    if not rest.size.sum():
        return None
    gap = difference_of(one, rest)
    return asdict(gap.figure.estimate) | {"p_value": gap.p_value}


def shrunken_slices(figures: Sequence[Figure]) -> list[Figure | None]:
    """None of a slice in which a stratum was not read, whose labels are then worth an unknown number, and of all where
    too few slices, or positives, are left to fit a prior to."""
    known = [k for k, one in enumerate(figures) if one.effective_n]
    found: list[Figure | None] = [None] * len(figures)
    if len(known) < LEAST_SLICES or sum(figures[k].positives for k in known) < LEAST_POSITIVES:
        return found
    effective = np.array([figures[k].effective_n or 0.0 for k in known])
    values = np.array([figures[k].estimate.value for k in known])
    for k, figure in zip(known, shrunken(effective * values, effective), strict=True):
        found[k] = figure
    return found


def _wrong(audit: Audit, counted: Counted, which: Any) -> Plain | None:
    """Of what the filter flags in the slice, the share that is not positive; None where it flags nothing, or strata
    are not cut at the threshold, as those of a pilot may not be."""
    plan = audit.labelled.plan
    above = [k for k, one in enumerate(plan.strata) if one.low is not None and one.low >= plan.threshold]
    cut = any(one.low == plan.threshold for one in plan.strata)
    flagged = audit.audited.sample(counted.sums, ~audit.positive, mine=which).part(above)
    return shown(stratified(flagged)) if cut and flagged.size.sum() else None
