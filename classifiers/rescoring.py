"""The second stage: what passes a low threshold of the first is read again by a small transformer.

Knows both models and the TAGS columns; knows neither engines nor files of documents. A `RescoringScorer` is a `Scorer`
like the first stage alone, with a column more for each label that it rescores. (Cascades: Viola and Jones 2001.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from classifiers.calibration import log_odds
from classifiers.passages import passages
from classifiers.rescorer_file import Reading, RescorerContent, read_rescorer, rescorer_digest
from classifiers.score import FastTextScorer
from classifiers.transformer import Array, Transformer, pooled
from pipeline.schema import label_columns, rescored_column, scores_schema

NEEDS = "a second stage needs the extra: pip install 'tropescan[rescore]'"

ABOVE = 0.2
"""From this score of the first stage on a document is read again, unless another is given."""


@dataclass(frozen=True)
class Rescorer:
    """A second stage that is loaded: texts and a first stage in, log-odds out."""

    content: RescorerContent
    transformer: Transformer
    tokenizer: Any

    def logits(self, text: str, first: FastTextScorer) -> Array:
        """Of one text, float32 (labels,): of its strongest passages, by the first stage, together."""
        read = strongest_passages(text, first, self.content.reading)
        return pooled(np.stack([self.transformer.logits(self.tokenizer.encode(part).ids) for part in read]))

    def mixed(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (texts, labels) of log-odds (texts, labels) of both stages."""
        weights = np.array(self.content.mix)
        return np.asarray(1 / (1 + np.exp(-(weights[:, 0] * first + weights[:, 1] * second + weights[:, 2]))))


def strongest_passages(text: str, first: FastTextScorer, reading: Reading) -> list[str]:
    """The passages of a text to read: the strongest by the first stage, of equal ones the earlier."""
    found = passages(text, reading.words)
    if len(found) > reading.passages:
        scores = _scores(replace(first, span_labels=(), span_thresholds=())(_batch(found)), first, reading.label)
        found = [found[k] for k in np.argsort(-scores, kind="stable")[: reading.passages]]
    return found


def open_rescorer(path: str | Path) -> Rescorer:
    """Read a second stage; raises `OSError` without the ``rescore`` extra, `RescorerFileError` for another file."""
    content = read_rescorer(path)
    return Rescorer(content, content.transformer(), open_tokenizer(content.tokenizer, content.reading.pieces))


def open_tokenizer(description: str, pieces: int) -> Any:
    """The tokenizer of a description as in ``tokenizer.json``, for texts of at most so many word pieces."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise OSError(f"{NEEDS} ({error})") from error
    tokenizer = Tokenizer.from_str(description)
    tokenizer.no_padding()
    tokenizer.enable_truncation(pieces)
    return tokenizer


@lru_cache(maxsize=2)
def load_rescorer(path: str, digest: str) -> Rescorer:
    """The same, once for a process. ``digest`` tells a file that was replaced from the old one."""
    return open_rescorer(path)


@dataclass(frozen=True)
class RescoringScorer:
    """A `Scorer` of two stages, picklable. Documents whose score of ``label`` reaches ``above`` are read again."""

    first: FastTextScorer
    path: str
    digest: str
    labels: tuple[str, ...]
    label: str
    above: float

    @classmethod
    def open(cls, first: FastTextScorer, path: str | Path, above: float = ABOVE) -> RescoringScorer:
        """Read and check the second stage at ``path``.

        Raises `ValueError` if the first stage lacks one of its labels.
        """
        digest = rescorer_digest(path)
        content = load_rescorer(str(path), digest).content
        if missing := sorted({*content.labels, content.reading.label} - set(first.labels)):
            raise ValueError(
                f"{path}: it rescores {', '.join(missing)}, which the model has not; train it with this model"
            )
        return cls(first, str(path), digest, content.labels, content.reading.label, above)

    def describe(self) -> dict[str, Any]:
        """What tags say of the second stage, as plain types."""
        return {"digest": self.digest, "labels": list(self.labels), "label": self.label, "above": self.above}

    def __call__(self, documents: pa.RecordBatch) -> pa.RecordBatch:
        """Scores of both stages, as `pipeline.schema.scores_schema` says."""
        scores = self.first(documents)
        chosen = np.flatnonzero(_scores(scores, self.first, self.label) >= self.above)
        texts = documents.column("text").take(pa.array(chosen)).to_pylist()
        before = np.stack([_scores(scores, self.first, label)[chosen] for label in self.labels], axis=1)
        found = self.rescored(texts, before)
        columns = dict(zip(scores.schema.names, scores.columns, strict=True))
        for k, name in enumerate(label_columns(self.labels)):
            columns[rescored_column(name)] = _spread(found[:, k], chosen, scores.num_rows)
        return pa.RecordBatch.from_pydict(columns, scores_schema(self.first.labels, self.labels, self.first.lexicons))

    def rescored(self, texts: Sequence[str], before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (texts, labels) of texts with their scores of the first stage, (texts, labels)."""
        if not texts:
            return np.zeros((0, len(self.labels)))
        rescorer = load_rescorer(self.path, self.digest)
        with one_thread():
            logits = np.stack([rescorer.logits(text, self.first) for text in texts])
        return rescorer.mixed(log_odds(before), logits.astype(np.float64))


def one_thread() -> Any:
    """A context in which NumPy multiplies matrices with one thread: engines have a process for each core, and sums over
    several threads could depend on their number."""
    return _thread_pools().limit(limits=1)


@lru_cache(maxsize=1)
def _thread_pools() -> Any:
    """Those of this process, found once: it takes milliseconds, and a batch may hold no document to read."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError as error:
        raise OSError(f"{NEEDS} ({error})") from error
    return ThreadpoolController()


def _batch(texts: Sequence[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": pa.array(list(texts), pa.large_string())})


def _scores(scored: pa.RecordBatch, first: FastTextScorer, label: str) -> NDArray[np.float64]:
    """A label's scores; -1 where there is none, below every threshold."""
    column = scored.column(label_columns(first.labels)[first.labels.index(label)])
    return np.nan_to_num(np.asarray(column.to_numpy(zero_copy_only=False), np.float64), nan=-1.0)


def _spread(values: NDArray[np.float64], rows: NDArray[np.int64], n: int) -> pa.Array:
    """A column of ``n`` rows that has the values at those rows, and nulls elsewhere."""
    column, missing = np.zeros(n, np.float32), np.ones(n, bool)
    column[rows], missing[rows] = values, False
    return pa.array(column, mask=missing)
