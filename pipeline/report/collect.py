"""All figures of a report as plain data: what ``--json`` writes, and all that the page is drawn from.

The same tags give the same figures: no clock, no random state.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.prevalence.audited import on_grid
from pipeline.report import queries
from pipeline.report.audited import joined
from pipeline.report.excerpts import add_excerpts, placed, within_shards
from pipeline.report.folder import TagsFolder, open_folder
from pipeline.report.records import records
from pipeline.report.tables import DuckTables, Tables


@dataclass(frozen=True)
class ReportOptions:
    """What to show. ``label`` and ``threshold`` are the scan's unless given. ``examples`` is of each kind;
    ``excerpt_shards`` bounds the shards read again for each kind of example (0: no excerpts)."""

    label: str | None = None
    threshold: float | None = None
    hosts: int = 15
    labels: int = 6
    examples: int = 20
    excerpt_shards: int = 10


def collect(
    url: str, options: ReportOptions | None = None, tables: Tables | None = None, audit: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The figures of the tags below a folder (path or fsspec URL), as plain types; asked of DuckDB unless ``tables``
    is another engine. Closes ``tables``. ``audit``: see `pipeline.report.audited`; its label and threshold are then
    those of the report, unless ``options`` names some.

    Raises `pipeline.report.folder.TagsError` (a `ValueError`) if there are none to report on, and `ValueError` for a
    label that the model lacks.
    """
    options = options or ReportOptions()
    with closing(tables or DuckTables(url)) as tables:
        folder = open_folder(url, tables)
        label, threshold, source = flagging(folder, options.label, options.threshold, audit)
        query = queries.open_tags(tables, folder, label, threshold)
        headline, others = queries.headline(query), queries.other_languages(query, options.hosts)
        known = audit and joined(folder, audit, headline, options.excerpt_shards)
        return {
            "folder": url,
            "label": label,
            "threshold": threshold,
            "threshold_from": source,
            "notes": list(folder.notes),
            "headline": headline,
            "curve": queries.curve(query),
            "labels": queries.labels(query, options.labels),
            "windows": queries.windows(query),
            "hosts": queries.hosts(query, options.hosts),
            "dates": queries.dates(query),
            "topics": queries.topics(query) if folder.topics else None,
            "languages": queries.groups(query, "lang", options.hosts),
            "other_languages": others,
            "sources": queries.groups(query, "source", options.hosts),
            "examples": _examples(query, options),
            "records": records(folder, headline["documents"]["total"] + others["documents"]),
            "model": folder.model,
            "scan": _scan(folder),
            "audit": known or None,
        }


def flagging(
    folder: TagsFolder, given: str | None, threshold: float | None, audit: dict[str, Any] | None = None
) -> tuple[str, float, str]:
    """Label and threshold to flag by, and who says so: the caller, else the audit, the scan, the model.

    Raises `ValueError` for a label that the model lacks, or another label or threshold than the audit's.
    """
    if audit and (given or audit["label"]) != audit["label"]:
        raise ValueError(
            f"the audit is of {audit['label']!r}, not of {given!r}; leave --label out, or audit that label"
        )
    if audit and threshold is not None and on_grid(threshold) != audit["plan"]["threshold"]:
        raise ValueError(
            f"the audit's filter has the threshold {audit['plan']['threshold']:.6g}, not {threshold:g}; leave "
            "--threshold out: the page has figures for every threshold"
        )
    first = "adverse" if "adverse" in folder.labels else folder.labels[0]
    usual = str(folder.scan.get("label") or folder.model.get("target") or first)
    label = given or (audit["label"] if audit else usual)
    if label not in folder.labels:
        raise ValueError(f"{folder.url}: the model has no label {label!r}; it has {', '.join(folder.labels[:50])}")
    if threshold is not None and not audit:
        return label, threshold, "the command line"
    if audit:
        return label, float(audit["plan"]["threshold"]), "the audit's plan"
    if label == usual and "threshold" in folder.scan:
        return label, float(folder.scan["threshold"]), "the scan"
    if label == folder.model.get("target") and "threshold" in folder.model:
        return label, float(folder.model["threshold"]), "the model"
    return label, 0.5, "the default: the model names none for this label"


def _examples(query: queries.Query, options: ReportOptions) -> dict[str, Any]:
    shards = options.excerpt_shards or len(query.folder.files)
    kinds = {
        "strongest": queries.strongest_spans(query, 50 * options.examples),
        "drawn": queries.drawn_documents(query, 50 * options.examples),
    }
    kept = {kind: within_shards(found, options.examples, shards) for kind, found in kinds.items()}
    every = [example for found in kept.values() for example in found]
    if options.excerpt_shards:
        add_excerpts(query.folder, every)
    limited = {kind: kept[kind] != found[: options.examples] for kind, found in kinds.items()}
    shown = {kind: [placed(query.folder, example) for example in found] for kind, found in kept.items()}
    return {**shown, "limited_to_shards": shards if any(limited.values()) else None}


def _scan(folder: TagsFolder) -> dict[str, Any]:
    return {
        "complete": bool(folder.scan),
        "command": folder.scan.get("command"),
        "versions": list(folder.versions),
        "options": asdict(folder.options),
    }
