"""What a scan left on disk: its tags files, and what their metadata say about model, options and shards.

Knows nothing of the figures that are made of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.report.tables import Tables
from pipeline.scan import read_report, read_reports
from pipeline.schema import label_columns, schema_of, topic_digest, topics_of
from pipeline.tasks import ReadOptions, ShardTask

_SUFFIX = ".parquet"


class TagsError(ValueError):
    """A folder that cannot be reported on; the message names the file and says what to do."""


@dataclass(frozen=True)
class TagsFolder:
    """The tags of one model: ``shards`` maps each tags file's URL to the URL of the shard it was made from.

    ``scan`` is the content of ``scan.json``, empty if there is none.
    """

    url: str
    model: dict[str, Any]
    options: ReadOptions
    versions: tuple[str, ...]
    shards: dict[str, str]
    scan: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """URLs of the tags files, sorted."""
        return list(self.shards)

    @property
    def labels(self) -> list[str]:
        """The model's labels, in order."""
        return list(self.model["labels"])

    @property
    def topics(self) -> list[str]:
        """The topics that documents can have; none where the scan had no model of topics."""
        return topics_of(self.model)

    @property
    def topic_digest(self) -> str:
        """SHA-256 of the model of topics; "" where the scan had none."""
        return topic_digest(self.model)

    @property
    def schema(self) -> pa.Schema:
        """The columns of every tags file."""
        return schema_of(self.model)

    @property
    def plain_columns(self) -> list[str]:
        """Columns that hold neither scores of labels nor evidence, in order: those in front."""
        return list(self.schema.names[: self.schema.get_field_index(label_columns(self.labels)[0])])

    def name_of(self, file: str) -> str:
        """A shard's name in the job, from its tags file's URL."""
        return _name_below(storage.join(self.url, "tags"), file, _SUFFIX)

    def report_of(self, file: str) -> dict[str, Any]:
        """The report of the shard that a tags file was made from; empty if it has none."""
        return read_report(storage.join(self.url, "reports", f"{self.name_of(file)}.json")) or {}

    def task_of(self, file: str) -> ShardTask:
        """The task that made a tags file, as far as its report or the file itself says."""
        known = self.report_of(file).get("shard")
        return ShardTask(**known) if known else ShardTask(self.shards[file], self.name_of(file), 0, "")


def open_folder(url: str, tables: Tables) -> TagsFolder:
    """Find the tags of the last scan into a folder (path or fsspec URL) and check that one model made them all.

    ``scan.json`` says which tags are of it; where there is none, tags with a report are taken. What else lies there is
    left out, and a note says so.
    Raises `TagsError` for a folder without tags, a file that is none, or tags of two models.
    """
    scan = _read_scan(url)
    files, notes = _current_files(url, scan)
    kept = _metadata(tables, files)
    for file in files:
        if not {"tropescan.model", "tropescan.shard"} <= kept[file].keys():
            raise TagsError(f"{file}: not a tags file of tropescan (its metadata name no model); move it away")
    model = _only_model(kept)
    versions, options = _differing(kept, "tropescan.version"), _differing(kept, "tropescan.options")
    notes += [
        f"The tags were made with {len(values)} different {what}; their figures are added up all the same."
        for what, values in (("versions of tropescan", versions), ("sets of reading options", options))
        if len(values) > 1
    ]
    _check_model(url, scan, model)
    shards = {file: kept[file]["tropescan.shard"] for file in files}
    _check_columns(files[0], model)
    return TagsFolder(url, model, _options(options), tuple(versions), shards, scan, tuple(notes))


def open_listed(url: str) -> TagsFolder | None:
    """The tags that ``scan.json`` lists, by what it and the shards' reports say of them: a file that is gone, torn or
    of another model is left for whoever reads it to find. None if there is no ``scan.json``.

    Raises `TagsError` if it lists none, or if none of the files is of its model.
    """
    scan = _read_scan(url)
    if not scan:
        return None
    names = scan["tags"]
    files = [storage.join(url, "tags", f"{name}{_SUFFIX}") for name in names]
    _check_any(url, files, scan["model"])
    reports = read_reports([storage.join(url, "reports", f"{name}.json") for name in names])
    shards = {file: _shard_of(file, report) for file, report in zip(files, reports, strict=True)}
    options = _options([json.dumps(scan.get("options"))])
    return TagsFolder(url, scan["model"], options, (str(scan.get("version", "")),), shards, scan)


def _shard_of(file: str, report: dict[str, Any] | None) -> str:
    """The URL of the shard that a tags file was made from, as its metadata spell it; "" if nothing says it."""
    if report and "url" in report.get("shard", {}):
        return storage.in_unicode(str(report["shard"]["url"]))
    return (_own_metadata(file) or {}).get(b"tropescan.shard", b"").decode()


def _check_any(url: str, files: list[str], model: dict[str, Any]) -> None:
    """Raises `TagsError` unless some file is of the model; reads no further than to the first."""
    others = False
    for file in files:
        metadata = _own_metadata(file)
        try:
            if metadata and json.loads(metadata[b"tropescan.model"]).get("digest") == model.get("digest"):
                return
        except (ValueError, KeyError, AttributeError):
            continue
        others |= metadata is not None
    if others:
        raise _other_model(url)
    raise TagsError(f"{url}: none of the tags of {len(files)} shards that scan.json lists can be read; scan again")


def _own_metadata(file: str) -> dict[bytes, bytes] | None:
    """The metadata of one tags file; None if it cannot be read."""
    try:
        with storage.open_input(file) as opened:
            return dict(pq.read_schema(opened).metadata or {})
    except (FileNotFoundError, pa.ArrowException, OSError):
        return None


def _current_files(url: str, scan: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Tags files of the last scan, sorted by name, and notes on what else was found."""
    found = _files_by_name(storage.join(url, "tags"), _SUFFIX)
    if not found and not scan.get("tags"):
        raise TagsError(
            f"{storage.join(url, 'tags')}: no tags there; give the folder that 'tropescan scan --out' wrote"
        )
    current = scan["tags"] if scan else sorted(found.keys() & _files_by_name(storage.join(url, "reports"), ".json"))
    missing = [name for name in current if name not in found]
    if missing or not current:
        lost = (
            f"the tags of {len(missing)} shards, {missing[0]} first, are not there" if missing else "no shard is done"
        )
        raise TagsError(f"{url}: {lost}; run the scan again")
    other = sorted(found.keys() - set(current))
    why = (
        "of shards that failed or are not in the last scan" if scan else "without a report, so not known to be current"
    )
    notes = [f"{len(other)} tags files are left out, {other[0]} first: {why}."] if other else []
    if not scan:
        notes.append("There is no scan.json: the scan did not reach its end. This page covers the shards done so far.")
    return [found[name] for name in current], notes


def _files_by_name(folder: str, suffix: str) -> dict[str, str]:
    """URLs of the files below a folder by their name in it, without the suffix."""
    try:
        files = [file for file, _, _ in storage.list_files(folder) if file.endswith(suffix)]
    except FileNotFoundError:
        return {}
    return {_name_below(folder, file, suffix): file for file in files}


def _name_below(folder: str, file: str, suffix: str) -> str:
    (_, root), (_, path) = storage.filesystem(folder), storage.filesystem(file)
    return str(path).removeprefix(root.rstrip("/") + "/").removesuffix(suffix)


def _metadata(tables: Tables, files: list[str]) -> dict[str, dict[str, str]]:
    """Each file's own keys; equal values are one string, so 100,000 files cost little."""
    kept: dict[str, dict[str, str]] = {file: {} for file in files}
    same: dict[str, str] = {}
    try:
        for file, key, value in tables.metadata(files):
            if key.startswith("tropescan."):
                kept[file][key] = same.setdefault(value, value)
    except ValueError as error:
        raise TagsError(f"a tags file cannot be read ({error}); delete it and scan its shard again") from error
    return kept


def _differing(kept: dict[str, dict[str, str]], key: str) -> list[str]:
    return sorted({values.get(key, "") for values in kept.values()})


def _only_model(kept: dict[str, dict[str, str]]) -> dict[str, Any]:
    first: dict[str, str] = {}
    for file, values in kept.items():
        first.setdefault(values["tropescan.model"], file)
    described = {text: _model(text, file) for text, file in first.items()}
    if len(described) > 1:
        named = "; ".join(
            f"{file} ({model.get('name', 'no name')}, digest {str(model.get('digest', ''))[:12]})"
            for model, file in zip(described.values(), first.values(), strict=True)
        )
        raise TagsError(
            f"tags of {len(described)} models or window settings in one folder, the first files of each: {named}; "
            "report on each model's tags in a folder of their own"
        )
    return next(iter(described.values()))


def _model(text: str, file: str) -> dict[str, Any]:
    try:
        model = json.loads(text)
        if isinstance(model, dict) and model["labels"]:
            return model
    except (ValueError, KeyError):
        pass
    raise TagsError(f"{file}: its metadata describe no model with labels; scan its shard again")


def _options(texts: list[str]) -> ReadOptions:
    try:
        return ReadOptions(**json.loads(texts[0]))
    except (ValueError, TypeError):  # another version's options: excerpts may then fail, figures do not need them
        return ReadOptions()


def _read_scan(url: str) -> dict[str, Any]:
    """The content of ``scan.json``; empty if there is none."""
    file = storage.join(url, "scan.json")
    try:
        scan = json.loads(storage.read_bytes(file))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TagsError(f"{file}: not valid JSON ({error}); delete it, or run the scan again") from error
    if not isinstance(scan, dict) or not {"model", "tags", "figures"} <= scan.keys():
        raise TagsError(f"{file}: not of this version of tropescan; run the scan again")
    return scan


def _check_model(url: str, scan: dict[str, Any], model: dict[str, Any]) -> None:
    if scan and scan["model"].get("digest") != model.get("digest"):
        raise _other_model(url)


def _other_model(url: str) -> TagsError:
    file = storage.join(url, "scan.json")
    return TagsError(f"{file}: of another model than the tags beside it; scan again into a folder of its own")


def _check_columns(file: str, model: dict[str, Any]) -> None:
    with storage.open_input(file) as opened:
        found = pq.read_schema(opened).names
    expected = schema_of(model).names
    if found != expected:
        raise TagsError(f"{file}: columns {', '.join(found)} are not those of this version's tags; scan again")
