"""What a policy costs: the corpus before against after, as plain values. All that the page is drawn from.

Counts are of all documents and exact; only texts are sampled. Knows tags and decisions; nothing of policies or pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import storage
from pipeline.prevalence.slices import SLICES, TOPIC, slices_of
from pipeline.report.all_tags import mode_in_sql, modes_of, score_of
from pipeline.report.collateral_texts import SIDES, Lexicon, mentions, perplexities, texts
from pipeline.report.collect import flagging
from pipeline.report.decided import FINE, Decided, open_decisions
from pipeline.report.folder import open_folder
from pipeline.report.queries import CELLS, LEAST_DOCUMENTS, MOST_TOPICS, edges, step_of
from pipeline.report.tables import DuckTables
from pipeline.reweight.distances import divergence, total_variation

MARGINS = ("domain", "topic", "lang", "length", "year", "source")
_SUMS = f"""count(*) AS documents, sum(parts)::DOUBLE / {FINE} AS documents_after,
    coalesce(sum(words), 0)::BIGINT AS words, coalesce(sum(words::HUGEINT * parts), 0)::DOUBLE / {FINE} AS words_after,
    count(*) FILTER (WHERE weight = 0) AS dropped"""
_WHOLE = """count(*) AS documents, sum(parts) AS parts, sum(words) AS words,
    sum(words::HUGEINT * parts) AS word_parts, count(*) FILTER (WHERE weight = 0) AS dropped"""
_DATE = r"regexp_extract(date, '^\s*(.{0,7})', 1)"
_SHORT = {"date": _DATE, "words": "words::VARCHAR"}
"""Of some columns what slices are made from: a text, short enough that few differ."""


@dataclass(frozen=True)
class TextOptions:
    """``number`` of texts of either side, from ``shards`` shards at most; ``log10``: see `perplexities`, of the model
    called ``ngrams``."""

    number: int
    shards: int
    lexicon: Lexicon
    ngrams: str | None = None
    log10: Callable[[str], float] | None = None


@dataclass(frozen=True)
class CollateralOptions:
    """``label`` and ``threshold`` are the scan's unless given; other labels count from 0.5 on. ``modes`` are labels of
    which a document about ``about`` has the one that scores highest. ``shown``: rows of a table. Without ``texts`` no
    shard is read."""

    label: str | None = None
    threshold: float | None = None
    modes: Sequence[str] = ()
    about: str = "ai"
    shown: int = 15
    texts: TextOptions | None = None


def collateral(url: str, run: str, options: CollateralOptions | None = None) -> dict[str, Any]:
    """Figures of the decisions below ``run`` on the tags below ``url`` (paths or fsspec URLs), as plain types.

    Raises `pipeline.report.decided.DecisionsError` if they do not belong together, `TagsError` and `ValueError` as
    `pipeline.report.collect`.
    """
    options = options or CollateralOptions()
    with closing(DuckTables(url)) as tables:
        folder = open_folder(url, tables)
        decided = open_decisions(tables, folder, run)
        label, threshold, _ = flagging(folder, options.label, options.threshold)
        return {
            "folder": url, "run": run, "label": label, "threshold": threshold, "model": folder.model,
            "notes": list(folder.notes),
            "corpus": _row(decided, f"SELECT {_SUMS} FROM decided"),
            "mixed_in": _mixed_in(run),
            "weights": _weights(decided),
            "rules": _rules(decided),
            "labels": _labels(decided, label, threshold),
            "modes": _modes(decided, options),
            "scores": _by_score(decided, label),
            "margins": {
                by: _margin(decided, by, options.shown) for by in MARGINS if by in slices_of(folder.model)
            },
            "texts": _texts(decided, options.texts) if options.texts else None,
            "audit": None,
        }  # fmt: skip


def _mixed_in(run: str) -> dict[str, int] | None:
    """Documents, and their words, that the policy put among those of the tags; None if the run has no account of it."""
    try:
        figures = json.loads(storage.read_bytes(storage.join(run, "apply.json")))["figures"]
    except FileNotFoundError:
        return None
    return {"documents": figures["mixed_in"], "words": figures["words_mixed_in"]}


def _texts(decided: Decided, options: TextOptions) -> dict[str, Any]:
    """What the lexicon finds in texts of either side, and their perplexity."""
    found, notes = texts(decided, options.number, options.shards)
    rows = mentions(found, options.lexicon)
    flat = [
        {"kind": row["kind"], "name": row["name"], **{f"{s}_{key}": v for s in SIDES for key, v in row[s].items()}}
        for row in rows
    ]
    files = len(decided.folder.files)
    return {
        "sizes": {side: len(of) for side, of in found.items()}, "notes": notes,
        "shards": min(options.shards, files), "of_shards": files, "mentions": rows, "flat": flat,
        "ngrams": options.ngrams, "perplexity": perplexities(found, options.log10) if options.log10 else None,
    }  # fmt: skip


def _row(decided: Decided, sql: str) -> dict[str, Any]:
    (row,) = decided.rows(sql)
    return {name: 0 if value is None else value for name, value in row.items()}


def _weights(decided: Decided) -> dict[str, Any]:
    """Largest and least weight of what is kept, and Kish's effective sample size."""
    found = _row(
        decided,
        f"""SELECT max(weight) AS largest, coalesce(min(weight) FILTER (WHERE weight > 0), 0) AS least_kept,
                   count(*) FILTER (WHERE weight > 1) AS raised,
                   count(*) FILTER (WHERE weight > 0 AND weight < 1) AS lowered,
                   sum(parts)::DOUBLE / {FINE} AS total,
                   sum(parts::HUGEINT * parts)::DOUBLE / {FINE}.0 / {FINE}.0 AS squares FROM decided""",
    )
    total, squares = found.pop("total"), found.pop("squares")
    return {**found, "effective_documents": total**2 / squares if squares else 0.0}


def _rules(decided: Decided) -> list[dict[str, Any]]:
    """By action and the rule that led to it."""
    return decided.rows(f"SELECT action, rule, {_SUMS} FROM decided GROUP BY ALL ORDER BY action, rule NULLS FIRST")


def _labels(decided: Decided, label: str, threshold: float) -> list[dict[str, Any]]:
    """Documents that hold each label, the chosen one first."""
    names = [label, *(name for name in decided.folder.labels if name != label)]
    found = []
    for name in names:
        bound = threshold if name == label else 0.5
        where = f"{score_of(decided.folder, name)} >= '{bound!r}'::DOUBLE"
        found.append({"name": name, "threshold": bound, **_row(decided, f"SELECT {_SUMS} FROM decided WHERE {where}")})
    return found


def _modes(decided: Decided, options: CollateralOptions) -> list[dict[str, Any]]:
    """By the mode that scores highest, of documents that hold ``about``; empty where the model has no such labels."""
    modes = modes_of(decided.folder, options.modes, options.about)
    if not modes:
        return []
    mode = mode_in_sql(decided.folder, modes, options.about)
    return decided.rows(f"SELECT {mode} AS name, {_SUMS} FROM decided GROUP BY name ORDER BY documents DESC, name")


def _by_score(decided: Decided, label: str) -> list[dict[str, Any]]:
    """Documents and what becomes of them in equal steps of log-odds of the label's score."""
    bounds = edges(CELLS)
    rows = decided.rows(
        f"""SELECT {step_of(score_of(decided.folder, label), CELLS)} AS step, {_SUMS} FROM decided
            WHERE {score_of(decided.folder, label)} IS NOT NULL GROUP BY step ORDER BY step"""
    )
    return [{"from": bounds[row["step"]], "below": bounds[row.pop("step") + 1], **row} for row in rows]


def _margin(decided: Decided, by: str, shown: int) -> dict[str, Any]:
    """Slices of one kind: those that lose and gain most words, those that lose the largest share; distances of shares.

    A slice of few documents is in no list by share.
    """
    value = _SHORT.get(SLICES[by].column, SLICES[by].column)
    decided.tables.keep("values_of", f"SELECT {value} AS value, {_WHOLE} FROM decided GROUP BY value")
    decided.tables.keep(
        "slices",
        f"""SELECT name, documents, parts::DOUBLE / {FINE} AS documents_after, words,
                   word_parts::DOUBLE / {FINE} AS words_after, dropped
            FROM (SELECT slice_of('{by}', value) AS name, sum(documents)::BIGINT AS documents, sum(parts) AS parts,
                         sum(words)::BIGINT AS words, sum(word_parts) AS word_parts, sum(dropped)::BIGINT AS dropped
                  FROM values_of GROUP BY name)""",
    )
    every = decided.tables.connection.execute("SELECT words, words_after FROM slices ORDER BY name").fetchnumpy()
    before, after = (np.asarray(every[name], np.float64) for name in ("words", "words_after"))
    lost = "SELECT * FROM slices WHERE words_after < words"
    large = f"AND documents >= {LEAST_DOCUMENTS}"
    order = "name" if by in ("year", "length") else "words DESC, name"
    listed = max(shown, MOST_TOPICS) if by == TOPIC else shown
    largest = f"SELECT * FROM slices ORDER BY words DESC, name LIMIT {listed}"
    return {
        "distinct": len(before), "total_variation": total_variation(before, after),
        "divergence": divergence(before, after),
        "largest": decided.rows(f"SELECT * FROM ({largest}) ORDER BY {order}"),
        "by_lost": decided.rows(f"{lost} ORDER BY words - words_after DESC, name LIMIT {shown}"),
        "by_share": decided.rows(f"{lost} {large} ORDER BY words_after / words, words DESC, name LIMIT {shown}"),
        "least_documents": LEAST_DOCUMENTS,
    }  # fmt: skip
