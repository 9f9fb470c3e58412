"""How near goals can be come to where they are out of reach, by a linear programme with elastic goals.

Elastic programming (Chinneck 2008, "Feasibility and Infeasibility in Optimization"): goals may be missed at a cost, the
held margins and the bounds of the weights may not; what is missed at the least cost says which goal stands out, and by
how much. Knows arrays; nothing of tags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from pipeline.reweight.balance import Constraints
from pipeline.reweight.weights import Floats, Ints


@dataclass(frozen=True)
class Nearest:
    """Weights of each cell that miss the goals by the least sum of shares of their scales; ``missed``: by how much of
    its scale each constraint is missed; ``pressing``: the held constraints that stand in the way, most first."""

    weights: Floats
    missed: Floats
    pressing: Ints


def nearest(mass: Floats, constraints: Constraints, elastic: Ints, floor: float, cap: float) -> Nearest:
    """``elastic``: which constraints may be missed. The others must hold at weights of 1, so that there is a solution.

    By interior points: few rows and very many columns take the simplex method several times as long. Raises
    `ValueError` if the solver gives up.
    """
    scaled = sparse.csr_array(sparse.diags_array(1 / constraints.scale) @ constraints.rows @ sparse.diags_array(mass))
    low, high = constraints.low / constraints.scale, constraints.high / constraints.scale
    slack = sparse.csr_array(
        (np.ones(len(elastic)), (elastic, np.arange(len(elastic)))), shape=(len(low), len(elastic))
    )
    under, over, equal = (np.isfinite(low) & (low < high)), (np.isfinite(high) & (low < high)), low == high
    elastic_rows = sparse.hstack([scaled, slack, -slack]).tocsr()
    cost = np.concatenate([np.zeros(len(mass)), np.ones(2 * len(elastic))])
    bounds = np.concatenate([np.tile([floor, cap], (len(mass), 1)), np.tile([0, np.inf], (2 * len(elastic), 1))])
    found = linprog(
        cost, A_ub=sparse.vstack([elastic_rows[over], -elastic_rows[under]]).tocsr(),
        b_ub=np.concatenate([high[over], -low[under]]), A_eq=elastic_rows[equal] if equal.any() else None,
        b_eq=low[equal] if equal.any() else None, bounds=bounds, method="highs-ipm",
    )  # fmt: skip
    if found.x is None:
        raise ValueError(f"the linear programme that looks for the nearest weights ended with: {found.message}")
    weights = np.clip(found.x[: len(mass)], floor, cap)
    price = np.zeros(len(low))
    upper, lower = np.split(np.abs(found.ineqlin.marginals), [over.sum()])
    price[over] += upper
    price[under] += lower
    if equal.any():
        price[equal] += np.abs(found.eqlin.marginals)
    price[elastic] = 0
    order = np.argsort(-price, kind="stable")
    return Nearest(weights, constraints.missed(constraints.rows @ (mass * weights)), order[price[order] > 1e-7])
