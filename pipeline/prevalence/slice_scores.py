"""Scores by slice, where nothing was read: how many documents of a slice are in each cell of the score.

Two readings of the tags, as slices may be many: one for the sizes of all, one for the cells of those that are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipeline.prevalence.counted import CountedSlices, SliceScores, count
from pipeline.prevalence.frame import numbers, population
from pipeline.prevalence.slices import SLICES, Slicer
from pipeline.prevalence.strata import CELLS, Ints, cells

_Kept = Mapping[str, Collection[str]]


def sizes_of(file: str, score: str, slicers: Sequence[Slicer]) -> SliceScores:
    """How many documents with a score a tags file has of each slice."""
    return _counted(file, score, slicers, None)


def scores_of(file: str, score: str, slicers: Sequence[Slicer], kept: _Kept) -> SliceScores:
    """Their scores by cell, of the slices that are ``kept``, by name."""
    return _counted(file, score, slicers, kept)


def _counted(file: str, score: str, slicers: Sequence[Slicer], kept: _Kept | None) -> SliceScores:
    parts = 1 if kept is None else CELLS
    total = SliceScores({one.by: CountedSlices([], np.zeros((0, parts, 1)), np.zeros((0, 1))) for one in slicers})
    columns = [score, *(SLICES[one.by].column for one in slicers)]
    for batch in population(file, columns):
        scores = numbers(batch, score)
        scored, found = batch.filter(pa.array(~np.isnan(scores))), scores[~np.isnan(scores)]
        at = np.zeros(len(found), np.int64) if kept is None else cells(found)
        for one in slicers:
            names, index = one.of(scored)
            wanted = [name for name in names if kept is None or name in kept[one.by]]
            place = {name: k for k, name in enumerate(wanted)}
            where = np.array([place.get(name, -1) for name in names], np.int64)[index]
            total.by[one.by] += _one(wanted, at[where >= 0], where[where >= 0], parts)
    return total


def _one(names: Sequence[str], at: Ints, slices: Ints, parts: int) -> CountedSlices:
    ones, unflagged = np.ones((len(at), 1)), np.zeros(len(at), bool)
    return CountedSlices(names, *count(ones, at, unflagged, slices, len(names), parts))
