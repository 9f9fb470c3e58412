"""The accounting of records in a report: read = tagged + rejected by reason, and the shards that had trouble.

Knows what a scan writes beside its tags; nothing of scores.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline import storage
from pipeline.accounting import ShardReport
from pipeline.report.folder import TagsFolder
from pipeline.scan import add_reports

_LISTED = 50
_MOST_REPORTS = 2_000
"""Reports of more shards than this are not opened to show examples of rejected records: ``scan.json`` has the sums."""


def records(folder: TagsFolder, tagged: int) -> dict[str, Any]:
    """The scan's sums and its troubled shards; ``tagged`` is the number of rows of the tags, held against the sum."""
    reports = _reports(folder) if not folder.scan or len(folder.files) <= _MOST_REPORTS else []
    total = _total(folder, reports)
    troubled = folder.scan.get("with_rejections") or [_troubled(r) for r in reports if not _figures(r).clean]
    examples = {r["shard"]["url"]: r.get("rejection_examples", []) for r in reports}
    listed = [{**shard, "examples": examples.get(shard["shard"], [])} for shard in troubled[:_LISTED]]
    failed = folder.scan.get("failed", [])
    return {
        "from": "scan.json" if folder.scan else "the sum of the shards' reports",
        "figures": total.to_dict(),
        "rejected": sum(total.rejected.values()),
        "shards_planned": folder.scan.get("shards"),
        "tags_files": len(folder.files),
        "tags_rows": tagged,
        "agrees": total.tagged == tagged,
        "failed": failed[:_LISTED],
        "failed_not_listed": max(0, len(failed) - _LISTED) + folder.scan.get("failed_not_listed", 0),
        "with_rejections": listed,
        "with_rejections_not_listed": len(troubled) - len(listed) + folder.scan.get("with_rejections_not_listed", 0),
    }


def _reports(folder: TagsFolder) -> list[dict[str, Any]]:
    return [report for report in map(folder.report_of, folder.files) if report]


def _total(folder: TagsFolder, reports: list[dict[str, Any]]) -> ShardReport:
    if not folder.scan:
        return add_reports(_figures(report) for report in reports)
    try:
        return ShardReport(**folder.scan["figures"])
    except (KeyError, TypeError, ValueError) as error:
        file = storage.join(folder.url, "scan.json")
        raise ValueError(f"{file}: its figures are not those of this version ({error}); run the scan again") from error


def _figures(report: dict[str, Any]) -> ShardReport:
    try:
        return ShardReport(**report["figures"])
    except (TypeError, ValueError) as error:
        where = json.dumps(report.get("shard"))
        raise ValueError(f"the report of {where} is not of this version ({error}); run the scan again") from error


def _troubled(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "shard": report["shard"]["url"],
        "complete": report.get("complete", True),
        "rejected": report["figures"]["rejected"],
    }
