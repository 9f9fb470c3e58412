"""Puts items and draws into the store, and hands out those that may enter an estimate.

Knows texts, pointers and probabilities as given; draws nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from labels import split
from labels.near_duplicates import pack, signature, unpack
from labels.records import text_digest
from labels.store.database import Store, StoreError
from labels.store.lookup import draw_named, ids_of
from labels.store.queue import mark_done
from labels.store.tables import ACQUIRED, DESIGNED, Draw, Item, Selection


@dataclass(frozen=True)
class Candidate:
    """A document to be put into the store: with its text, or the text's digest and a pointer (``shard``, ``row``).

    With both, the text is kept unless ``keep_text`` is False; its signature is taken either way.
    """

    document: str
    source: str
    text: str | None = None
    sha256: str | None = None
    url: str | None = None
    host: str | None = None
    shard: str | None = None
    row: int | None = None
    keep_text: bool = True
    scores: dict[str, Any] = field(default_factory=dict)
    stratum: str | None = None
    inclusion_probability: float | None = None
    gold: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.text is None and self.sha256 is None:
            raise StoreError(f"document {self.document!r}: give its text, or the SHA-256 of its text")
        if self.text is not None and self.sha256 not in (None, text_digest(self.text)):
            raise StoreError(f"document {self.document!r}: the text's SHA-256 is not the one given")
        if self.text is not None and not self.keep_text and self.shard is None and self.sha256 is None:
            raise StoreError(f"document {self.document!r}: without its text it needs a pointer (shard and row)")

    @property
    def digest(self) -> str:
        """SHA-256 of the text."""
        return self.sha256 or text_digest(self.text or "")

    @property
    def group(self) -> str:
        """What no split divides."""
        synthetic, pair = bool(self.details.get("synthetic")), self.details.get("pair")
        return split.group_of(self.source, self.digest, synthetic=synthetic, pair=pair)


def add_draw(
    store: Store,
    name: str,
    purpose: str,
    candidates: Sequence[Candidate],
    *,
    method: str,
    parameters: dict[str, Any] | None = None,
    model_digest: str | None = None,
    wanted: int = 1,
    gold_every: int = 0,
) -> Draw:
    """Write a draw with all that was true when it was drawn: whole or not at all, and never again.

    Raises `StoreError` if the name is taken, if a designed draw lacks a probability, or another has one. Blind checks
    have none: they are in the queue, not in the draw.
    """
    _check_probabilities(name, purpose, candidates)
    with store.writing() as session:
        draw = start_draw(
            store, session, name, purpose, method=method, parameters=parameters, model_digest=model_digest,
            wanted=wanted, gold_every=gold_every,
        )  # fmt: skip
        select_items(session, draw, candidates)
        return draw


def start_draw(
    store: Store, session: Session, name: str, purpose: str, *, method: str, parameters: dict[str, Any] | None = None,
    model_digest: str | None = None, wanted: int = 1, gold_every: int = 0,
) -> Draw:  # fmt: skip
    """A draw without items yet, in a transaction that goes on; raises `StoreError` if the name is taken."""
    if session.scalar(select(Draw.id).where(Draw.name == name)) is not None:
        raise StoreError(f"there is a draw {name!r} already; a draw is never changed, choose another name")
    draw = Draw(
        name=name, purpose=purpose, method=method, parameters=parameters or {}, model_digest=model_digest,
        at=store.now(), wanted=wanted, gold_every=gold_every,
    )  # fmt: skip
    session.add(draw)
    session.flush()
    return draw


def select_items(session: Session, draw: Draw, candidates: Sequence[Candidate]) -> None:
    """Put the candidates into a draw, in their order; texts that are new become items."""
    known = ids_of(session, list(dict.fromkeys(one.digest for one in candidates)))
    ids = add_items(session, candidates)
    rows = [
        {
            "draw_id": draw.id, "item_id": ids[one.digest], "document": one.document, "position": position,
            "stratum": one.stratum, "inclusion_probability": one.inclusion_probability, "scores": one.scores,
            "gold": one.gold, "done": False,
        }
        for position, one in enumerate(candidates)
    ]  # fmt: skip
    if rows:
        session.execute(insert(Selection), rows)
        mark_done(session, [ids[digest] for digest in known])  # of the new ones nobody has said anything yet


def _check_probabilities(name: str, purpose: str, candidates: Sequence[Candidate]) -> None:
    for one in candidates:
        if purpose == DESIGNED and one.inclusion_probability is None and not one.gold:
            raise StoreError(f"draw {name!r}: document {one.document!r} has no inclusion probability; write it now")
        if (purpose != DESIGNED or one.gold) and one.inclusion_probability is not None:
            what = "this is a blind check" if one.gold else f"this one is {purpose}"
            raise StoreError(
                f"draw {name!r}: document {one.document!r} has an inclusion probability, but only a designed draw has "
                f"them, and {what}"
            )


def add_items(session: Session, candidates: Iterable[Candidate]) -> dict[str, int]:
    """Store the texts that are new, each with its split, for good; returns the item's id for each digest."""
    first: dict[str, Candidate] = {}
    for one in candidates:
        first.setdefault(one.digest, one)
    if session.get_bind().dialect.name == "postgresql":  # or two that add at once could let near-duplicates straddle
        session.execute(text("LOCK TABLE items IN SHARE ROW EXCLUSIVE MODE"))
    ids = ids_of(session, list(first))
    fresh = [one for digest, one in first.items() if digest not in ids]
    if fresh:
        session.execute(insert(Item), _rows(session, fresh))
    return ids | ids_of(session, [one.digest for one in fresh])


def _rows(session: Session, fresh: Sequence[Candidate]) -> list[dict[str, Any]]:
    signatures = [signature(one.text) if one.text is not None else None for one in fresh]
    stored = session.execute(select(Item.split, Item.minhash).where(Item.minhash.is_not(None)))
    known = ((side, unpack(packed)) for side, packed in stored if packed is not None)
    splits = split.choose_splits([one.group for one in fresh], signatures, known)
    return [
        {
            "sha256": one.digest, "document": one.document, "source": one.source, "url": one.url, "host": one.host,
            "text": one.text if one.keep_text else None, "shard": one.shard, "row": one.row, "group": one.group,
            "split": side, "minhash": None if mark is None else pack(mark), "details": one.details,
        }
        for one, side, mark in zip(fresh, splits, signatures, strict=True)
    ]  # fmt: skip


def designed_selections(store: Store, names: Sequence[str]) -> list[tuple[Selection, Item]]:
    """Documents of designed draws with their items: what an estimate of prevalence or of error rates may use.

    Blind checks are left out: nobody drew them. Raises `StoreError` for any other draw: items chosen because of what a
    model thought of them say nothing of how common a label is.
    """
    with store.reading() as session:
        draws = [draw_named(session, name) for name in names]
        for draw in draws:
            if draw.purpose != DESIGNED:
                why = "were chosen by a model's score" if draw.purpose == ACQUIRED else "have no inclusion probability"
                raise StoreError(
                    f"draw {draw.name!r} is {draw.purpose}: its items {why} and cannot enter an estimate; "
                    "make a designed draw with 'tropescan label draw'"
                )
        wanted = select(Selection, Item).join(Item, Item.id == Selection.item_id)
        mine = wanted.where(Selection.draw_id.in_([draw.id for draw in draws]), ~Selection.gold)
        return [(selection, item) for selection, item in session.execute(mine.order_by(Selection.id))]
