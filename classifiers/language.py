"""Identifies the language of texts with any fastText model for that, on a sample of their words, by our own kernel.

Knows neither codes of languages (labels are returned as they stand in the model) nor what a shard says of itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.compiling import compile_once, compiled
from classifiers.kernel.best import best_labels
from classifiers.kernel.sample import LONGEST_WORD, sample_texts
from classifiers.prepare import PreparedModel, model_digest, prepare
from classifiers.score import TextBuffer, load_scoring_model, sum_texts, text_buffer

_best_labels = compiled(best_labels)
_sample_texts = compiled(sample_texts)
_ONE_CHUNK = 1 << 40
"""Tokens: no windows are wanted."""


@dataclass(frozen=True)
class LanguageModel:
    """Texts in, languages out; picklable: a process that gets one maps the model on first use.

    ``stretches`` evenly spaced stretches of ``stretch_bytes`` bytes of each text are looked at. A language less likely
    than ``least`` is none, as of code, tables and lists of names; nor has a text of under ``least_bytes`` any: of
    a few letters a model is sure without cause.
    """

    path: str
    digest: str
    stretches: int = 4
    stretch_bytes: int = 64
    least: float = 0.5
    least_bytes: int = 32

    @classmethod
    def open(cls, path: str | Path) -> LanguageModel:
        """Read, check and prepare the model at ``path``. Raises `ModelFileError` if it cannot be scored."""
        model = cls(str(Path(path).resolve()), model_digest(path))
        prepare(model.path, model.digest)
        return model

    def describe(self) -> dict[str, Any]:
        """What decides the languages found, as plain types: the file by its digest, and the sample."""
        return {"name": Path(self.path).name, **{key: value for key, value in asdict(self).items() if key != "path"}}

    def __call__(self, texts: pa.Array) -> pa.StringArray:
        """The likeliest label of each text (string or large_string, no nulls), null where none is likely enough."""
        model = _load(self.path, self.digest)
        labels, scores = self.best(texts)
        short = np.diff(text_buffer(texts).offsets) < self.least_bytes
        names = pa.array(model.labels, pa.string())
        return names.take(pa.array(labels, mask=(labels < 0) | (scores < self.least) | short))

    def best(self, texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Place of the likeliest label and its probability, int64 and float64 (texts,); -1 and 0 where the model knows
        no word of the sample."""
        model = _load(self.path, self.digest)
        return _identify(model, text_buffer(texts), self.stretches, self.stretch_bytes)


@lru_cache(maxsize=2)
def _load(path: str, digest: str) -> PreparedModel:
    model = load_scoring_model(path, digest)
    compile_once("language", lambda: _identify(model, text_buffer(pa.array(["warm up"])), 2, 1) and None)
    return model


def _identify(
    model: PreparedModel, texts: TextBuffer, stretches: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    sums = sum_texts(model, _sampled(texts, stretches, size), _ONE_CHUNK)
    labels, scores = np.zeros(texts.n, np.int64), np.zeros(texts.n)
    room = np.zeros(len(model.labels)), np.zeros(len(model.labels))
    _best_labels(model.head, sums.totals, sums.counts, *room, labels, scores)
    return labels, scores


def _sampled(texts: TextBuffer, stretches: int, size: int) -> TextBuffer:
    data = np.empty(texts.n * stretches * (size + LONGEST_WORD + 1) + 1, np.uint8)
    offsets = np.zeros(texts.n + 1, np.int64)
    _sample_texts(texts.data, texts.offsets, texts.n, stretches, size, data, offsets)
    for array in (data, offsets):
        array.flags.writeable = False  # one type for the compiled code
    return TextBuffer(data, offsets, texts.n)
