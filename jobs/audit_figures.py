"""All figures of an audit, as plain values: what ``audit estimate`` prints and a report shows.

Composes the labels of a draw, the census of the tags, and the estimators; holds no formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.audit_engine import Gather, gather_here
from jobs.audit_labels import LabelledDraw
from jobs.tag_rows import Row, Tags
from labels.codebook import LABELS, MODES
from pipeline.prevalence.adjusted import Checks, annotators_corrected, naive
from pipeline.prevalence.audited import Audited, Sides
from pipeline.prevalence.figure import Figure
from pipeline.prevalence.filtering import elusion, precision, recall
from pipeline.prevalence.frame import Census, added_up, census_of
from pipeline.prevalence.melding import Form
from pipeline.prevalence.ratio import ratio
from pipeline.prevalence.sample import Sample, stratified
from pipeline.prevalence.slices import Slicer
from pipeline.prevalence.strata import UNITS

Flags = NDArray[np.bool_]
Plain = dict[str, Any]
HELD_AGAINST = "admirable"
"""The label that the target's documents are counted against: what the ratio of the two is decides, says arXiv
2601.10160."""


@dataclass(frozen=True)
class Audit:
    """Labels, census and tags of one audit, joined."""

    labelled: LabelledDraw
    census: Census
    audited: Audited
    rows: list[Row]
    slicers: Sequence[Slicer] = ()

    @property
    def positive(self) -> Flags:
        """Which of the documents read hold the label that the audit was planned for."""
        return self.labelled.positive(self.labelled.plan.label)

    def sample(self, positive: Flags, unit: str = "documents") -> Sample:
        """Of the whole population."""
        return self.audited.sample(self.census.whole.sums, positive, unit)


def join(
    tags: Tags, labelled: LabelledDraw, by: Sequence[str], gather: Gather = gather_here, also: Sequence[str] = ()
) -> Audit:
    """Read the tags once more, with the rows of the labelled documents and of those in ``also``.

    Raises `ValueError` if they are not those that the plan was made for.
    """
    plan, slicers = labelled.plan, [Slicer(one) for one in by]
    one = partial(
        census_of, columns=plan.columns, parts=plan.strata, threshold=plan.threshold, slicers=slicers,
        ids=[*labelled.documents, *also],
    )  # fmt: skip
    census = gather(tags.folder.files, one, added_up, "Counting")
    counts = np.rint(census.whole.sums[:, 0])
    if tags.digest != plan.model or np.any(counts != plan.documents):
        raise ValueError(
            f"{tags.folder.url}: its {int(counts.sum()):,} documents are not the {plan.population:,} of the plan, "
            "stratum by stratum; the tags changed after it was made: plan and draw anew, or give the folder that was "
            "planned on"
        )
    rows = [census.rows[document] for document in labelled.documents]
    scores = np.array([_number(row[plan.columns.score]) for row in rows], np.float64)
    sizes = np.array([[1, row["words"], row["bytes"]] for row in rows], np.float64).reshape(-1, 3)
    return Audit(labelled, census, Audited(labelled.strata, scores, sizes), rows, slicers)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def shown(figure: Figure, unit: str = "") -> Plain:
    """A figure as plain values, in words too."""
    return figure.as_json() | {"words": figure.in_words(unit)}


def prevalences(audit: Audit, sensitivity: Checks | None, specificity: Checks | None, form: Form = "mid-p") -> Plain:
    """Of every label, by documents, words and bytes; corrected for annotators if their checks are given.

    With each its sample, from which two audits can be compared.
    """

    def one(label: str, unit: str) -> Plain:
        sample = audit.sample(audit.labelled.positive(label), unit)
        if sensitivity:
            return shown(annotators_corrected(sample, sensitivity, specificity, form=form), unit)
        return shown(stratified(sample, form=form), unit) | {"sample": sample.to_json()}

    return {label: {unit: one(label, unit) for unit in UNITS} for label in LABELS}


def modes(audit: Audit) -> Plain:
    """Of each label in each mode: shares of all documents, as nobody knows the mode of what was not read."""

    def one(label: str, mode: str) -> Plain:
        sample = audit.sample(audit.labelled.positive(label, mode))
        return shown(stratified(sample)) | {"sample": sample.to_json()}

    return {label: {mode: one(label, mode) for mode in MODES} for label in LABELS}


def against(audit: Audit) -> Plain | None:
    """Documents of the target for each of the label that it is held against; None for that label itself."""
    if audit.labelled.plan.label == HELD_AGAINST:
        return None
    second = audit.labelled.positive(HELD_AGAINST)
    found = ratio(audit.labelled.plan.documents, audit.labelled.strata, audit.positive, second)
    return found.as_json() | {"label": HELD_AGAINST}


def strata(audit: Audit) -> list[Plain]:
    """What each stratum is, what scores its documents have, how much of it was drawn and read, and what was found."""
    plan, n = audit.labelled.plan, len(audit.labelled.plan.strata)
    spans = Sides.of(audit.census.histogram, plan.strata).spans()
    read = np.bincount(audit.labelled.strata, minlength=n)
    found = np.bincount(audit.labelled.strata[audit.positive], minlength=n)
    return [
        {
            "name": one.name, "score": spans[k], "documents": one.documents, "words": one.words, "drawn": size,
            "labelled": int(read[k]), "positives": int(found[k]), "inclusion_probability": size / one.documents,
        }
        for k, (one, size) in enumerate(zip(plan.strata, plan.sizes, strict=True))
    ]  # fmt: skip


def flag_rates(audit: Audit) -> Plain:
    """What the filter flags, by unit: no prevalence."""
    totals, flagged = audit.census.whole.sums.sum(axis=0), audit.census.whole.flagged
    rates = {u: naive(flagged[k], totals[k], int(totals[0])).estimate.value for k, u in enumerate(UNITS)}
    return rates | {"documents_flagged": int(flagged[0])}


def filtering(audit: Audit, threshold: float | None = None) -> Plain:
    """Precision and recall of a filter at a threshold of the grid (the plan's), by unit; and of what it lets pass, the
    share that is positive: a bound for it alone (elusion), and the estimate (rest)."""
    plan = audit.labelled.plan
    at = plan.threshold if threshold is None else threshold
    sides, found = Sides.of(audit.census.histogram, plan.strata), dict[str, Any](threshold=at)
    for unit in UNITS:
        above, below = audit.audited.either_side(sides, audit.positive, at, unit)
        parts = {"precision": precision(above)} if above.size.sum() else {}
        parts["recall"] = recall(above, below)
        if below.size.sum():
            parts |= {"elusion": elusion(below), "rest": stratified(below)}
        found[unit] = {name: shown(figure, unit) for name, figure in parts.items()}
    return found
