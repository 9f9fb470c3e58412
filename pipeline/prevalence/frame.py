"""The population of an audit, read from tags files: histograms, draws and sums that add up over shards.

Each function takes one tags file and gives something small that merges, so that any engine may call it in any order.
Knows tags and plans; knows nothing of labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import storage
from pipeline.prevalence import draw, strata
from pipeline.prevalence.counted import Counted, CountedSlices, SliceScores, count
from pipeline.prevalence.names import Names
from pipeline.prevalence.slices import Slicer
from pipeline.prevalence.strata import Histogram, Ints, Strata
from pipeline.schema import OTHER_LANGUAGE

Floats = NDArray[np.float64]
_ROWS = 100_000
_SQUARES = ("words", "bytes")


@dataclass(frozen=True)
class Columns:
    """Which columns of the tags hold the score and its proxy."""

    score: str
    proxy: str


@dataclass
class Census:
    """Every document counted: the histogram, sums of the whole and by slice (``slices[by][name]``), and the tags of
    the documents asked for, with ``file``. Adds up with +=, which changes the left side: domains may be many."""

    histogram: Histogram
    whole: Counted
    slices: dict[str, CountedSlices] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __iadd__(self, other: Census) -> Census:
        self.histogram, self.whole = self.histogram + other.histogram, self.whole + other.whole
        for by, counted in other.slices.items():
            if by in self.slices:
                self.slices[by] += counted
            else:
                self.slices[by] = counted
        self.rows = {**other.rows, **self.rows}
        return self


_T = TypeVar("_T", Histogram, Census, SliceScores)


def added_up(parts: Iterable[_T]) -> _T:
    """The sum of at least one, by +=."""
    rest = iter(parts)
    total = next(rest)
    for one in rest:
        total += one
    return total


def histogram_of(file: str, columns: Columns) -> Histogram:
    """The histogram of a tags file."""
    counted = Histogram(np.zeros((strata.CELLS, strata.CELLS, 5)), np.zeros(5))
    for batch in population(file, [columns.score, columns.proxy, *_SQUARES]):
        counted += _histogram(batch, columns)
    return counted


def draw_of(file: str, columns: Columns, parts: Strata, sizes: Ints, seed: int, names: Names) -> draw.Drawn:
    """What a tags file gives to a draw of ``sizes`` (int64, by stratum); ``where``: see `places`."""
    found = []
    for batch in population(file, [names.column, "row", columns.score, columns.proxy]):
        at = _assigned(batch, columns, parts)
        found.append(draw.draw(names.of(batch, file), places(batch, file), at, sizes, seed))
    return draw.merge(found, sizes)


def places(batch: pa.RecordBatch, file: str) -> list[str]:
    """Where each document of a batch is, as "row@file"."""
    return [f"{row:012d}@{file}" for row in batch.column("row").to_pylist()]


def census_of(
    file: str, columns: Columns, parts: Strata, threshold: float, slicers: Sequence[Slicer],
    wanted: Iterable[str], names: Names,
) -> Census:  # fmt: skip
    """The census of a tags file; ``wanted`` are the documents, by name, whose tags are asked for."""
    asked = pa.array(sorted(set(wanted)), pa.string())
    empty = Histogram(np.zeros((strata.CELLS, strata.CELLS, 5)), np.zeros(5))
    none = np.zeros((0, len(parts), 5)), np.zeros((0, 3))
    census = Census(empty, Counted(np.zeros((len(parts), 5)), np.zeros(3)))
    census.slices |= {one.by: CountedSlices([], *none) for one in slicers}
    for batch in population(file, None):
        whole, slices = _counted(batch, columns, parts, threshold, slicers)
        census += Census(_histogram(batch, columns), whole, slices, rows_of(batch, file, asked, names))
    return census


def rows_of(batch: pa.RecordBatch, file: str, wanted: pa.Array, names: Names) -> dict[str, dict[str, Any]]:
    """The tags of the documents of a batch that are wanted, by name, with their ``file``; of one name the first."""
    called = pa.array(names.of(batch, file), pa.string())
    chosen = pc.is_in(called, wanted)
    rows = zip(called.filter(chosen).to_pylist(), batch.filter(chosen).to_pylist(), strict=True)
    return {name: row | {"file": file} for name, row in reversed(list(rows))}


def _counted(
    batch: pa.RecordBatch, columns: Columns, parts: Strata, threshold: float, slicers: Sequence[Slicer]
) -> tuple[Counted, dict[str, CountedSlices]]:
    """Sums of all documents, and of those of each slice."""
    at, values = _assigned(batch, columns, parts), _values(batch)
    flagged = np.nan_to_num(numbers(batch, columns.score), nan=-1.0) >= threshold

    def by(names: Sequence[str], index: Ints) -> CountedSlices:
        return CountedSlices(names, *count(values, at, flagged, index, len(names), len(parts)))

    whole = by([""], np.zeros(len(at), np.int64))[""]
    return whole, {one.by: by(*one.of(batch)) for one in slicers}


def over_thresholds(
    file: str, columns: Columns, parts: Strata, thresholds: Floats, slicer: Slicer, wanted: Sequence[str]
) -> Floats:  # fmt: skip
    """Sums of the documents of a tags file at or over each of ``thresholds`` (float64, rising), of the slices that are
    ``wanted`` and by stratum: float64 (wanted, thresholds, strata, 5), which add up over files."""
    place = {name: k for k, name in enumerate(wanted)}
    found = np.zeros((len(wanted), len(thresholds) + 1, len(parts), 5))
    for batch in population(file, [slicer.column, columns.score, columns.proxy, *_SQUARES]):
        called, at = slicer.of(batch)
        mine = np.array([place.get(name, -1) for name in called], np.int64)[at]
        passed = np.searchsorted(thresholds, np.nan_to_num(numbers(batch, columns.score), nan=-1.0), side="right")
        kept = mine >= 0
        index = mine[kept], passed[kept], _assigned(batch, columns, parts)[kept]
        np.add.at(found, index, _values(batch)[kept])
    return np.asarray(np.cumsum(found[:, ::-1], axis=1)[:, ::-1][:, 1:], np.float64)


def population(file: str, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Rows of a tags file with these columns (None: all), but those in other languages, which are not of it."""
    with storage.open_input(file) as opened:
        columns = None if names is None else list(dict.fromkeys([*names, "status"]))
        for batch in pq.ParquetFile(opened).iter_batches(_ROWS, columns=columns):
            kept = batch.filter(pc.not_equal(batch.column("status"), OTHER_LANGUAGE))
            if kept.num_rows:
                yield kept


def numbers(batch: pa.RecordBatch, name: str) -> Floats:
    """A column as float64, NaN where it is null, shape (rows,)."""
    return np.asarray(batch.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False))


def _assigned(batch: pa.RecordBatch, columns: Columns, parts: Strata) -> Ints:
    return strata.assign(parts, numbers(batch, columns.score), numbers(batch, columns.proxy))


def _histogram(batch: pa.RecordBatch, columns: Columns) -> Histogram:
    words, size = (batch.column(name).to_numpy() for name in _SQUARES)
    return strata.histogram(numbers(batch, columns.score), numbers(batch, columns.proxy), words, size)


def _values(batch: pa.RecordBatch) -> Floats:
    words, size = (batch.column(name).to_numpy().astype(np.float64) for name in _SQUARES)
    return np.stack([np.ones(len(words)), words, size, words**2, size**2], axis=1)
