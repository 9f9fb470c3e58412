"""Bounds for a count, a weighted sum of counts, and a bounded mean, each with its source.

Knows numbers only. Errors are given for each side, so that a one-sided bound is one with no error on the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]
EVEN = (0.025, 0.025)


def clopper_pearson(positives: int, labelled: int, tails: tuple[float, float] = EVEN) -> tuple[float, float]:
    """Exact bounds of a share (Clopper and Pearson 1934); 0 to 1 if nothing was read."""
    low = stats.beta.ppf(tails[0], positives, labelled - positives + 1) if positives else 0.0
    high = stats.beta.ppf(1 - tails[1], positives + 1, labelled - positives) if positives < labelled else 1.0
    return float(low), float(high)


def gamma_interval(
    counts: NDArray[Any], weights: NDArray[Any], tails: tuple[float, float] = EVEN, *, mid_p: bool = False
) -> tuple[float, float]:
    """Bounds of a weighted sum of Poisson counts, from counts and weights of shape (strata,).

    Fay and Feuer 1997, Statistics in Medicine 16:791-801; ``mid_p``: Fay and Kim 2017, Biometrical Journal 59:377-387.
    Matching moments makes the upper bound too low where one stratum of great weight shows nothing beside others that
    are known well (by up to a fifth): hence `melding.stratum_total`, which is what the estimates use.
    """
    value, variance, most = float(weights @ counts), float(weights**2 @ counts), float(np.max(weights))
    lower = _gamma(value, variance) if value else None
    upper = _gamma(value + most, variance + most**2)
    if not mid_p:
        return (float(lower.ppf(tails[0])) if lower else 0.0), float(upper.ppf(1 - tails[1]))
    limit = float(upper.ppf(1 - 1e-12))

    def below(x: float) -> float:
        return float(((lower.cdf(x) if lower else 1.0) + upper.cdf(x)) / 2)

    low = optimize.brentq(lambda x: below(x) - tails[0], 0, limit) if below(0) < tails[0] else 0.0
    return float(low), float(optimize.brentq(lambda x: below(x) - 1 + tails[1], 0, limit))


def _gamma(mean: float, variance: float) -> Any:
    return stats.gamma(mean**2 / variance, scale=variance / mean)


def betting_bounds(values: Floats, tails: tuple[float, float] = EVEN, *, steps: int = 2000) -> tuple[float, float]:
    """Bounds of the mean of independent values in [0, 1], float64, shape (n,), whatever their distribution.

    The hedged capital process of Waudby-Smith and Ramdas (2024, JRSS B 86, section 4), each
    side alone, with bets for a sample of known size. The order of ``values`` must be that of a random draw. Raises
    `ValueError` outside [0, 1].
    """
    if len(values) == 0:
        return 0.0, 1.0
    if np.min(values) < 0 or np.max(values) > 1:
        raise ValueError("betting bounds are for values from 0 to 1; divide by the largest size that there can be")
    return _betting_low(values, tails[0], steps), 1 - _betting_low(1 - values, tails[1], steps)


def _betting_low(values: Floats, error: float, steps: int) -> float:
    """The least mean against which no bettor could have made 1 / error."""
    if error <= 0:
        return 0.0
    seen = np.arange(1, len(values) + 1)
    means = (0.5 + np.cumsum(values)) / (seen + 1)
    spreads = (0.25 + np.cumsum((values - means) ** 2)) / (seen + 1)
    bets = np.sqrt(2 * np.log(1 / error) / (len(values) * np.append(0.25, spreads[:-1])))
    grid = np.linspace(0, 1, steps + 1)[1:]
    alive = [_capital(values, bets, mean) < np.log(1 / error) for mean in grid]
    first = int(np.argmax(alive)) if any(alive) else steps - 1
    return float(grid[first - 1]) if first else 0.0


def _capital(values: Floats, bets: Floats, mean: float) -> float:
    """The greatest log capital on the way: stopping at any time is allowed (Ville's inequality)."""
    stakes = np.minimum(bets, 0.5 / mean)
    return float(np.max(np.cumsum(np.log1p(stakes * (values - mean)))))
