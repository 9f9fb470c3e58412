"""The lead's figures of a draw: agreement by label, confusion between annotators, drift, cost. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from labels import codebook
from labels.agreement import krippendorff_alpha, with_interval
from labels.page.desk import desk_of, draw_of, render
from labels.page.standing import own_labels
from labels.store import Store
from labels.store.figures import AnnotatorWork, progress, work
from labels.store.judgements import Judgements, judgements
from labels.store.tables import Draw, Label
from pipeline.schema import Estimate

RESAMPLES = 300
MOST_PAIRS = 10
BLOCKS, SMALLEST_BLOCK = 6, 10


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha of one label; ``positive`` is the share of judgements that say it holds."""

    label: str
    alpha: Estimate
    positive: float


@dataclass(frozen=True)
class Confusion:
    """Two annotators over the items that both judged: for each label (both, only one, only the other, neither)."""

    one: str
    other: str
    items: int
    counts: dict[str, tuple[int, int, int, int]]


@dataclass(frozen=True)
class Block:
    """Consecutive labels of one annotator: how many, until when, the share adverse, unsure, and the median seconds."""

    labels: int
    until: str
    adverse: float
    unsure: float
    seconds: float | None


def lead(request: Request) -> Response:
    """All figures of one draw."""
    draw, store = draw_of(request), desk_of(request).store
    said, done = judgements(store, draw.name), work(store, draw.name)
    return render(
        request, "lead.html", draw=draw, progress=next(one for one in progress(store) if one.name == draw.name),
        work=done, agreement=agreement(said), confusions=confusions(said),
        drift={one.annotator: drift(store, draw, one.annotator) for one in done if one.kind != "adjudicated"},
        hours=hours(store, draw), cost=sum(one.cost for one in done), tokens=sum(one.tokens for one in done),
        machine=_machine(done),
    )  # fmt: skip


def agreement(said: Judgements) -> list[Agreement]:
    """By label, over all annotators; the interval resamples sources."""
    found = []
    for name in codebook.LABELS:
        values = said.of(name)
        positive = float(np.nanmean(values)) if values.size else float("nan")
        estimate = with_interval(krippendorff_alpha, values, said.sources, resamples=RESAMPLES)
        found.append(Agreement(name, estimate, positive))
    return found


def confusions(said: Judgements) -> list[Confusion]:
    """The pairs of annotators with most items in common."""
    found = []
    for i, k in combinations(range(len(said.annotators)), 2):
        both = ~np.isnan(said.values[0, i]) & ~np.isnan(said.values[0, k])
        counts = {name: _fourfold(said.of(name)[i, both], said.of(name)[k, both]) for name in codebook.LABELS}
        if both.any():
            found.append(Confusion(said.annotators[i], said.annotators[k], int(both.sum()), counts))
    return sorted(found, key=lambda one: -one.items)[:MOST_PAIRS]


def _fourfold(one: np.ndarray, other: np.ndarray) -> tuple[int, int, int, int]:
    pairs = ((1, 1), (1, 0), (0, 1), (0, 0))
    return tuple(int(((one == a) & (other == b)).sum()) for a, b in pairs)  # type: ignore[return-value]


def drift(store: Store, draw: Draw, annotator: str) -> list[Block]:
    """An annotator's labels of a draw in the order in which they were made, in up to six equal blocks."""
    query = select(Label.at, Label.adverse, Label.sure, Label.seconds).where(*own_labels(draw, annotator))
    with store.reading() as session:
        rows = session.execute(query.order_by(Label.at, Label.id)).all()
    blocks = max(1, min(BLOCKS, len(rows) // SMALLEST_BLOCK))
    cuts = [len(rows) * k // blocks for k in range(blocks + 1)]
    parts = [rows[start:end] for start, end in pairwise(cuts) if end > start]
    return [
        Block(
            len(part), part[-1].at, float(np.mean([row.adverse for row in part])),
            float(np.mean([not row.sure for row in part])), _median([row.seconds for row in part]),
        )
        for part in parts
    ]  # fmt: skip


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def hours(store: Store, draw: Draw) -> float:
    """People's time over this draw, in hours, where it was recorded; undone labels count."""
    query = select(func.coalesce(func.sum(Label.seconds), 0.0)).where(Label.draw_id == draw.id, Label.kind == "human")
    with store.reading() as session:
        return float(session.scalar(query) or 0.0) / 3600


def _machine(done: Sequence[AnnotatorWork]) -> int:
    return sum(one.labels for one in done if one.kind == "llm")
