"""Items, draws, selections, labels, actions and leases; what is written stays as it was written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SORTED = sa.String().with_variant(sa.String(collation="C"), "postgresql")
FROZEN = {
    "labels": None,
    "actions": None,
    "items": ("sha256", "document", "source", '"group"', "split", "minhash"),
    "draws": ("name", "purpose", "method", "parameters", "model_digest", "at"),
    "selections": ("draw_id", "item_id", "document", "stratum", "inclusion_probability", "scores"),
}
"""Tables whose rows are never deleted, and the columns that are never changed (None: all)."""


def upgrade() -> None:
    """Make the tables and their triggers."""
    _items_and_draws()
    _selections()
    _labels()
    _actions_and_leases()
    for table, columns in FROZEN.items():
        _freeze(table, columns)


def _items_and_draws() -> None:
    op.create_table(
        "items",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("sha256", sa.Text(), nullable=False, unique=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("url", sa.Text()),
        sa.Column("host", sa.Text()),
        sa.Column("text", sa.Text()),
        sa.Column("shard", sa.Text()),
        sa.Column("row", sa.Integer()),
        sa.Column("group", sa.Text(), nullable=False, index=True),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("minhash", sa.LargeBinary()),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.CheckConstraint("split IN ('train', 'evaluation', 'neither')", "items_split"),
    )
    op.create_table(
        "draws",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("model_digest", sa.Text()),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("gold_every", sa.Integer(), nullable=False),
        sa.CheckConstraint("purpose IN ('designed', 'acquired', 'imported', 'review')", "draws_purpose"),
        sa.CheckConstraint("wanted > 0 AND gold_every >= 0", "draws_numbers"),
    )


def _selections() -> None:
    op.create_table(
        "selections",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("draw_id", sa.Integer(), sa.ForeignKey("draws.id"), nullable=False),
        sa.Column("item_id", sa.Integer(), sa.ForeignKey("items.id"), nullable=False, index=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("stratum", sa.Text()),
        sa.Column("inclusion_probability", sa.Double()),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("gold", sa.Boolean(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("draw_id", "position"),
        sa.CheckConstraint("inclusion_probability > 0 AND inclusion_probability <= 1", "selections_probability"),
    )
    op.create_index("selections_queue", "selections", ["draw_id", "gold", "done", "position"])


def _labels() -> None:
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("item_id", sa.Integer(), sa.ForeignKey("items.id"), nullable=False),
        sa.Column("draw_id", sa.Integer(), sa.ForeignKey("draws.id")),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Boolean(), nullable=False)
            for name in ("ai", "adverse", "hostile", "self_preserving", "admirable")
        ),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("sure", sa.Boolean(), nullable=False),
        sa.Column("at", SORTED, nullable=False),
        sa.Column("codebook_version", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("spans", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double()),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.Column("prompt_digest", sa.Text()),
        sa.Column("raw_answer", sa.Text()),
        sa.Column("tokens_in", sa.Integer()),
        sa.Column("tokens_out", sa.Integer()),
        sa.Column("cost", sa.Double()),
        sa.UniqueConstraint("annotator", "token"),
        sa.CheckConstraint("kind IN ('human', 'llm', 'rule', 'adjudicated')", "labels_kind"),
        sa.CheckConstraint("adverse = (hostile OR self_preserving)", "labels_adverse"),
        sa.CheckConstraint("ai OR NOT (adverse OR hostile OR self_preserving OR admirable)", "labels_ai"),
    )
    op.create_index("labels_item", "labels", ["item_id", "annotator"])
    op.create_index("labels_annotator", "labels", ["annotator", "draw_id"])


def _actions_and_leases() -> None:
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Integer(), sa.ForeignKey("items.id"), nullable=False),
        sa.Column("draw_id", sa.Integer(), sa.ForeignKey("draws.id")),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("undone_label", sa.Integer(), sa.ForeignKey("labels.id"), unique=True),
        sa.Column("undone_skip", sa.Integer(), sa.ForeignKey("actions.id"), unique=True),
        sa.Column("at", SORTED, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.UniqueConstraint("annotator", "token"),
        sa.CheckConstraint("kind IN ('skip', 'undo')", "actions_kind"),
    )
    op.create_index("actions_item", "actions", ["item_id", "annotator"])
    op.create_table(
        "leases",
        sa.Column("item_id", sa.Integer(), sa.ForeignKey("items.id"), primary_key=True),
        sa.Column("annotator", sa.Text(), primary_key=True),
        sa.Column("adjudicating", sa.Boolean(), primary_key=True),
        sa.Column("draw_id", sa.Integer(), sa.ForeignKey("draws.id"), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
    )
    op.create_index("leases_annotator", "leases", ["annotator", "draw_id"])


def _freeze(table: str, columns: tuple[str, ...] | None) -> None:
    """Have the database refuse to change or delete what was written."""
    of = f"OF {', '.join(columns)}" if columns else ""
    why = f"{table}: what was written is never changed or deleted; append a new record"
    if op.get_bind().dialect.name == "sqlite":
        for name, event in (("update", f"UPDATE {of}"), ("delete", "DELETE")):
            op.execute(
                f"CREATE TRIGGER {table}_no_{name} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{why}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{why}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for name, event in (("update", f"UPDATE {of}"), ("delete", "DELETE"), ("truncate", "TRUNCATE")):
        each = "STATEMENT" if name == "truncate" else "ROW"
        op.execute(
            f"CREATE TRIGGER {table}_no_{name} BEFORE {event} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION {table}_refuse()"
        )
