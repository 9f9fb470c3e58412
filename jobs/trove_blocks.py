"""datatrove blocks for people's own pipelines: `NarrativeTagger` writes scores into the metadata, `NarrativeFilter`
keeps or drops by them. Neither touches a text.

Scores are those of ``tropescan scan`` on the same texts, bit for bit. datatrove's own readers may give other texts than
tropescan's: they leave out documents without text, and WARC pages come as HTML until an extractor has run.
Knows datatrove's documents; nothing of shards and tags files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.writers.disk_base import DiskWriter

from jobs.scan import make_job
from jobs.trove_policy import decide_documents, keeping_policy, language_of
from pipeline.languages import is_other
from pipeline.policy import Policy
from pipeline.schema import COUNTED, OTHER_LANGUAGE, label_columns, lexicons_of, scores_schema, window_column
from pipeline.tag import ScanJob
from pipeline.tasks import ReadOptions

BATCH_CHARACTERS = 16 << 20
"""A batch ends here at the latest, however few its documents: bounds memory."""


class _Model:
    """What ``tropescan scan`` would score with, opened on first use in each process; pickled as its options."""

    def __init__(
        self, path: str | None, window: int, stride: int, span_threshold: float | None, label: str | None = None,
        threshold: float | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self.options: dict[str, Any] = {
            "window": window, "stride": stride, "span_threshold": span_threshold, "label": label, "threshold": threshold
        }  # fmt: skip
        self._job: ScanJob | None = None

    @property
    def job(self) -> ScanJob:
        """Scorer, label and threshold. Raises `ValueError` if the file is no model or has not that label."""
        if self._job is None:
            self._job = make_job("", self.path, **self.options, strict=False, options=ReadOptions())
        return self._job

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_job": None}

    def columns(self, texts: Sequence[str]) -> dict[str, list[Any]]:
        """Columns of the scorer but sizes, for each text: float or None for scores, a list of dicts for spans."""
        scores = self.job.scorer(pa.RecordBatch.from_arrays([_strings(texts)], ["text"]))
        return {name: scores.column(name).to_pylist() for name in scores.schema.names if name not in COUNTED}


def _strings(texts: Sequence[str]) -> pa.Array:
    """Lone surrogates, which UTF-8 does not have, become U+FFFD, as in tropescan's own reader."""
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        sound = [text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for text in texts]
        return pa.array(sound, pa.large_string())


class NarrativeTagger(PipelineStep):  # type: ignore[misc]
    """Fills ``doc.metadata`` with the columns of a tags file that hold scores and evidence.

    ``<label>`` and ``<label>_window`` (float, or None where the model knows no word), ``spans`` (a list of dicts:
    ``label``, ``start`` and ``end`` in code points, ``score``) and ``status``; each name with ``prefix`` in front.
    A document whose metadata name (as ``language`` or ``lang``) another language than the model's gets the status
    ``other_language``, as in a scan, and keeps its scores.
    Raises `ValueError` if the metadata hold such a name already.

    Args:
        model: path of a fastText classifier; the shipped one if None
        batch_size: documents scored in one call
        window, stride: words in a window, and from one to the next
        span_threshold: window score kept as evidence; the model card's if None
        prefix: in front of the names in the metadata
    """

    type = "🔎 - TAGGER"
    name = "🏷 narrative"

    def __init__(
        self, model: str | None = None, batch_size: int = 512, *, window: int = 128, stride: int = 64,
        span_threshold: float | None = None, prefix: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = _Model(model, window, stride, span_threshold)
        self.batch_size, self.prefix = batch_size, prefix

    def tag(self, documents: Sequence[Document]) -> None:
        """Fill the metadata of these documents."""
        columns = self.model.columns([document.text for document in documents])
        other = is_other(language_of(documents), self.model.job.language).to_pylist()
        columns["status"] = [
            OTHER_LANGUAGE if o else status for o, status in zip(other, columns["status"], strict=True)
        ]
        for row, document in enumerate(documents):
            found = {self.prefix + name: values[row] for name, values in columns.items()}
            if taken := sorted(found.keys() & document.metadata.keys()):
                raise ValueError(f"document {document.id}: its metadata hold {taken} already; give this block a prefix")
            document.metadata.update(found)

    def parquet_schema(self, metadata: Iterable[pa.Field] = ()) -> pa.Schema:
        """For ``ParquetWriter(…, schema=…)``, which otherwise takes all types from its first document, where there may
        be no span and no score. ``metadata`` are the fields that the documents have besides."""
        tags = [
            pa.field(self.prefix + f.name, f.type)
            for f in scores_schema(self.model.job.labels, lexicons=lexicons_of(self.model.job.model))
            if f.name not in COUNTED
        ]
        fields = [("text", pa.string()), ("id", pa.string()), ("metadata", pa.struct([*metadata, *tags]))]
        return pa.schema(fields)

    def run(self, data: Iterable[Document] | None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield the same documents in the same order, tagged."""
        for batch in _batches(data or (), self.batch_size):
            with self.track_time("batch"):
                self.tag(batch)
            for document in batch:
                self.stat_update("total")
                self.stat_update(f"status_{document.metadata[self.prefix + 'status']}")
                self.update_doc_stats(document)
                yield document


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    held: list[Document] = []
    characters = 0
    for document in documents:
        held.append(document)
        characters += len(document.text)
        if len(held) >= size or characters >= BATCH_CHARACTERS:
            yield held
            held, characters = [], 0
    if held:
        yield held


class NarrativeFilter(BaseFilter):  # type: ignore[misc]
    """Drops documents whose score reaches a threshold, or with ``keep_flagged`` all others, or those that a policy
    drops; gives the reason.

    Documents that no `NarrativeTagger` with the same ``prefix`` has tagged are tagged first, so that the dropped ones
    carry their scores into ``exclusion_writer``. One without a score, or in another language than the model's, counts
    as not flagged. The reason stands in ``filter_reason`` and in the statistics: ``adverse_window >= 0.62``,
    ``adverse < 0.49`` or the ``status``; of a policy that of its rule.

    Args:
        label: the label that decides; the model card's target if None
        threshold: score from which a document is flagged; if None the card's, for windows its span threshold
        on: the score of the whole document, or of its strongest window
        keep_flagged: drop what is not flagged, for reading what was found
        policy: a policy or its TOML file, which decides alone, as ``tropescan apply`` would; one that does more than
            keep and drop (a share of) documents is refused with `pipeline.policy.PolicyError`
        exclusion_writer: a datatrove writer for the dropped documents
        model, batch_size, window, stride, span_threshold, prefix: as for `NarrativeTagger`
    """

    name = "🏷 narrative"

    def __init__(
        self, label: str | None = None, threshold: float | None = None, *,
        on: Literal["document", "window"] = "document", keep_flagged: bool = False,
        policy: str | Policy | None = None, exclusion_writer: DiskWriter | None = None, model: str | None = None,
        batch_size: int = 512, window: int = 128, stride: int = 64, span_threshold: float | None = None,
        prefix: str = "",
    ) -> None:  # fmt: skip
        if on not in ("document", "window"):
            raise ValueError(f"on={on!r}: a score is of the 'document' or of its strongest 'window'")
        if policy is not None and ((label, threshold) != (None, None) or on != "document" or keep_flagged):
            raise ValueError("policy= decides alone; take label=, threshold=, on= and keep_flagged= away")
        super().__init__(exclusion_writer, batch_size)
        self.policy = None if policy is None else keeping_policy(policy)
        self.on, self.keep_flagged = on, keep_flagged
        self.tagger = NarrativeTagger(model, batch_size, prefix=prefix)
        self.tagger.model = _Model(model, window, stride, span_threshold, label, threshold)
        self.explicit = threshold is not None

    def limit(self) -> tuple[str, float]:
        """The column that decides, and the threshold."""
        job = self.tagger.model.job
        column = label_columns(job.labels)[job.labels.index(job.label)]
        if self.on == "document":
            return column, job.threshold
        usual = job.model["span_thresholds"].get(job.label, job.threshold)
        return window_column(column), job.threshold if self.explicit else usual

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        """For each document True, or False with the reason."""
        column, threshold = self.limit()
        key, status = (self.tagger.prefix + name for name in (column, "status"))
        untagged = [document for document in batch if key not in document.metadata]
        for part in _batches(untagged, self.batch_size):
            self.tagger.tag(part)
        if self.policy is not None:
            return decide_documents(self.policy, self.tagger.model.job.model, batch, self.tagger.prefix)
        found = [(document.metadata[key], document.metadata[status]) for document in batch]
        return [self._decide(column, threshold, score, status) for score, status in found]

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """As `filter_batch`, for one document."""
        return self.filter_batch([doc])[0]

    def _decide(self, column: str, threshold: float, score: float | None, status: str) -> bool | tuple[bool, str]:
        if score is None or status == OTHER_LANGUAGE:
            return (False, status) if self.keep_flagged else True
        flagged = score >= threshold
        if flagged == self.keep_flagged:
            return True
        return False, f"{column} {'>=' if flagged else '<'} {threshold:.4g}"
