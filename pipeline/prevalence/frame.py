"""The population of an audit, read from tags files: histograms, draws and sums that add up over shards.

Each function takes one tags file and gives something small that merges, so that any engine may call it in any order.
Knows tags and plans; knows nothing of labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import storage
from pipeline.prevalence import draw, strata
from pipeline.prevalence.slices import Slicer
from pipeline.prevalence.strata import Histogram, Ints, Stratum
from pipeline.schema import OTHER_LANGUAGE

Floats = NDArray[np.float64]
ALL = ""
"""Names the whole population among slices."""
_ROWS = 100_000
_SQUARES = ("words", "bytes")


@dataclass(frozen=True)
class Columns:
    """Which columns of the tags hold the score and its proxy."""

    score: str
    proxy: str


@dataclass
class Counted:
    """Of a slice (or all): sums by stratum, float64 (strata, 5), as in `Histogram`; ``flagged`` the first three of
    documents at or over the threshold."""

    sums: Floats
    flagged: Floats

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.sums + other.sums, self.flagged + other.flagged)


@dataclass
class Census:
    """Every document counted: the histogram, sums by value of the slice, and the tags of the documents asked for."""

    histogram: Histogram
    slices: dict[str, Counted] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __add__(self, other: Census) -> Census:
        slices = dict(self.slices)
        for name, counted in other.slices.items():
            slices[name] = slices[name] + counted if name in slices else counted
        return Census(self.histogram + other.histogram, slices, {**other.rows, **self.rows})


def histogram_of(file: str, columns: Columns) -> Histogram:
    """The histogram of a tags file."""
    counted = Histogram(np.zeros((strata.CELLS, strata.CELLS, 5)), np.zeros(5))
    for batch in _batches(file, [columns.score, columns.proxy, *_SQUARES]):
        counted += _histogram(batch, columns)
    return counted


def draw_of(file: str, columns: Columns, parts: Sequence[Stratum], sizes: Ints, seed: int) -> draw.Drawn:
    """What a tags file gives to a draw of ``sizes`` (int64, by stratum); ``where`` is "row@file"."""
    found = []
    for batch in _batches(file, ["id", "row", columns.score, columns.proxy]):
        where = [f"{row:012d}@{file}" for row in batch.column("row").to_pylist()]
        at = _assigned(batch, columns, parts)
        found.append(draw.draw(batch.column("id").to_pylist(), where, at, sizes, seed))
    return draw.merge(found, sizes)


def census_of(
    file: str, columns: Columns, parts: Sequence[Stratum], threshold: float, slicer: Slicer | None, ids: Iterable[str]
) -> Census:
    """The census of a tags file; ``ids`` are the documents whose tags are wanted."""
    wanted = pa.array(sorted(set(ids)), pa.string())
    whole = Census(Histogram(np.zeros((strata.CELLS, strata.CELLS, 5)), np.zeros(5)))
    for batch in _batches(file, None):
        census = Census(_histogram(batch, columns), _sliced(batch, columns, parts, threshold, slicer))
        chosen = batch.filter(pc.is_in(batch.column("id"), wanted))
        census.rows = {row["id"]: row for row in reversed(chosen.to_pylist())}
        whole += census
    return whole


def _sliced(
    batch: pa.RecordBatch, columns: Columns, parts: Sequence[Stratum], threshold: float, slicer: Slicer | None
) -> dict[str, Counted]:
    """All documents under `ALL`, and those of each value of the slice."""
    at, values = _assigned(batch, columns, parts), _values(batch)
    flagged = np.nan_to_num(_numbers(batch, columns.score), nan=-1.0) >= threshold
    names, index = np.unique(slicer.of(batch), return_inverse=True) if slicer else (np.array([]), np.zeros(0, np.int64))
    sums, over = np.zeros((len(names), len(parts), values.shape[1])), np.zeros((len(names), 3))
    if slicer:
        np.add.at(sums, (index, at), values)
        np.add.at(over, index[flagged], values[flagged, :3])
    whole = np.zeros((len(parts), values.shape[1]))
    np.add.at(whole, at, values)
    counted = {str(name): Counted(sums[k], over[k]) for k, name in enumerate(names)}
    return counted | {ALL: Counted(whole, values[flagged, :3].sum(axis=0))}


def _batches(file: str, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Rows of a tags file but those in other languages, which are not of the population."""
    with storage.open_input(file) as opened:
        columns = None if names is None else list(dict.fromkeys([*names, "status"]))
        for batch in pq.ParquetFile(opened).iter_batches(_ROWS, columns=columns):
            kept = batch.filter(pc.not_equal(batch.column("status"), OTHER_LANGUAGE))
            if kept.num_rows:
                yield kept


def _numbers(batch: pa.RecordBatch, name: str) -> Floats:
    return np.asarray(batch.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False))


def _assigned(batch: pa.RecordBatch, columns: Columns, parts: Sequence[Stratum]) -> Ints:
    return strata.assign(parts, _numbers(batch, columns.score), _numbers(batch, columns.proxy))


def _histogram(batch: pa.RecordBatch, columns: Columns) -> Histogram:
    words, size = (batch.column(name).to_numpy() for name in _SQUARES)
    return strata.histogram(_numbers(batch, columns.score), _numbers(batch, columns.proxy), words, size)


def _values(batch: pa.RecordBatch) -> Floats:
    words, size = (batch.column(name).to_numpy().astype(np.float64) for name in _SQUARES)
    return np.stack([np.ones(len(words)), words, size, words**2, size**2], axis=1)
