"""Ratios of alternating runs: A B A B …, one ratio a pair, their median with an interval.

What the machine does besides slows both runs of a pair alike, so ratios hold where seconds do not. Knows nothing of
what is run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

from pipeline.schema import Estimate

Run = Callable[[int], float]
"""Runs once, for the pair of that number, and returns its seconds."""


@dataclass(frozen=True)
class Pair:
    """Seconds of two runs on the same input."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """How many times the speed of the other run ours has."""
        return self.theirs / self.ours


def alternate(ours: Run, theirs: Run, pairs: int, *, warm_up: bool = True) -> list[Pair]:
    """Run both in turn, ours first; ``warm_up`` runs each once before, uncounted, as pair 0."""
    if pairs < 1:
        raise ValueError(f"{pairs} pairs give no ratio; ask for at least 1, better 6 or more")
    if warm_up:
        ours(0), theirs(0)
    return [Pair(ours(i), theirs(i)) for i in range(pairs)]


def seconds(work: Callable[[], object], *, clock: Callable[[], float] = time.process_time) -> float:
    """What the clock says ``work`` took: by default the processor time of this process, all threads."""
    begin = clock()
    work()
    return clock() - begin


def median_ratio(pairs: Sequence[Pair], confidence: float = 0.95) -> Estimate:
    """The median of the pairs' ratios with the interval that order statistics give (Conover, Practical Nonparametric
    Statistics, 3.2): free of any assumption on the distribution. Under 6 pairs it covers less than 95 %, as said in
    ``method``."""
    ratios = sorted(pair.ratio for pair in pairs)
    n = len(ratios)
    rank, covers = order_statistics(n, confidence)
    return Estimate(
        value=statistics.median(ratios),
        low=ratios[rank - 1],
        high=ratios[n - rank],
        n=n,
        method=f"median of {n} pairs; order statistics {rank} and {n + 1 - rank} cover it at {covers:.1%}",
    )


def order_statistics(n: int, confidence: float) -> tuple[int, float]:
    """The rank from either end (from 1) of the narrowest interval that covers the median of ``n`` values at least with
    ``confidence``, and its coverage; the widest there is if none does."""
    rank, covers = 1, _coverage(n, 1)
    while 2 * (rank + 1) < n + 1 and _coverage(n, rank + 1) >= confidence:
        rank += 1
        covers = _coverage(n, rank)
    return rank, covers


def _coverage(n: int, rank: int) -> float:
    """One minus the chance that fewer than ``rank`` of ``n`` values fall on one side of the median."""
    return 1 - sum(comb(n, k) for k in range(rank)) / 2.0 ** (n - 1)
