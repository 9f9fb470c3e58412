"""Tags one shard: documents in, one row of TAGS each, a report last. Every engine calls `tag_shard` and nothing else.

Knows neither engines nor how a score is made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.accounting import ShardReport, Tally
from pipeline.languages import is_other, with_languages
from pipeline.memory import keep_freed_memory
from pipeline.readers import read_documents
from pipeline.schema import (
    NO_WORDS,
    OTHER_LANGUAGE,
    LanguageIdentifier,
    Scorer,
    TopicFinder,
    label_columns,
    rescored_column,
    rescored_labels,
    schema_of,
)
from pipeline.shard_job import Progress
from pipeline.tasks import ReadOptions, ShardTask, digest

ROWS_PER_GROUP = 65_536
REPETITIVE = ["host", "date", "lang", "source", "topic", "status", "spans.list.element.label"]
"""Columns stored with a dictionary. For ids, URLs and scores it would be given up after a megabyte: that costs half as
much again in time, and a fifth in size."""
_AUTHORITY = r"^[A-Za-z][A-Za-z0-9+.\-]*://(?P<host>[^/?#]*)"
"""All of it is the host, but for those with a user, a port or an address in brackets. With a choice in it, as in
`_HOST`, the pattern would take four times as long."""
_HOST = r"^[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^/?#:]*)"


@dataclass(frozen=True)
class ScanJob:
    """All that decides the content of a scan's tags, and where they go.

    ``model`` describes the model (digest, labels, language, codebook version …) and goes into each file's metadata;
    ``identify`` finds the language of documents whose shard names none, ``topics`` the topic of every document, and
    ``model`` says by which models they do (``language_model``, ``topic_model``);
    ``label`` and ``threshold`` only count flagged documents in reports, and ``strict`` makes a shard with a rejected
    record fail: tags hold no decision, so these are no part of the settings.
    """

    command: ClassVar[str] = "scan"
    marks: ClassVar[str] = "flagged"
    made_by: ClassVar[str] = "model, version or options"
    final_errors: ClassVar[tuple[str, ...]] = ("RejectedRecordError",)

    out: str
    scorer: Scorer
    model: dict[str, Any]
    version: str
    label: str
    threshold: float
    options: ReadOptions = field(default_factory=ReadOptions)
    strict: bool = False
    identify: LanguageIdentifier | None = None
    topics: TopicFinder | None = None

    @property
    def language(self) -> str:
        """The language that the model is for, a BCP 47 primary subtag; "" if it claims none."""
        return str(self.model.get("language", ""))

    @property
    def labels(self) -> list[str]:
        """The model's labels, in order."""
        return list(self.model["labels"])

    @property
    def rescored(self) -> list[str]:
        """The labels that a second stage rescores, in order."""
        return rescored_labels(self.model)

    def settings(self) -> dict[str, Any]:
        """What must be equal for two scans to give equal output, as plain types."""
        return {
            "version": self.version,
            "model": self.model,
            "options": asdict(self.options),
        }

    def flagged_by(self) -> dict[str, Any]:
        """What a document is flagged by, as plain types."""
        return {"label": self.label, "threshold": self.threshold}

    @property
    def digest(self) -> str:
        """SHA-256 of the settings."""
        return digest(self.settings())

    def fingerprint(self, task: ShardTask) -> str:
        """What a shard's report must hold for the shard to count as done."""
        return digest([self.digest, task.url, task.identity])

    def into(self, out: str) -> Self:
        """The same scan into another folder."""
        return replace(self, out=out)

    def tags_url(self, task: ShardTask) -> str:
        """Where a shard's tags go."""
        return storage.join(self.out, "tags", f"{task.name}.parquet")

    def report_url(self, task: ShardTask) -> str:
        """Where a shard's report goes."""
        return storage.join(self.out, "reports", f"{task.name}.json")

    def output_urls(self, task: ShardTask, report: dict[str, Any]) -> list[str]:
        """The shard's tags."""
        return [self.tags_url(task)]

    def done(self, report: dict[str, Any]) -> ShardReport | None:
        """The report's figures; None where a strict scan must fail because of rejected records."""
        figures = ShardReport(**report["figures"])
        return None if self.strict and figures.rejected else figures

    def run(self, task: ShardTask, progress: Callable[[Progress], None] | None = None) -> ShardReport:
        """See `tag_shard`."""
        return tag_shard(self, task, progress)


class RejectedRecordError(ValueError):
    """A strict scan met a record that cannot be read."""


def tag_shard(job: ScanJob, task: ShardTask, progress: Callable[[Progress], None] | None = None) -> ShardReport:
    """Read, score and tag a shard; write its tags, then its report; return the report's figures.

    Records that cannot be read are counted by reason and the rest goes on; an error that is not the shard's
    (full disk, lost network) is raised, and leaves no file. Raises `RejectedRecordError` in a strict job.
    """
    keep_freed_memory()
    begin = time.monotonic()
    tally, counter = Tally(), _Counter(job)
    with storage.whole_file(job.tags_url(task)) as file:
        schema = schema_of(job.model).with_metadata(_metadata(job, task))
        with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=REPETITIVE, store_schema=True) as writer:
            for table in _grouped(_tagged(job, task, tally, counter, progress), schema):
                writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        if job.strict and tally.rejected:
            raise RejectedRecordError(_first_rejection(task, tally))
    report = counter.report(tally, time.monotonic() - begin)
    _write_report(job, task, tally, report)
    return report


def recount_flagged(job: ScanJob, task: ShardTask, report: dict[str, Any]) -> dict[str, Any]:
    """Count a shard's flagged documents by the job's label and threshold, from its tags; returns the changed report."""
    counter = _Counter(job)
    with storage.open_input(job.tags_url(task)) as file, pq.ParquetFile(file) as tags:
        for batch in tags.iter_batches(columns=[counter.column, "words", "status"]):
            counter.add_flagged(batch)
    figures = {**report["figures"], "flagged": counter.flagged, "flagged_words": counter.flagged_words}
    changed = {**report, "flagged_by": job.flagged_by(), "figures": figures}
    _write_json(job.report_url(task), changed)
    return changed


def _first_rejection(task: ShardTask, tally: Tally) -> str:
    first, total = tally.examples[0], sum(tally.rejected.values())
    where = f"record {first.row}" + ("" if first.offset is None else f", byte {first.offset}")
    return f"{task.url}: {total} rejected; the first is {where}: {first.reason} {first.detail}; scan without --strict"


def _metadata(job: ScanJob, task: ShardTask) -> dict[str, str]:
    return {
        "tropescan.version": job.version,
        "tropescan.model": json.dumps(job.model, sort_keys=True),
        "tropescan.options": json.dumps(asdict(job.options), sort_keys=True),
        "tropescan.shard": storage.in_unicode(task.url),
    }


def _tagged(
    job: ScanJob, task: ShardTask, tally: Tally, counter: _Counter, progress: Callable[[Progress], None] | None
) -> Iterator[pa.RecordBatch]:
    schema = schema_of(job.model)
    for documents in read_documents(task, job.options, tally):
        documents = with_languages(documents, job.identify)
        topics = job.topics(documents.column("text")) if job.topics else None
        tags = tag_batch(documents, job.scorer(documents), schema, job.language, topics)
        counter.add(tags)
        if progress:
            progress(Progress(counter.tagged, counter.flagged, tally.input_bytes, counter.bytes))
        yield tags


def tag_batch(
    documents: pa.RecordBatch, scores: pa.RecordBatch, schema: pa.Schema, language: str = "",
    topics: pa.RecordBatch | None = None,
) -> pa.RecordBatch:  # fmt: skip
    """TAGS of a batch: the documents' own columns, their bytes and host, and what the scorer and the finder of topics
    returned; the status says where ``lang`` is another than ``language``, the model's."""
    columns = {name: documents.column(name) for name in ("id", "row", "url", "date", "lang", "source")}
    columns["bytes"] = pc.binary_length(documents.column("text")).cast(pa.int64())
    columns["host"] = host_of(documents.column("url"))
    for found in (scores, *([topics] if topics else [])):
        columns |= {name: found.column(name) for name in found.schema.names}
    columns["status"] = pc.if_else(is_other(columns["lang"], language), OTHER_LANGUAGE, columns["status"])
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def host_of(urls: pa.Array) -> pa.Array:
    """The host of each URL, in lower case and without port; null where there is none."""
    if urls.null_count == len(urls):
        return pa.nulls(len(urls), pa.string())
    hosts = pc.struct_field(pc.extract_regex(urls, _AUTHORITY), "host")
    more = pc.fill_null(pc.match_substring_regex(hosts, r"[@:\[]"), False)
    if pc.any(more).as_py():
        hosts = pc.replace_with_mask(hosts, more, pc.struct_field(pc.extract_regex(urls.filter(more), _HOST), "host"))
    hosts = pc.utf8_rtrim(pc.utf8_lower(hosts), ".")
    return pc.if_else(pc.equal(hosts, ""), None, hosts)


def _grouped(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of at least a row group's rows, but for the last: row groups do not depend on the batches' size."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        while rows >= ROWS_PER_GROUP:
            table = pa.Table.from_batches(held, held[0].schema).replace_schema_metadata(schema.metadata)
            yield table.slice(0, ROWS_PER_GROUP)
            held = table.slice(ROWS_PER_GROUP).to_batches()
            rows -= ROWS_PER_GROUP
    if rows:
        yield pa.Table.from_batches(held, held[0].schema).replace_schema_metadata(schema.metadata)


class _Counter:
    """Adds up what the tags of one shard say."""

    def __init__(self, job: ScanJob) -> None:
        self.column = label_columns(job.labels)[job.labels.index(job.label)]
        self.threshold = job.threshold
        self.rescored_column = rescored_column(label_columns(job.rescored)[0]) if job.rescored else None
        self.tagged = self.no_score = self.other_language = self.flagged = self.flagged_words = 0
        self.chars = self.bytes = self.words = self.rescored = 0

    def add(self, tags: pa.RecordBatch) -> None:
        self.add_flagged(tags)
        self.tagged += tags.num_rows
        self.no_score += pc.sum(pc.equal(tags.column("status"), NO_WORDS)).as_py() or 0
        self.other_language += pc.sum(pc.equal(tags.column("status"), OTHER_LANGUAGE)).as_py() or 0
        self.chars += pc.sum(tags.column("chars")).as_py() or 0
        self.bytes += pc.sum(tags.column("bytes")).as_py() or 0
        self.words += pc.sum(tags.column("words")).as_py() or 0
        if self.rescored_column:
            self.rescored += pc.count(tags.column(self.rescored_column)).as_py()

    def add_flagged(self, tags: pa.RecordBatch) -> None:
        reached = pc.fill_null(pc.greater_equal(tags.column(self.column), self.threshold), False)
        flagged = pc.and_(reached, pc.not_equal(tags.column("status"), OTHER_LANGUAGE))
        self.flagged += pc.sum(flagged).as_py() or 0
        self.flagged_words += pc.sum(tags.column("words").filter(flagged)).as_py() or 0

    def report(self, tally: Tally, seconds: float) -> ShardReport:
        return ShardReport(
            shards=1,
            incomplete_shards=int(not tally.complete),
            read=tally.read,
            tagged=self.tagged,
            no_score=self.no_score,
            doubtful=tally.doubtful,
            other_language=self.other_language,
            flagged=self.flagged,
            flagged_words=self.flagged_words,
            rescored=self.rescored,
            other_records=tally.other_records,
            input_bytes=tally.input_bytes,
            chars=self.chars,
            bytes=self.bytes,
            words=self.words,
            seconds=seconds,
            rejected=dict(sorted(tally.rejected.items())),
        )


def _write_report(job: ScanJob, task: ShardTask, tally: Tally, report: ShardReport) -> None:
    content = {
        "shard": asdict(task),
        "fingerprint": job.fingerprint(task),
        "job": job.digest,
        "complete": tally.complete,
        "flagged_by": job.flagged_by(),
        "figures": report.to_dict(),
        "rejection_examples": [asdict(example) for example in tally.examples],
    }
    _write_json(job.report_url(task), content)


def _write_json(url: str, content: dict[str, Any]) -> None:
    with storage.whole_file(url) as file:
        file.write(json.dumps(content, indent=1).encode())
