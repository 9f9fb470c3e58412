"""Texts of a store's items, from the store or from the shard where they point; and a model's evidence in them.

Composes `pipeline`, `classifiers` and `labels` for the annotators' page and the language models.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from classifiers.card import card_of
from classifiers.score import FastTextScorer
from labels.page import Evidence, TextUnavailable
from labels.records import text_digest
from labels.store.tables import Item
from pipeline.accounting import Tally
from pipeline.readers import read_documents
from pipeline.schema import DOCUMENTS
from pipeline.tasks import ReadOptions, ShardTask

KEPT_TEXTS = 64
"""Texts read from shards that are held in memory: those before the annotators now."""


def text_reader(options: ReadOptions) -> Callable[[Item], str]:
    """A function that gives an item's text; with these options its shard was scanned.

    It raises `TextUnavailable` if the text is nowhere, or is not the one whose digest the store has.
    """

    @lru_cache(maxsize=KEPT_TEXTS)
    def pointed(shard: str, row: int, sha256: str) -> str:
        text = _read_row(shard, row, options)
        if text_digest(text) != sha256:
            raise TextUnavailable(f"{shard}, row {row}: another text than was drawn, or read with other options.")
        return text

    def read(item: Item) -> str:
        if item.text is not None:
            return item.text
        if item.shard is None or item.row is None:
            raise TextUnavailable("the store has only its digest; import it with its text.")
        return pointed(item.shard, item.row, item.sha256)

    return read


def _read_row(shard: str, row: int, options: ReadOptions) -> str:
    try:
        for batch in read_documents(ShardTask(shard, shard, 0, ""), options, Tally()):
            found = batch.filter(pc.equal(batch.column("row"), row))
            if found.num_rows:
                return str(found.column("text")[0].as_py())
    except (OSError, ValueError) as error:
        raise TextUnavailable(f"{shard}: {error}") from error
    raise TextUnavailable(f"{shard} has no row {row} any more.")


def evidence_finder(model: Path) -> Callable[[str], list[Evidence]]:
    """A function that gives the stretches of a text that a model scores over its threshold, as in tags."""
    known = FastTextScorer.open(model)
    card = card_of(model, known.digest, known.labels)
    scorer = FastTextScorer.open(model, span_thresholds=card.span_thresholds)

    def find(text: str) -> list[Evidence]:
        row = {"id": "", "text": text.encode("utf-8", "replace").decode(), "row": 0}
        scored = scorer(pa.RecordBatch.from_pylist([row], DOCUMENTS))
        return [Evidence(**span) for span in scored.column("spans")[0].as_py()]

    return find
