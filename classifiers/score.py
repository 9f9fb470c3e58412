"""Scores documents: the `Scorer` that the pipeline calls, over the kernel and a prepared model.

Knows Arrow's string layout and the TAGS columns; knows neither files of documents nor engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from classifiers.kernel.batch import Sums, new_block, sum_batch
from classifiers.kernel.windows import new_room, score_batch
from classifiers.prepare import PreparedModel, model_digest, prepare
from pipeline.compiled.compiling import compile_once, compiled
from pipeline.schema import NO_WORDS, OK, SPAN, label_columns, scores_schema, window_column

MOST_CHUNKS = 8 << 20
"""Room for running sums in one batch, in strides of words: some 100 bytes each, touched only as far as there are words.
A text of a gigabyte fits with a stride of 64 whatever its words."""

_sum_batch = compiled(sum_batch)
_score_batch = compiled(score_batch)


@dataclass(frozen=True)
class TextBuffer:
    """An Arrow string column as the kernel sees it: ``data`` uint8, ``offsets`` int64 (texts + 1,), ``n`` texts."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    n: int


def text_buffer(column: pa.Array) -> TextBuffer:
    """View of a `string` or `large_string` array without nulls; raises `TypeError` or `ValueError`.

    No text is copied. 32-bit offsets are widened, 8 bytes a text: one compiled kernel serves both types.
    """
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise TypeError(f"the text column is {column.type}; cast it to string or large_string")
    if column.null_count:
        raise ValueError(f"the text column has {column.null_count} nulls; drop or fill them before scoring")
    _, offsets_buffer, data_buffer = column.buffers()
    stored = np.int64 if pa.types.is_large_string(column.type) else np.int32
    offsets = np.zeros(1, np.int64)
    if offsets_buffer is not None and offsets_buffer.size:
        part = np.frombuffer(offsets_buffer, stored)[column.offset : column.offset + len(column) + 1]
        offsets = np.require(part, np.int64, "A")
    data = np.zeros(1, np.uint8)
    if data_buffer is not None and data_buffer.size:
        data = np.frombuffer(data_buffer, np.uint8)
    for array in (offsets, data):
        array.flags.writeable = False  # one type for the compiled code
    return TextBuffer(data, offsets, len(column))


@lru_cache(maxsize=4)
def load_scoring_model(path: str, digest: str) -> PreparedModel:
    """The prepared model, once for a process; its compiled kernel is warm when this returns."""
    model = prepare(path, digest)

    def warm_up() -> None:
        texts = text_buffer(pa.array(["warm up"]))
        score_sums(model, sum_texts(model, texts, 64), texts, 2, np.ones(model.head.n_labels), [0])

    compile_once("classifiers.kernel", "scoring", warm_up)
    return model


def sum_texts(model: PreparedModel, texts: TextBuffer, stride: int) -> Sums:
    """Running sums of all texts, a chunk every ``stride`` tokens."""
    n, width = texts.n, int(model.tables.width)
    size = int(texts.offsets[-1]) - int(texts.offsets[0])
    room = size // (2 * stride) + 2 * n + 1  # a token takes two bytes, and each end of text is one more
    out = Sums(
        totals=np.zeros((n, width)),
        counts=np.zeros(n, np.int64),
        chars=np.zeros(n, np.int64),
        words=np.zeros(n, np.int64),
        chunk_totals=np.empty((room, width)),
        chunk_counts=np.empty(room, np.int64),
        chunk_bytes=np.zeros((room, 2), np.int64),
        first_chunk=np.zeros(n + 1, np.int64),
    )
    block = new_block(model.tables.orders, width)
    _sum_batch(model.tables, texts.data, len(texts.data), texts.offsets, n, stride, block, out)
    return out


def _fits(size: int, stride: int) -> bool:
    return size <= 2 * stride * MOST_CHUNKS  # a token takes two bytes


def longest_text(window: int) -> int:
    """Bytes of the longest text that windows of so many words can be held of, whatever its words (`bounded_stride`)."""
    return 2 * window * MOST_CHUNKS


def bounded_stride(size: int, window: int, stride: int) -> int:
    """The stride itself, or, for a text of so many bytes that its running sums would take gigabytes, the smallest
    multiple that divides the window and keeps them to `MOST_CHUNKS`.

    Raises `ValueError` if the window is too short for any such stride: the text is longer than `longest_text`.
    """
    for times in range(1, window // stride + 1):
        if window % (times * stride) == 0 and _fits(size, times * stride):
            return times * stride
    raise ValueError(
        f"a text of {size} bytes has too many windows of {window} words to hold: choose a --window of at least "
        f"{-(-size // (2 * MOST_CHUNKS))} words, or have it rejected by a smaller --max-document-bytes"
    )


def score_sums(
    model: PreparedModel,
    sums: Sums,
    texts: TextBuffer,
    per_window: int,
    thresholds: NDArray[np.float64],
    span_labels: Sequence[int],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Document scores and strongest windows, float32 (texts, labels and lexicons); spans, float64 (spans, 5)."""
    scores = np.empty((texts.n, model.head.n_labels), np.float32)
    windows = np.empty_like(scores)
    wanted = np.asarray(span_labels, np.int64)
    room, found = new_room(model.head.n_labels, int(model.tables.width), sums.first_chunk), 1024 + 4 * texts.n
    while True:
        spans = np.empty((found, 5))
        arguments = (texts.data, texts.offsets, per_window, thresholds, wanted, room, scores, windows, spans)
        found = _score_batch(model.head, sums, *arguments)
        if found <= len(spans):
            return scores, windows, spans[:found]


@dataclass(frozen=True)
class FastTextScorer:
    """A `Scorer`, picklable: a process that gets one maps the model on first use.

    ``window`` and ``stride`` are in words, the window a multiple of the stride; a text of many megabytes may get a
    longer stride (`bounded_stride`); spans are the windows whose
    probability reaches ``span_thresholds`` (one for each of ``span_labels``). ``lexicons`` are columns of the model
    behind its labels.
    """

    path: str
    digest: str
    labels: tuple[str, ...]
    window: int = 128
    stride: int = 64
    span_labels: tuple[str, ...] = ()
    span_thresholds: tuple[float, ...] = ()
    lexicons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.stride < 1 or self.window < self.stride or self.window % self.stride:
            raise ValueError(f"window {self.window} must be a multiple of stride {self.stride}, both at least 1 word")
        if len(self.span_labels) != len(self.span_thresholds):
            raise ValueError("give one span threshold for each span label")
        if unknown := sorted(set(self.span_labels) - set(self.labels)):
            raise ValueError(f"span labels {unknown} are not labels of the model; it has {', '.join(self.labels)}")

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        window: int = 128,
        stride: int = 64,
        span_thresholds: dict[str, float] | None = None,
    ) -> FastTextScorer:
        """Read, check and prepare the model at ``path``; ``span_thresholds`` by label, all labels at 0.5 if None.

        Raises `ModelFileError` if it cannot be scored, `ValueError` if the options do not fit it.
        """
        digest = model_digest(path)
        prepared = prepare(path, digest)  # compiled code is loaded by the process that scores
        labels, lexicons = tuple(prepared.labels), tuple(prepared.lexicons)
        spans = dict.fromkeys(labels, 0.5) if span_thresholds is None else span_thresholds
        return cls(str(path), digest, labels, window, stride, tuple(spans), tuple(spans.values()), lexicons)

    def __call__(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        """Scores of the ``text`` column, as `pipeline.schema.scores_schema` says."""
        model = load_scoring_model(self.path, self.digest)
        texts = text_buffer(documents.column("text"))
        size = int(texts.offsets[-1]) - int(texts.offsets[0])
        if texts.n > 1 and not _fits(size, self.stride):
            # By halves, so that the stride of a large text does not depend on what else is in its batch.
            halves = [documents.slice(0, texts.n // 2), documents.slice(texts.n // 2)]
            return pa.Table.from_batches(map(self, halves)).combine_chunks().to_batches()[0]
        stride = bounded_stride(size, self.window, self.stride)
        sums = sum_texts(model, texts, stride)
        thresholds = np.full(model.head.n_labels, np.inf)
        wanted = [self.labels.index(label) for label in self.span_labels]
        thresholds[wanted] = self.span_thresholds
        scores, windows, spans = score_sums(model, sums, texts, self.window // stride, thresholds, wanted)
        return self._to_batch(sums, scores, windows, spans)

    def _to_batch(self, sums: Sums, scores: Any, windows: Any, spans: Any) -> pa.RecordBatch:
        unscored = sums.counts == 0
        columns: dict[str, pa.Array] = {"chars": pa.array(sums.chars), "words": pa.array(sums.words)}
        for k, name in enumerate(label_columns(self.labels)):
            columns[name] = pa.array(scores[:, k], mask=unscored)
            columns[window_column(name)] = pa.array(windows[:, k], mask=unscored)
        for k, name in enumerate(label_columns(self.lexicons), len(self.labels)):
            columns[name] = pa.array(scores[:, k], mask=unscored)
        columns["spans"] = _span_array(spans, len(sums.words), self.labels)
        columns["status"] = pc.if_else(pa.array(unscored), NO_WORDS, OK)
        return pa.RecordBatch.from_pydict(columns, scores_schema(self.labels, lexicons=self.lexicons))


def _span_array(spans: NDArray[np.float64], n: int, labels: Sequence[str]) -> pa.Array:
    """A list of spans for each of ``n`` documents, from rows in the documents' order."""
    offsets = np.searchsorted(spans[:, 0], np.arange(n + 1)).astype(np.int32)
    names = pa.DictionaryArray.from_arrays(spans[:, 1].astype(np.int32), pa.array(labels, pa.string()))
    values = pa.StructArray.from_arrays(
        [
            names.cast(pa.string()),
            pa.array(spans[:, 2].astype(np.int64)),
            pa.array(spans[:, 3].astype(np.int64)),
            pa.array(spans[:, 4].astype(np.float32)),
        ],
        fields=list(SPAN),
    )
    return pa.ListArray.from_arrays(pa.array(offsets), values)
