"""What the audit commands share: the tags of a scan as a population, shard by shard, on any engine.

Composes `pipeline.prevalence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from jobs.audit_engine import Gather, gather_here
from jobs.tag_rows import Row, Tags
from pipeline import storage
from pipeline.prevalence import draw
from pipeline.prevalence.audited import Sides
from pipeline.prevalence.frame import Columns, added_up, draw_of, histogram_of
from pipeline.prevalence.names import Key, Names
from pipeline.prevalence.plan import Plan
from pipeline.prevalence.strata import Histogram
from pipeline.schema import label_columns, window_column

USUAL_PROXIES = ("ai_terms", "ai")
"""Columns that serve as the second proxy, the best first (docs/prevalence.md, "The second proxy")."""


def columns_for(tags: Tags, label: str, proxy: str | None) -> Columns:
    """Score and proxy columns: unless said otherwise, the proxy is the model's count of AI terms, else the score of
    `ai`, else the label's strongest window.

    Raises `ValueError` naming what there is if one is not among the tags.
    """
    if label not in tags.folder.labels:
        raise ValueError(f"{tags.folder.url}: the model has no label {label!r}; it has {', '.join(tags.folder.labels)}")
    score = label_columns(tags.folder.labels)[tags.folder.labels.index(label)]
    usual = next((name for name in USUAL_PROXIES if name in tags.scores and name != score), window_column(score))
    return Columns(score, tags.check_score(proxy or usual))


def histogram(tags: Tags, columns: Columns, gather: Gather = gather_here) -> Histogram:
    """Of all tags."""
    return gather(tags.folder.files, partial(histogram_of, columns=columns), added_up, "Counting")


def names_in(tags: Tags, key: Key) -> Names:
    """How documents of these tags are called."""
    return Names(storage.join(tags.folder.url, "tags") if key == "row" else None)


def documents_in(counted: Histogram, plan: Plan) -> NDArray[np.int64]:
    """How many documents each stratum of a plan has, int64, shape (strata,)."""
    return np.rint(Sides.of(counted, plan.strata).whole[:, 0]).astype(np.int64)


def check_population(tags: Tags, plan: Plan, gather: Gather = gather_here) -> None:
    """Raises `ValueError` unless the tags are those that the plan was made for, stratum by stratum."""
    plan.check(documents_in(histogram(tags, plan.columns, gather), plan), tags.digest, tags.folder.url)


def drawn_rows(tags: Tags, plan: Plan, gather: Gather = gather_here) -> list[tuple[Row, str, int]]:
    """The rows of tags that the plan draws, each with its name and its stratum, in the random order of their keys."""
    sizes, names = np.array(plan.sizes, np.int64), names_in(tags, plan.key)
    one = partial(draw_of, columns=plan.columns, parts=plan.strata, sizes=sizes, seed=plan.seed, names=names)
    drawn = gather(tags.folder.files, one, partial(draw.merge, sizes=sizes), "Drawing")
    rows = rows_at(tags, [str(place) for place in drawn.where])
    order = np.lexsort((drawn.ids.astype(str), drawn.keys))
    return [(rows[str(drawn.where[i])], str(drawn.ids[i]), int(drawn.strata[i])) for i in order]


def rows_at(tags: Tags, places: Sequence[str]) -> dict[str, Row]:
    """Rows of tags by where they are, as `pipeline.prevalence.frame.places` says it."""
    by_file: dict[str, list[int]] = {}
    for place in places:
        row, file = place.split("@", 1)
        by_file.setdefault(file, []).append(int(row))
    found: dict[str, Row] = {}
    for file, rows in by_file.items():
        name = file.replace("'", "''")
        query = f"SELECT * FROM tags WHERE filename = '{name}' AND row IN ({', '.join(map(str, rows))})"
        found |= {f"{row['row']:012d}@{file}": row for row in tags.rows(query)}
    return found
