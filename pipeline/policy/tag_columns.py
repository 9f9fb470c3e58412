"""Columns of a batch of TAGS as conditions ask for them: numbers as arrays with NaN where there is none.

Knows TAGS and their metadata; nothing of rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.schema import MODES, OK, label_columns, window_column

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_NEAREST = 1e-6
"""Scores are kept so far from 0 and 1 before their log-odds are taken, as where they were calibrated."""
_DATE = r"^(?P<year>[0-9]{4})-?(?P<month>[0-9]{2})-?(?P<day>[0-9]{2})"


@lru_cache(maxsize=64)
def _model(text: bytes) -> dict[str, Any]:
    return dict(json.loads(text))


def model_of(schema: pa.Schema) -> dict[str, Any]:
    """The model that the metadata of tags describe; empty if they name none."""
    text = (schema.metadata or {}).get(b"tropescan.model")
    return _model(text) if text else {}


def modes_of(labels: Any) -> tuple[str, ...]:
    """The modes among the labels of a model."""
    return tuple(mode for mode in MODES if mode in labels)


def score_column(label: str, *, window: bool) -> str:
    """Name of the column with a label's score, of the document or of its strongest window."""
    column = label_columns([label])[0]
    return window_column(column) if window else column


def probability(scores: Floats, calibration: Mapping[str, float], base_rate: float | None) -> Floats:
    """Calibrated probabilities, float64 of the same shape, NaN where there is no score: the card's two numbers over
    the log-odds (Platt 1999), moved to another base rate if one is given (Elkan 2001, theorem 2)."""
    rate = calibration["base_rate"]
    shift = 0.0 if base_rate is None else float(_log_odds(np.float64(base_rate)) - _log_odds(np.float64(rate)))
    moved = calibration["slope"] * _log_odds(scores) + calibration["intercept"] + shift
    with np.errstate(invalid="ignore"):  # of documents without score
        return np.asarray(np.exp(-np.logaddexp(0, -moved)))


def _log_odds(scores: Any) -> Floats:
    kept = np.clip(scores, _NEAREST, 1 - _NEAREST)
    return np.asarray(np.log(kept / (1 - kept)))


class TagColumns:
    """One batch of TAGS, or of those of their columns that a policy needs."""

    def __init__(self, tags: pa.RecordBatch) -> None:
        self.tags = tags

    def __len__(self) -> int:
        return int(self.tags.num_rows)

    def numbers(self, name: str) -> Floats:
        """A column of numbers as float64, NaN for null."""
        return np.asarray(self.tags.column(name).to_numpy(zero_copy_only=False), np.float64)

    def scores(self, label: str, *, window: bool) -> Floats:
        """Scores of a label; NaN for documents that have none, and for those in another language than the model's,
        whose scores stand for nothing."""
        scores = self.numbers(score_column(label, window=window))
        return np.where(self.is_in("status", (OK,)), scores, np.nan)

    def probabilities(self, label: str, *, window: bool, base_rate: float | None) -> Floats:
        """The same as calibrated probabilities. Raises `ValueError` if the tags name no calibration of the label."""
        calibrations = model_of(self.tags.schema).get("calibration", {})
        if label not in calibrations:
            raise ValueError(f"the tags' metadata hold no calibration of {label!r}; use its score")
        return probability(self.scores(label, window=window), calibrations[label], base_rate)

    def is_in(self, name: str, values: tuple[str, ...]) -> Bools:
        """Where a column of strings has one of these values; null has none."""
        return to_bools(pc.is_in(self.tags.column(name), pa.array(values, pa.string())))

    def dates(self) -> Floats:
        """Dates as the number YYYYMMDD, from ISO 8601 or WARC's digits; NaN where there is none of these."""
        parts = pc.extract_regex(self.tags.column("date"), _DATE)
        joined = pc.binary_join_element_wise(*(pc.struct_field(parts, name) for name in ("year", "month", "day")), "")
        return np.asarray(joined.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)

    def modes(self) -> NDArray[np.int64]:
        """For each document the position in `MODES` of the mode that scores highest; -1 without a score."""
        names = modes_of(model_of(self.tags.schema).get("labels", self.tags.schema.names))
        if not names:
            raise ValueError("the tags' model has no label for any mode")
        scores = np.stack([self.scores(name, window=False) for name in names])
        known = ~np.isnan(scores).any(axis=0)
        places = np.array([MODES.index(name) for name in names])
        return np.where(known, places[np.argmax(np.nan_to_num(scores, nan=-1.0), axis=0)], -1)

    def has_span(self, labels: tuple[str, ...], at_least: float) -> Bools:
        """Where a document that has scores has a span of evidence for one of the labels, from this score on."""
        spans = self.tags.column("spans")
        flat, rows = pc.list_flatten(spans), pc.list_parent_indices(spans).to_numpy()
        fits = pc.and_(
            pc.is_in(pc.struct_field(flat, "label"), pa.array(labels, pa.string())),
            pc.greater_equal(pc.struct_field(flat, "score"), pa.scalar(at_least, pa.float64())),
        )
        found = np.zeros(len(self), bool)
        found[rows[to_bools(fits)]] = True
        return found & self.is_in("status", (OK,))

    def ids(self, rows: Bools) -> list[str]:
        """Ids of some documents."""
        return list(self.tags.column("id").filter(pa.array(rows)).to_pylist())


def to_bools(values: pa.BooleanArray) -> Bools:
    """An Arrow array of booleans as numpy's; null is False."""
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), bool)
