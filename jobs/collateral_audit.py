"""What a policy loses and keeps wrongly, estimated from an audit's labels: composes labels, census and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.audit_figures import Audit, Flags, join, shown
from jobs.audit_labels import LabelledDraw, labelled_draw
from jobs.audit_phases import Phases, both_phases
from jobs.audit_slices import members
from jobs.label_options import opened
from jobs.tag_rows import Row, open_tags
from labels.codebook import LABELS
from pipeline.prevalence.sample import stratified
from pipeline.prevalence.slices import Slicer
from pipeline.prevalence.strata import UNITS
from pipeline.prevalence.weighed import amount, weighed
from pipeline.report.decided import open_decisions
from pipeline.report.folder import open_folder
from pipeline.report.tables import DuckTables


def audited(
    folder: str, run: str, place: str, draw: str, names: Mapping[str, Sequence[str]], largest: float,
    people: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Shares of all documents, and of their words, that are lost though not the label, and kept though it; and of the
    documents of slices, which ``names`` has by what they are slices of (domain, source …). Of every label, documents
    and words before and after, by their weights, of which ``largest`` is the largest. With ``people``, their draw of
    'audit recheck', all are corrected by what they found.

    Raises as 'tropescan audit estimate' does, for draws that are not designed or tags that are not those of the plan.
    """
    with open_tags(folder) as tags, opened(place) as store:
        labelled = labelled_draw(store, draw)
        phases = both_phases(store, draw, people, labelled.plan.label) if people else None
        audit = join(tags, labelled, tuple(names), also=phases.first.documents if phases else ())
        audit = audit.corrected(phases) if phases else audit
    weights = _weights(folder, run, audit.rows)
    label, lost, holds = labelled.plan.label, weights == 0, audit.positive
    sides = (
        (f"dropped, though not {label}", lost & ~holds), (f"dropped, and {label}", lost & holds),
        (f"kept, though {label}", ~lost & holds),
    )  # fmt: skip
    wrong = sides[0][1], sides[2][1]
    return {
        "draw": draw, "labelled": len(audit.rows), "label": label,
        "read_by_people": int(phases.checked.sum()) if phases else None,
        "rows": [_side(audit, name, wanted) for name, wanted in sides],
        "slices": {one.by: _by_slice(audit, one, names[one.by], *wrong) for one in audit.slicers},
        "labels": _amounts(audit, weights, largest), "notes": _notes(labelled, phases),
    }  # fmt: skip


def _notes(labelled: LabelledDraw, phases: Phases | None) -> list[str]:
    missing = labelled.drawn - len(labelled.documents)
    notes = [f"{missing:,} of {labelled.drawn:,} drawn documents have no settled label"] if missing else []
    by_model = "llm" in labelled.kinds and not phases
    return notes + (["labels are by language models, whose errors no interval here counts"] if by_model else [])


def _side(audit: Audit, name: str, wanted: Flags) -> dict[str, Any]:
    documents, words = (stratified(audit.sample(wanted, unit)) for unit in ("documents", "words"))
    total = audit.labelled.plan.population
    return {
        "name": name, "documents": shown(documents, "documents"), "words": shown(words, "words"),
        "low": round(documents.estimate.low * total), "high": round(documents.estimate.high * total),
    }  # fmt: skip


def _amounts(audit: Audit, weights: NDArray[np.float64], largest: float) -> list[dict[str, Any]]:
    """Documents and words of each label, that of the audit first, before and after; each interval holds alone."""

    def before_and_after(label: str, unit: str) -> dict[str, Any]:
        positive = audit.holds(label)
        after = weighed(audit.audited, audit.census.whole.sums, positive, weights, unit, largest)
        return {"before": amount(audit.sample(positive, unit)).as_json(), "after": amount(after).as_json()}

    first = audit.labelled.plan.label
    names = [first, *(label for label in LABELS if label != first)]
    return [{"name": name, **{unit: before_and_after(name, unit) for unit in UNITS[:2]}} for name in names]


def _by_slice(audit: Audit, slicer: Slicer, names: Sequence[str], lost: Flags, kept: Flags) -> list[dict[str, Any]]:
    """Of a slice's documents, the shares wrongly lost and wrongly kept; each interval holds alone."""
    mine, counted = members(slicer, audit.rows, names), audit.census.slices[slicer.by]

    def share(name: str, wanted: Flags) -> dict[str, Any]:
        return shown(stratified(audit.audited.sample(counted[name].sums, wanted, mine=mine[name])), "documents")

    return [{"name": name, "lost": share(name, lost), "kept": share(name, kept)} for name in names if name in counted]


def _weights(folder: str, run: str, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The weight of each document by the rows of its tags, float64, shape (rows,)."""
    with closing(DuckTables(folder)) as tables:
        decided = open_decisions(tables, open_folder(folder, tables), run)
        found = decided.rows(
            "SELECT file, row, weight FROM decided WHERE (file, row) IN (SELECT (unnest($files), unnest($rows)))",
            files=[one["file"] for one in rows], rows=[one["row"] for one in rows],
        )  # fmt: skip
    weights = {(one["file"], one["row"]): float(one["weight"]) for one in found}
    return np.array([weights[one["file"], one["row"]] for one in rows], np.float64)
