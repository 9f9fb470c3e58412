"""Texts with their truth and a model's scores: what every figure of an evaluation is made from.

Knows examples and the scorer; knows neither label records nor commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.score import FastTextScorer
from classifiers.training import Example
from pipeline.schema import label_columns, window_column

Scores = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class ScoredTexts:
    """``examples`` with scores by label, float64 (texts,): ``document`` of the whole text, ``window`` of its strongest
    window. ``read`` is true where somebody labelled the text (the others are background, taken to hold nothing),
    ``written`` where it was written for this project."""

    examples: Sequence[Example]
    read: NDArray[np.bool_]
    written: NDArray[np.bool_]
    document: Scores
    window: Scores

    def truth(self, label: str) -> NDArray[np.bool_]:
        """Whether the label (or mode) holds, bool (texts,)."""
        return np.array([label in one.labels for one in self.examples], bool)

    @cached_property
    def about_ai(self) -> NDArray[np.bool_]:
        """Whether the text is about an artificial mind, bool (texts,)."""
        return self.truth("ai")

    @cached_property
    def real(self) -> NDArray[np.bool_]:
        """Labelled texts that were not written for this project, bool (texts,)."""
        return self.read & ~self.written

    @cached_property
    def words(self) -> NDArray[np.int64]:
        """Words between white space, int64 (texts,)."""
        return np.array([len(one.text.split()) for one in self.examples], np.int64)

    @cached_property
    def sources(self) -> NDArray[np.str_]:
        """The source of each text."""
        return np.array([one.source for one in self.examples])

    @cached_property
    def texts(self) -> list[str]:
        """The texts themselves."""
        return [one.text for one in self.examples]

    def of(self, rows: NDArray[np.bool_]) -> ScoredTexts:
        """Those of some rows."""
        kept = np.flatnonzero(rows)
        return ScoredTexts(
            [self.examples[int(k)] for k in kept],
            self.read[kept],
            self.written[kept],
            {label: scores[kept] for label, scores in self.document.items()},
            {label: scores[kept] for label, scores in self.window.items()},
        )


def scores_by_label(model: str | Path, texts: Sequence[str]) -> tuple[Scores, Scores]:
    """Scores of whole texts and of strongest windows by label, float64 (texts,); 0 where the model knows no word."""
    scorer = FastTextScorer.open(model, span_thresholds={})
    batch = pa.RecordBatch.from_pydict({"text": pa.array(list(texts), pa.large_string())})
    scored = scorer(batch)
    columns = dict(zip(scorer.labels, label_columns(scorer.labels), strict=True))

    def read(column: str) -> NDArray[np.float64]:
        return np.nan_to_num(np.asarray(scored.column(column).to_numpy(zero_copy_only=False), np.float64))

    whole = {label: read(column) for label, column in columns.items()}
    return whole, {label: read(window_column(column)) for label, column in columns.items()}
