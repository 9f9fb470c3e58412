"""Strata: intervals of a rank made of score and proxy, on a grid of their log-odds.

A histogram over the grid is exact and adds up over shards and engines; strata are unions of its cells, so that their
sizes are known exactly and every engine puts a document into the same one. Knows scores and sizes; knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

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
CUTS = (10.0, 2.0, 0.4)
"""Where strata begin, in multiples of the expected prevalence, from the top of the rank. Of those tried in simulation a
compromise: cuts further down shorten intervals of poor classifiers, and lengthen those of good ones."""


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
    """Documents of an interval of the rank with ``low`` <= score < ``high``; unscored if ``low`` is None. ``lowest``:
    whether neither score nor proxy points to a positive, or there is no score.

    ``words_squared`` and ``bytes_squared`` are sums over documents, of which size-biased means are made.
    """

    name: str
    low: float | None
    high: float | None
    lowest: bool
    documents: int = 0
    words: int = 0
    bytes: int = 0
    words_squared: float = 0.0
    bytes_squared: float = 0.0


@dataclass(frozen=True)
class Strata:
    """``parts`` from the lowest to the highest, those without a score last. ``runs`` is `table` as run lengths, row by
    row: "0*480 1*2" are 480 cells of the stratum 0 and two of the stratum 1. Raises `ValueError` for other text."""

    parts: tuple[Stratum, ...]
    runs: str

    def __post_init__(self) -> None:
        if self.table.max(initial=-1) >= len(self.parts):
            raise ValueError(f"the table of cells names strata that are not among the {len(self.parts)}")

    def __reduce__(self) -> tuple[type[Strata], tuple[tuple[Stratum, ...], str]]:
        return Strata, (self.parts, self.runs)  # without the table, which every task of an engine would carry

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Stratum]:
        return iter(self.parts)

    def __getitem__(self, index: int) -> Stratum:
        return self.parts[index]

    @cached_property
    def table(self) -> NDArray[np.int8]:
        """The index of the stratum of each cell of score and of proxy, int8 (CELLS, CELLS); -1 where there is none."""
        runs = np.array([run.split("*") for run in self.runs.split()], np.int64).reshape(-1, 2)
        return np.repeat(runs[:, 0], runs[:, 1]).astype(np.int8).reshape(CELLS, CELLS)


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


def make_strata(counted: Histogram, expected: float, *, threshold: float | None = None, least: int = 20) -> Strata:
    """Strata from the lowest to the highest rank, made without any label.

    A document ranks by the share of documents whose score is in its cell or one above, times that share of the proxy:
    the smaller, the higher (Fisher's combination of two tail probabilities: R. A. Fisher, Statistical Methods for
    Research Workers, 4th ed. 1932, section 21.1). Cuts are where `CUTS` times the expected prevalence rank above, so
    that a useful classifier has its positives in the upper strata, whatever its calibration. What is at or over the
    filter's threshold is apart from what is below, so that precision and recall are of whole strata. No stratum of
    fewer than ``least`` documents is made but by the threshold. Empty strata are left out.
    """
    documents = counted.sums[..., 0]
    product = _tails(documents)
    limits = _limits(product, documents, expected, least)
    interval = len(limits) - np.searchsorted(limits, product)
    table, parts = np.full((CELLS, CELLS), -1), list[Stratum]()
    for place, name in enumerate(_names([float(documents[product <= one].sum()) for one in limits], documents.sum())):
        for side in _sides(threshold):
            inside = (interval == place) & side.cells[:, None]
            sums = counted.sums[inside].sum(axis=0)
            if sums[0]:
                table[inside] = len(parts)
                words = ", ".join(filter(None, (name, side.name))) or "all"
                parts.append(Stratum(f"{len(parts)}: {words}", side.low, side.high, place == 0, *_sums(sums)))
    if counted.unscored[0]:
        parts.append(Stratum(f"{len(parts)}: no score", None, None, True, *_sums(counted.unscored)))
    return Strata(tuple(parts), _run_lengths(table))


def _tails(documents: Floats) -> Floats:
    """By pairs of cells, the documents in the score's cell or above times those in the proxy's: whole numbers, which
    rank alike on every machine, as sums of logarithms might not. A cell above all documents counts as one."""
    score, proxy = (np.cumsum(documents.sum(axis=axis)[::-1])[::-1] for axis in (1, 0))
    return np.outer(np.maximum(score, 1), np.maximum(proxy, 1))


def _limits(product: Floats, documents: Floats, expected: float, least: int) -> Floats:
    """The greatest products of the intervals from the top, but of the lowest, which has half of the documents or more.
    What would be smaller than ``least`` goes to the interval below."""
    values, at = np.unique(product, return_inverse=True)
    above = np.cumsum(np.bincount(at.ravel(), weights=documents.ravel()))
    whole, taken, limits = above[-1], 0.0, []
    for times in sorted(CUTS):
        cut = int(np.searchsorted(above, max(least, times * expected * whole), side="right")) - 1
        if cut >= 0 and above[cut] - taken >= least and whole - above[cut] >= max(whole / 2, least):
            taken = above[cut]
            limits.append(values[cut])
    return np.array(limits, np.float64)


def _names(above: Sequence[float], whole: float) -> list[str]:
    """Of the intervals, from the lowest; ``above``: the documents over the end of each from the top, but the lowest."""
    if not above:
        return [""]
    shares = [f"{100 * one / whole:.2g}" for one in above]
    between = [f"top {first} to {last} %" for first, last in pairwise(shares)]
    return [f"the other {100 - float(shares[-1]):g} %", *reversed(between), f"top {shares[0]} %"]


@dataclass(frozen=True)
class _Side:
    """Of the filter's threshold: scores in ``low`` <= score < ``high``, which are in ``cells``, bool (CELLS,)."""

    name: str
    low: float
    high: float
    cells: NDArray[np.bool_]


def _sides(threshold: float | None) -> list[_Side]:
    if threshold is None:
        return [_Side("", 0.0, float("inf"), np.ones(CELLS, bool))]
    over = np.arange(CELLS) > np.searchsorted(GRID, threshold, side="left")
    return [_Side("not flagged", 0.0, threshold, ~over), _Side("flagged", threshold, float("inf"), over)]


def _sums(sums: Floats) -> tuple[int, int, int, float, float]:
    return int(sums[0]), int(sums[1]), int(sums[2]), float(sums[3]), float(sums[4])


def _run_lengths(table: Ints) -> str:
    return " ".join(f"{index}*{len(list(run))}" for index, run in groupby(table.ravel().tolist()))


def assign(strata: Strata, scores: Floats, proxies: Floats) -> Ints:
    """The index of each document's stratum, int64, shape (documents,).

    Raises `ValueError` if a document fits in none: the tags are then not those that the strata were made of.
    """
    found = strata.table[cells(scores), cells(np.nan_to_num(proxies))].astype(np.int64)
    found[np.isnan(scores)] = next((k for k, one in enumerate(strata) if one.low is None), -1)
    if np.any(found < 0):
        raise ValueError(
            f"{int(np.sum(found < 0))} documents are in no stratum of the plan: their tags were not there when it was "
            "made; make a new plan"
        )
    return found
