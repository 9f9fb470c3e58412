"""What thresholds and strengths would cost: exact counts at a grid of thresholds, and a sample of tags to play with.

The sample is a stratified random draw by a keyed hash, the same for the same tags: strata are steps of both labels'
scores, so that the few high ones are in it. Knows tags; nothing of policies or pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.slices import NONE
from pipeline.report.all_tags import mode_in_sql, modes_of, open_all, score_of
from pipeline.report.collect import flagging
from pipeline.report.folder import TagsFolder, open_folder
from pipeline.report.queries import CELLS, MOST_TOPICS, step_of
from pipeline.report.tables import DuckTables
from pipeline.reweight.categories import name_of

MOST_SAMPLED = 40_000
"""Rows of a sample: with more, the page would pass 3 MB."""
_GRID = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_LIFTS = 4
"""Steps of the raised label's score."""
USUAL_THRESHOLD = 0.5
"""From which score on a document holds a label of which the model says nothing."""
_STEP = f"""CASE WHEN score IS NULL THEN -1
    ELSE {_LIFTS} * {step_of("score", CELLS)}
         + CASE WHEN raised IS NULL THEN 0 ELSE {step_of("raised", _LIFTS)} END END"""
"""The stratum of a document: the cross of both labels' steps of log-odds; -1 without a score."""
_KEY = "('0x' || substr(sha256('{seed}:' || id), 1, 13))::BIGINT / 4503599627370496e0"
"""The key of `pipeline.keyed_hash.keys`."""
_DOMAINS = 200
OTHERS = "(others)"


@dataclass(frozen=True)
class PreviewOptions:
    """``label`` is lowered, ``raised`` raised; both are the caller's wish. A document holds ``label`` from
    ``threshold`` on (the scan's unless given), ``raised`` from ``raised_threshold`` on (unless given that of
    the model's evidence for it, or `USUAL_THRESHOLD`). ``modes`` and ``about`` as for collateral."""

    label: str | None = None
    raised: str | None = "admirable"
    threshold: float | None = None
    raised_threshold: float | None = None
    modes: Sequence[str] = ()
    about: str = "ai"
    sample: int = 20_000
    seed: int = 1


def preview(url: str, options: PreviewOptions | None = None) -> dict[str, Any]:
    """Figures and sample of the tags below a folder (path or fsspec URL), as plain types.

    Raises `TagsError` and `ValueError` as `pipeline.report.collect`.
    """
    options = options or PreviewOptions()
    with closing(DuckTables(url)) as tables:
        folder = open_folder(url, tables)
        open_all(tables, folder)
        label, threshold, _ = flagging(folder, options.label, options.threshold)
        raised = options.raised if options.raised in folder.labels and options.raised != label else None
        modes = modes_of(folder, options.modes, options.about)
        mode = mode_in_sql(folder, modes, options.about) if modes else "NULL"
        topic = f"coalesce(topic, '{NONE}')" if folder.topics else "NULL"
        other = score_of(folder, raised) if raised else "NULL::DOUBLE"
        tables.view(
            "previewed",
            f"""SELECT id, file, row, host, words, {score_of(folder, label)} AS score, {other} AS raised,
                       {mode} AS mode, {topic} AS topic FROM all_tags""",
        )
        grid, lifted = sorted({*_GRID, threshold}), _raised_threshold(folder, raised, options)
        cells = _counted(tables, grid, threshold, lifted)
        return {
            "folder": url, "label": label, "threshold": threshold, "raised": raised, "raised_threshold": lifted,
            "model": folder.model,
            "notes": _notes(folder, options, raised),
            "corpus": {of: _sum(cells, of) for of in ("documents", "words")},
            "grid": [_dropped_from(cells, i, at) for i, at in enumerate(grid)],
            "modes": _by_group(tables, "mode", grid),
            "topics": _by_group(tables, "topic", grid),
            "sample": _sample(tables, cells, options),
        }  # fmt: skip


def _notes(folder: TagsFolder, options: PreviewOptions, raised: str | None) -> list[str]:
    wanted = options.raised and not raised
    return [*folder.notes, *([f"The model has no label {options.raised!r} to raise."] if wanted else [])]


def _raised_threshold(folder: TagsFolder, raised: str | None, options: PreviewOptions) -> float:
    if options.raised_threshold is not None:
        return options.raised_threshold
    return float(folder.model.get("span_thresholds", {}).get(raised, USUAL_THRESHOLD))


def _counted(tables: DuckTables, grid: Sequence[float], threshold: float, lifted: float) -> list[dict[str, Any]]:
    """All documents in one pass: how many, with how many words, by ``over`` (how many thresholds of the grid the score
    reaches), ``step`` (the stratum), and whether they hold the label or the raised one."""
    return tables.rows(
        f"""SELECT {_reached(grid)} AS over, {_STEP} AS step, coalesce(score >= '{threshold!r}'::DOUBLE, false) AS held,
                   coalesce(raised >= '{lifted!r}'::DOUBLE, false) AS lifted, count(*) AS documents,
                   sum(words)::BIGINT AS words FROM previewed GROUP BY ALL"""
    )


def _reached(grid: Sequence[float]) -> str:
    return " + ".join(f"coalesce((score >= '{at!r}'::DOUBLE)::INTEGER, 0)" for at in grid)


def _sum(cells: Sequence[dict[str, Any]], of: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> int:
    return sum(int(cell[of]) for cell in cells if wanted(cell))


def _over(i: int) -> Callable[[dict[str, Any]], bool]:
    """Whether a cell's scores reach the i-th threshold."""
    return lambda cell: bool(cell["over"] > i)


def _dropped_from(cells: Sequence[dict[str, Any]], i: int, at: float) -> dict[str, Any]:
    """What goes if documents of the i-th threshold or more are dropped, and what of either label stays."""
    return {
        "threshold": at,
        "dropped": _sum(cells, "documents", _over(i)),
        "words_dropped": _sum(cells, "words", _over(i)),
        "label_words": _sum(cells, "words", lambda cell: cell["held"]),
        "label_words_kept": _sum(cells, "words", lambda cell: cell["held"] and cell["over"] <= i),
        "raised_words": _sum(cells, "words", lambda cell: cell["lifted"]),
        "raised_words_kept": _sum(cells, "words", lambda cell: cell["lifted"] and cell["over"] <= i),
    }


def _by_group(tables: DuckTables, column: str, grid: Sequence[float]) -> list[dict[str, Any]]:
    """Documents and words of each mode or topic, and the words dropped from each threshold on."""
    cells = tables.rows(
        f"""SELECT {column} AS name, {_reached(grid)} AS over, count(*) AS documents, sum(words)::BIGINT AS words
            FROM previewed WHERE {column} IS NOT NULL GROUP BY ALL"""
    )
    found = []
    for name in {cell["name"] for cell in cells}:
        mine = [cell for cell in cells if cell["name"] == name]
        dropped = [{"threshold": at, "words": _sum(mine, "words", _over(i))} for i, at in enumerate(grid)]
        found.append(
            {"name": name, "documents": _sum(mine, "documents"), "words": _sum(mine, "words"), "dropped": dropped}
        )
    return sorted(found, key=lambda row: (-row["words"], row["name"]))[:MOST_TOPICS]


def _sample(tables: DuckTables, cells: Sequence[dict[str, Any]], options: PreviewOptions) -> dict[str, Any]:
    """Columns of the sampled documents, in order of strata and keys; ``strata`` says how many each stands for."""
    sizes: dict[int, int] = dict.fromkeys(sorted({cell["step"] for cell in cells}), 0)
    for cell in cells:
        sizes[cell["step"]] += cell["documents"]
    quota = quota_of(np.array(list(sizes.values()), np.int64), min(options.sample, MOST_SAMPLED))
    drawn = _drawn(tables, sizes, quota, options.seed)
    domains = [name_of("domain", row["host"]) for row in drawn]
    names = _largest(domains, [row["words"] for row in drawn])
    groups = {of: sorted({row[of] for row in drawn if row[of] is not None}) for of in ("mode", "topic")}
    at = {name: i for i, name in enumerate(names)}
    found = [row["step"] for row in drawn]
    strata = [{"documents": n, "sampled": found.count(k)} for k, n in sizes.items()]
    places = {k: i for i, k in enumerate(sizes)}
    return {
        "strata": strata, "domains": [*names, OTHERS], "modes": groups["mode"], "topics": groups["topic"],
        "stratum": [places[k] for k in found], "words": [row["words"] for row in drawn],
        "score": [_short(row["score"]) for row in drawn], "raised": [_short(row["raised"]) for row in drawn],
        "domain": [at.get(name, len(names)) for name in domains],
        **{of: [known.index(row[of]) for row in drawn] if known else [] for of, known in groups.items()},
    }  # fmt: skip


def quota_of(sizes: NDArray[np.int64], sample: int) -> int:
    """The largest number of documents of each stratum with which the sample is not passed; small strata give all."""
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= sample else (low, middle - 1)
    return low


def _drawn(tables: DuckTables, sizes: dict[int, int], quota: int, seed: int) -> list[dict[str, Any]]:
    """Of each stratum the documents of the smallest keys. Only those that can be among them are sorted."""
    rates = " ".join(f"WHEN {k} THEN {_rate(quota, n)!r}" for k, n in sizes.items())
    if not rates or not quota:
        return []
    return tables.rows(
        f"""SELECT step, words, score, raised, host, mode, topic FROM (
                SELECT *, {_STEP} AS step, {_KEY.format(seed=seed)} AS key FROM previewed)
            WHERE key < CASE step {rates} END
            QUALIFY row_number() OVER (PARTITION BY step ORDER BY key, id, file, row) <= {quota}
            ORDER BY step, key, id, file, row"""
    )


def _rate(quota: int, documents: int) -> float:
    """A key below which a quota of documents surely lies: eight standard deviations more than are needed."""
    return float(min(1.0, (quota + 8 * np.sqrt(quota) + 8) / documents)) if documents > quota else 1.0


def _largest(domains: Sequence[str], words: Sequence[int]) -> list[str]:
    sums: dict[str, int] = {}
    for name, size in zip(domains, words, strict=True):
        sums[name] = sums.get(name, 0) + size
    return sorted(sums, key=lambda name: (-sums[name], name))[:_DOMAINS]


def _short(score: float | None) -> float:
    """Four digits are enough to play with; -1 where there is none."""
    return -1 if score is None else float(f"{score:.4g}")
