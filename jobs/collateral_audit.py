"""What a policy loses and keeps wrongly, estimated from an audit's labels: composes labels, census and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.audit_figures import Audit, Flags, join, shown
from jobs.audit_labels import labelled_draw
from jobs.audit_slices import members
from jobs.label_options import opened
from jobs.tag_rows import open_tags
from labels.codebook import LABELS
from pipeline.prevalence.sample import stratified
from pipeline.prevalence.slices import Slicer
from pipeline.prevalence.strata import UNITS
from pipeline.prevalence.weighed import amount, weighed
from pipeline.report.decided import open_decisions
from pipeline.report.folder import open_folder
from pipeline.report.tables import DuckTables


def audited(
    folder: str, run: str, place: str, draw: str, names: Mapping[str, Sequence[str]], largest: float
) -> dict[str, Any]:
    """Shares of all documents, and of their words, that are lost though not the label, and kept though it; and of the
    documents of slices, which ``names`` has by what they are slices of (domain, source …). Of every label, documents
    and words before and after, by their weights, of which ``largest`` is the largest.

    Raises as 'tropescan audit estimate' does, for draws that are not designed or tags that are not those of the plan.
    """
    with open_tags(folder) as tags, opened(place) as store:
        labelled = labelled_draw(store, draw)
        audit = join(tags, labelled, tuple(names))
        by_id = _weights(folder, run, labelled.documents)
    label = labelled.plan.label
    weights = np.array([by_id[document] for document in labelled.documents], np.float64)
    lost = weights == 0
    holds = labelled.positive(label)
    rows = []
    for name, wanted in (
        (f"dropped, though not {label}", lost & ~holds), (f"dropped, and {label}", lost & holds),
        (f"kept, though {label}", ~lost & holds),
    ):  # fmt: skip
        documents, words = (stratified(audit.sample(wanted, unit)) for unit in ("documents", "words"))
        total = labelled.plan.population
        rows.append({
            "name": name, "documents": shown(documents, "documents"), "words": shown(words, "words"),
            "low": round(documents.estimate.low * total), "high": round(documents.estimate.high * total),
        })  # fmt: skip
    slices = {one.by: _by_slice(audit, one, names[one.by], lost & ~holds, ~lost & holds) for one in audit.slicers}
    missing = labelled.drawn - len(labelled.documents)
    notes = [f"{missing:,} of {labelled.drawn:,} drawn documents have no settled label"] if missing else []
    notes += ["labels are by language models, whose errors no interval here counts"] if "llm" in labelled.kinds else []
    return {"draw": draw, "labelled": len(labelled.documents), "label": label, "rows": rows, "slices": slices,
            "labels": _amounts(audit, weights, largest), "notes": notes}  # fmt: skip


def _amounts(audit: Audit, weights: NDArray[np.float64], largest: float) -> list[dict[str, Any]]:
    """Documents and words of each label, that of the audit first, before and after; each interval holds alone."""

    def before_and_after(label: str, at: int) -> dict[str, Any]:
        positive = audit.labelled.positive(label)
        before = audit.sample(positive, UNITS[at])
        after = weighed(before, audit.audited, positive, weights, at, largest)
        return {"before": amount(before).as_json(), "after": amount(after).as_json()}

    first = audit.labelled.plan.label
    names = [first, *(label for label in LABELS if label != first)]
    return [
        {"name": name, **{unit: before_and_after(name, UNITS.index(unit)) for unit in ("documents", "words")}}
        for name in names
    ]


def _by_slice(audit: Audit, slicer: Slicer, names: Sequence[str], lost: Flags, kept: Flags) -> list[dict[str, Any]]:
    """Of a slice's documents, the shares wrongly lost and wrongly kept; each interval holds alone."""
    mine, counted = members(slicer, audit.rows, names), audit.census.slices[slicer.by]

    def share(name: str, wanted: Flags) -> dict[str, Any]:
        return shown(stratified(audit.audited.sample(counted[name].sums, wanted, mine=mine[name])), "documents")

    return [{"name": name, "lost": share(name, lost), "kept": share(name, kept)} for name in names if name in counted]


def _weights(folder: str, run: str, documents: list[str]) -> dict[str, float]:
    """The weight of each document by id; of several with one id, the largest."""
    with closing(DuckTables(folder)) as tables:
        decided = open_decisions(tables, open_folder(folder, tables), run)
        rows = decided.rows(
            "SELECT id, max(weight) AS weight FROM decided WHERE id IN (SELECT unnest($ids)) GROUP BY id", ids=documents
        )
    return {row["id"]: float(row["weight"]) for row in rows}
