"""Designed draws from a scan's tags: simple random, stratified by score, proportional to size.

Each is a few streaming queries over the tags; only counts and the drawn rows ever reach Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jobs.item_text import READING
from jobs.tag_rows import Row, Tags
from labels.sampling import allocate, pps_scale, stratum_names, uniform_sql

RANDOM, STRATIFIED, PPS = "random", "stratified", "pps"
SIZES = ("words", "chars", "bytes")


@dataclass(frozen=True)
class Design:
    """What to draw. ``by`` is the score that makes strata at ``cuts``; ``size`` the column that PPS goes by."""

    method: str
    n: int
    seed: int
    by: str | None = None
    cuts: tuple[float, ...] = ()
    size: str | None = None


@dataclass(frozen=True)
class Drawn:
    """A drawn row with its stratum and inclusion probability."""

    row: Row
    stratum: str | None
    probability: float


def draw(tags: Tags, design: Design) -> tuple[list[Drawn], dict[str, Any]]:
    """Drawn rows in the random order of their keys, and what repeats and weighs the draw: design and population.

    Raises `ValueError` for tags without documents, an unknown score, or strata that cannot be covered.
    """
    population = int(tags.rows("SELECT count(*) AS n FROM tags")[0]["n"])
    if not population:
        raise ValueError(f"{tags.folder.url}: the tags have no documents to draw from")
    kind = {RANDOM: _simple_random, STRATIFIED: _stratified, PPS: _proportional}[design.method]
    drawn, more = kind(tags, design, population)
    reading = asdict(tags.folder.options)
    parameters = {**asdict(design), "tags": tags.folder.url, READING: reading, "population": population, **more}
    return drawn, parameters


def _keyed(design: Design) -> str:
    return f"SELECT *, {uniform_sql(design.seed, 'id')} AS key FROM tags"


def _smallest(tags: Tags, source: str, n: int) -> list[Row]:
    return tags.rows(f"SELECT * FROM ({source}) ORDER BY key, id, filename, row LIMIT {n}")


def _simple_random(tags: Tags, design: Design, population: int) -> tuple[list[Drawn], dict[str, Any]]:
    rows = _smallest(tags, _keyed(design), design.n)
    return [Drawn(row, None, len(rows) / population) for row in rows], {}


def _stratified(tags: Tags, design: Design, population: int) -> tuple[list[Drawn], dict[str, Any]]:
    """Simple random in each stratum; a document without a score is in a stratum of its own."""
    case = _stratum_sql(tags.check_score(design.by or ""), design.cuts)
    counted = tags.rows(f"SELECT {case} AS stratum, count(*) AS n FROM tags GROUP BY ALL")
    sizes = {row["stratum"]: int(row["n"]) for row in counted}
    drawn = []
    for stratum, n in allocate(design.n, sizes).items():
        part = f"SELECT * FROM ({_keyed(design)}) WHERE {case} = '{stratum}'"
        drawn += [Drawn(row, stratum, n / sizes[stratum]) for row in _smallest(tags, part, n)]
    return sorted(drawn, key=lambda one: one.row["key"]), {"strata": sizes}


def _stratum_sql(score: str, cuts: Sequence[float]) -> str:
    names = stratum_names(cuts)
    below = " ".join(f"WHEN \"{score}\" < {cut!r} THEN '{name}'" for cut, name in zip(cuts, names, strict=False))
    return f"CASE WHEN \"{score}\" IS NULL THEN 'none' {below} ELSE '{names[-1]}' END"


def _proportional(tags: Tags, design: Design, population: int) -> tuple[list[Drawn], dict[str, Any]]:
    """Poisson sampling: each document by itself, with probability exactly as its size says; ``n`` is the mean number.

    A document of size 0 is never drawn, so estimates do not speak of it: their number is among the parameters.
    """
    size = f'"{design.size}"' if design.size in SIZES else f'"{tags.check_score(design.size or "")}"'
    positive = f"SELECT {size}::DOUBLE AS size FROM tags WHERE {size} > 0"
    totals = tags.rows(f"SELECT count(*) AS n, coalesce(sum(size), 0) AS total FROM ({positive})")[0]
    largest = tags.rows(f"SELECT size FROM ({positive}) ORDER BY size DESC LIMIT {design.n}")
    scale = pps_scale(design.n, np.array([row["size"] for row in largest]), totals["total"], totals["n"])
    chance = f"least(1.0, {scale!r} * {size}::DOUBLE)" if np.isfinite(scale) else "1.0"
    chosen = f"SELECT *, {chance}::DOUBLE AS chance FROM ({_keyed(design)}) WHERE {size} > 0"
    rows = tags.rows(f"SELECT * FROM ({chosen}) WHERE key < chance ORDER BY key, id, filename, row")
    never = population - int(totals["n"])
    return [Drawn(row, None, row["chance"]) for row in rows], {"scale": scale, "never drawn (size 0)": never}
