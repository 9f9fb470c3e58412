"""An audit's estimate, joined to the report of the same tags: what ``tropescan audit estimate --out`` wrote.

Knows the estimate as plain values; nothing of how it was made.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline import storage
from pipeline.report.excerpts import add_excerpts, placed
from pipeline.report.folder import TagsFolder

_PARTS = {"label", "labelled", "plan", "population", "prevalence", "filter", "slices", "thresholds", "modes", "strata",
          "read", "examples"}  # fmt: skip
MOST_MONTHS = 36
"""Where a corpus has more months than this, a page shows years."""


def load_estimate(file: str) -> dict[str, Any]:
    """The figures of an audit from a file. Raises `ValueError` naming it if it is no such file."""
    try:
        found = json.loads(storage.read_bytes(file))
    except ValueError as error:
        raise ValueError(
            f"{file}: not JSON ({error}); give what 'tropescan audit estimate --out FILE' wrote"
        ) from error
    if not isinstance(found, dict) or not found.keys() >= _PARTS:
        raise ValueError(f"{file}: not an audit's figures; give what 'tropescan audit estimate --out FILE' wrote")
    if "differences" not in found:
        raise ValueError(f"{file}: an earlier version made these figures; run 'tropescan audit estimate --out' anew")
    if not all("score" in one for one in found["strata"]):
        raise ValueError(f"{file}: an earlier version made this audit, by other strata; plan, draw and estimate anew")
    return found


def joined(folder: TagsFolder, audit: dict[str, Any], totals: dict[str, Any], shards: int) -> dict[str, Any]:
    """The audit with the text of its examples, from at most so many ``shards`` (0: without).

    Raises `ValueError` if it is of other tags than those in the folder.
    """
    documents, model = audit["population"]["documents"], audit["plan"]["model"]
    if model != folder.model.get("digest") or documents != totals["documents"]["total"]:
        raise ValueError(
            f"{folder.url}: the audit is of {documents:,} documents scored by the model {model[:12]}, the tags are "
            f"{totals['documents']['total']:,} by {str(folder.model.get('digest'))[:12]}; estimate anew from these tags"
        )
    files = {folder.name_of(file): file for file in folder.files}
    examples = {kind: [_found(folder, files, one) for one in found] for kind, found in audit["examples"].items()}
    if shards:
        _read(folder, [one for found in examples.values() for one in found], shards)
    shown = {kind: [placed(folder, one) for one in found] for kind, found in examples.items()}
    slices = _one_of_the_dates(audit["slices"])
    differences = {by: found for by, found in audit["differences"].items() if by in slices}
    return audit | {"examples": shown, "slices": slices, "differences": differences}


def _found(folder: TagsFolder, files: dict[str, str], example: dict[str, Any]) -> dict[str, Any]:
    name = example["tags"]
    if name not in files:
        raise ValueError(f"{folder.url}: the audit read a document of the tags {name!r}, which are not there; "
                         "estimate anew from these tags")  # fmt: skip
    return example | {"file": files[name], "copies": 0}


def _read(folder: TagsFolder, examples: list[dict[str, Any]], shards: int) -> None:
    """Of more shards than these the examples stay without text, and say so."""
    files = list(dict.fromkeys(one["file"] for one in examples))[:shards]
    add_excerpts(folder, [one for one in examples if one["file"] in files])
    for one in examples:
        one.setdefault("excerpt", {"missing": f"only {shards} shards were read again; --excerpt-shards reads more"})


def _one_of_the_dates(slices: dict[str, Any]) -> dict[str, Any]:
    if not {"year", "month"} <= slices.keys():
        return slices
    left_out = "year" if len(slices["month"]) <= MOST_MONTHS else "month"
    return {by: found for by, found in slices.items() if by != left_out}
