"""The plan of replacements over all shards: one pass over their tags counts strata; each shard then finds its own part.

Knows tags and the plan's file; nothing of how documents are matched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.apply.job import ApplyJob
from pipeline.apply.lockstep import LockstepError, TagsReader
from pipeline.apply.replacement import Matching, Replacements
from pipeline.apply.strata import Counts, Running, ShardStrata, Stratum, strata_of
from pipeline.apply.tables import GroupedWriter
from pipeline.scan import check_folder
from pipeline.tasks import ShardTask, digest

MOST_STRATA = 1_000_000
"""Of the corpus, which are held in memory: some 300 MB."""
_ALL = ""
"""Stands for the sum over all shards, where else a shard is named."""
_AMONG = b"tropescan.among"
_PLAN = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("gone", pa.int64(), nullable=False),
        pa.field("kept", pa.int64(), nullable=False),
    ]
)
"""For each stratum of a shard, the documents to be replaced and those kept in all shards before; at the end, in all."""


def count_strata(job: ApplyJob, task: ShardTask) -> Counts:
    """Of one shard; none if it has no tags that could be read, for which the shard itself will fail."""
    try:
        url = job.tags_url(task)
        with closing(storage.open_input(url)) as file:
            tags = TagsReader(file, url, task.url, job.policy, job.model, ())
            return strata_of(tags.batches(), job.policy).counts
    except (FileNotFoundError, LockstepError):
        return {}


def among(job: ApplyJob, tasks: Sequence[ShardTask]) -> list[ShardTask]:
    """The tasks with an identity that also has that of all others, whose documents may replace theirs."""
    if not job.policy.replaces:
        return list(tasks)
    every = digest([job.digest, sorted((task.name, task.identity) for task in tasks)])
    return [replace(task, identity=f"{task.identity}; among {every}") for task in tasks]


def is_planned(job: ApplyJob, tasks: Sequence[ShardTask]) -> bool:
    """Whether the folder has the plan for these tasks of `among`."""
    try:
        with closing(storage.open_input(job.replacement_url)) as file:
            return (pq.read_schema(file).metadata or {}).get(_AMONG) == _among(tasks)
    except (FileNotFoundError, pa.ArrowException):
        return False


def _among(tasks: Sequence[ShardTask]) -> bytes:
    return tasks[0].identity.rpartition("; among ")[2].encode()


def write_plan(job: ApplyJob, tasks: Sequence[ShardTask], counts: Iterable[Counts]) -> None:
    """Write the plan for these tasks of `among`, by the counts of each, in the order of `in_order`.

    Raises `ValueError` if there are more than `MOST_STRATA` strata.
    """
    running = Running()
    schema = _PLAN.with_metadata({_AMONG: _among(tasks)})
    with storage.whole_file(job.replacement_url) as file, closing(GroupedWriter(file, schema)) as writer:
        for task, found in zip(in_order(tasks), counts, strict=True):
            writer.write(_rows(task.name, running.add(found), schema))
            if len(running.total) > MOST_STRATA:
                raise ValueError(
                    f"replace: the documents have more than {MOST_STRATA:,} kinds of language, source and length, too "
                    "many to match by; is source, in the tags, another one for each document? Scan with --source-column"
                )
        writer.write(_rows(_ALL, running.total, schema))


def in_order(tasks: Sequence[ShardTask]) -> list[ShardTask]:
    """The tasks in the order in which shards stand before others: by their names."""
    return sorted(tasks, key=lambda task: task.name)


def _rows(shard: str, counts: Counts, schema: pa.Schema) -> pa.RecordBatch:
    rows = [(shard, *stratum, *counts[stratum]) for stratum in sorted(counts)]
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def read_replacements(job: ApplyJob, task: ShardTask, shard: ShardStrata) -> Replacements:
    """The part of one shard, by the plan in the folder. Raises `LockstepError` if the plan is of other tags."""
    url = job.replacement_url
    with closing(storage.open_input(url)) as file:
        key = (pq.read_schema(file).metadata or {}).get(_AMONG, b"").decode()
        before = _counts(file, task.name)
    if not task.identity.endswith(f"; among {key}") or before.keys() != set(shard.strata):
        raise LockstepError(f"{task.url}: {url} was made for other shards or tags; apply again")
    return _matching(url, key, job.policy.seed).of(shard, before)


@lru_cache(maxsize=2)
def _matching(url: str, key: str, seed: int) -> Matching:
    """The same for all shards of a process."""
    with closing(storage.open_input(url)) as file:
        return Matching(_counts(file, _ALL), seed)


def _counts(file: object, shard: str) -> Counts:
    table = pq.read_table(file, filters=[("shard", "=", shard)])
    columns = (table.column(name).to_pylist() for name in _PLAN.names[1:])
    return {
        Stratum(lang, source, length): (gone, kept) for lang, source, length, gone, kept in zip(*columns, strict=True)
    }


def unreplaced(job: ApplyJob, tasks: Sequence[ShardTask]) -> Iterator[dict[str, object]]:
    """Strata of which the corpus keeps none, so that the budget does not hold there; the most documents first."""
    found = _matching(job.replacement_url, _among(tasks).decode(), job.policy.seed).unreplaced
    for stratum, (gone, _) in sorted(found.items(), key=lambda one: (-one[1][0], one[0])):
        yield {"lang": stratum.lang, "source": stratum.source, "words": list(stratum.words), "documents": gone}


def planned(job: ApplyJob, tasks: Sequence[ShardTask], counts: Iterable[Counts] | None = None) -> list[ShardTask]:
    """The tasks as they are to be done, with the plan in the folder if the policy replaces documents. ``counts`` are
    asked for, in the order of `in_order`, only if there is no plan yet; None: this process counts.

    Raises `pipeline.scan.StaleOutputError` rather than write over the plan of other settings.
    """
    tasks = among(job, tasks)
    if job.policy.replaces and tasks and not is_planned(job, tasks):
        check_folder(job)
        write_plan(job, tasks, counts if counts is not None else (count_strata(job, task) for task in in_order(tasks)))
    return tasks
