"""What a filter would cost each domain and topic at several thresholds, and how much of it wrongly, by an audit.

Composes the estimators.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.audit_engine import Gather
from jobs.audit_figures import Audit, Plain, shown
from jobs.audit_slices import members
from jobs.tag_rows import Tags
from pipeline.prevalence.frame import over_thresholds
from pipeline.prevalence.melding import DRAWS
from pipeline.prevalence.sample import stratified
from pipeline.prevalence.slices import TOPIC, Slicer
from pipeline.report.queries import COST_THRESHOLDS

COSTS = ("domain", TOPIC)
"""By what, where the estimate has slices of it."""
Floats = NDArray[np.float64]


def slice_costs(tags: Tags, audit: Audit, by: str, names: Sequence[str], gather: Gather) -> Plain:
    """Of each of the slices ``names``, at each of ``thresholds`` (some usual ones, and the plan's): documents and words
    that a filter drops, exactly, and of these documents the share that is not positive (``wrong``; None of nothing).
    Intervals hold for each cell alone, and are of a fifth of the draws. The tags are read once more."""
    plan, slicer = audit.labelled.plan, Slicer(by)
    at = sorted({*COST_THRESHOLDS, plan.threshold})
    one = partial(
        over_thresholds, columns=plan.columns, parts=plan.strata, thresholds=np.array(at), slicer=slicer,
        wanted=list(names),
    )  # fmt: skip
    sums = gather(tags.folder.files, one, _added_up, "Counting")
    mine = members(slicer, audit.rows, names)
    cells = []
    for name, over in zip(names, sums, strict=True):
        documents, words = (round(total) for total in audit.census.slices[by][name].sums[:, :2].sum(axis=0))
        for threshold, lost in zip(at, over, strict=True):
            cells.append({
                "name": name, "threshold": threshold, "documents": documents, "words": words,
                "documents_lost": round(lost[:, 0].sum()), "words_lost": round(lost[:, 1].sum()),
                "wrong": _wrong(audit, lost, mine[name], threshold),
            })  # fmt: skip
    return {"thresholds": at, "costs": cells}


def _added_up(parts: Iterable[Floats]) -> Floats:
    return np.asarray(sum(parts), np.float64)


def _wrong(audit: Audit, lost: Floats, mine: NDArray[np.bool_], threshold: float) -> Plain | None:
    if not lost[:, 0].sum():
        return None
    over = np.nan_to_num(audit.audited.scores, nan=-1.0) >= threshold
    return shown(stratified(audit.audited.sample(lost, ~audit.positive, mine=mine & over), draws=DRAWS // 5))
