"""Views: each annotator's effective label of an item, and the current label of an item.

The rule is the codebook's (docs/codebook.md, "From several records to one label"): an adjudicated record settles; else
people count before language models, and these before rules; among those who count all must give the same five labels,
or the item is disputed and has no current label. The mode is that of the latest record that counts.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

EFFECTIVE = """
CREATE VIEW effective_labels AS
SELECT l.*
FROM (
  SELECT labels.*, ROW_NUMBER() OVER (
    PARTITION BY item_id, annotator, (kind = 'adjudicated') ORDER BY at DESC, id DESC
  ) AS age
  FROM labels
  WHERE NOT EXISTS (SELECT 1 FROM actions WHERE actions.undone_label = labels.id)
) AS l
WHERE l.age = 1
"""
CURRENT = """
CREATE VIEW current_labels AS
WITH ranked AS (
  SELECT effective_labels.*,
    CASE kind WHEN 'adjudicated' THEN 0 WHEN 'human' THEN 1 WHEN 'llm' THEN 2 ELSE 3 END AS rank
  FROM effective_labels
), counting AS (
  SELECT ranked.*, MIN(rank) OVER (PARTITION BY item_id) AS best FROM ranked
), summed AS (
  SELECT counting.*,
    ROW_NUMBER() OVER (PARTITION BY item_id ORDER BY at DESC, id DESC) AS latest,
    COUNT(*) OVER (PARTITION BY item_id) AS annotators,
    MIN(CASE WHEN sure THEN 1 ELSE 0 END) OVER (PARTITION BY item_id) AS all_sure,
    MIN({digits}) OVER (PARTITION BY item_id) AS lowest,
    MAX({digits}) OVER (PARTITION BY item_id) AS highest
  FROM counting WHERE rank = best
)
SELECT item_id, id AS label_id, kind, annotators,
  CASE WHEN rank = 0 THEN 'adjudicated' WHEN lowest <> highest THEN 'disputed'
       WHEN annotators > 1 THEN 'agreed' ELSE 'single' END AS state,
  ai, adverse, hostile, self_preserving, admirable, mode,
  CASE WHEN rank = 0 THEN sure ELSE all_sure = 1 END AS sure, codebook_version, at
FROM summed WHERE latest = 1
"""
DIGITS = " + ".join(
    f"CASE WHEN {name} THEN {2**k} ELSE 0 END"
    for k, name in enumerate(("ai", "adverse", "hostile", "self_preserving", "admirable"))
)


def upgrade() -> None:
    """Make the views."""
    op.execute(EFFECTIVE)
    op.execute(CURRENT.format(digits=DIGITS))
