"""The rows of the table: what is compared with what, on which input, and the ratio that is wanted.

A ratio is ours over theirs in speed. Processor time of one core unless a row says wall time. Where a peer is slow, each
pair takes another shard, so that all of the text is used once; else each run takes all of them.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa

from classifiers.score import FastTextScorer
from jobs.apply import make_apply_job
from jobs.scan import make_job
from pipeline.apply.job import ApplyJob
from pipeline.apply.plan import open_scan, plan_apply, write_apply_report
from pipeline.apply.shard import apply_shard
from pipeline.policy import parse_policy
from pipeline.scan import plan_scan, write_scan_report
from pipeline.schema import Estimate, Scorer
from pipeline.tag import ScanJob, tag_shard
from pipeline.tasks import ReadOptions, ShardTask
from tests.bench import peers, workers
from tests.bench.corpus import Corpus
from tests.bench.ratios import Pair, alternate, median_ratio, seconds

NO_WINDOWS = 1 << 40
"""Words in a window so long that every text is one."""
BATCH_BYTES = 8 << 20
WORKERS_BYTES = 1_200_000_000
PAIRS_OF_WORKERS = 6
"""Each takes many seconds."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What all rows are measured on. ``models`` by number of labels; ``rescorer`` is the file of a second stage."""

    corpus: Corpus
    models: dict[int, Path]
    out: Path
    pairs: int
    rescorer: Path | None = None


class MissingInputError(RuntimeError):
    """What a row measures is not given, or not on this machine; the message says what."""


@dataclass(frozen=True)
class Measured:
    """``ours`` and ``theirs`` are median speeds in ``unit``."""

    ratio: Estimate
    ours: float
    theirs: float
    pairs: list[Pair]
    unit: str = "MB/s"
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table; ``bar`` is the least ratio wanted, None where the figure only informs."""

    name: str
    what: str
    against: str
    bar: float | None
    measure: Callable[[Setting], Measured]
    cores: int = 1
    clock: str = "CPU"


def measured(pairs: list[Pair], sizes: Sequence[int], *, scale: float = 1e-6, **more: str) -> Measured:
    """``sizes`` of the input of each pair, in bytes unless ``scale`` and ``unit`` say otherwise."""
    ours = statistics.median(scale * size / pair.ours for size, pair in zip(sizes, pairs, strict=True))
    theirs = statistics.median(scale * size / pair.theirs for size, pair in zip(sizes, pairs, strict=True))
    return Measured(median_ratio(pairs), ours, theirs, pairs, **more)


@lru_cache(maxsize=1)
def _batches(corpus: Corpus, i: int) -> list[pa.RecordBatch]:
    """The texts of a shard in batches such as the readers make."""
    text = corpus.texts(i).column("text").combine_chunks().cast(pa.large_string())
    rows = max(1, BATCH_BYTES * len(text) // max(text.nbytes, 1))
    return [pa.record_batch([text.slice(k, rows)], ["text"]) for k in range(0, len(text), rows)]


def _score(scorer: Scorer, batches: Sequence[pa.RecordBatch]) -> None:
    for batch in batches:
        scorer(batch)


def _without_windows(path: Path) -> FastTextScorer:
    return FastTextScorer.open(path, window=NO_WINDOWS, stride=NO_WINDOWS, span_thresholds={})


def kernel_and_fasttext(setting: Setting, *, labels: int) -> Measured:
    """Without windows and spans, which fastText has not; the same texts, a shard a pair."""
    corpus, path = setting.corpus, setting.models[labels]
    scorer = _without_windows(path)
    model = peers.load_fasttext(str(path))

    def ours(i: int) -> float:
        batches = _batches(corpus, i)
        return seconds(lambda: _score(scorer, batches))

    def theirs(i: int) -> float:
        texts = [text.replace("\n", " ") for batch in _batches(corpus, i) for text in batch.column(0).to_pylist()]
        return seconds(lambda: peers.fasttext_predict(model, texts))

    pairs = alternate(ours, theirs, setting.pairs)
    return measured(pairs, [corpus.shard_bytes[i % corpus.shards] for i in range(len(pairs))])


def kernel_and_no_windows(setting: Setting) -> Measured:
    """With windows of 128 words and spans of the flagged label, and with one window a text and no spans."""
    corpus, path = setting.corpus, setting.models[2]
    batches = [batch for i in range(corpus.shards) for batch in _batches(corpus, i)]
    with_windows = _job(setting).scorer
    without = _without_windows(path)
    pairs = alternate(
        lambda _: seconds(lambda: _score(with_windows, batches)),
        lambda _: seconds(lambda: _score(without, batches)),
        setting.pairs,
    )
    return measured(pairs, [corpus.text_bytes] * len(pairs))


def _job(setting: Setting, options: ReadOptions | None = None) -> ScanJob:
    """The job of a plain ``tropescan scan`` with the two-label model."""
    out = setting.out / "scan"
    shutil.rmtree(out, ignore_errors=True)
    return make_job(
        str(out), str(setting.models[2]), window=128, stride=64, label=None, threshold=None, span_threshold=None,
        strict=False, options=options or ReadOptions(),
    )  # fmt: skip


def _tasks(corpus: Corpus, format: str) -> list[ShardTask]:
    return [plan_scan([str(corpus.shard(format, i))])[0] for i in range(corpus.shards)]


def _tag(job: ScanJob, tasks: Sequence[ShardTask]) -> None:
    for task in tasks:
        tag_shard(job, task)


def scan_and_datatrove(setting: Setting, *, format: str) -> Measured:
    """A shard a pair; datatrove in a process of its own, its start and the loading of the model not counted."""
    corpus, job = setting.corpus, _job(setting)
    tasks = _tasks(corpus, format)
    runs: list[peers.DatatroveRun] = []

    def theirs(i: int) -> float:
        runs.append(peers.run_datatrove(format, corpus.shard(format, i), setting.models[2], job.label))
        return runs[-1].run

    pairs = alternate(lambda i: seconds(lambda: tag_shard(job, tasks[i % corpus.shards])), theirs, setting.pairs)
    runs = runs[1:]
    given = sum(corpus.texts(i).num_rows for i in range(len(runs)))
    note = f"datatrove scored {sum(r.scored for r in runs):,} of {given:,}, wrote {sum(r.written for r in runs):,}"
    return measured(pairs, [corpus.shard_bytes[i % corpus.shards] for i in range(len(pairs))], note=note)


def scan_and_decode(setting: Setting, *, format: str, decode: Callable[[Path], int] | None = None) -> Measured:
    """All shards each run; the decoder's text is counted and dropped."""
    corpus, job = setting.corpus, _job(setting)
    tasks = _tasks(corpus, format)
    decode = decode or peers.DECODERS[format]
    paths = [corpus.shard(format, i) for i in range(corpus.shards)]
    pairs = alternate(
        lambda _: seconds(lambda: _tag(job, tasks)),
        lambda _: seconds(lambda: [decode(path) for path in paths]),
        setting.pairs,
    )
    return measured(pairs, [corpus.text_bytes] * len(pairs))


def _apply_job(setting: Setting, tasks: Sequence[ShardTask]) -> tuple[ApplyJob, list[ShardTask]]:
    """Drops what the two-label model flags, by the tags of a scan that is made now; and the tasks with their tags."""
    scanned = _job(setting)
    _tag(scanned, tasks)
    write_scan_report(scanned, tasks, [], "tropescan scan")
    shutil.rmtree(setting.out / "applied", ignore_errors=True)
    text = f'[[rule]]\nname = "flagged"\nwhen.score.{scanned.label}.min = {scanned.threshold}\ndrop = "flagged"\n'
    scan = open_scan(scanned.out)
    job = make_apply_job(parse_policy(text), scan, str(setting.out / "applied"))
    return job, plan_apply([task.url for task in tasks], scan)


def apply_and_copy(setting: Setting) -> Measured:
    """All Parquet shards each run: a drop by tags, and the same shards read and written by pyarrow."""
    corpus = setting.corpus
    job, tasks = _apply_job(setting, _tasks(corpus, "parquet"))
    copied = setting.out / "applied" / "copy.parquet"

    def theirs() -> None:
        for i in range(corpus.shards):
            peers.copy_parquet(corpus.shard("parquet", i), copied)

    def ours() -> None:
        for task in tasks:
            apply_shard(job, task)

    pairs = alternate(lambda _: seconds(ours), lambda _: seconds(theirs), setting.pairs)
    total = write_apply_report(job, tasks, [], "").total
    note = f"{sum(total.dropped.values()):,} of {total.read:,} documents dropped"
    return measured(pairs, [corpus.text_bytes] * len(pairs), note=note)


def apply_and_datatrove(setting: Setting) -> Measured:
    """A Parquet shard a pair; datatrove's filter looks at each document and drops none."""
    corpus = setting.corpus
    job, found = _apply_job(setting, _tasks(corpus, "parquet"))
    tasks = sorted(found, key=lambda task: task.url)

    def theirs(i: int) -> float:
        return peers.run_datatrove("parquet", corpus.shard("parquet", i), setting.models[2], None).run

    pairs = alternate(lambda i: seconds(lambda: apply_shard(job, tasks[i % corpus.shards])), theirs, setting.pairs)
    return measured(pairs, [corpus.shard_bytes[i % corpus.shards] for i in range(len(pairs))])


def two_workers_and_one(setting: Setting) -> Measured:
    """Parquet shards, several rounds of them under names of their own; wall time once all workers are warm."""
    corpus, job = setting.corpus, _job(setting)
    rounds = max(2, -(-min(WORKERS_BYTES, 10 * corpus.text_bytes) // corpus.text_bytes))
    tasks = [replace(task, name=f"{k}/{task.name}") for k in range(rounds) for task in _tasks(corpus, "parquet")]
    pairs = alternate(
        lambda _: workers.steady_seconds(job, tasks, 2),
        lambda _: workers.steady_seconds(job, tasks, 1),
        PAIRS_OF_WORKERS,
        warm_up=False,
    )
    note = f"{len(tasks)} shards, {rounds * corpus.text_bytes / 1e6:,.0f} MB of text each run"
    return measured(pairs, [rounds * corpus.text_bytes] * len(pairs), note=note)


def shared_memory(setting: Setting) -> Measured:
    """Memory of the model's files in two workers: what each sees of them, over what they take in all. 2 is shared, 1
    is not."""
    corpus, job = setting.corpus, _job(setting)
    tasks = [replace(task, name=f"{k}/{task.name}") for k, task in enumerate(_tasks(corpus, "parquet")[:2])]
    files = f"/models/{job.model['digest'][:32]}"
    found = [workers.memory(job, tasks, files) for _ in range(setting.pairs)]
    pairs = [Pair(ours=sum(m.model_share for m in two), theirs=sum(m.model_resident for m in two)) for two in found]
    every = [m for two in found for m in two]
    note = (
        f"model mapped {_mb(m.model_resident for m in every)} MB a worker, "
        f"written to {_mb(m.model_dirty for m in every)} MB; "
        f"private to each worker {_mb(m.private for m in every)} MB, peak {_mb(m.peak for m in every)} MB"
    )
    seen, taken = (statistics.median(sizes) / 1e6 for sizes in zip(*((p.theirs, p.ours) for p in pairs), strict=True))
    return Measured(median_ratio(pairs), seen, taken, pairs, unit="MB", note=note)


def _mb(values: Iterable[int]) -> str:
    return f"{statistics.median(values) / 1e6:,.0f}"


def extractors(setting: Setting) -> Measured:
    """WARC shards of HTML pages, scanned with either extractor, a shard a pair."""
    corpus = setting.corpus
    tasks = _tasks(corpus, "warc.gz")
    fast, other = (_job(setting, ReadOptions(extractor=name)) for name in ("resiliparse", "trafilatura"))
    pairs = alternate(
        lambda i: seconds(lambda: tag_shard(fast, tasks[i % corpus.shards])),
        lambda i: seconds(lambda: tag_shard(other, tasks[i % corpus.shards])),
        setting.pairs,
    )
    return measured(pairs, [corpus.pages // corpus.shards] * len(pairs), scale=1, unit="pages/s")


_DATATROVE, _DECODE = (
    {"parquet": 15, "jsonl.zst": 8, "wet.gz": 20},
    {"parquet": 0.20, "jsonl.zst": 0.33, "wet.gz": 0.50},
)
_DECODER = {"parquet": "pyarrow", "jsonl.zst": "zstandard + orjson", "wet.gz": "fastwarc"}

ROWS = (
    Row(
        "kernel-2",
        "kernel, 2 labels",
        "fasttext.predict",
        12,
        partial(kernel_and_fasttext, labels=2),
    ),
    Row(
        "kernel-6",
        "kernel, 6 labels",
        "fasttext.predict",
        12,
        partial(kernel_and_fasttext, labels=6),
    ),
    Row("windows", "kernel with windows and spans", "kernel without", 0.85, kernel_and_no_windows),
    *(
        Row(f"scan-{name}", f"scan of {name}", "datatrove", bar, partial(scan_and_datatrove, format=name))
        for name, bar in _DATATROVE.items()
    ),
    *(
        Row(
            f"decode-{name}",
            f"scan of {name}",
            f"decoding alone ({_DECODER[name]})",
            bar,
            partial(scan_and_decode, format=name),
        )
        for name, bar in _DECODE.items()
    ),
    Row(
        "inflate-wet.gz",
        "scan of wet.gz",
        "fastwarc, bytes that nobody decodes",
        None,
        partial(scan_and_decode, format="wet.gz", decode=peers.inflate_wet_gz),
    ),
    Row("apply-copy", "apply (drop) of parquet", "pyarrow, read and write", 0.60, apply_and_copy),
    Row("apply-datatrove", "apply (drop) of parquet", "datatrove, reader to writer", 6, apply_and_datatrove),
    Row("workers", "two workers", "one worker", 1.8, two_workers_and_one, cores=2, clock="wall"),
    Row(
        "memory", "memory of the model that two workers see", "what it takes", 1.8, shared_memory, cores=2, clock="PSS"
    ),
    Row("extractors", "scan of HTML in WARC, resiliparse", "the same, trafilatura", None, extractors),
)
