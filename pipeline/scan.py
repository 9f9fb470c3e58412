"""A scan over many shards: the plan as data, what is already done, and the sum of all reports.

Knows neither engines nor formats.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import PurePosixPath
from typing import Any

from pipeline import storage
from pipeline.accounting import ShardReport
from pipeline.readers import is_shard
from pipeline.tag import ScanJob
from pipeline.tasks import ShardTask

LISTED = 1000
"""Shards with trouble that ``scan.json`` names; all of them have reports."""


class StaleOutputError(ValueError):
    """The output folder holds tags of another model, version or options."""


@dataclass(frozen=True)
class Failure:
    """A shard that gave no tags, and why."""

    task: ShardTask
    error: str


def plan_scan(inputs: Sequence[str]) -> list[ShardTask]:
    """One task for each shard, largest first, with names that are unique in the job.

    ``inputs`` are files, folders, globs and fsspec URLs. In folders and globs, files that are no shards by
    their name (cards, checksums, hidden files) are left out; a file given by name is always taken.
    Raises `FileNotFoundError` for an input without shards.
    """
    tasks: dict[str, ShardTask] = {}
    names: set[str] = set()
    for given in inputs:
        for url, size, identity in _shards_of(given):
            if url not in tasks:
                name = _unique(_relative_name(url, given), url, names)
                tasks[url] = ShardTask(url, name, size, identity)
    return sorted(tasks.values(), key=lambda task: (-task.size, task.name))


def _shards_of(given: str) -> list[tuple[str, int, str]]:
    found = storage.list_files(given)
    if len(found) == 1 and PurePosixPath(found[0][0]).name == PurePosixPath(given).name:
        return found
    shards = [file for file in found if is_shard(file[0])]
    if not shards:
        raise FileNotFoundError(
            f"{given}: {len(found)} files, but none is named like a shard (.warc .wet .jsonl .parquet, "
            "also .gz .zst .bz2 .xz); give the files by name to scan them all the same"
        )
    return shards


def _relative_name(url: str, given: str) -> str:
    """The path below the given folder or before the first wildcard; the bare name of a single file."""
    fixed = given.split("*")[0].split("?")[0].split("[")[0]
    _, path = storage.filesystem(url)
    _, root = storage.filesystem(fixed if fixed == given else fixed.rpartition("/")[0] or ".")
    inside = path.removeprefix(root.rstrip("/") + "/")
    return inside if inside != path and inside else PurePosixPath(path).name


def _unique(name: str, url: str, taken: set[str]) -> str:
    """The name, or, when another input has a shard of that name, with a digest of its URL in front."""
    if name in taken:
        name = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}/{name}"
    taken.add(name)
    return name


def split_done(job: ScanJob, tasks: Iterable[ShardTask]) -> tuple[list[ShardTask], list[ShardReport]]:
    """Tasks still to do, and the reports of those that an earlier run finished with the same settings.

    Raises `StaleOutputError` if the folder holds a shard of other settings: tags of two models must not mix.
    """
    todo: list[ShardTask] = []
    done: list[ShardReport] = []
    for task in tasks:
        report = read_report(job.report_url(task))
        if report is None:
            todo.append(task)
        elif report.get("shard", {}).get("url") != task.url:
            raise StaleOutputError(
                f"{job.report_url(task)}: holds another input of that name; choose another --out, or its tags are lost"
            )
        elif report["job"] != job.digest:
            raise StaleOutputError(
                f"{job.report_url(task)}: made with another model, version or options than this scan; "
                "choose another --out, or delete that folder, or run with the settings it was made with"
            )
        elif report["fingerprint"] != job.fingerprint(task) or not storage.exists(job.tags_url(task)):
            todo.append(task)
        else:
            done.append(ShardReport(**report["figures"]))
    return todo, done


def read_report(url: str) -> dict[str, Any] | None:
    """A shard's report; None if there is none, or none that is whole."""
    try:
        content = json.loads(storage.read_bytes(url))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) and {"job", "fingerprint", "figures"} <= content.keys() else None


def write_scan_report(
    job: ScanJob, tasks: Sequence[ShardTask], failures: Sequence[Failure], command: str
) -> ShardReport:
    """Add up the reports of all shards into ``scan.json``; returns the sum."""
    total = ShardReport(failed_shards=len(failures))
    troubled = []
    for task in sorted(tasks, key=lambda task: task.name):
        report = read_report(job.report_url(task))
        if report is None or report["fingerprint"] != job.fingerprint(task):  # none, or of the shard as it was before
            continue
        figures = ShardReport(**report["figures"])
        total += figures
        if not figures.clean:
            troubled.append({"shard": task.url, "complete": report["complete"], "rejected": figures.rejected})
    content = {
        "command": command,
        **job.settings(),
        "job": job.digest,
        "shards": len(tasks),
        "figures": total.to_dict(),
        "failed": [{"shard": failure.task.url, "error": failure.error} for failure in failures],
        "with_rejections": troubled[:LISTED],
        "with_rejections_not_listed": max(0, len(troubled) - LISTED),
    }
    with storage.whole_file(storage.join(job.out, "scan.json")) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False).encode("utf-8", "replace"))
    return total


def add_reports(reports: Iterable[ShardReport]) -> ShardReport:
    """The sum of reports; nothing adds up to an empty report."""
    return reduce(add, reports, ShardReport())
