"""The label store: items, draws, append-only labels, leases, in SQLite or PostgreSQL.

Knows texts, labels and annotators; knows neither models, nor pages, nor how a score was made.
"""

from __future__ import annotations

from labels.store.database import Store, StoreError, open_store
from labels.store.items import Candidate, add_draw, designed_selections
from labels.store.queue import Leased, ModelAnswer, Recorded, next_item, record_label, skip, undo

__all__ = [
    "Candidate", "Leased", "ModelAnswer", "Recorded", "Store", "StoreError", "add_draw", "designed_selections",
    "next_item", "open_store", "record_label", "skip", "undo",
]  # fmt: skip
