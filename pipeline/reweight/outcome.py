"""What weights make of a corpus, goal by goal and margin by margin, as plain values.

Knows problems and weights of their cells; nothing of how they were found.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.reweight.distances import divergence, effective_size, total_variation
from pipeline.reweight.goals import TOTAL
from pipeline.reweight.problem import Problem
from pipeline.reweight.weights import Floats


def outcome(problem: Problem, weights: Floats) -> dict[str, Any]:
    """Before and after, in words and documents; each goal with what was wanted and reached; margins; what the weights
    cost. ``weights``: of each cell."""
    goals, table = problem.goals, problem.table
    documents = problem.documents
    ones = np.ones(len(weights))
    size = effective_size(documents, weights)
    return {
        "unit": goals.unit, "count": goals.count, "cap": goals.cap, "floor": goals.floor,
        "thresholds": {one.label: one.edges[0] for one in table.measure.labels if one.probability is None},
        "cells": len(weights), "halvings": table.level,
        "corpus": {unit: _before_and_after(table.mass(unit), weights) for unit in ("words", "documents")},
        "labels": {
            one.label: {u: _before_and_after(table.held(one.label, u), weights) for u in ("words", "documents")}
            for one in table.measure.labels
        },
        "goals": [
            {
                "goal": goal.in_words(), "at_least": goal.at_least, "at_most": goal.at_most,
                "today": problem.value(goal, ones), "reached": problem.value(goal, weights),
            }
            for goal in goals.goals
        ],
        "margins": {by: _margin(problem, by, tolerance, weights) for by, tolerance in goals.hold.items()},
        "effective_documents": size,
        "effective_share": size / float(documents.sum()),
        "largest_weight": float(weights.max()),
        "smallest_weight": float(weights.min()),
        "divergence": divergence(problem.mass, problem.mass * weights),
    }  # fmt: skip


def _before_and_after(held: Floats, weights: Floats) -> dict[str, float]:
    return {"before": float(held.sum()), "after": float(held @ weights)}


def _margin(problem: Problem, by: str, tolerance: float, weights: Floats) -> dict[str, Any]:
    """How far a marginal moved; the category that moved most, as a share of what it held."""
    block, names = problem.margin(by)
    before, after = (np.asarray(block @ mass) for mass in (problem.mass, problem.mass * weights))
    moved = np.divide(after - before, before, out=np.zeros_like(before), where=before > 0)
    most = int(np.abs(moved).argmax())
    return {
        "tolerance": tolerance, "categories": int((before > 0).sum()),
        "total_variation": total_variation(before, after), "divergence": divergence(before, after),
        "moved_most": names[most] if by != TOTAL else TOTAL,
        "moved_by": float(moved[most]),
    }  # fmt: skip
