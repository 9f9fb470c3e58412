"""A policy for single documents of a datatrove pipeline: their metadata as a batch of TAGS, and what it decides.

Knows datatrove's documents and policies; nothing of what a block does with the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from datatrove.data import Document

from pipeline.languages import primary_subtags
from pipeline.policy import Policy, PolicyError, Rule, decide, load_policy
from pipeline.policy.actions import DROP, Drop, Keep, KeepShare
from pipeline.schema import schema_of
from pipeline.tag import host_of
from pipeline.words import count_words

LANGUAGES = ("language", "lang")
"""Where metadata name the language, the first of them that does: datatrove's own filters and scan's guesses."""


def keeping_policy(given: str | Policy) -> Policy:
    """A policy, or that of a TOML file, which does nothing but keep and drop.

    Raises `PolicyError` if it cannot be read, or does more: a filter changes no text and gives no weight.
    """
    policy = given if isinstance(given, Policy) else load_policy(given)
    for rule in policy.ordered:
        replaces = isinstance(rule.action, Drop) and rule.action.replace
        if rule.weight is not None or replaces or not isinstance(rule.action, Keep | Drop | KeepShare):
            raise PolicyError(
                f"{rule.where or 'policy'}: rule {rule.name!r} does more than keep or drop documents, and a filter "
                "does only that; take it away, or use tropescan apply"
            )
    if policy.mix_in is not None:
        raise PolicyError(
            f"{policy.file or 'policy'}: a filter mixes nothing in; take mix_in away, or use tropescan apply"
        )
    return policy


def language_of(documents: Sequence[Document]) -> pa.StringArray:
    """What their metadata say, as primary subtags; null where they name no language."""
    return primary_subtags(pa.array([_first_text(d, LANGUAGES) for d in documents], pa.string()))


def _first_text(document: Document, names: Sequence[str]) -> str | None:
    return next((value for name in names if isinstance(value := document.metadata.get(name), str)), None)


def decide_documents(
    policy: Policy, model: dict[str, Any], documents: Sequence[Document], prefix: str
) -> list[bool | tuple[bool, str]]:
    """For each document True, or False with the rule's reason: the decisions of ``tropescan apply`` on such tags.

    ``model`` describes what made the scores in the metadata, which stand there with ``prefix``. Draws go by the
    documents' ids. Raises `PolicyError` if the policy asks for what these tags do not hold.
    """
    policy.check(model)
    reasons = {rule.name: _reason(rule) for rule in policy.ordered}
    decisions = decide(_tags(policy, model, documents, prefix), policy)
    rows = zip(decisions.column("action").to_pylist(), decisions.column("rule").to_pylist(), strict=True)
    return [(False, reasons[rule]) if action == DROP else True for action, rule in rows]


def _reason(rule: Rule) -> str:
    return (rule.action.reason if isinstance(rule.action, Drop) else "") or rule.name


def _tags(policy: Policy, model: dict[str, Any], documents: Sequence[Document], prefix: str) -> pa.RecordBatch:
    full = schema_of(model)
    schema = pa.schema(
        [full.field(name) for name in policy.columns(full.names)], {"tropescan.model": json.dumps(model)}
    )
    columns = []
    for field in schema:
        make = _OF_DOCUMENT.get(field.name)
        values = make(documents) if make else [d.metadata[prefix + field.name] for d in documents]
        columns.append(values if isinstance(values, pa.Array) else pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _named(name: str) -> Callable[[Sequence[Document]], list[str | None]]:
    return lambda documents: [_first_text(document, [name]) for document in documents]


_OF_DOCUMENT: dict[str, Callable[[Sequence[Document]], Any]] = {
    "id": lambda documents: [document.id for document in documents],
    "row": lambda documents: range(len(documents)),
    "chars": lambda documents: [len(document.text) for document in documents],
    "bytes": lambda documents: [len(document.text.encode("utf-8", "surrogatepass")) for document in documents],
    "words": lambda documents: [count_words(document.text) for document in documents],
    "url": _named("url"),
    "date": _named("date"),
    "source": _named("source"),
    "host": lambda documents: host_of(pa.array(_named("url")(documents), pa.string())),
    "lang": language_of,
}
"""The columns of TAGS that a tagger does not write, as a scan would have them."""
