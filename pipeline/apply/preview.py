"""Before and after from tags alone: what a policy would do, without a text being read.

Knows tags and decisions; neither shards nor how figures are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.apply.edit import spans_of
from pipeline.apply.replacement import Matching, Replacements
from pipeline.apply.strata import Counts, Running, strata_of
from pipeline.policy.actions import ACTIONS, DROP, EXCISE, MASK
from pipeline.policy.decide import decide
from pipeline.policy.policy import Policy
from pipeline.policy.tag_columns import Bools, Floats, TagColumns, model_of, modes_of, score_column
from pipeline.schema import MODES

ROWS = 65_536
USUAL_THRESHOLD = 0.5
"""From which score on a document counts for a label of which the model's card says nothing."""


@dataclass(frozen=True)
class Amount:
    """Documents and words, before and after; after, each counts by its weight."""

    documents: float = 0.0
    words: float = 0.0
    documents_after: float = 0.0
    words_after: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @classmethod
    def of(cls, rows: Bools, words: Floats, weights: Floats) -> Amount:
        """Of some of the documents of a batch."""
        of, counts = words[rows], weights[rows]
        return cls(float(len(of)), float(of.sum()), float(counts.sum()), float(of @ counts))


@dataclass(frozen=True)
class Preview:
    """What a policy would do. ``groups`` are amounts by name: all documents, those of each label and, of those that
    the target label flags, of each mode. ``dropped`` counts by rule, ``actions`` by action. Words cut out and
    masked are estimates, by the characters of the spans. ``failed`` says why, of each file that could not be read. Adds
    up with ``+``."""

    groups: Mapping[str, Amount] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    actions: Mapping[str, int] = field(default_factory=dict)
    unreplaced: int = 0
    words_cut: float = 0.0
    words_masked: float = 0.0
    failed: tuple[str, ...] = ()

    def __add__(self, other: Preview) -> Preview:
        groups = {name: self.groups.get(name, Amount()) + other.groups.get(name, Amount())
                  for name in {**self.groups, **other.groups}}  # fmt: skip
        return Preview(
            groups, _sum(self.dropped, other.dropped), _sum(self.actions, other.actions),
            self.unreplaced + other.unreplaced, self.words_cut + other.words_cut,
            self.words_masked + other.words_masked, self.failed + other.failed,
        )  # fmt: skip


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def preview(files: Sequence[str], policy: Policy, model: Mapping[str, Any], workers: int) -> Preview:
    """What the policy would do to the documents of these tags files (URLs, in the order of the shards' names), read by
    so many threads. A file that is gone, torn or of another model counts for nothing but itself.
    """
    columns = {*policy.columns(model["labels"]), "words", "chars", "status"}
    columns |= {score_column(label, window=False) for label in model["labels"]}
    with ThreadPoolExecutor(workers) as pool:
        replacing = [lambda file: Replacements()] * len(files)
        if policy.replaces:
            counted = pool.map(lambda file: _counts(file, columns, policy, model), files)
            replacing = list(_replacing(list(counted), columns, policy, model))
        found = pool.map(lambda file, by: _of_file(file, columns, policy, model, by), files, replacing)
        return reduce(add, found, Preview())


def _counts(file: str, columns: set[str], policy: Policy, model: Mapping[str, Any]) -> Counts:
    try:
        return strata_of(_read(file, columns, model), policy).counts
    except OSError:  # for which the file itself will fail
        return {}


def _replacing(
    counts: Sequence[Counts], columns: set[str], policy: Policy, model: Mapping[str, Any]
) -> Iterator[Callable[[str], Replacements]]:
    """For each file, how its replacements are found."""
    running = Running()
    before = list(map(running.add, counts))
    matching = Matching(running.total, policy.seed)
    for one in before:
        yield lambda file, one=one: matching.of(strata_of(_read(file, columns, model), policy), one)  # type: ignore[misc]


def _of_file(
    file: str, columns: set[str], policy: Policy, model: Mapping[str, Any], replacing: Callable[[str], Replacements]
) -> Preview:
    try:
        replacements = replacing(file)
        found, at = Preview(unreplaced=replacements.unreplaced), 0
        for batch in _read(file, columns, model):
            extra, _, _ = replacements.between(at, at + batch.num_rows)
            decisions = decide(batch, policy)
            found += _of_batch(batch, decisions, extra, model) + _of_spans(batch, decisions, policy)
            at += batch.num_rows
        return found
    except OSError as error:
        return Preview(failed=(str(error),))


def _read(file: str, columns: set[str], model: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
    with closing(storage.open_input(file)) as opened:
        try:
            tags = pq.ParquetFile(opened)
            if model_of(tags.schema_arrow).get("digest") != model.get("digest"):
                raise ValueError("they were made by another model than the other tags of the scan")
            yield from tags.iter_batches(ROWS, columns=sorted(columns), use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise OSError(f"{file}: cannot be read as tags ({error}); scan its shard again") from error


def _of_batch(tags: pa.RecordBatch, decisions: pa.RecordBatch, extra: Any, model: Mapping[str, Any]) -> Preview:
    words = tags.column("words").to_numpy().astype(np.float64)
    weights = decisions.column("weight").to_numpy() + extra
    groups = {name: Amount.of(rows, words, weights) for name, rows in _groups(TagColumns(tags), model)}
    action = np.asarray(decisions.column("action").to_numpy(zero_copy_only=False))
    actions = {name: int((action == name).sum()) for name in ACTIONS}
    rules = decisions.column("rule").filter(pa.array(action == DROP)).value_counts().to_pylist()
    return Preview(groups, {one["values"]: one["counts"] for one in rules}, actions)


def _of_spans(tags: pa.RecordBatch, decisions: pa.RecordBatch, policy: Policy) -> Preview:
    """Words cut out and masked, as if all of a document's were of one length."""
    rules = {rule.name: rule.evidence for rule in policy.ordered}
    words = {EXCISE: 0.0, MASK: 0.0}
    changed = pc.is_in(decisions.column("action"), pa.array(list(words)))
    for row in np.flatnonzero(changed.to_numpy(zero_copy_only=False)):
        evidence = rules[decisions.column("rule")[row].as_py()]
        assert evidence is not None  # as these actions always have some
        spans = spans_of(evidence, tags.column("spans")[row].as_py())
        share = sum(end - start for start, end in spans) / max(tags.column("chars")[row].as_py(), 1)
        words[decisions.column("action")[row].as_py()] += share * tags.column("words")[row].as_py()
    return Preview(words_cut=words[EXCISE], words_masked=words[MASK])


def _groups(tags: TagColumns, model: Mapping[str, Any]) -> Iterator[tuple[str, Bools]]:
    yield "all", np.ones(len(tags), bool)
    flagged = np.zeros(len(tags), bool)
    for label in model["labels"]:
        threshold = threshold_of(label, model)
        rows = tags.scores(label, window=False) >= threshold
        yield f"{label} >= {threshold:.4g}", rows
        flagged = rows if label == model.get("target") else flagged
    if modes_of(model["labels"]):
        modes = tags.modes()
        for mode in modes_of(model["labels"]):
            yield f"{model.get('target')}, mode {mode}", flagged & (modes == MODES.index(mode))


def threshold_of(label: str, model: Mapping[str, Any]) -> float:
    """From which score on a document counts for a label: the card's for its target."""
    return float(model["threshold"]) if label == model.get("target") else USUAL_THRESHOLD
