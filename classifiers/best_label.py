"""The likeliest label of texts by any fastText model, by our own kernel: what languages and topics are found with.

Knows the kernel and prepared models; nothing of what the labels mean.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.kernel.best import best_labels
from classifiers.prepare import PreparedModel, model_digest, prepare
from classifiers.score import TextBuffer, load_scoring_model, sum_texts, text_buffer
from pipeline.compiled.compiling import compile_once, compiled

_best_labels = compiled(best_labels)
_ONE_CHUNK = 1 << 40
"""Tokens: no windows are wanted."""


@dataclass(frozen=True)
class BestLabelModel:
    """A model file, read by its likeliest label alone; picklable: a process that gets one maps it on first use."""

    path: str
    digest: str

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read, check and prepare the model at ``path``. Raises `ModelFileError` if it cannot be scored."""
        model = cls(str(Path(path).resolve()), model_digest(path))
        prepare(model.path, model.digest)
        return model

    def describe(self) -> dict[str, Any]:
        """What decides the labels found, as plain types: the file by its digest, and how it is read."""
        return {"name": Path(self.path).name, **{key: value for key, value in asdict(self).items() if key != "path"}}

    def best(self, texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Place of the likeliest label and its probability, int64 and float64 (texts,); -1 and 0 where there is no
        word, or none that the model knows. ``texts``: string or large_string, no nulls."""
        return _best(_load(self.path, self.digest), self._read(text_buffer(texts)))

    def _names(self, places: NDArray[np.int64], none: NDArray[np.bool_]) -> pa.StringArray:
        """Labels of these places, without ``__label__``; null where ``none``."""
        return pa.array(_load(self.path, self.digest).labels, pa.string()).take(pa.array(places, mask=none))

    def _read(self, texts: TextBuffer) -> TextBuffer:
        """What of the texts is looked at."""
        return texts


@lru_cache(maxsize=4)
def _load(path: str, digest: str) -> PreparedModel:
    model = load_scoring_model(path, digest)

    def warm_up() -> None:
        _best(model, text_buffer(pa.array(["warm up"])))

    compile_once("classifiers.kernel", "best-label", warm_up)
    return model


def _best(model: PreparedModel, texts: TextBuffer) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    sums = sum_texts(model, texts, _ONE_CHUNK)
    labels, scores = np.zeros(texts.n, np.int64), np.zeros(texts.n)
    room = np.zeros(model.head.n_labels), np.zeros(model.head.n_labels)
    counts = np.where(sums.words > 0, sums.counts, 0)  # the end of a text alone, which most models know, says nothing
    _best_labels(model.head, sums.totals, counts, *room, labels, scores)
    return labels, scores
