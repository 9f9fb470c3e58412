"""Reads the text of a few examples from their shards again, each shard once and no further than needed.

Tags hold no text. A shard that has gone or changed gives a reason in place of the excerpt, never an error.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.accounting import Tally
from pipeline.readers import read_documents
from pipeline.report.folder import TagsFolder

_WHOLE = 900
_HEAD, _TAIL = 450, 150
_AROUND = 160
"""Characters. A span of one window of 128 words is shown whole in most languages; of a longer one, head and tail."""


def within_shards(examples: Iterable[dict[str, Any]], number: int, shards: int) -> list[dict[str, Any]]:
    """The first ``number`` examples, in their order, that lie in no more than ``shards`` shards."""
    files: set[str] = set()
    kept: list[dict[str, Any]] = []
    for example in examples:
        if len(kept) < number and (example["file"] in files or len(files) < shards):
            files.add(example["file"])
            kept.append(example)
    return kept


def add_excerpts(folder: TagsFolder, examples: Iterable[dict[str, Any]]) -> None:
    """Put under ``excerpt`` of each example its parts of text, or ``{"missing": reason}``."""
    by_file: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for example in examples:
        by_file.setdefault(example["file"], {}).setdefault(example["row"], []).append(example)
    for file, wanted in sorted(by_file.items()):
        reason = "the shard no longer has this row"
        try:
            _read_shard(folder, file, wanted)
        except Exception as error:  # whatever a changed or lost shard makes a reader raise, the figures stand
            reason = f"the shard cannot be read again ({type(error).__name__}: {error})"
        for example in (example for examples in wanted.values() for example in examples):
            example.setdefault("excerpt", {"missing": reason})


def _read_shard(folder: TagsFolder, file: str, wanted: dict[int, list[dict[str, Any]]]) -> None:
    rows, last = pa.array(sorted(wanted), pa.int64()), max(wanted)
    for batch in read_documents(folder.task_of(file), folder.options, Tally()):
        found = batch.filter(pc.is_in(batch.column("row"), rows))
        for row, name, text in zip(*(found.column(key).to_pylist() for key in ("row", "id", "text")), strict=True):
            for example in wanted[row]:
                same = name == example["id"] and len(text) == example["chars"]
                example["excerpt"] = cut(text, example["start"], example["end"]) if same else _CHANGED
        if len(batch) and batch.column("row")[-1].as_py() >= last:
            return


def placed(folder: TagsFolder, example: dict[str, Any]) -> dict[str, Any]:
    """An example with where it stands in place of the URL of its tags file: ``shard`` (URL), ``tags`` (the shard's
    name), and ``explain``, the command, for a shell, that shows its whole text and why it has its score."""
    kept = {name: value for name, value in example.items() if name != "file"}
    file = example["file"]
    explain = shlex.join(["tropescan", "explain", file, "--row", str(example["row"])])
    return {**kept, "shard": folder.shards[file], "tags": folder.name_of(file), "explain": explain}


_CHANGED = {"missing": "the shard has changed since the scan: this row is another document now"}


def cut(text: str, start: int | None, end: int | None) -> dict[str, Any]:
    """A span with some text around it; of a long span its two ends, with the number of characters left out.

    ``start`` and ``end`` are code points into ``text``; without them, the text's beginning, unmarked.
    """
    if start is None or end is None:
        after = _head(text, _HEAD + _TAIL)
        parts = {"before": "", "earlier": False, "marked": "", "left_out": 0, "marked_end": ""}
        return {**parts, "after": after, "more": len(after) < len(text)}
    first, second, left_out = text[start:end], "", 0
    if len(first) > _WHOLE:
        first, second = _head(first, _HEAD), _tail(first, _TAIL)
        left_out = end - start - len(first) - len(second)
    before, after = _tail(text[:start], _AROUND), _head(text[end:], _AROUND)
    return {
        "before": before,
        "earlier": start > len(before),
        "marked": first,
        "left_out": left_out,
        "marked_end": second,
        "after": after,
        "more": end + len(after) < len(text),
    }


def _head(text: str, length: int) -> str:
    """At most ``length`` characters, cut between words where there is a space not far from the end."""
    if len(text) <= length:
        return text
    words = text[:length].rpartition(" ")[0]
    return words if len(words) > length // 2 else text[:length]


def _tail(text: str, length: int) -> str:
    return _head(text[-length - 1 :][::-1], length)[::-1]
