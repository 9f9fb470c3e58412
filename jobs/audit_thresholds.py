"""What a filter would cost and find at every threshold, by the labels of one audit. Composes the estimators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jobs.audit_figures import Audit, Plain, shown
from pipeline.prevalence.audited import Sides
from pipeline.prevalence.figure import Figure
from pipeline.prevalence.filtering import elusion, precision, recall
from pipeline.prevalence.melding import DRAWS
from pipeline.prevalence.sample import Reading, stratified
from pipeline.prevalence.strata import GRID, UNITS

Flags = NDArray[np.bool_]
_STEP = 10
"""Of the grid's twentieths of log-odds: one threshold every half."""
_REACH = 8.0


def thresholds(audit: Audit) -> list[Plain]:
    """A row for each threshold at or over which documents lie, and the plan's own: what is flagged, exactly; precision,
    recall and what is left (`elusion`); what is flagged and not positive (`wrong`) by documents and words. Intervals
    hold for each threshold alone, and are of a fifth of the draws but at the plan's: they are a hundred."""
    sides = Sides.of(audit.census.histogram, audit.labelled.plan.strata)
    return [_row(audit, sides, at) for at in _grid(sides, audit.labelled.plan.threshold)]


def _grid(sides: Sides, own: float) -> list[float]:
    """Thresholds with documents at or over them, no two of which flag the same, and the plan's."""
    log_odds = np.log(GRID / (1 - GRID))
    some = GRID[::_STEP][np.abs(log_odds[::_STEP]) <= _REACH]
    flagged = {float(sides.above(at)[:, 0].sum()): float(at) for at in [*some, own]}
    return sorted(at for documents, at in flagged.items() if documents or at == own)


def _row(audit: Audit, sides: Sides, at: float) -> Plain:
    right, own = audit.positive, at == audit.labelled.plan.threshold
    draws = DRAWS if own else DRAWS // 5
    above, below = audit.audited.either_side(sides, right, at)
    wrong = {unit: audit.audited.either_side(sides, ~right, at, unit)[0] for unit in ("documents", "words")}
    return {
        "threshold": at, "own": own,
        "flagged": {unit: int(sides.above(at)[:, k].sum()) for k, unit in enumerate(UNITS)},
        "precision": _shown(above, precision, draws), "recall": shown(recall(above, below, draws=draws)),
        "elusion": _shown(below, elusion, draws),
        "wrong": {unit: _shown(sample, stratified, draws) for unit, sample in wrong.items()},
    }  # fmt: skip


def _shown(sample: Reading, estimator: Callable[..., Figure], draws: int) -> Plain | None:
    """None of nothing: there is no share of no documents."""
    return shown(estimator(sample, draws=draws)) if sample.size.sum() else None


def read_bars(audit: Audit, edges: list[float]) -> dict[str, list[int]]:
    """How many of the documents read have a score between these edges, and how many of those are positive."""
    inside = np.array([*edges[:-1], np.inf])
    scored = ~np.isnan(audit.audited.scores)
    return {
        name: np.histogram(audit.audited.scores[keep & scored], inside)[0].tolist()
        for name, keep in (("read", np.ones(len(scored), bool)), ("positive", audit.positive))
    }
