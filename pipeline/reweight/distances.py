"""What weights do to a corpus, in figures: how many documents it is worth, how far it moved.

Knows arrays; nothing of tags or goals.
"""

from __future__ import annotations

import numpy as np

from pipeline.reweight.weights import Floats


def effective_size(documents: Floats, weights: Floats) -> float:
    """Kish's effective sample size (1965, section 11.7): (sum w)^2 / sum w^2 over documents; 0 of none."""
    total = float(documents @ weights)
    return total**2 / float(documents @ weights**2) if total > 0 else 0.0


def total_variation(before: Floats, after: Floats) -> float:
    """Half the sum of differences of shares: what part of the mass lies elsewhere, from 0 to 1."""
    return float(np.abs(_shares(before) - _shares(after)).sum() / 2)


def divergence(before: Floats, after: Floats) -> float:
    """Kullback and Leibler's divergence of the shares after from those before, in nats; parts of 0 after add nothing.

    What has mass only after makes it infinite; weights cannot bring that about.
    """
    first, second = _shares(before), _shares(after)
    held = second > 0
    with np.errstate(divide="ignore"):
        return max(0.0, float(second[held] @ np.log(second[held] / first[held])))


def _shares(mass: Floats) -> Floats:
    total = mass.sum()
    shares: Floats = mass / total if total > 0 else np.zeros_like(mass)
    return shares
