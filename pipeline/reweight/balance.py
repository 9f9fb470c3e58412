"""Weights of least Kullback-Leibler distance under linear constraints and bounds, by the dual.

Minimise sum m (w log w - w + 1) subject to low <= A (m w) <= high and floor <= w <= cap: raking where the constraints
are margins (Deming & Stephan 1940), entropy balancing (Hainmueller 2012), with weights cut at bounds, as Deville and
Särndal (1992, case 7) cut linear ones. Knows arrays; nothing of tags or goals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from pipeline.reweight.weights import Floats, cut

PRECISION = 1e-8
"""Of a constraint, as a share of its scale."""
_MOST_STEPS = 300
_MOST_DAMPING = 1e12
_MOST_LOG = 1e5
"""A multiplier beyond it, in logs of weights, runs off to infinity: no weights fulfil its constraint."""


@dataclass(frozen=True)
class Constraints:
    """``rows``: sparse, float64, shape (constraints, cells), what one unit of a cell's mass gives to each; ``low`` and
    ``high``: shape (constraints,), -inf and inf where there is no bound; ``scale``: what each is measured by."""

    rows: Any
    low: Floats
    high: Floats
    scale: Floats

    def missed(self, reached: Floats) -> Floats:
        """By how much each constraint is missed, as a share of its scale."""
        missed: Floats = np.maximum(np.maximum(self.low - reached, reached - self.high), 0.0) / self.scale
        return missed


@dataclass(frozen=True)
class Balanced:
    """``multipliers`` (constraints,): a cell's log weight before it is cut is rows.T @ multipliers. ``missed``: the
    largest share of its scale by which a constraint is missed; over `PRECISION` the goals may be out of reach."""

    multipliers: Floats
    weights: Floats
    missed: float
    steps: int


def balance(mass: Floats, constraints: Constraints, floor: float, cap: float) -> Balanced:
    """Solve by Newton's method on the dual, orthant by orthant, as bounds that do not bind have the multiplier 0.

    ``mass``: float64, shape (cells,), positive. Where no weights fulfil the constraints, the dual has no maximum, and
    what comes back misses some of them.
    """
    dual = _Dual(mass, constraints, floor, cap)
    at, damping = np.zeros(len(dual.low)), 1e-10
    steps = 0
    while steps < _MOST_STEPS:
        gradient, free = dual.gradient(at)
        if not free.any() or np.abs(gradient[free]).max() <= PRECISION / 10:
            break
        moved, damping = dual.step(at, gradient, free, damping)
        if moved is None:
            break
        at, steps = moved, steps + 1
        if np.abs(at * dual.total / dual.scale).max() > _MOST_LOG:
            break
    weights = dual.weights(at)
    missed = float(dual.constraints.missed(constraints.rows @ (mass * weights)).max(initial=0.0))
    return Balanced(at / dual.scale * dual.total, weights, missed, steps)


class _Dual:
    """The dual, of constraints divided by their scales and masses by their sum; multipliers are those of the former."""

    def __init__(self, mass: Floats, constraints: Constraints, floor: float, cap: float) -> None:
        self.constraints, self.total, self.scale = constraints, float(mass.sum()), constraints.scale
        self.mass, self.floor, self.cap = mass / self.total, floor, cap
        self.rows = sparse.csr_array(sparse.diags_array(self.total / self.scale) @ constraints.rows)
        self.columns = sparse.csr_array(self.rows.T)
        self.low, self.high = constraints.low / self.scale, constraints.high / self.scale

    def weights(self, at: Floats) -> Floats:
        return cut(self.columns @ at, self.floor, self.cap)

    def value(self, at: Floats) -> float:
        """What is minimised: the conjugate of the distance, less the bounds that multipliers lean on."""
        logs = self.columns @ at
        weights = cut(logs, self.floor, self.cap)
        entropy = weights * np.log(np.maximum(weights, 1e-300)) - weights + 1
        leaned = np.where(at > 0, self.low, self.high)
        return float(self.mass @ (weights * logs - entropy) - at[at != 0] @ leaned[at != 0])

    def gradient(self, at: Floats) -> tuple[Floats, Any]:
        """Slope of each multiplier, and which may move: those not 0, and those whose constraint is missed."""
        reached = self.rows @ (self.mass * self.weights(at))
        under, over = reached - self.low, reached - self.high
        slope = np.where(at > 0, under, np.where(at < 0, over, np.where(under < 0, under, np.maximum(over, 0.0))))
        return slope, (at != 0) | (slope != 0)

    def step(self, at: Floats, slope: Floats, free: Any, damping: float) -> tuple[Floats | None, float]:
        """The next multipliers (None where nothing lowers the value any more) and the damping for the step after."""
        chosen = np.flatnonzero(free)
        curvature = self._curvature(at, chosen)
        side = np.where(at != 0, np.sign(at), -np.sign(slope))
        side[self.low == self.high] = 0  # an equation's multiplier may change its sign
        here = self.value(at)
        while damping < _MOST_DAMPING:
            try:
                factor = cho_factor(curvature + damping * np.eye(len(chosen)))
                way = np.zeros_like(at)
                way[chosen] = -cho_solve(factor, slope[chosen])
            except LinAlgError:
                damping *= 100
                continue
            for length in (1.0, 0.5, 0.25, 0.0625):
                there = at + length * way
                there[there * side < 0] = 0.0
                if self.value(there) < here + 1e-4 * float(slope @ (there - at)):
                    return there, max(damping / 10, 1e-12) if length == 1.0 else damping
            damping *= 100
        return None, damping

    def _curvature(self, at: Floats, chosen: Any) -> Floats:
        weights = self.weights(at)
        inside = (weights > self.floor) & (weights < self.cap)
        part = self.rows[chosen]
        second = part @ sparse.diags_array(self.mass * weights * inside) @ part.T
        return np.asarray(second.toarray(), np.float64)
