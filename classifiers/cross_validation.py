"""What a trainer's models say of texts whose source they never saw: the ground for scales, thresholds and figures.

Knows examples, trainers and the kernel's sums; knows neither label records nor commands.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.fasttext_file import write_model
from classifiers.prepare import PreparedModel, prepare
from classifiers.score import sum_texts, text_buffer
from classifiers.training import Example, Trainer, fit_scale, folds_by_source

STRIDE, STRIDES_A_WINDOW = 64, 2


@dataclass(frozen=True)
class Logits:
    """Logits of each of ``labels``: ``whole`` float64 (texts, labels), and of every window of a text, float64
    (windows, labels) each. ``given`` int32 (labels,) as in `classifiers.settings.Settings`."""

    labels: tuple[str, ...]
    given: NDArray[np.int32]
    whole: NDArray[np.float64]
    windows: list[NDArray[np.float64]]

    def scores(self, label: str, scales: Mapping[str, float]) -> NDArray[np.float64]:
        """Probabilities of whole texts, (texts,)."""
        return self._score(self.whole, label, scales)

    def window_scores(self, label: str, scales: Mapping[str, float]) -> NDArray[np.float64]:
        """The strongest window's probability, (texts,)."""
        return np.array([self._score(windows, label, scales).max() for windows in self.windows])

    def _score(self, logits: NDArray[np.float64], label: str, scales: Mapping[str, float]) -> NDArray[np.float64]:
        k = self.labels.index(label)
        chain = [k] if self.given[k] < 0 else [k, int(self.given[k])]
        parts = [1 / (1 + np.exp(-logits[:, j] * scales.get(self.labels[j], 1.0))) for j in chain]
        return np.asarray(np.prod(parts, axis=0))


def logits_of(model: str | Path, texts: Sequence[str]) -> Logits:
    """Logits of a folded model, without fastText's limits of +-8."""
    prepared = prepare(model)
    sums = sum_texts(prepared, text_buffer(pa.array(list(texts), pa.large_string())), STRIDE)
    windows = []
    for text in range(len(texts)):
        chunks = slice(sums.first_chunk[text], sums.first_chunk[text + 1])
        windows.append(_window_logits(prepared, sums.chunk_totals[chunks], sums.chunk_counts[chunks]))
    n = len(prepared.labels)
    whole = prepared.logits_of_texts(sums.totals, np.maximum(sums.counts, 1))[:, :n]
    return Logits(tuple(prepared.labels), prepared.head.given[:n], whole, windows)


def _window_logits(model: PreparedModel, totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of running sums at the ends of strides, those of every window of two."""
    totals = np.concatenate([np.zeros((1, totals.shape[1])), totals])
    counts = np.concatenate([[0], counts])
    ends = np.arange(min(STRIDES_A_WINDOW, len(totals) - 1), len(totals))
    starts = ends - ends[0]
    counts = np.maximum(counts[ends] - counts[starts], 1)
    return model.logits_of_texts(totals[ends] - totals[starts], counts)[:, : len(model.labels)]


def cross_validate(examples: Sequence[Example], trainer: Trainer, n_folds: int) -> tuple[list[Example], Logits]:
    """Examples, fold after fold, with the logits of the model that saw nothing of the fold's sources.

    Labels that some fold's model lacks (too rare) are left out.
    """
    folds = folds_by_source([one.source for one in examples], n_folds)
    unseen: list[Example] = []
    found: list[Logits] = []
    for fold in range(n_folds):
        part = [one for one, its in zip(examples, folds, strict=True) if its == fold]
        model = trainer([one for one, its in zip(examples, folds, strict=True) if its != fold])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fold.bin"
            write_model(model, path)
            found.append(logits_of(path, [one.text for one in part]))
        unseen += part
    return unseen, _joined(found)


def _joined(parts: Sequence[Logits]) -> Logits:
    labels = tuple(label for label in parts[0].labels if all(label in part.labels for part in parts))
    columns = [[part.labels.index(label) for label in labels] for part in parts]
    condition = [parts[0].labels[g] if g >= 0 else "" for g in parts[0].given[columns[0]]]
    return Logits(
        labels=labels,
        given=np.array([labels.index(name) if name in labels else -1 for name in condition], np.int32),
        whole=np.concatenate([part.whole[:, k] for part, k in zip(parts, columns, strict=True)]),
        windows=[windows[:, k] for part, k in zip(parts, columns, strict=True) for windows in part.windows],
    )


def fit_scales(examples: Sequence[Example], logits: Logits) -> dict[str, float]:
    """The factor of each label that makes its logits calibrated; for a label given another, where that one holds."""
    scales = {}
    for k, label in enumerate(logits.labels):
        condition = logits.labels[logits.given[k]] if logits.given[k] >= 0 else None
        rows = np.array([condition is None or condition in one.labels for one in examples])
        truth = np.array([label in one.labels for one in examples])
        scales[label] = fit_scale(logits.whole[rows, k], truth[rows])
    return scales
