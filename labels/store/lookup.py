"""Finds draws by name and items by digest. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from labels.near_duplicates import Signature, unpack
from labels.store.database import StoreError
from labels.store.tables import Draw, Item, Selection

_AT_ONCE = 500
"""Fewer than the variables that a statement of SQLite may have."""
_T = TypeVar("_T")


def in_parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Parts of a sequence, each small enough for one IN clause."""
    for at in range(0, len(values), _AT_ONCE):
        yield values[at : at + _AT_ONCE]


def ids_of(session: Session, digests: Sequence[str]) -> dict[str, int]:
    """Ids of the items that are there, by the SHA-256 of their text."""
    found: dict[str, int] = {}
    for part in in_parts(digests):
        rows = session.execute(select(Item.sha256, Item.id).where(Item.sha256.in_(part)))
        found |= {row.sha256: row.id for row in rows}
    return found


def draw_named(session: Session, name: str) -> Draw:
    """The draw of that name; raises `StoreError` naming those that there are."""
    draw = session.scalar(select(Draw).where(Draw.name == name))
    if draw is None:
        names = session.scalars(select(Draw.name).order_by(Draw.id)).all()
        raise StoreError(f"there is no draw {name!r}; there are: {', '.join(names) or 'none yet'}")
    return draw


def known_documents(session: Session) -> frozenset[tuple[str, str]]:
    """(id, source) of all documents, as they were drawn or imported."""
    rows = session.execute(select(Selection.document, Item.source).join(Item, Item.id == Selection.item_id))
    return frozenset((document, source) for document, source in rows)


def known_texts(session: Session) -> tuple[frozenset[str], list[Signature], list[str]]:
    """Digests of all items, signatures of those whose text was ever here, and the texts that still are."""
    digests = frozenset(session.scalars(select(Item.sha256)))
    packed = session.scalars(select(Item.minhash).where(Item.minhash.is_not(None)))
    texts = session.scalars(select(Item.text).where(Item.text.is_not(None)))
    return digests, [unpack(one) for one in packed if one], [one for one in texts if one is not None]
