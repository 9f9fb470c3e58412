"""What ``tropescan apply`` left in a folder: decisions, the policy, and of each document what can still be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from jobs.tagged import rows_of
from pipeline import storage
from pipeline.policy import Policy, Rule, parse_plain, parse_policy
from pipeline.report.tables import escape_glob

SHOWN = 5
"""Documents of one id that are shown; ids need not be unique."""


@dataclass(frozen=True)
class Run:
    """``content`` is that of ``apply.json``. ``policy`` is None if it cannot be read as it was, and ``trouble`` says
    why."""

    folder: str
    content: dict[str, Any]
    policy: Policy | None
    trouble: str = ""

    def rule(self, name: str | None) -> Rule | None:
        """The rule of that name, if it is known."""
        return next((rule for rule in self.policy.ordered if rule.name == name), None) if self.policy else None

    def decided(self, id: str) -> list[dict[str, Any]]:
        """The decisions on documents of this id, with ``shard``, the name of each one's shard."""
        return self._where("id = $value", id)

    def replacing(self, name: str) -> list[dict[str, Any]]:
        """The decision on the document that is the replacement of this name."""
        return self._where("list_contains(replaces, $value)", name)

    def _where(self, condition: str, value: str) -> list[dict[str, Any]]:
        files = {storage.join(self.folder, "decisions", f"{name}.parquet"): name for name in self.content["done"]}
        if not files:
            return []
        with closing(duckdb.connect(config={"autoinstall_known_extensions": "false"})) as connection:
            if not storage.is_local(self.folder):
                connection.register_filesystem(storage.filesystem(self.folder)[0])
            query = f"SELECT *, filename FROM read_parquet($files, filename = true) WHERE {condition} LIMIT $most"
            given = {"files": list(map(escape_glob, files)), "value": value, "most": SHOWN}
            result = connection.execute(query, given)
            names = [column[0] for column in result.description]
            found = [dict(zip(names, values, strict=True)) for values in result.fetchall()]
        return [row | {"shard": files[row.pop("filename")]} for row in found]

    def tags_of(self, row: dict[str, Any]) -> pa.RecordBatch:
        """The document's row of tags. Raises `ValueError` if it is gone, `OSError` if the file is."""
        url = storage.join(self.content["tags_folder"], "tags", f"{row['shard']}.parquet")
        if found := next(_rows(url, row), None):
            return found
        raise ValueError(f"{url}: row {row['row']} is not there any more; the shard was scanned again since")

    def dropped_url(self, row: dict[str, Any]) -> str:
        """Where the document's text and spans are, if it was dropped and those were kept."""
        return storage.join(self.folder, "dropped", f"{row['shard']}.parquet")

    def dropped_of(self, row: dict[str, Any]) -> pa.RecordBatch | None:
        """The row that is kept of a dropped document, with ``text`` and ``spans``; None if there is none."""
        if not self.content["keep_dropped"] or row["action"] != "drop":
            return None
        try:
            return next(_rows(self.dropped_url(row), row), None)
        except FileNotFoundError:
            return None


def _rows(url: str, row: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """The row of a Parquet file that is about the document, as a batch."""
    return (found for found in rows_of(url, row["row"]) if found.column("id")[0].as_py() == row["id"])


def open_run(folder: str) -> Run:
    """The run in a folder. Raises `ValueError` if ``apply`` has left none there."""
    url = storage.join(folder, "apply.json")
    try:
        content = json.loads(storage.read_bytes(url))
    except FileNotFoundError:
        raise ValueError(f"{url}: not there; name the folder that 'tropescan apply --out' wrote") from None
    try:
        return Run(folder, content, _policy(content))
    except ValueError as error:
        return Run(folder, content, None, str(error))


def _policy(content: dict[str, Any]) -> Policy:
    if not content["policy_file"]:  # it was built in Python
        return parse_plain(content["policy_text"])
    policy = parse_policy(content["policy_text"], content["policy_file"])
    if policy.digest != content["policy"]:
        raise ValueError(
            "the policy as it is read now is not the one that was carried out: files that it names have changed since, "
            "or it was changed in Python after it was read"
        )
    return policy
