"""All figures of an audit, as plain values: what ``audit estimate`` prints and a report shows.

Composes the labels of a draw, the census of the tags, and the estimators; holds no formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.audit_engine import Gather, gather_here
from jobs.audit_labels import LabelledDraw
from jobs.audit_phases import CHEAP, Phases
from jobs.audit_tags import names_in
from jobs.tag_rows import Row, Tags
from labels.codebook import LABELS, MODES
from pipeline.prevalence.adjusted import Checks, annotators_corrected, naive
from pipeline.prevalence.audited import Audited, AuditedTwice, Sides
from pipeline.prevalence.figure import Basis, Figure
from pipeline.prevalence.filtering import elusion, precision, recall
from pipeline.prevalence.frame import Census, added_up, census_of
from pipeline.prevalence.melding import Chances, Form
from pipeline.prevalence.ratio import ratio
from pipeline.prevalence.regression import mean_scores, regressed
from pipeline.prevalence.sample import Reading, Sample, stratified
from pipeline.prevalence.slices import Slicer
from pipeline.prevalence.strata import UNITS

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Plain = dict[str, Any]
HELD_AGAINST = "admirable"
"""The label that the target's documents are counted against: what the ratio of the two is decides, says arXiv
2601.10160."""


@dataclass(frozen=True)
class Audit:
    """Labels, census and tags of one audit, joined. ``audited`` and ``rows`` are of the documents labelled, or with
    ``phases`` of those that the first phase read; see `corrected`."""

    labelled: LabelledDraw
    census: Census
    audited: Audited
    rows: list[Row]
    slicers: Sequence[Slicer] = ()
    phases: Phases | None = None

    @property
    def positive(self) -> Flags:
        """Which of the documents read hold the label that the audit was planned for."""
        return self.holds(self.labelled.plan.label)

    def holds(self, label: str, mode: str | None = None) -> Flags:
        """Which of the documents read hold a label (and are of a mode)."""
        return (self.phases or self.labelled).positive(label, mode)

    def corrected(self, phases: Phases) -> Audit:
        """The same audit by both phases: figures made of it are corrected by what people found."""
        rows = [self.census.rows[document] for document in phases.first.documents]
        arrays = _scores_and_sizes(rows, self.labelled.plan.columns.score)
        twice = AuditedTwice(phases.first.strata, *arrays, called=phases.first.called, checked=phases.checked)
        return replace(self, audited=twice, rows=rows, phases=phases)

    def sample(self, positive: Flags, unit: str = "documents") -> Reading:
        """Of the whole population."""
        return self.audited.sample(self.census.whole.sums, positive, unit)

    def regressed(self) -> Reading:
        """Of the whole population by documents, what is positive, assisted by the score within strata."""
        means = mean_scores(self.census.histogram, self.labelled.plan.strata)
        one = self.sample(self.positive)
        if not isinstance(one, Sample):
            raise TypeError("regression goes by settled labels, not by two phases")
        return regressed(one, self.audited.strata, self.audited.scores, self.positive, means)


def join(
    tags: Tags, labelled: LabelledDraw, by: Sequence[str], gather: Gather = gather_here, also: Sequence[str] = ()
) -> Audit:
    """Read the tags once more, with the rows of the labelled documents and of those in ``also``.

    Raises `ValueError` if they are not those that the plan was made for.
    """
    plan, slicers = labelled.plan, [Slicer(one) for one in by]
    one = partial(
        census_of, columns=plan.columns, parts=plan.strata, threshold=plan.threshold, slicers=slicers,
        wanted=[*labelled.documents, *also], names=names_in(tags, plan.key),
    )  # fmt: skip
    census = gather(tags.folder.files, one, added_up, "Counting")
    plan.check(np.rint(census.whole.sums[:, 0]).astype(np.int64), tags.digest, tags.folder.url)
    rows = [census.rows[document] for document in labelled.documents]
    arrays = _scores_and_sizes(rows, plan.columns.score)
    return Audit(labelled, census, Audited(labelled.strata, *arrays, basis_of(labelled)), rows, slicers)


def basis_of(labelled: LabelledDraw) -> Basis:
    """What figures made of settled labels rest on."""
    return "uncorrected" if CHEAP in labelled.kinds else "design"


def _scores_and_sizes(rows: Sequence[Row], score: str) -> tuple[Floats, Floats]:
    sizes = [[1, row["words"], row["bytes"]] for row in rows]
    return np.array([_number(row[score]) for row in rows], np.float64), np.array(sizes, np.float64).reshape(-1, 3)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def shown(figure: Figure, unit: str = "") -> Plain:
    """A figure as plain values, in words too."""
    return figure.as_json() | {"words": figure.in_words(unit)}


def prevalences(
    audit: Audit, sensitivity: Checks | None, specificity: Checks | None, form: Form = "mid-p", *,
    regression: bool = False,
) -> Plain:  # fmt: skip
    """Of every label, by documents, words and bytes; corrected for annotators if their checks are given, and with
    ``regression`` the audited label by documents assisted by the score.

    With each its sample, from which two audits can be compared.
    """

    chances = Chances()

    def one(label: str, unit: str) -> Plain:
        assisted = regression and (label, unit) == (audit.labelled.plan.label, "documents")
        sample = audit.regressed() if assisted else audit.sample(audit.holds(label), unit)
        if sensitivity:
            return shown(annotators_corrected(sample, sensitivity, specificity, form=form), unit)
        return shown(stratified(sample, form=form, chances=chances), unit) | {"sample": sample.to_json()}

    return {label: {unit: one(label, unit) for unit in UNITS} for label in LABELS}


def modes(audit: Audit) -> Plain:
    """Of each label in each mode, by documents, words and bytes: shares of all there is, as nobody knows the mode of
    what was not read."""
    chances = Chances()

    def one(holds: Flags, unit: str) -> Plain:
        sample = audit.sample(holds, unit)
        return shown(stratified(sample, chances=chances), unit) | {"sample": sample.to_json()}

    def units(label: str, mode: str) -> Plain:
        holds = audit.holds(label, mode)
        return {unit: one(holds, unit) for unit in UNITS}

    return {label: {mode: units(label, mode) for mode in MODES} for label in LABELS}


def against(audit: Audit) -> Plain | None:
    """Documents of the target for each of the label that it is held against; None for that label itself."""
    if audit.labelled.plan.label == HELD_AGAINST:
        return None
    pairs = audit.audited.pairs(audit.labelled.plan.documents, audit.positive, audit.holds(HELD_AGAINST))
    found = ratio(pairs, basis=audit.audited.basis)
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
