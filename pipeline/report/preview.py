"""What thresholds and strengths would cost: exact counts at a grid of thresholds, and a sample of tags to play with.

The sample is a stratified random draw by a keyed hash, the same for the same tags: strata are steps of the label's
score, so that the few high scores are in it. Knows tags; nothing of policies or pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.report.all_tags import mode_in_sql, modes_of, open_all, score_of
from pipeline.report.collect import flagging
from pipeline.report.folder import TagsFolder, open_folder
from pipeline.report.queries import CELLS, step_of
from pipeline.report.tables import DuckTables
from pipeline.reweight.categories import name_of

MOST_SAMPLED = 40_000
"""Rows of a sample: with more, the page would pass 3 MB."""
_GRID = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_NO_SCORE = -1
_KEY = "('0x' || substr(sha256('{seed}:' || id), 1, 13))::BIGINT / 4503599627370496e0"
"""The key of `pipeline.prevalence.draw.keys`."""
_DOMAINS = 200
OTHERS = "(others)"


@dataclass(frozen=True)
class PreviewOptions:
    """``label`` is lowered, ``raised`` raised; both are the caller's wish. A document holds ``label`` from
    ``threshold`` on (the scan's unless given), ``raised`` from 0.5 on. ``modes`` and ``about`` as for collateral."""

    label: str | None = None
    raised: str | None = "admirable"
    threshold: float | None = None
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
        other = score_of(folder, raised) if raised else "NULL::DOUBLE"
        tables.view(
            "previewed",
            f"""SELECT id, file, row, host, words, {score_of(folder, label)} AS score, {other} AS raised, {mode} AS mode
                FROM all_tags""",
        )
        return {
            "folder": url, "label": label, "threshold": threshold, "raised": raised, "model": folder.model,
            "notes": _notes(folder, options, raised),
            "corpus": _counts(tables, "true"),
            "grid": [{"threshold": at, **_dropped_from(tables, at, threshold)} for at in sorted({*_GRID, threshold})],
            "modes": _by_mode(tables) if modes else [],
            "sample": _sample(tables, options),
        }  # fmt: skip


def _notes(folder: TagsFolder, options: PreviewOptions, raised: str | None) -> list[str]:
    wanted = options.raised and not raised
    return [*folder.notes, *([f"The model has no label {options.raised!r} to raise."] if wanted else [])]


def _counts(tables: DuckTables, where: str) -> dict[str, Any]:
    (row,) = tables.rows(
        f"SELECT count(*) AS documents, coalesce(sum(words), 0)::BIGINT AS words FROM previewed WHERE {where}"
    )
    return row


def _dropped_from(tables: DuckTables, at: float, threshold: float) -> dict[str, Any]:
    """What goes if documents of this score or more are dropped, and what of either label stays; exact."""
    at_least, holds = f"coalesce(score >= '{at!r}'::DOUBLE, false)", f"score >= '{threshold!r}'::DOUBLE"
    (row,) = tables.rows(
        f"""SELECT count(*) FILTER (WHERE {at_least}) AS dropped,
                   coalesce(sum(words) FILTER (WHERE {at_least}), 0)::BIGINT AS words_dropped,
                   coalesce(sum(words) FILTER (WHERE {holds}), 0)::BIGINT AS label_words,
                   coalesce(sum(words) FILTER (WHERE {holds} AND NOT {at_least}), 0)::BIGINT AS label_words_kept,
                   coalesce(sum(words) FILTER (WHERE raised >= 0.5), 0)::BIGINT AS raised_words,
                   coalesce(sum(words) FILTER (WHERE raised >= 0.5 AND NOT {at_least}), 0)::BIGINT AS raised_words_kept
            FROM previewed"""
    )
    return row


def _by_mode(tables: DuckTables) -> list[dict[str, Any]]:
    """Words of each mode, and those dropped at each threshold of the grid; exact."""
    sums = ", ".join(
        f"coalesce(sum(words) FILTER (WHERE score >= '{at!r}'::DOUBLE), 0)::BIGINT AS at_{i}"
        for i, at in enumerate(_GRID)
    )
    rows = tables.rows(
        f"""SELECT mode AS name, count(*) AS documents, sum(words)::BIGINT AS words, {sums}
            FROM previewed GROUP BY mode ORDER BY words DESC, name"""
    )
    return [
        {**{key: row[key] for key in ("name", "documents", "words")},
         "dropped": [{"threshold": at, "words": row[f"at_{i}"]} for i, at in enumerate(_GRID)]}
        for row in rows
    ]  # fmt: skip


def _sample(tables: DuckTables, options: PreviewOptions) -> dict[str, Any]:
    """Columns of the sampled documents, in order of strata and keys; ``strata`` says how many each stands for."""
    step = f"CASE WHEN score IS NULL THEN {_NO_SCORE} ELSE {step_of('score', CELLS)} END"
    sizes = {
        row["step"]: row["documents"]
        for row in tables.rows(
            f"SELECT {step} AS step, count(*) AS documents FROM previewed GROUP BY step ORDER BY step"
        )
    }
    quota = quota_of(np.array(list(sizes.values()), np.int64), min(options.sample, MOST_SAMPLED))
    drawn = _drawn(tables, step, sizes, quota, options.seed)
    domains = [name_of("domain", row["host"]) for row in drawn]
    names = _largest(domains, [row["words"] for row in drawn])
    modes = sorted({row["mode"] for row in drawn if row["mode"] is not None})
    at = {name: i for i, name in enumerate(names)}
    found = [row["step"] for row in drawn]
    strata = [{"documents": n, "sampled": found.count(k)} for k, n in sizes.items()]
    places = {k: i for i, k in enumerate(sizes)}
    return {
        "strata": strata, "domains": [*names, OTHERS], "modes": modes,
        "stratum": [places[k] for k in found], "words": [row["words"] for row in drawn],
        "score": [_short(row["score"]) for row in drawn], "raised": [_short(row["raised"]) for row in drawn],
        "domain": [at.get(name, len(names)) for name in domains],
        "mode": [modes.index(row["mode"]) for row in drawn] if modes else [],
    }  # fmt: skip


def quota_of(sizes: NDArray[np.int64], sample: int) -> int:
    """The largest number of documents of each stratum with which the sample is not passed; small strata give all."""
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= sample else (low, middle - 1)
    return low


def _drawn(tables: DuckTables, step: str, sizes: dict[int, int], quota: int, seed: int) -> list[dict[str, Any]]:
    """Of each stratum the documents of the smallest keys. Only those that can be among them are sorted."""
    rates = " ".join(f"WHEN {k} THEN {_rate(quota, n)!r}" for k, n in sizes.items())
    if not rates or not quota:
        return []
    return tables.rows(
        f"""SELECT step, words, score, raised, host, mode FROM (
                SELECT *, {step} AS step, {_KEY.format(seed=seed)} AS key FROM previewed)
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
