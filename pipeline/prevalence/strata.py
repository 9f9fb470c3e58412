"""Strata: intervals of the score on a grid of log-odds, the lowest one split by a second proxy.

A histogram over the grid is exact and adds up over shards and engines; strata are unions of its cells, so that their
sizes are known exactly and every engine puts a document into the same one. Knows scores and sizes; knows no files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REACH = 12.0
"""fastText's scores lie within log-odds of 11.6 either way, as it adds 1e-5."""
GRID = 1 / (1 + np.exp(-np.linspace(-REACH, REACH, 481)))
"""Scores at every twentieth of log-odds; the cell of a score is the number of grid scores at or under it."""
CELLS = len(GRID) + 1
UNITS = ("documents", "words", "bytes")
CUTS = (5.0, 1.0, 0.2)
"""Where strata begin, in multiples of the expected prevalence, from the top, by score and in the lowest by proxy. Of
those tried in simulation (one to four cuts of each, from 50 to 0.2) a compromise: cuts further down shorten intervals
of poor classifiers read much, and lengthen those of good ones."""


@dataclass(frozen=True)
class Histogram:
    """``sums``: float64 (CELLS, CELLS, 5) over cells of score and of proxy, of documents, words, bytes and the
    squares of the last two; ``unscored``: the same five of the documents without a score. Adds up with +."""

    sums: Floats
    unscored: Floats

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.sums + other.sums, self.unscored + other.unscored)


@dataclass(frozen=True)
class Stratum:
    """Documents with ``low`` <= score < ``high`` and proxy in the same kind of interval; unscored if ``low`` is None.

    ``words_squared`` and ``bytes_squared`` are sums over documents, of which size-biased means are made.
    """

    name: str
    low: float | None
    high: float | None
    proxy_low: float | None = None
    proxy_high: float | None = None
    documents: int = 0
    words: int = 0
    bytes: int = 0
    words_squared: float = 0.0
    bytes_squared: float = 0.0

    @property
    def lowest(self) -> bool:
        """Whether neither score nor proxy points to a positive, or there is no score."""
        return not self.low and not self.proxy_low


def cells(scores: Floats) -> Ints:
    """The grid cell of each score, float64 in, int64 out; a score that is NaN has none and must not be asked for."""
    return np.searchsorted(GRID, scores, side="right").astype(np.int64)


def histogram(scores: Floats, proxies: Floats, words: Ints, size: Ints) -> Histogram:
    """Of arrays of shape (documents,); NaN where there is no score. A proxy that is NaN counts as 0."""
    values = np.stack(
        [np.ones(len(words)), words, size, np.square(words, dtype=float), np.square(size, dtype=float)], 1
    )
    scored = ~np.isnan(scores)
    sums = np.zeros((CELLS, CELLS, values.shape[1]))
    np.add.at(sums, (cells(scores[scored]), cells(np.nan_to_num(proxies[scored]))), values[scored])
    return Histogram(sums, values[~scored].sum(axis=0))


def make_strata(
    counted: Histogram, expected: float, *, threshold: float | None = None, least: int = 20
) -> list[Stratum]:
    """Strata from the lowest to the highest score, made without any label.

    Cuts are where `CUTS` times the expected prevalence lie above, so that a useful classifier has its positives in the
    upper strata, whatever its calibration; and at the threshold of the filter, so that precision and recall are of
    whole strata. The lowest is cut by its proxy likewise.
    No stratum of fewer than ``least`` documents is made but by the threshold. Empty strata are left out.
    """
    by_score = counted.sums.sum(axis=1)
    edges = _edges(by_score[:, 0], expected, least, threshold)
    strata = []
    for at, (start, stop) in enumerate(pairwise(edges)):
        low, high = _score_at(start), _score_at(stop)
        by_proxy = counted.sums[start:stop, :, 0].sum(axis=0)
        for first, last in pairwise(_edges(by_proxy, expected, least, None) if at == 0 else [0, CELLS]):
            sums = counted.sums[start:stop, first:last].sum(axis=(0, 1))
            bounds = (_score_at(first) if first else None, _score_at(last) if last < CELLS else None)
            strata.append(_stratum(low, high, *bounds, sums))
    if counted.unscored[0]:
        strata.append(Stratum("no score", None, None, None, None, *_sums(counted.unscored)))
    held = [one for one in strata if one.documents]
    return [replace(one, name=f"{k}: {one.name}") for k, one in enumerate(held)]


def _edges(documents: Floats, expected: float, least: int, threshold: float | None) -> list[int]:
    """Cells at which strata begin, and the end."""
    above = np.append(np.cumsum(documents[::-1])[::-1], 0)
    whole, cuts = above[0], {0, CELLS}
    for times in CUTS:
        cut = int(np.argmax(above <= max(least, times * expected * whole)))
        if 0 < cut < CELLS and above[cut] >= least and whole - above[cut] >= whole / 2:
            cuts.add(cut)
    if threshold is not None:
        cuts.add(int(np.searchsorted(GRID, threshold, side="left")) + 1)
    return sorted(cuts)


def _score_at(cell: int) -> float:
    """The least score of a cell."""
    return float(GRID[cell - 1]) if 0 < cell < CELLS else (0.0 if cell == 0 else float("inf"))


def _sums(sums: Floats) -> tuple[int, int, int, float, float]:
    return int(sums[0]), int(sums[1]), int(sums[2]), float(sums[3]), float(sums[4])


def _stratum(low: float, high: float, proxy_low: float | None, proxy_high: float | None, sums: Floats) -> Stratum:
    name = f"score {low:.4g} to {min(high, 1):.4g}"
    if proxy_low is not None:
        name += f", proxy from {proxy_low:.4g}"
    if proxy_high is not None:
        name += f", proxy below {proxy_high:.4g}"
    return Stratum(name, low, high, proxy_low, proxy_high, *_sums(sums))


def assign(strata: Sequence[Stratum], scores: Floats, proxies: Floats) -> Ints:
    """The index of each document's stratum, int64, shape (documents,).

    Raises `ValueError` if a document fits in none: the tags are then not those that the strata were made of.
    """
    found = np.full(len(scores), -1, np.int64)
    proxies = np.nan_to_num(proxies)
    for index, one in enumerate(strata):
        if one.low is None or one.high is None:
            found[np.isnan(scores)] = index
            continue
        inside = (scores >= one.low) & (scores < one.high)
        inside &= (proxies >= (one.proxy_low or 0.0)) & (proxies < (one.proxy_high or np.inf))
        found[inside] = index
    if np.any(found < 0):
        raise ValueError(
            f"{int(np.sum(found < 0))} documents are in no stratum of the plan: their tags were not there when it was "
            "made; make a new plan"
        )
    return found
