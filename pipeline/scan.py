"""A scan over many shards: the plan as data, what is already done, and the sum of all reports.

Knows neither engines nor formats.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
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

LONGEST_PART = 200
"""Bytes of a shard's name between two slashes: most file systems take 255, of which we need some ourselves."""
LISTED = 1000
"""Shards with trouble that ``scan.json`` names; all of them have reports."""


class StaleOutputError(ValueError):
    """The output folder holds tags of another model, version or options."""


@dataclass(frozen=True)
class Failure:
    """A shard that gave no tags, and why."""

    task: ShardTask
    error: str


def plan_scan(inputs: Sequence[str], out: str = "") -> list[ShardTask]:
    """One task for each shard, largest first, with names that are unique in the job.

    ``inputs`` are files, folders, globs and fsspec URLs. In folders and globs, files that are no shards by
    their name (cards, checksums, hidden files) are left out, and so is what a scan into ``out`` leaves there; a file
    given by name is always taken. Names depend on the set of inputs only: the path below the outermost folder that
    was given, and a digest of the URL in front where two shards would have one name.
    Raises `FileNotFoundError` for an input without shards.
    """
    found: dict[str, tuple[int, str]] = {}
    names: dict[str, str] = {}
    for given in inputs:
        for url, size, identity in _shards_of(given, out):
            found[url] = (size, identity)
            names[url] = max(names.get(url, ""), _relative_name(url, given), key=len)
    taken = Counter(names.values())
    unique = {url: _storable(name if taken[name] == 1 else f"{_mark(url)}/{name}") for url, name in names.items()}
    tasks = [ShardTask(url, unique[url], *found[url]) for url in found]
    return sorted(tasks, key=lambda task: (-task.size, task.name))


def _shards_of(given: str, out: str) -> list[tuple[str, int, str]]:
    found = storage.list_files(given)
    if len(found) == 1 and PurePosixPath(found[0][0]).name == PurePosixPath(given).name:
        return found
    shards = [file for file in found if is_shard(file[0]) and not _is_output(file[0], out)]
    if not shards:
        raise FileNotFoundError(
            f"{given}: {len(found)} files, but none is named like a shard (.warc .wet .jsonl .parquet, "
            "also .gz .zst .bz2 .xz) or is not this scan's own output; give the files by name to scan them all the same"
        )
    return shards


def _is_output(url: str, out: str) -> bool:
    """Whether a file is what a scan into ``out`` leaves there: output inside an input folder is not input."""
    if not (out and storage.is_local(url) and storage.is_local(out)):
        return False
    file, folder = storage.local_path(url).resolve(), storage.local_path(out).resolve()
    return file == folder / "scan.json" or any(folder / name in file.parents for name in ("tags", "reports"))


def _relative_name(url: str, given: str) -> str:
    """The path below the given folder or before the first wildcard; the bare name of a single file."""
    _, path = storage.filesystem(url)
    for root in (given, re.split(r"[*?\[]", given)[0].rpartition("/")[0] or "."):
        inside = path.removeprefix(storage.filesystem(root)[1].rstrip("/") + "/")
        if inside not in (path, ""):
            return inside
    return PurePosixPath(path).name


def _storable(name: str) -> str:
    """The name with a digest in place of what a file system or a reader of folders would not take: parts that lead
    upwards, are hidden, too long or not Unicode."""
    return "/".join(part if _is_plain(part) else f"{_legible(part)}-{_mark(part)}" for part in name.split("/"))


def _is_plain(part: str) -> bool:
    return bool(part) and _legible(part) == part


def _legible(part: str) -> str:
    raw = part.encode("utf-8", "surrogateescape")
    return raw[:LONGEST_PART].decode("utf-8", "ignore").lstrip("._")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


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
        file.write(json.dumps(content, indent=1).encode())
    return total


def add_reports(reports: Iterable[ShardReport]) -> ShardReport:
    """The sum of reports; nothing adds up to an empty report."""
    return reduce(add, reports, ShardReport())
