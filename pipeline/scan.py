"""A scan over many shards: the plan as data, what is already done, and the sum of all reports.

Knows neither engines nor formats.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline import storage
from pipeline.accounting import ShardReport
from pipeline.readers import ARROW, is_shard, left_by_tools
from pipeline.shard_job import Figures, ShardJob
from pipeline.tag import ScanJob, recount_flagged
from pipeline.tasks import ShardTask

LONGEST_PART = 200
"""Bytes of a shard's name between two slashes: most file systems take 255, of which we need some ourselves."""
LISTED = 1000
"""Shards that ``scan.json`` names of those that failed, and of those with rejected records, which all have reports."""
NO_SHARD = (
    "none is named like a shard (.warc .wet .jsonl .parquet, also .gz .zst .bz2 .xz) or is not the output of a scan or "
    "another tool; give the files by name to scan them all the same"
)
_STALE = (
    "made with another {} than this {}; "
    "choose another --out, or delete that folder, or run with the settings it was made with"
)


class StaleOutputError(ValueError):
    """The output folder holds outputs of other settings."""


@dataclass(frozen=True)
class Failure:
    """A shard that was not done, and why."""

    task: ShardTask
    error: str


@dataclass(frozen=True)
class Plan:
    """Tasks, largest first, and the files of folders and recursive patterns that are no input by their names."""

    tasks: list[ShardTask]
    left_out: list[str]


def plan_scan(inputs: Sequence[str], out: str = "") -> list[ShardTask]:
    """The tasks of `plan_inputs` alone."""
    return plan_inputs(inputs, out).tasks


def plan_inputs(inputs: Sequence[str], out: str = "") -> Plan:
    """One task for each shard, largest first, with names that are unique in the job.

    ``inputs`` are files, folders, globs and fsspec URLs. Files that are given, by name or by a pattern, are taken
    whatever their names. In folders, and with ``**``, files that are no shards by their names (cards, checksums, hidden
    files) are left out, and so is what scans leave there, that into ``out`` among them. Names depend on the set of
    inputs only: the path below the outermost folder that was given, and a digest of the URL in front where two shards
    would have one name. Raises `FileNotFoundError` for an input without shards.
    """
    found: dict[str, tuple[int, str]] = {}
    names: dict[str, str] = {}
    left_out: set[str] = set()
    own = _places_of_output(out)
    for given in inputs:
        shards, others = _shards_of(given, own)
        left_out.update(others)
        for url, size, identity in shards:
            found[url] = (size, identity)
            names[url] = max(names.get(url, ""), _relative_name(url, given), key=len)
    taken = Counter(names.values())
    unique = {url: _storable(name if taken[name] == 1 else f"{_mark(url)}/{name}") for url, name in names.items()}
    tasks = [ShardTask(url, unique[url], *found[url]) for url in found]
    return Plan(sorted(tasks, key=lambda task: (-task.size, task.name)), sorted(left_out - found.keys()))


Listed = tuple[str, int, str]


def _shards_of(given: str, own: tuple[Path, ...]) -> tuple[list[Listed], list[str]]:
    """Shards, and files that are none by their names."""
    found = storage.list_files(given)
    if len(found) == 1 and PurePosixPath(found[0][0]).name == PurePosixPath(given).name:
        return found, []
    others = [file for file in found if not _is_in(file[0], own)]
    named = storage.named_by(given, [url for url, _, _ in others])
    beside = left_by_tools([url for url, _, _ in others])
    shards = [file for file in others if file[0] in named or (is_shard(file[0]) and file[0] not in beside)]
    if not shards:
        arrow = any(url.endswith(".arrow") for url, _, _ in others)
        raise FileNotFoundError(f"{given}: {len(found)} files, but {ARROW if arrow else NO_SHARD}")
    taken = {url for url, _, _ in shards}
    return shards, [url for url, _, _ in others if url not in taken]


def _places_of_output(out: str) -> tuple[Path, ...]:
    """What a scan into a local folder leaves there: inside an input folder it is not input."""
    if not out or not storage.is_local(out):
        return ()
    folder = storage.local_path(out).resolve()
    return folder / "tags", folder / "reports", folder / "scan.json"


def _is_in(url: str, places: tuple[Path, ...]) -> bool:
    if not places or not storage.is_local(url):
        return False
    path = storage.real_path(url)
    return any(place == path or place in path.parents for place in places)


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


def summary_url(job: ShardJob[Any]) -> str:
    """Where the sum over all shards goes: scan.json of a scan."""
    return storage.join(job.out, f"{job.command}.json")


def check_folder(job: ShardJob[Any]) -> None:
    """Raises `StaleOutputError` if the last such job into the folder had other settings, whatever its shards were:
    outputs of two models must not mix. One that left no output is none to mix with."""
    url = summary_url(job)
    try:
        content = json.loads(storage.read_bytes(url))
        made_by, outputs = content.get("job"), content.get("tags", content.get("done"))
    except (FileNotFoundError, ValueError, AttributeError):  # none, or none that is whole: reports say what is there
        return
    if made_by != job.digest and outputs != []:
        raise StaleOutputError(f"{url}: {_STALE.format(job.made_by, job.command)}")


def split_done(job: ShardJob[Figures], tasks: Iterable[ShardTask]) -> tuple[list[ShardTask], list[Figures]]:
    """Tasks still to do, and the figures of those that an earlier run finished with the same settings.

    For a strict scan, shards with rejected records are still to do: they must fail.
    Raises `StaleOutputError` if the folder holds a shard of other settings, or another input of that name.
    """
    tasks = list(tasks)
    figures: dict[str, Figures] = {}
    outputs: dict[str, Sequence[str]] = {}
    for task, report in zip(tasks, read_reports([job.report_url(task) for task in tasks]), strict=True):
        found = _figures_if_done(job, task, report)
        if report is not None and found is not None:
            figures[task.name] = found
            outputs[task.name] = job.output_urls(task, report)
    there = storage.existing([url for urls in outputs.values() for url in urls])
    whole = {name for name, urls in outputs.items() if there.issuperset(urls)}
    return [task for task in tasks if task.name not in whole], [figures[name] for name in figures if name in whole]


def _figures_if_done(job: ShardJob[Figures], task: ShardTask, report: dict[str, Any] | None) -> Figures | None:
    if report is None:
        return None
    _check_report(job, task, report)
    return job.done(report) if report["fingerprint"] == job.fingerprint(task) else None


def _check_report(job: ShardJob[Any], task: ShardTask, report: dict[str, Any]) -> None:
    url = job.report_url(task)
    if report.get("shard", {}).get("url") != task.url:
        raise StaleOutputError(f"{url}: holds another input of that name; choose another --out, or its output is lost")
    if report["job"] != job.digest:
        raise StaleOutputError(f"{url}: {_STALE.format(job.made_by, job.command)}")


def read_report(url: str) -> dict[str, Any] | None:
    """A shard's report; None if there is none, or none that is whole."""
    return next(read_reports([url]))


def read_reports(urls: Sequence[str]) -> Iterator[dict[str, Any] | None]:
    """The same of many, in their order; a store is asked for many at once."""
    for content in storage.read_files(urls):
        try:
            report = None if content is None else json.loads(content)
        except ValueError:
            report = None
        whole = isinstance(report, dict) and {"job", "fingerprint", "figures"} <= report.keys()
        yield report if whole else None


def write_scan_report(
    job: ScanJob,
    tasks: Sequence[ShardTask],
    failures: Sequence[Failure],
    command: str,
    left_out: Sequence[str] = (),
) -> ShardReport:
    """Add up the reports of all shards into ``scan.json``; returns the sum.

    Its ``tags`` are the names of the shards that the sum is of: what else lies in the folder, of shards that failed or
    are no longer among the inputs, is not of this scan. ``left_out`` are files that were no input. Flagged
    documents are counted anew from tags of a run with another label or threshold.
    """
    total = ShardReport(failed_shards=len(failures))
    failed = {failure.task.name for failure in failures}
    tagged, troubled = [], []
    good = sorted((task for task in tasks if task.name not in failed), key=lambda task: task.name)
    for task, found in zip(good, read_reports([job.report_url(task) for task in good]), strict=True):
        report = _current_report(job, task, found)
        if report is None:
            continue
        tagged.append(task.name)
        figures = ShardReport(**report["figures"])
        total += figures
        if not figures.clean:
            troubled.append({"shard": task.url, "complete": report["complete"], "rejected": figures.rejected})
    content = {
        "command": command,
        **job.settings(),
        **job.flagged_by(),
        "job": job.digest,
        "shards": len(tasks),
        "figures": total.to_dict(),
        **name_left_out(left_out),
        **name_troubled(failures, troubled),
        "tags": tagged,
    }
    with storage.whole_file(summary_url(job)) as file:
        file.write(json.dumps(content, indent=1).encode())
    return total


def name_left_out(files: Sequence[str]) -> dict[str, Any]:
    """What a summary says of files that were no input: how many there are, and the first of them."""
    return {"left_out": {"files": len(files), "first": list(files[:LISTED])}}


def name_troubled(failures: Sequence[Failure], rejecting: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a summary says of shards that failed and of those with rejected records: the first of each, and how many
    more there are."""
    failed = [{"shard": failure.task.url, "error": failure.error} for failure in failures[:LISTED]]
    return {
        "failed": failed,
        "failed_not_listed": len(failures) - len(failed),
        "with_rejections": rejecting[:LISTED],
        "with_rejections_not_listed": max(0, len(rejecting) - LISTED),
    }


def _current_report(job: ScanJob, task: ShardTask, report: dict[str, Any] | None) -> dict[str, Any] | None:
    """The report if it is of the shard as it is now, with documents flagged by the job's threshold."""
    if report is None or report["fingerprint"] != job.fingerprint(task):
        return None
    return report if report.get("flagged_by") == job.flagged_by() else recount_flagged(job, task, report)


def add_reports(reports: Iterable[ShardReport]) -> ShardReport:
    """The sum of reports; nothing adds up to an empty report."""
    return reduce(add, reports, ShardReport())
