"""The store's tables: items, draws, the selection of items by draws, labels, skips and undoings, leases.

An item is a text, once, whatever draws chose it. A selection is one document in one draw, with what was true when it
was drawn. The migrations make these tables, their triggers and views; knows no query.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, CheckConstraint, Double, ForeignKey, Index, LargeBinary, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from labels.store.columns import SORTED_TEXT, ExactText

DESIGNED, ACQUIRED, IMPORTED, REVIEW = "designed", "acquired", "imported", "review"
"""Purposes of a draw. Only designed draws estimate; a review shows labelled items again."""


class Base(DeclarativeBase):
    """Declares the tables."""

    type_annotation_map = {str: ExactText, float: Double, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


class Item(Base):
    """One text. ``sha256`` is of its UTF-8; ``text`` is None where only the pointer ``shard`` and ``row`` is kept.

    ``group`` is what no split divides: the source, or the digest where there is none. ``details`` holds what an
    import said of the text beyond the columns. ``minhash`` is None for an item whose text was never here.
    """

    __tablename__ = "items"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    document: Mapped[str]
    source: Mapped[str]
    url: Mapped[str | None]
    host: Mapped[str | None]
    text: Mapped[str | None]
    shard: Mapped[str | None]
    row: Mapped[int | None]
    group: Mapped[str] = mapped_column(index=True)
    split: Mapped[str]
    minhash: Mapped[bytes | None] = mapped_column(LargeBinary)
    details: Mapped[dict[str, Any]]

    __table_args__ = (CheckConstraint("split IN ('train', 'evaluation', 'neither')", "items_split"),)


class Draw(Base):
    """A set of items chosen at one time for one purpose, and the queue in which they are labelled.

    ``wanted`` is the number of independent annotators for each item; an annotator sees a gold item (a blind check,
    whose label is settled) as every ``gold_every``-th one, never if 0. ``parameters`` tells how to repeat the draw.
    """

    __tablename__ = "draws"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    purpose: Mapped[str]
    method: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    model_digest: Mapped[str | None]
    at: Mapped[str]
    wanted: Mapped[int]
    gold_every: Mapped[int]

    __table_args__ = (
        CheckConstraint("purpose IN ('designed', 'acquired', 'imported', 'review')", "draws_purpose"),
        CheckConstraint("wanted > 0 AND gold_every >= 0", "draws_numbers"),
    )


class Selection(Base):
    """A document in a draw. ``stratum``, ``inclusion_probability`` and ``scores`` are written when it is drawn.

    The probability is None unless the draw is designed. ``done`` says that the draw asks no more labels of its item;
    it only saves the queue from counting, and follows from the labels.
    """

    __tablename__ = "selections"

    id: Mapped[int] = mapped_column(primary_key=True)
    draw_id: Mapped[int] = mapped_column(ForeignKey("draws.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), index=True)
    document: Mapped[str]
    position: Mapped[int]
    stratum: Mapped[str | None]
    inclusion_probability: Mapped[float | None]
    scores: Mapped[dict[str, Any]]
    gold: Mapped[bool]
    done: Mapped[bool]

    __table_args__ = (
        UniqueConstraint("draw_id", "position"),
        CheckConstraint("inclusion_probability > 0 AND inclusion_probability <= 1", "selections_probability"),
        Index("selections_queue", "draw_id", "gold", "done", "position"),
    )


class Label(Base):
    """One annotator's judgement of an item; never changed, never deleted. ``token`` makes a retry harmless.

    ``at`` is ISO 8601; ``seconds`` what the annotator took. For a language model also its name, the digest of the
    prompt, its answer as received, tokens, and cost in US dollars.
    """

    __tablename__ = "labels"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    draw_id: Mapped[int | None] = mapped_column(ForeignKey("draws.id"))
    annotator: Mapped[str]
    kind: Mapped[str]
    ai: Mapped[bool]
    adverse: Mapped[bool]
    hostile: Mapped[bool]
    self_preserving: Mapped[bool]
    admirable: Mapped[bool]
    mode: Mapped[str]
    sure: Mapped[bool]
    at: Mapped[str] = mapped_column(SORTED_TEXT)
    codebook_version: Mapped[str]
    note: Mapped[str]
    spans: Mapped[list[Any]]
    seconds: Mapped[float | None]
    token: Mapped[str]
    model: Mapped[str | None]
    prompt_digest: Mapped[str | None]
    raw_answer: Mapped[str | None]
    tokens_in: Mapped[int | None]
    tokens_out: Mapped[int | None]
    cost: Mapped[float | None]

    __table_args__ = (
        UniqueConstraint("annotator", "token"),
        CheckConstraint("kind IN ('human', 'llm', 'rule', 'adjudicated')", "labels_kind"),
        CheckConstraint("adverse = (hostile OR self_preserving)", "labels_adverse"),
        CheckConstraint("ai OR NOT (adverse OR hostile OR self_preserving OR admirable)", "labels_ai"),
        Index("labels_item", "item_id", "annotator"),
        Index("labels_annotator", "annotator", "draw_id"),
    )


class Action(Base):
    """A skip, or the undoing of a label or of a skip; never changed, never deleted."""

    __tablename__ = "actions"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    draw_id: Mapped[int | None] = mapped_column(ForeignKey("draws.id"))
    annotator: Mapped[str]
    undone_label: Mapped[int | None] = mapped_column(ForeignKey("labels.id"), unique=True)
    undone_skip: Mapped[int | None] = mapped_column(ForeignKey("actions.id"), unique=True)
    at: Mapped[str] = mapped_column(SORTED_TEXT)
    note: Mapped[str]
    token: Mapped[str]

    __table_args__ = (
        UniqueConstraint("annotator", "token"),
        CheckConstraint("kind IN ('skip', 'undo')", "actions_kind"),
        Index("actions_item", "item_id", "annotator"),
    )


class Lease(Base):
    """An item that an annotator has before them (to settle it if ``adjudicating``), until ``until`` (UNIX seconds).

    The label takes its ``token``.
    """

    __tablename__ = "leases"

    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), primary_key=True)
    annotator: Mapped[str] = mapped_column(primary_key=True)
    adjudicating: Mapped[bool] = mapped_column(primary_key=True)
    draw_id: Mapped[int] = mapped_column(ForeignKey("draws.id"))
    token: Mapped[str]
    until: Mapped[float]

    __table_args__ = (Index("leases_annotator", "annotator", "draw_id"),)
