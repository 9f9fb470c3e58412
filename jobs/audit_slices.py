"""Figures of an audit by slice: host, domain, topic, date, language, source, length. Composes the estimators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.audit_differences import Differences, Key, Pair, Plain, dated_pairs, nested
from jobs.audit_figures import Audit, Flags, Floats, shown
from jobs.tag_rows import Row
from labels.codebook import LABELS
from pipeline.prevalence.compare import Difference, at_once, q_values, shrunken
from pipeline.prevalence.counted import Counted, CountedSlices
from pipeline.prevalence.figure import LEAST_POSITIVES, Figure
from pipeline.prevalence.melding import DRAWS, Chances, Form
from pipeline.prevalence.sample import Share, stratified
from pipeline.prevalence.slices import TOPIC, Slicer
from pipeline.prevalence.strata import UNITS
from pipeline.report.queries import MOST_TOPICS

DATES = ("year", "month")
MOST_SLICES = 20
LEAST_SLICES = 5
MOST_DATES = 60
"""Months or years shown at most: all of them hold at once, and each one more makes all intervals wider."""
_KEYS = [(label, unit) for label in LABELS for unit in UNITS]


@dataclass(frozen=True)
class Sliced:
    """``rows``: of each slice its sizes, flag rate, what a filter loses wrongly there, and by label and unit its
    ``prevalence``, or None where it has no words or bytes. ``differences``: see `Differences.rows`."""

    rows: list[Plain]
    differences: list[Plain]


@dataclass(frozen=True)
class _Slice:
    """By label and unit: figures, the samples that they are made from, and differences from the rest."""

    figures: Mapping[Key, Figure]
    samples: Mapping[Key, Plain]
    gaps: Mapping[Key, Difference]


def slices(
    audit: Audit, slicer: Slicer, most: int | None = None, compared: Sequence[Pair] = (), form: Form = "mid-p"
) -> Sliced:
    """The largest slices, dates in order, and those that are ``compared``.

    ``most`` of them; None: `MOST_SLICES`, or `MOST_TOPICS`. Intervals of dates hold at once, for each label and unit,
    and so do those of differences: of each date from the one before it, the last from the first, and those
    ``compared``. Raises `ValueError` for a slice to compare that holds no document.
    """
    counted, dated = audit.census.slices[slicer.by], slicer.by in DATES
    _check(slicer, counted, compared)
    if not audit.rows:
        return Sliced([], [])
    names = largest(counted, slicer, most, [one for two in compared for one in two])
    mine, holds = members(slicer, audit.rows, names), {label: audit.holds(label) for label in LABELS}
    tested, found = Differences([*(dated_pairs(names) if dated else ()), *compared]), dict[str, _Slice]()
    draws = DRAWS if tested.pairs else DRAWS // 2  # where many intervals hold at once, their tails are thin
    for k, name in enumerate(names):
        sums, which = counted[name].sums, mine[name]
        shares, rest = (
            _shares(audit, holds, of, those, Chances(0, 2 * k + at, draws=draws), form)
            for at, (of, those) in enumerate(((sums, which), (audit.census.whole.sums - sums, ~which)))
        )
        figures = {key: at_once(one, len(names)) if dated else one.figure() for key, one in shares.items()}
        samples = {key: one.reading.to_json() for key, one in shares.items()}
        found[name] = _Slice(figures, samples, _gaps(shares, figures, rest))
        tested.add(name, shares, figures)
    return Sliced(_rows(audit, counted, mine, found), tested.rows(_KEYS))


def _check(slicer: Slicer, counted: CountedSlices, compared: Iterable[Pair]) -> None:
    for one, other in compared:
        if one == other:
            raise ValueError(f"--compare {slicer.by}: {one!r} is held against itself; name two slices")
        for name in {one, other} - counted.keys():
            largest = ", ".join(map(repr, counted.largest(5)))
            raise ValueError(f"--compare {slicer.by}: no document is of {name!r}; the largest are {largest}")


def largest(counted: CountedSlices, slicer: Slicer, most: int | None, also: Sequence[str] = ()) -> list[str]:
    """The names of the slices to show: ``most`` of them, or as many as is usual, and those in ``also``; dates and
    lengths in order, the others by size. Of dates as many as there may be."""
    usual = MOST_TOPICS if slicer.by == TOPIC else MOST_SLICES
    kept = list(dict.fromkeys([*counted.largest(MOST_DATES if slicer.by in DATES else most or usual), *also]))
    return sorted(kept) if slicer.by in (*DATES, "length") else kept


def members(slicer: Slicer, rows: Sequence[Row], names: Sequence[str]) -> dict[str, Any]:
    """Which of the documents read are in each slice: bool, shape (rows,), by name."""
    found, at = slicer.of(pa.RecordBatch.from_pylist(list(rows)))
    values = np.array(found, object)[at]
    return {name: values == name for name in names}


def _shares(
    audit: Audit, holds: Mapping[str, Flags], sums: Floats, which: Flags, chances: Chances, form: Form
) -> dict[Key, Share]:
    """By label and unit, of the population of these sums; none in a unit of which it has nothing."""
    samples = ((key, audit.audited.sample(sums, holds[key[0]], key[1], which)) for key in _KEYS)
    return {key: Share.of(one, chances, form=form) for key, one in samples if one.size.sum()}


def _gaps(
    shares: Mapping[Key, Share], figures: Mapping[Key, Figure], rest: Mapping[Key, Share]
) -> dict[Key, Difference]:  # fmt: skip
    found = {}
    for key, one in shares.items():
        if key in rest:
            few = figures[key].too_few_labels or rest[key].figure().too_few_labels
            found[key] = Difference.between(one, rest[key], few=few)
    return found


def _rows(
    audit: Audit, counted: Mapping[str, Counted], mine: Mapping[str, Flags], found: Mapping[str, _Slice]
) -> list[Plain]:  # fmt: skip
    prevalence: dict[str, dict[Key, Plain | None]] = {name: dict.fromkeys(_KEYS) for name in found}
    for key in _KEYS:
        known = [name for name in found if key in found[name].figures]
        gaps = [found[name].gaps.get(key) for name in known]
        controlled = q_values(np.array([gap.p_value if gap else 1.0 for gap in gaps]))
        small = shrunken_slices([found[name].figures[key] for name in known]) if key[1] == "documents" else []
        for k, name in enumerate(known):
            gap, one = gaps[k], found[name]
            prevalence[name][key] = shown(one.figures[key]) | {
                "sample": one.samples[key], "difference_from_rest": gap.as_json() if gap else None,
                "q_value": float(controlled[k]), "shrunken": _shown_small(small, k),
            }  # fmt: skip
    wrong = {name: _wrong(audit, counted[name], mine[name]) for name in found}
    return [
        {"slice": name, **_sizes(counted[name]), "prevalence": nested(by), "wrong": wrong[name]}
        for name, by in prevalence.items()
    ]


def _shown_small(small: Sequence[Figure | None], k: int) -> Plain | None:
    figure = small[k] if small else None
    return shown(figure) if figure else None


def _sizes(counted: Counted) -> Plain:
    sizes, flagged = (
        {unit: round(total) for unit, total in zip(UNITS, of, strict=True)}
        for of in (counted.sums[:, :3].sum(axis=0), counted.flagged)
    )
    return sizes | {"flagged": flagged, "flag_rate": flagged["documents"] / sizes["documents"]}


def shrunken_slices(figures: Sequence[Figure]) -> list[Figure | None]:
    """None of a slice of which too much lies in unread strata, so that its labels are worth an unknown number, and of
    all where too few slices, or positives, are left to fit a prior to."""
    known = [k for k, one in enumerate(figures) if one.effective_n]
    found: list[Figure | None] = [None] * len(figures)
    if len(known) < LEAST_SLICES or sum(figures[k].positives for k in known) < LEAST_POSITIVES:
        return found
    effective = np.array([figures[k].effective_n or 0.0 for k in known])
    values = np.array([figures[k].estimate.value for k in known])
    for k, figure in zip(known, shrunken(effective * values, effective), strict=True):
        found[k] = figure
    return found


def _wrong(audit: Audit, counted: Counted, which: Flags) -> Plain | None:
    """Of what the filter flags in the slice, the share that is not positive; None where it flags nothing, or strata
    are not cut at the threshold, as those of a pilot may not be."""
    plan = audit.labelled.plan
    above = [k for k, one in enumerate(plan.strata) if one.low is not None and one.low >= plan.threshold]
    cut = any(one.low == plan.threshold for one in plan.strata)
    flagged = audit.audited.sample(counted.sums, ~audit.positive, mine=which).part(above)
    return shown(stratified(flagged)) if cut and flagged.size.sum() else None
