"""The text of a label store's item: from the store, or read again from the shard that it points to, and checked."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from labels.records import text_digest
from labels.store import Store, StoreError
from labels.store.tables import Draw, Item, Selection
from pipeline.accounting import Tally
from pipeline.readers import read_documents
from pipeline.tasks import ReadOptions, ShardTask

READING = "reading"
"""Parameter of a draw that holds the options by which its shards were read."""


def item_text(store: Store, item: Item, elsewhere: Mapping[str, str] | None = None) -> str:
    """The text that the item's digest names; ``elsewhere`` are texts by digest, for items without a pointer.

    Raises `StoreError` naming the shard if it has no pointer, or if there is another text there now.
    """
    if item.text is not None:
        return item.text
    if elsewhere and item.sha256 in elsewhere:
        return elsewhere[item.sha256]
    if item.shard is None or item.row is None:
        raise StoreError(
            f"item {item.id} ({item.document}): the store has neither its text nor a pointer; name --texts"
        )
    task = ShardTask(item.shard, item.shard, 0, "")
    for batch in read_documents(task, _reading(store, item), Tally()):
        rows = batch.column("row").to_pylist()
        if item.row in rows:
            text = str(batch.column("text")[rows.index(item.row)].as_py())
            if text_digest(text) == item.sha256:
                return text
            break
    raise StoreError(f"{item.shard}, row {item.row}: not the text of item {item.id} any more; restore the shard")


def _reading(store: Store, item: Item) -> ReadOptions:
    query = select(Draw.parameters).join(Selection, Selection.draw_id == Draw.id).where(Selection.item_id == item.id)
    with store.reading() as session:
        found = [one[READING] for one in session.scalars(query.order_by(Draw.id)) if READING in one]
    return ReadOptions(**found[0]) if found else ReadOptions()
