"""Identifies the language of texts with any fastText model for that, on a sample of their words.

Knows neither codes of languages (labels are returned as they stand in the model) nor what a shard says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from classifiers.best_label import BestLabelModel
from classifiers.kernel.sample import LONGEST_WORD, sample_texts
from classifiers.score import TextBuffer, text_buffer
from pipeline.compiled.compiling import compile_once, compiled

_sample_texts = compiled(sample_texts)


@dataclass(frozen=True)
class LanguageModel(BestLabelModel):
    """Texts in, languages out.

    ``stretches`` evenly spaced stretches of ``stretch_bytes`` bytes of each text are looked at. A language less likely
    than ``least`` is none, as of code, tables and lists of names; nor has a text of under ``least_bytes`` any: of
    a few letters a model is sure without cause.
    """

    stretches: int = 4
    stretch_bytes: int = 64
    least: float = 0.5
    least_bytes: int = 32

    def __call__(self, texts: pa.Array) -> pa.StringArray:
        """The likeliest label of each text (string or large_string, no nulls), null where none is likely enough."""
        labels, scores = self.best(texts)
        short = np.diff(text_buffer(texts).offsets) < self.least_bytes
        return self._names(labels, (labels < 0) | (scores < self.least) | short)

    def _read(self, texts: TextBuffer) -> TextBuffer:
        _compile_sampling()
        return _sampled(texts, self.stretches, self.stretch_bytes)


@cache
def _compile_sampling() -> None:
    def warm_up() -> None:
        _sampled(text_buffer(pa.array(["warm up"])), 2, 1)

    compile_once("classifiers.kernel", "sample", warm_up)


def _sampled(texts: TextBuffer, stretches: int, size: int) -> TextBuffer:
    data = np.empty(texts.n * stretches * (size + LONGEST_WORD + 1) + 1, np.uint8)
    offsets = np.zeros(texts.n + 1, np.int64)
    _sample_texts(texts.data, texts.offsets, texts.n, stretches, size, data, offsets)
    for array in (data, offsets):
        array.flags.writeable = False  # one type for the compiled code
    return TextBuffer(data, offsets, texts.n)
