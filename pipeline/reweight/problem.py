"""Goals as linear constraints on counted cells.

Knows cells and goals; nothing of how constraints are solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from pipeline.prevalence.slices import TOPIC
from pipeline.reweight.balance import Constraints
from pipeline.reweight.categories import bucket_of
from pipeline.reweight.cells import Table
from pipeline.reweight.goals import ALL, TOTAL, Goal, Goals
from pipeline.reweight.weights import Floats

OTHERS = "(others)"


@dataclass(frozen=True)
class Bound:
    """What one constraint is about: bounds of a goal (``ratio``: the part of ``goal.per`` that is taken off), or the
    category ``code`` of a held marginal ``by``, called ``name``."""

    goal: Goal | None = None
    ratio: float = 0.0
    by: str = ""
    code: int = 0
    name: str = ""
    tolerance: float = 0.0

    def in_words(self) -> str:
        """Such as "domain example.com held within 2 %"."""
        if self.goal:
            return self.goal.in_words()
        return f"{' '.join((self.by, self.name)).strip()} held within {100 * self.tolerance:.3g} %"


@dataclass(frozen=True)
class Problem:
    """The cells of a table that hold something in the goals' unit, and what each step of each label counts as.

    ``shares``: by label, float64, shape (steps,), what part of a step's mass holds the label.
    """

    table: Table
    goals: Goals
    mass: Floats
    shares: dict[str, Floats] = field(default_factory=dict)

    @property
    def documents(self) -> Floats:
        """Documents in each cell."""
        return self.table.mass("documents")

    def topic_code(self, goal: Goal) -> int | None:
        """The code of a goal's topic among the topics counted one by one; None if it is not among them."""
        buckets, bucket = self.table.kinds[TOPIC].buckets, bucket_of(TOPIC, goal.topic)
        return buckets.index(bucket) if bucket in buckets else None

    def bounded(self, goal: Goal) -> tuple[Floats, Floats]:
        """What part of each cell's mass the goal bounds, going by steps, and what it holds, document by document."""
        if not goal.topic:
            return self.counted(goal.label), self.held(goal.label)
        mine = np.asarray(self.table.kinds[TOPIC].codes == self.topic_code(goal), np.float64)
        return mine, mine * self.mass

    def counted(self, label: str) -> Floats:
        """What part of each cell's mass holds a label, going by its step; all of it for "all"."""
        return np.ones(len(self.mass)) if label == ALL else self.shares[label][self.table.step_of(label)]

    def held(self, label: str) -> Floats:
        """What of each cell's mass holds a label, document by document; all of it for "all"."""
        return self.mass if label == ALL else self.table.held(label, self.goals.unit)

    def value(self, goal: Goal, weights: Floats) -> float | None:
        """What the goal bounds: multiple of today's, share of all, or ratio; None where that is 0 to 0."""
        _, mine = self.bounded(goal)
        held, of = float(mine @ weights), float(mine.sum() if goal.per is None else self.held(goal.per) @ weights)
        return held / of if of > 0 else None

    def error(self, goal: Goal, weights: Floats) -> float:
        """By what factor the goal's value is wrong if documents count as the mean of their step."""
        error = 1.0
        of = [(self.counted(goal.per), self.held(goal.per), -1)] if goal.per is not None else []
        for share, held, power in ((*self.bounded(goal), 1), *of):
            exact, counted = float(held @ weights), float((self.mass * share) @ weights)
            error *= (exact / counted) ** power if exact > 0 and counted > 0 else 1.0
        return error

    def margin(self, by: str) -> tuple[Any, list[str]]:
        """Which cells are in which category of a held marginal, sparse, shape (categories, cells), and their names."""
        cells = len(self.mass)
        if by == TOTAL:
            return sparse.csr_array(np.ones((1, cells))), [""]
        kind = self.table.kinds[by]
        where = (kind.codes, np.arange(cells))
        return sparse.csr_array((np.ones(cells), where), shape=(len(kind.names) + 1, cells)), [*kind.names, OTHERS]

    def constraints(self, aims: Sequence[float]) -> tuple[Constraints, list[Bound]]:
        """All constraints that bind anything. The bounds of each goal are multiplied by its ``aims``."""
        rows: list[Any] = []
        limits: list[tuple[float, float, float]] = []
        bounds: list[Bound] = []
        for goal, aim in zip(self.goals.goals, aims, strict=True):
            for row, *limit, bound in self._of_goal(goal, aim):
                if limit[-1] > 0:
                    rows.append(sparse.csr_array(row[None, :]))
                    limits.append((limit[0], limit[1], limit[2]))
                    bounds.append(bound)
        for by, tolerance in self.goals.hold.items():
            block, names = self.margin(by)
            today = np.asarray(block @ self.mass)
            kept = np.flatnonzero(today > 0)
            rows.append(sparse.csr_array(block[kept]))
            limits += [((1 - tolerance) * m, (1 + tolerance) * m, m) for m in today[kept].tolist()]
            bounds += [Bound(by=by, code=int(i), name=names[i], tolerance=tolerance) for i in kept]
        low, high, scale = np.array(limits, np.float64).reshape(-1, 3).T
        stacked = sparse.vstack(rows).tocsr() if rows else sparse.csr_array((0, len(self.mass)))
        return Constraints(stacked, low, high, scale), bounds

    def _of_goal(self, goal: Goal, aim: float) -> list[tuple[Floats, float, float, float, Bound]]:
        """Row, low, high, scale: one constraint for bounds of what is held today, one for each bound of a ratio."""
        held, _ = self.bounded(goal)
        today = float(held @ self.mass)
        if goal.per is None:
            low = -np.inf if goal.at_least is None else goal.at_least * aim * today
            high = np.inf if goal.at_most is None else goal.at_most * aim * today
            return [(held, low, high, today, Bound(goal))]
        found = []
        for bound, low, high in ((goal.at_least, 0.0, np.inf), (goal.at_most, -np.inf, 0.0)):
            if bound is not None:
                other = bound * aim * self.counted(goal.per)
                found.append((held - other, low, high, float((held + other) @ self.mass), Bound(goal, bound * aim)))
        return found


def problem_of(table: Table, goals: Goals) -> Problem:
    """The problem without cells that hold nothing: documents without words cannot be weighed by words, and get the
    weights of their categories all the same. Raises `ValueError` if nothing is left."""
    kept = table.select(table.mass(goals.unit) > 0)
    if not len(kept.sums):
        raise ValueError(f"the tags hold no {goals.unit}: there is nothing to weigh")
    mass = kept.mass(goals.unit)
    shares = {}
    for one in kept.measure.labels:
        steps, size = kept.step_of(one.label), len(one.edges) + 1
        held = np.bincount(steps, weights=kept.held(one.label, goals.unit), minlength=size)
        shares[one.label] = held / np.maximum(np.bincount(steps, weights=mass, minlength=size), 1e-300)
    return Problem(kept, goals, mass, shares)
