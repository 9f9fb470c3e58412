"""Texts of a store's items as the annotators' page wants them, and a model's evidence in a text.

Composes `pipeline`, `classifiers` and `labels` for the page and for the language models.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import pyarrow as pa

from classifiers.card import card_of
from classifiers.score import FastTextScorer
from jobs.item_text import item_text
from labels.page import Evidence, TextUnavailable
from labels.records import texts_by_digest
from labels.store import Store
from labels.store.tables import Item
from pipeline.schema import DOCUMENTS

KEPT_TEXTS = 64
"""Texts read from shards that are held in memory: those before the annotators now."""


def text_reader(store: Store, folders: Sequence[str] = ()) -> Callable[[Item], str]:
    """A function that gives an item's text, from the store, from ``folders``, or from the shard that it points to.

    It raises `TextUnavailable` if the text is nowhere, or is no longer the one that was drawn.
    """
    elsewhere = {digest: text for folder in folders for digest, text in texts_by_digest(folder).items()}
    kept: OrderedDict[str, str] = OrderedDict()
    lock = Lock()

    def read(item: Item) -> str:
        if item.text is not None:
            return item.text
        with lock:
            if item.sha256 not in kept:
                kept[item.sha256] = _read(store, item, elsewhere)
                if len(kept) > KEPT_TEXTS:
                    kept.popitem(last=False)
            return kept[item.sha256]

    return read


def _read(store: Store, item: Item, elsewhere: dict[str, str]) -> str:
    try:
        return item_text(store, item, elsewhere)
    except (OSError, ValueError) as error:
        raise TextUnavailable(str(error)) from error


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
