"""Bounds of a share from a count. Knows numbers only.

Errors are given for each side, so that a one-sided bound is one with no error on the other.
"""

from __future__ import annotations

from scipy import stats

EVEN = (0.025, 0.025)


def clopper_pearson(positives: int, labelled: int, tails: tuple[float, float] = EVEN) -> tuple[float, float]:
    """Exact bounds of a share (Clopper and Pearson 1934); 0 to 1 if nothing was read."""
    low = stats.beta.ppf(tails[0], positives, labelled - positives + 1) if positives else 0.0
    high = stats.beta.ppf(1 - tails[1], positives + 1, labelled - positives) if positives < labelled else 1.0
    return float(low), float(high)
