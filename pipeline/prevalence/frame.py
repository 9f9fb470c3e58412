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


def draw_of(file: str, columns: Columns, parts: Strata, sizes: Ints, seed: int) -> draw.Drawn:
    """What a tags file gives to a draw of ``sizes`` (int64, by stratum); ``where`` is "row@file"."""
    found = []
    for batch in population(file, ["id", "row", columns.score, columns.proxy]):
        where = [f"{row:012d}@{file}" for row in batch.column("row").to_pylist()]
        at = _assigned(batch, columns, parts)
        found.append(draw.draw(batch.column("id").to_pylist(), where, at, sizes, seed))
    return draw.merge(found, sizes)


def census_of(
    file: str, columns: Columns, parts: Strata, threshold: float, slicers: Sequence[Slicer],
    ids: Iterable[str],
) -> Census:  # fmt: skip
    """The census of a tags file; ``ids`` are the documents whose tags are wanted."""
    wanted = pa.array(sorted(set(ids)), pa.string())
    empty = Histogram(np.zeros((strata.CELLS, strata.CELLS, 5)), np.zeros(5))
    none = np.zeros((0, len(parts), 5)), np.zeros((0, 3))
    census = Census(empty, Counted(np.zeros((len(parts), 5)), np.zeros(3)))
    census.slices |= {one.by: CountedSlices([], *none) for one in slicers}
    for batch in population(file, None):
        whole, slices = _counted(batch, columns, parts, threshold, slicers)
        chosen = batch.filter(pc.is_in(batch.column("id"), wanted)).to_pylist()
        rows = {row["id"]: row | {"file": file} for row in reversed(chosen)}
        census += Census(_histogram(batch, columns), whole, slices, rows)
    return census


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
