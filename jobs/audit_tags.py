"""What the audit commands share: the tags of a scan as a population, shard by shard, with progress.

Composes `pipeline.prevalence`; the same functions of one shard run on any engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from operator import add
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track

from jobs.tag_rows import Row, Tags
from pipeline.prevalence import draw
from pipeline.prevalence.frame import Columns, draw_of, histogram_of
from pipeline.prevalence.plan import Plan
from pipeline.prevalence.strata import Histogram
from pipeline.schema import label_columns, window_column

_T = TypeVar("_T")


def each(files: Sequence[str], function: Callable[[str], _T], what: str) -> Iterator[_T]:
    """What the function gives for each tags file, with a bar on a terminal."""
    for file in track(files, what, console=Console(stderr=True), transient=True):
        yield function(file)


def columns_for(tags: Tags, label: str, proxy: str | None) -> Columns:
    """Score and proxy columns: unless said otherwise, the proxy is the score of `ai`, or the label's strongest window.

    Raises `ValueError` naming what there is if one is not among the tags.
    """
    if label not in tags.folder.labels:
        raise ValueError(f"{tags.folder.url}: the model has no label {label!r}; it has {', '.join(tags.folder.labels)}")
    score = label_columns(tags.folder.labels)[tags.folder.labels.index(label)]
    usual = "ai" if "ai" in tags.scores and score != "ai" else window_column(score)
    return Columns(score, tags.check_score(proxy or usual))


def histogram(tags: Tags, columns: Columns) -> Histogram:
    """Of all tags."""
    return reduce(add, each(tags.folder.files, partial(histogram_of, columns=columns), "Counting"))


def drawn_rows(tags: Tags, plan: Plan) -> list[tuple[Row, int]]:
    """The rows of tags that the plan draws, each with its stratum, in the random order of their keys."""
    sizes = np.array(plan.sizes, np.int64)
    one = partial(draw_of, columns=plan.columns, parts=plan.strata, sizes=sizes, seed=plan.seed)
    drawn = draw.merge(each(tags.folder.files, one, "Drawing"), sizes)
    rows = _rows(tags, [str(place) for place in drawn.where])
    order = np.lexsort((drawn.ids.astype(str), drawn.keys))
    return [(rows[str(drawn.where[i])], int(drawn.strata[i])) for i in order]


def _rows(tags: Tags, places: Sequence[str]) -> dict[str, Row]:
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
