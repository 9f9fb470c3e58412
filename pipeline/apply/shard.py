"""Carries a policy out on one shard: documents, decisions, and a report last. Every engine calls `apply_shard`.

Knows neither engines nor how a decision is made.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.accounting import Tally
from pipeline.apply.accounting import ApplyReport
from pipeline.apply.edit import Edited, edit
from pipeline.apply.job import ApplyJob
from pipeline.apply.lines import LinesOutput
from pipeline.apply.lockstep import LockstepError, TagsReader, in_lockstep
from pipeline.apply.mds import INDEX, MdsWriter
from pipeline.apply.outgoing import AddedColumns, Mixed, Outgoing
from pipeline.apply.replacement import NAMES, Replacements
from pipeline.apply.replacement_plan import read_replacements
from pipeline.apply.strata import strata_of
from pipeline.apply.tables import GroupedWriter, TableOutput
from pipeline.apply.tar import TarOutput
from pipeline.policy.actions import CONDITION, DROP, EXCISE, MASK, ControlTokens, Excise, Mask
from pipeline.policy.decide import DECISIONS, decide
from pipeline.readers import Format, Records, detect_format, read_records
from pipeline.readers.parquet import without_views
from pipeline.schema import SPAN
from pipeline.shard_job import Progress
from pipeline.tasks import ShardTask

KEPT_DECISIONS = pa.schema([*DECISIONS, pa.field("replacement", pa.string()), pa.field("replaces", NAMES)])
"""DECISIONS as they are kept beside the documents. ``replacement`` is the name of what takes the place of a dropped
document; the one document, of any shard, in whose ``replaces`` it stands counts once more for it."""
_PLAIN = ("text", "id", "url", "metadata")
"""Columns of documents whose values hardly ever repeat."""
DROPPED = pa.schema(
    [
        *(DECISIONS.field(name) for name in ("row", "id", "rule", "score", "draw")),
        pa.field("url", pa.string()),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("spans", pa.list_(SPAN), nullable=False),
    ]
)
"""Dropped documents as they are kept beside, with what decided: one row each, ``spans`` as in TAGS."""


def apply_shard(job: ApplyJob, task: ShardTask, progress: Callable[[Progress], None] | None = None) -> ApplyReport:
    """Read a shard and its tags in lockstep; write its documents and decisions, then its report; return its figures.

    Raises `LockstepError` if tags and shard do not go together, `ColumnError` if the shard lacks its text column, and
    other errors that are not the shard's (full disk, lost network); none of them leaves a file.
    """
    begin = time.monotonic()
    tally = Tally()
    with ExitStack() as stack:
        replacements = _replacements(job, task)
        tags = _open_tags(stack, job, task)
        outputs = _Outputs(stack, job, task)
        counter = _Counter(job, replacements)
        for records, batch in in_lockstep(read_records(task, tags.options, tally), tags):
            decisions = _decisions(job, batch, replacements, counter.documents)
            outgoing = _outgoing(job, records, batch, decisions)
            outputs.write(outgoing, batch, decisions)
            counter.add(outgoing, batch, decisions)
            if progress:
                progress(Progress(counter.documents, sum(counter.dropped.values()), tally.input_bytes, counter.bytes))
    report = counter.report(tally, time.monotonic() - begin)
    _write_report(job, task, tally, report, has_data=outputs.has_data)
    return report


def _replacements(job: ApplyJob, task: ShardTask) -> Replacements:
    if not job.policy.replaces:
        return Replacements()
    with ExitStack() as stack:
        tags = _open_tags(stack, job, task)
        return read_replacements(job, task, strata_of(tags.batches(), job.policy))


def _decisions(job: ApplyJob, tags: pa.RecordBatch, replacements: Replacements, start: int) -> pa.RecordBatch:
    """KEPT_DECISIONS of the tags from position ``start`` on."""
    decided = decide(tags, job.policy)
    extra, replaced, replaces = replacements.between(start, start + tags.num_rows)
    columns = dict(zip(decided.schema.names, decided.columns, strict=True))
    columns |= {"replacement": replaced, "replaces": replaces}
    columns["weight"] = pa.array(decided.column("weight").to_numpy() + extra)
    return pa.RecordBatch.from_arrays([columns[name] for name in KEPT_DECISIONS.names], schema=KEPT_DECISIONS)


def _open_tags(stack: ExitStack, job: ApplyJob, task: ShardTask) -> TagsReader:
    url = job.tags_url(task)
    try:
        file = stack.enter_context(closing(storage.open_input(url)))
    except FileNotFoundError as error:
        raise LockstepError(
            f"{task.url}: it has no tags in {job.tags} (they would be {url}); scan it into that folder, or leave it out"
        ) from error
    also = ["spans"] if job.keep_dropped else []
    return TagsReader(file, url, task.url, job.policy, job.model, also)


class _Outputs:
    """The files of one shard; each gets its name when ``stack`` ends without an exception."""

    def __init__(self, stack: ExitStack, job: ApplyJob, task: ShardTask) -> None:
        self._data = _data_output(stack, job, task)
        self.has_data = self._data is not None
        metadata = _metadata(job, task)
        self._decisions = _parquet(stack, job.decisions_url(task), KEPT_DECISIONS.with_metadata(metadata), ("id",))
        self._dropped = None
        if job.keep_dropped:
            self._dropped = _parquet(
                stack, job.dropped_url(task), DROPPED.with_metadata(metadata), ("id", "url", "text")
            )

    def write(self, outgoing: Outgoing, tags: pa.RecordBatch, decisions: pa.RecordBatch) -> None:
        """Add a batch to all of them."""
        if self._data is None:
            raise ValueError(f"{outgoing.rows} documents of a shard without columns; this is a bug, please report it")
        self._data.write(outgoing)
        self._decisions.write(decisions.replace_schema_metadata(self._decisions.schema.metadata))
        if self._dropped is not None:
            documents = outgoing.records.documents
            columns = {name: decisions.column(name) for name in ("row", "id", "rule", "score", "draw")}
            columns |= {name: documents.column(name) for name in ("url", "text")} | {"spans": tags.column("spans")}
            every = pa.RecordBatch.from_arrays([columns[name] for name in DROPPED.names], schema=self._dropped.schema)
            self._dropped.write(every.filter(pc.equal(decisions.column("action"), DROP)))


def _data_output(stack: ExitStack, job: ApplyJob, task: ShardTask) -> TableOutput | LinesOutput | TarOutput | None:
    """None for Parquet that cannot be read: nobody knows its columns, and a file with made-up ones would pass them on
    to whoever reads the folder as a whole."""
    is_parquet = detect_format(task.url) is Format.PARQUET
    schema = _parquet_schema(task) if is_parquet else None
    if is_parquet and schema is None:
        return None
    file = stack.enter_context(storage.whole_file(job.data_url(task)))
    return stack.enter_context(closing(_output(stack, job, task, file, schema)))


def _output(
    stack: ExitStack, job: ApplyJob, task: ShardTask, file: IO[bytes], schema: pa.Schema | None
) -> TableOutput | LinesOutput | TarOutput:
    added = AddedColumns.of(job.policy)
    match job.format_of(task):
        case "parquet":
            return TableOutput(partial(GroupedWriter, file, plain=_PLAIN), schema, added, task.url)
        case "mds" | "mds.zstd":
            return TableOutput(_mds(stack, job, task, file), schema, added, task.url)
        case "tar":
            return TarOutput(file, added, task.url)
    return LinesOutput(file, added, task.url)


def _mds(stack: ExitStack, job: ApplyJob, task: ShardTask, index: IO[bytes]) -> Callable[[pa.Schema], MdsWriter]:
    """The files get their names together, before their index does."""
    files = stack.enter_context(ExitStack())
    folder = job.data_url(task).removesuffix(INDEX)

    def create(name: str) -> IO[bytes]:
        return files.enter_context(storage.whole_file(f"{folder}{name}"))

    return lambda schema: MdsWriter(create, index, schema, task.url, compressed=job.to == "mds.zstd")


def _parquet(stack: ExitStack, url: str, schema: pa.Schema, plain: tuple[str, ...]) -> GroupedWriter:
    file = stack.enter_context(storage.whole_file(url))
    return stack.enter_context(closing(GroupedWriter(file, schema, plain)))


def _parquet_schema(task: ShardTask) -> pa.Schema | None:
    """The columns of a shard of Parquet, if it can be read at all."""
    with storage.open_input(task.url) as file:
        try:
            return without_views(pq.read_schema(file))
        except (pa.ArrowException, OSError):
            return None


def _metadata(job: ApplyJob, task: ShardTask) -> dict[str, str]:
    return {
        "tropescan.version": job.version,
        "tropescan.policy": job.policy.digest,
        "tropescan.shard": storage.in_unicode(task.url),
        "tropescan.tags": storage.in_unicode(job.tags_url(task)),
    }


# --- a batch


def _outgoing(job: ApplyJob, records: Records, tags: pa.RecordBatch, decisions: pa.RecordBatch) -> Outgoing:
    weights = decisions.column("weight").to_numpy()
    copies = weights if job.policy.weight_as == "repeat" else weights > 0
    edits = dict(_edits(job, records, tags, decisions))
    return Outgoing(
        records=records,
        copies=copies.astype(np.int64),
        weights=weights,
        edits=edits,
        mixed=list(_mixed(job, tags, weights, edits)),
    )


def _edits(
    job: ApplyJob, records: Records, tags: pa.RecordBatch, decisions: pa.RecordBatch
) -> Iterator[tuple[int, Edited]]:
    rules = {rule.name: rule.action for rule in job.policy.ordered}
    changed = pc.is_in(decisions.column("action"), pa.array([MASK, EXCISE, CONDITION]))
    for position in np.flatnonzero(changed.to_numpy(zero_copy_only=False)):
        action = rules[decisions.column("rule")[position].as_py()]
        assert isinstance(action, Mask | Excise | ControlTokens)
        spans = tags.column("spans")[position].as_py() if "spans" in tags.schema.names else []
        text = records.documents.column("text")[position].as_py()
        yield int(position), edit(action, text, spans, job.policy.tokenizer)


def _mixed(job: ApplyJob, tags: pa.RecordBatch, weights: Any, edits: Mapping[int, Edited]) -> Iterator[Mixed]:
    mix_in, seed = job.policy.mix_in, job.policy.seed
    if mix_in is None:
        return
    kept = np.flatnonzero(weights > 0)
    ids = tags.column("id").take(pa.array(kept)).to_pylist()
    words = tags.column("words").to_numpy().astype(np.float64)
    for changed, one in edits.items():
        words[changed] = max(words[changed] - one.words_cut, 0)
    words = words[kept] * weights[kept]
    for position, id, copies in zip(kept, ids, mix_in.copies(ids, words, seed), strict=True):
        for number, document in enumerate(mix_in.chosen(id, int(copies), seed)):
            yield Mixed(int(position), f"{document.id}@{id}#{number}", document, mix_in.name)


# --- figures


class _Counter:
    """Adds up what became of one shard's documents."""

    def __init__(self, job: ApplyJob, replacements: Replacements) -> None:
        self._replacements, self._tokens = replacements, job.policy.control_tokens
        self.dropped: Counter[str] = Counter()
        self.edited: Counter[str] = Counter()
        self.documents = self.written = self.mixed_in = self.bytes = self.forged = 0
        self.words = self.words_kept = self.words_cut = self.words_masked = self.words_mixed_in = 0
        self.words_weighed = 0.0

    def add(self, outgoing: Outgoing, tags: pa.RecordBatch, decisions: pa.RecordBatch) -> None:
        gone = pc.equal(decisions.column("action"), DROP)
        self.dropped.update(_counts(decisions.column("rule").filter(gone)))
        actions = _counts(decisions.column("action"))
        self.edited.update({name: count for name, count in actions.items() if name in (MASK, EXCISE, CONDITION)})
        words = tags.column("words").to_numpy()
        self.documents += tags.num_rows
        self.written += outgoing.rows
        self.mixed_in += len(outgoing.mixed)
        self.bytes += pc.sum(tags.column("bytes")).as_py() or 0
        self.words += int(words.sum())
        self.words_kept += int(words[outgoing.weights > 0].sum())
        self.words_weighed += float(words @ outgoing.weights)
        self.words_cut += sum(one.words_cut for one in outgoing.edits.values())
        self.words_masked += sum(one.words_masked for one in outgoing.edits.values())
        self.words_mixed_in += sum(one.document.words for one in outgoing.mixed)
        self.forged += self._count_forged(outgoing)

    def _count_forged(self, outgoing: Outgoing) -> int:
        texts, holds = outgoing.records.documents.column("text"), outgoing.weights < 0
        for token in self._tokens:
            holds |= pc.match_substring(texts, token).to_numpy(zero_copy_only=False)
        return int((holds & (outgoing.weights > 0)).sum())

    def report(self, tally: Tally, seconds: float) -> ApplyReport:
        return ApplyReport(
            shards=1,
            incomplete_shards=int(not tally.complete),
            read=tally.read,
            kept=self.documents - sum(self.dropped.values()),
            written=self.written,
            mixed_in=self.mixed_in,
            replaced=len(self._replacements.replaced),
            unreplaced=self._replacements.unreplaced,
            words_replaced=self._replacements.words_replaced,
            words_replacing=self._replacements.words_replacing,
            words_unreplaced=self._replacements.words_unreplaced,
            forged=self.forged,
            words=self.words,
            words_kept=self.words_kept,
            words_weighed=self.words_weighed,
            words_cut=self.words_cut,
            words_masked=self.words_masked,
            words_mixed_in=self.words_mixed_in,
            other_records=tally.other_records,
            input_bytes=tally.input_bytes,
            seconds=seconds,
            dropped=dict(sorted(self.dropped.items())),
            edited=dict(sorted(self.edited.items())),
            rejected=dict(sorted(tally.rejected.items())),
        )


def _counts(values: pa.Array) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in pc.value_counts(values).to_pylist()}


def _write_report(job: ApplyJob, task: ShardTask, tally: Tally, report: ApplyReport, *, has_data: bool) -> None:
    content = {
        "shard": asdict(task),
        "fingerprint": job.fingerprint(task),
        "job": job.digest,
        "complete": tally.complete,
        "has_data": has_data,
        "figures": report.to_dict(),
        "rejection_examples": [asdict(example) for example in tally.examples],
    }
    with storage.whole_file(job.report_url(task)) as file:
        file.write(json.dumps(content, indent=1).encode())
