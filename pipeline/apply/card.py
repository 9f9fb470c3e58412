"""The card of a corpus that a policy made: README.md with the header that Hugging Face's libraries read, written from
the run's figures.

Knows the content of ``apply.json`` and names of columns; nothing of documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.apply.features import Feature, features_of

_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"),
          (1e8, "10M<n<100M"), (1e9, "100M<n<1B"))  # fmt: skip
KINDS = {"parquet": ".parquet", "jsonl": ".jsonl.zst", "webdataset": ".tar"}
"""What ``datasets`` reads, by the name of the configuration, with the end of the files' names."""
COLUMNS = {
    "weight": "how often the document should count (float64)",
    "loss_mask": "stretches that should be no target of training: `start` and `end` in code points of `text`",
    "loss_mask_tokens": "the same as positions of tokens, without special tokens",
    "provenance": "where a document comes from that was mixed in; null for all others",
}


def write_card(out: str, content: dict[str, Any], model: dict[str, Any], added: Sequence[pa.Field]) -> None:
    """Write ``README.md`` beside the data; ``content`` is that of ``apply.json``, ``added`` are the columns that the
    input had not."""
    text = card(content, model, [field.name for field in added], _features(out, content["data"], added))
    with storage.whole_file(storage.join(out, "README.md")) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def _features(out: str, data: Sequence[str], added: Sequence[pa.Field]) -> dict[str, list[Feature]]:
    """The columns of each kind of files, by its name, if the input has not all of them."""
    urls = {kind: [storage.join(out, file) for file in data if file.endswith(end)] for kind, end in KINDS.items()}
    every = {kind: features_of(files, added) for kind, files in urls.items() if files and added}
    return {kind: features for kind, features in every.items() if features}


def card(
    content: dict[str, Any],
    model: dict[str, Any],
    columns: Sequence[str],
    features: Mapping[str, Sequence[Feature]],
) -> str:
    """The text of the card."""
    figures = content["figures"]
    parts = [
        _header(content, features),
        "# A corpus made by tropescan\n",
        "Documents of web shards, filtered or weighed by the policy below, by scores of the classifier "
        f"{model.get('name')} (SHA-256 {model.get('digest')}). Scores are no truth: how often they are right on this "
        "corpus is for an audit to say (`tropescan audit`).\n",
        "## Documents\n",
        _table(figures),
        _added(columns),
        "## Policy\n",
        f"```{'toml' if content['policy_file'] else 'json'}\n{content['policy_text'].strip()}\n```\n",
        "## Beside the documents\n",
        "`decisions/` has a row for each document that was read: action, rule, score, weight; `reports/` the "
        f"accounting of each shard; `apply.json` the sum, made by tropescan {content['version']}.\n",
    ]
    return "\n".join(part for part in parts if part)


def _header(content: dict[str, Any], features: Mapping[str, Sequence[Feature]]) -> str:
    """YAML: what is data, so that decisions beside it are not taken for some, and its columns, each as JSON."""
    written = content["figures"]["written"]
    size = next((name for limit, name in _SIZES if written < limit), "n>1B")
    there = {name: end for name, end in KINDS.items() if any(file.endswith(end) for file in content["data"])}
    lines = [
        "---",
        "tags: [tropescan]",
        "task_categories: [text-generation]",
        f"size_categories: ['{size}']",
        "configs:",
    ]
    for name, end in there.items():
        lines += [f"- config_name: {name}", f"  data_files: 'data/**/*{end}'"]
    lines = lines if there else lines[:-1]
    lines += ["dataset_info:"] if features else []
    for name, columns in features.items():
        lines += [f"- config_name: {name}", "  features:"]
        lines += [f"  - {json.dumps(column, ensure_ascii=False)}" for column in columns]
    return "\n".join([*lines, "---", ""])


def _table(figures: dict[str, Any]) -> str:
    rows = [("read", figures["read"]), ("kept", figures["kept"])]
    rows += [(f"dropped by “{rule}”", count) for rule, count in figures["dropped"].items()]
    rows += [(f"rejected: {reason}", count) for reason, count in figures["rejected"].items()]
    rows += [(f"kept, changed: {action}", count) for action, count in figures["edited"].items()]
    rows += [("mixed in", figures["mixed_in"])] if figures["mixed_in"] else []
    rows += [("rows written", figures["written"]), ("words before", figures["words"])]
    rows += [("words kept, by weight", round(figures["words_weighed"])), ("words kept", figures["words_kept"])]
    rows += [("of these cut out of their documents", figures["words_cut"])] if figures["words_cut"] else []
    rows += [("of these masked", figures["words_masked"])] if figures["words_masked"] else []
    rows += [("shards that failed, not in here", figures["failed_shards"])] if figures["failed_shards"] else []
    return "\n".join(["| | |", "| --- | ---: |", *(f"| {name} | {count:,} |" for name, count in rows), ""])


def _added(columns: Sequence[str]) -> str:
    if not columns:
        return ""
    return "\n".join(["Columns that the policy added:\n", *(f"- `{name}`: {COLUMNS[name]}" for name in columns), ""])
