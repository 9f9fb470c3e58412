"""Which shards a policy is applied to, each with its tags: a pure function of two folders.

Knows scans and their folders; nothing of what a policy says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pipeline import storage
from pipeline.apply.accounting import ApplyReport
from pipeline.apply.job import MDS, ApplyJob
from pipeline.apply.mds import merge_indexes
from pipeline.apply.replacement_plan import unreplaced
from pipeline.report.folder import TagsFolder, open_folder, open_listed
from pipeline.report.tables import DuckTables
from pipeline.scan import LISTED, Failure, name_left_out, name_troubled, plan_scan, read_reports, summary_url
from pipeline.tasks import ShardTask

NO_TAGS = "no tags"


def open_scan(url: str) -> TagsFolder:
    """The tags of a scan. Each shard's own are checked when the shard is done, so that one bad file stops no other.

    Of a scan that did not reach its end, all are checked at once to be of one model.
    Raises `pipeline.report.folder.TagsError`.
    """
    if (listed := open_listed(url)) is not None:
        return listed
    with closing(DuckTables(url)) as tables:
        return open_folder(url, tables)


def plan_apply(inputs: Sequence[str], scan: TagsFolder) -> list[ShardTask]:
    """The tasks of `with_tags` for the shards in these inputs. Raises `FileNotFoundError` for one without shards."""
    return with_tags(plan_scan(inputs), scan)


def with_tags(shards: Sequence[ShardTask], scan: TagsFolder) -> list[ShardTask]:
    """One task for each shard, in their order, under the name that its tags have; the identity is that of the shard and
    of its tags. A shard without tags is a task too, which will fail and say so.

    Tags are found by the shard's URL; where the shards have moved since the scan, by their name below the folder given.
    """
    by_url = {shard: scan.name_of(file) for file, shard in scan.shards.items()}
    identities = _identities(scan)
    tasks = []
    for task in shards:
        name = by_url.get(storage.in_unicode(task.url), task.name)
        tasks.append(replace(task, name=name, identity=f"{task.identity}; tags {identities.get(name, NO_TAGS)}"))
    return tasks


def _identities(scan: TagsFolder) -> dict[str, str]:
    """What changes when a tags file does, by the name of the shard."""
    folder = storage.join(scan.url, "tags")
    found = {scan.name_of(file): identity for file, _, identity in storage.list_files(folder)}
    return {name: found[name] for name in map(scan.name_of, scan.files) if name in found}


def check_places(job: ApplyJob, tasks: Sequence[ShardTask]) -> None:
    """Raises `ValueError` if two shards have one output, or if an output would lie where inputs do."""
    names = Counter(job.data_url(task) for task in tasks)
    if twice := [url for url, count in names.items() if count > 1]:
        raise ValueError(f"{twice[0]}: two shards would be written there; apply to them one after the other")
    if not storage.is_local(job.out):
        return
    folder = storage.local_path(job.out).resolve()
    for task in tasks:
        path = storage.real_path(task.url)
        if storage.is_local(task.url) and folder in path.parents:
            raise ValueError(f"{task.url}: an input inside the output folder; choose another --out")
    if (folder / "scan.json").exists():
        raise ValueError(f"{job.out}: holds a scan, whose reports would be written over; choose another --out")


@dataclass(frozen=True)
class Summary:
    """The sum over all shards, and what ``apply.json`` says of it."""

    total: ApplyReport
    content: dict[str, Any]


def write_apply_report(
    job: ApplyJob,
    tasks: Sequence[ShardTask],
    failures: Sequence[Failure],
    command: str,
    left_out: Sequence[str] = (),
) -> Summary:
    """Add up the reports of all shards into ``apply.json``, which also holds the policy as it was written. Of MDS,
    merge the indexes.

    ``not_of_this_run`` are files of documents that an earlier run left, of shards that failed now or are no longer
    among the inputs: nothing is deleted, but whoever reads the folder as a whole must know. ``left_out`` are files that
    were no input.
    """
    total = ApplyReport(failed_shards=len(failures))
    failed = {failure.task.name for failure in failures}
    done: list[str] = []
    data: list[str] = []
    troubled = []
    good = sorted((task for task in tasks if task.name not in failed), key=lambda task: task.name)
    for task, report in zip(good, read_reports([job.report_url(task) for task in good]), strict=True):
        if report is None or report["fingerprint"] != job.fingerprint(task):
            continue
        figures = job.done(report)
        total += figures
        done.append(task.name)
        data += [job.data_url(task)] if report.get("has_data", True) else []
        if not figures.clean:
            troubled.append({"shard": task.url, "complete": report["complete"], "rejected": figures.rejected})
    if job.to in MDS:
        merge_indexes(storage.join(job.out, "data"), data)
    content = {
        "command": command,
        **job.settings(),
        "job": job.digest,
        "tags_folder": job.tags,
        "policy_file": job.policy.file,
        "policy_text": job.policy.text,
        "shards": len(tasks),
        "figures": total.to_dict(),
        **name_left_out(left_out),
        **name_troubled(failures, troubled),
        "unreplaced": list(islice(unreplaced(job, tasks), LISTED)) if job.policy.replaces else [],
        "data": [storage.below(job.out, url) for url in data],
        "not_of_this_run": _others(job, data),
        "done": done,
    }
    with storage.whole_file(summary_url(job)) as file:
        file.write(json.dumps(content, indent=1).encode("utf-8", "backslashreplace"))
    return Summary(total, content)


def _others(job: ApplyJob, data: Sequence[str]) -> list[str]:
    try:
        found = [url for url, _, _ in storage.list_files(storage.join(job.out, "data"))]
    except FileNotFoundError:
        return []
    left = {storage.below(job.out, url) for url in found} - {storage.below(job.out, url) for url in data}
    return sorted(left - set(_beside_indexes(job, data, left)))


def _beside_indexes(job: ApplyJob, data: Sequence[str], files: Iterable[str]) -> Iterator[str]:
    """Of files below ``job.out``, those that belong to a folder of MDS, and the index of all."""
    if job.to in MDS:
        folders = {storage.below(job.out, url).rpartition("/")[0] for url in data}
        yield from (file for file in files if file.rpartition("/")[0] in {*folders, "data"})
