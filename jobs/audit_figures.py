"""All figures of an audit, as plain values: what ``audit estimate`` prints and a report shows.

Composes the labels of a draw, the census of the tags, and the estimators; holds no formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.audit_labels import LabelledDraw
from jobs.audit_tags import each
from jobs.tag_rows import Row, Tags
from labels.codebook import LABELS
from pipeline.prevalence.adjusted import Checks, annotators_corrected, naive
from pipeline.prevalence.audited import Audited
from pipeline.prevalence.compare import difference_of, q_values, shrunken, simultaneous
from pipeline.prevalence.figure import Figure
from pipeline.prevalence.filtering import elusion, precision, recall
from pipeline.prevalence.frame import ALL, Census, Counted, census_of
from pipeline.prevalence.melding import Form
from pipeline.prevalence.sample import Sample, stratified
from pipeline.prevalence.slices import Slicer
from pipeline.prevalence.strata import UNITS

DATES = ("year", "month")
Flags = NDArray[np.bool_]
Plain = dict[str, Any]


@dataclass(frozen=True)
class Audit:
    """Labels, census and tags of one audit, joined."""

    labelled: LabelledDraw
    census: Census
    audited: Audited
    rows: list[Row]
    slicer: Slicer | None = None

    @property
    def whole(self) -> Counted:
        """Sums of all documents."""
        return self.census.slices[ALL]

    def sample(self, positive: Flags, unit: str = "documents") -> Sample:
        """Of the whole population."""
        return self.audited.sample(self.whole.sums, positive, unit)


def join(tags: Tags, labelled: LabelledDraw, by: str | None) -> Audit:
    """Read the tags once more. Raises `ValueError` if they are not those that the plan was made for."""
    plan, slicer = labelled.plan, Slicer(by) if by else None
    one = partial(
        census_of, columns=plan.columns, parts=plan.strata, threshold=plan.threshold, slicer=slicer,
        ids=labelled.documents,
    )  # fmt: skip
    census = reduce(add, each(tags.folder.files, one, "Counting"))
    counts = np.rint(census.slices[ALL].sums[:, 0])
    if tags.digest != plan.model or np.any(counts != plan.documents):
        raise ValueError(
            f"{tags.folder.url}: its {int(counts.sum()):,} documents are not the {plan.population:,} of the plan, "
            "stratum by stratum; the tags changed after it was made: plan and draw anew, or give the folder that was "
            "planned on"
        )
    rows = [census.rows[document] for document in labelled.documents]
    scores = np.array([_number(row[plan.columns.score]) for row in rows], np.float64)
    sizes = np.array([[1, row["words"], row["bytes"]] for row in rows], np.float64).reshape(-1, 3)
    return Audit(labelled, census, Audited(labelled.strata, scores, sizes), rows, slicer)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def shown(figure: Figure, unit: str = "") -> Plain:
    """A figure as plain values, in words too."""
    return figure.as_json() | {"words": figure.in_words(unit)}


def prevalences(audit: Audit, sensitivity: Checks | None, specificity: Checks | None, form: Form = "mid-p") -> Plain:
    """Of every label, by documents, words and bytes; corrected for annotators if their checks are given."""

    def one(label: str, unit: str) -> Figure:
        sample = audit.sample(audit.labelled.positive(label), unit)
        if sensitivity:
            return annotators_corrected(sample, sensitivity, specificity, form=form)
        return stratified(sample, form=form)

    return {label: {unit: shown(one(label, unit)) for unit in UNITS} for label in LABELS}


def modes(audit: Audit) -> Plain:
    """Of the target label in each mode that was found: shares of all documents."""
    label, found = audit.labelled.plan.label, sorted(set(audit.labelled.modes) - {""})
    positives = {mode: audit.labelled.positive(label, mode) for mode in found}
    return {mode: shown(stratified(audit.sample(held))) for mode, held in positives.items() if held.any()}


def flag_rates(audit: Audit) -> Plain:
    """What the filter flags, by unit: no prevalence."""
    totals, flagged = audit.whole.sums.sum(axis=0), audit.whole.flagged
    rates = {u: naive(flagged[k], totals[k], int(totals[0])).estimate.value for k, u in enumerate(UNITS)}
    return rates | {"documents_flagged": int(flagged[0])}


def filtering(audit: Audit, threshold: float | None = None) -> Plain:
    """Precision and recall of a filter at a threshold of the grid (the plan's), and what it lets pass, by unit."""
    plan, positive = audit.labelled.plan, audit.labelled.positive(audit.labelled.plan.label)
    at = plan.threshold if threshold is None else threshold
    found: Plain = {"threshold": at}
    for unit in UNITS:
        above, below = audit.audited.either_side(audit.census.histogram, plan.strata, positive, at, unit)
        parts = {"precision": precision(above)} if above.size.sum() else {}
        parts["recall"] = recall(above, below)
        if below.size.sum():
            parts["elusion"] = elusion(below)
        found[unit] = {name: shown(figure, unit) for name, figure in parts.items()}
    return found


def slices(audit: Audit, most: int) -> list[Plain]:
    """The largest slices, dates in order: estimate, flag rate, difference from the rest, and its q-value.

    Intervals of dates hold at once. ``shrunken`` is model-based, and there for slices with too few labels.
    """
    if not audit.slicer or not audit.rows:
        return []
    names = _largest(audit, most)
    values = np.array([_value(audit.slicer, row) for row in audit.rows])
    positive = audit.labelled.positive(audit.labelled.plan.label)
    samples = [audit.audited.sample(audit.census.slices[n].sums, positive, mine=values == n) for n in names]
    rests = [
        audit.audited.sample(audit.whole.sums - audit.census.slices[n].sums, positive, mine=values != n) for n in names
    ]
    figures = simultaneous(samples) if audit.slicer.by in DATES else [stratified(one) for one in samples]
    gaps = [difference_of(one, rest) if rest.size.sum() else None for one, rest in zip(samples, rests, strict=True)]
    controlled = q_values(np.array([gap.p_value if gap else 1.0 for gap in gaps]))
    effective = np.array([figure.effective_n or 0.0 for figure in figures])
    drawn = shrunken(effective * np.array([figure.estimate.value for figure in figures]), effective)
    return [
        {
            "slice": name, "documents": int(one.documents.sum()), "figure": shown(figure),
            "flag_rate": float(audit.census.slices[name].flagged[0] / one.documents.sum()),
            "difference_from_rest": asdict(gap.figure.estimate) | {"p_value": gap.p_value} if gap else None,
            "q_value": float(q), "shrunken": shown(small),
        }
        for name, one, figure, gap, q, small in zip(names, samples, figures, gaps, controlled, drawn, strict=True)
    ]  # fmt: skip


def _largest(audit: Audit, most: int) -> Sequence[str]:
    names = [name for name in audit.census.slices if name != ALL]
    kept = sorted(names, key=lambda name: (-audit.census.slices[name].sums[:, 0].sum(), name))[:most]
    return sorted(kept) if audit.slicer and audit.slicer.by in (*DATES, "length") else kept


def _value(slicer: Slicer, row: Row) -> str:
    import pyarrow as pa

    return str(slicer.of(pa.RecordBatch.from_pylist([row]))[0])
