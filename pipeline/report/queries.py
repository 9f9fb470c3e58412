"""The questions a report asks of the tags, in SQL: only counts and a few examples ever reach Python.

Written in what DuckDB and Spark share, so that both give the same figures. Knows the TAGS schema; nothing of engines,
pages or plots. Intervals are Wilson's (1927), 95 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.folder import TagsFolder
from pipeline.report.tables import Tables
from pipeline.schema import NO_WORDS, OTHER_LANGUAGE, TAG_EVIDENCE

BINS = 10_000
"""A score's bin is floor(score * BINS) in double precision. For a float32 score that is exact: it lies in bin b or
above just when score >= b / BINS, as no float32 comes nearer to such a bound than 1e-13 unless it is equal."""
REACH = 10
"""Histograms are over log-odds from -REACH to REACH (0.00005 to 0.99995), where fastText's scores spread out."""
BARS = 50
CELLS = 20
LEAST_DOCUMENTS = 20
"""A host of fewer documents does not stand in the list by rate: where one document in 1,000 is flagged, a host with
its only one flagged has a lower bound of 0.2 and would lead it."""
COST_THRESHOLDS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
MOST_TOPICS = 60
"""Topics in a table: all of them, with any usual model."""
_LENGTHS = (128, 512, 2048, 8192)
_STRONGEST = 10_000
_PER_HOST = 3
_Z = 1.959963984540054

_SUMS = """
    count(*) AS documents, count(*) FILTER (WHERE flagged) AS flagged,
    sum(words)::BIGINT AS words, coalesce(sum(words) FILTER (WHERE flagged), 0)::BIGINT AS flagged_words
"""


def _wilson(sign: str) -> str:
    """A bound of the share of ``flagged`` in ``documents``, in double precision: their product passes 64 bits."""
    return f"""(flagged + {_Z**2 / 2}e0 {sign} {_Z}e0 * sqrt(
        flagged::DOUBLE * (documents - flagged) / documents + {_Z**2 / 4}e0)) / (documents + {_Z**2}e0)"""


_RATES = f"flagged / documents AS share, greatest(0e0, {_wilson('-')}) AS low, least(1e0, {_wilson('+')}) AS high"


def step_of(score: str, steps: int) -> str:
    """In which of ``steps`` equal steps of log-odds, from 0, a score lies."""
    logit = f"ln(greatest({score}, 1e-9) / greatest(1 - {score}, 1e-9))"
    return f"greatest(0, least({steps - 1}, floor(({logit} + {REACH}) * {steps} / {2 * REACH})))::BIGINT"


_ISO = "^ *([0-9]{4})([-/.]([0-9]{1,2}))?([^0-9]|$)"  # no backslash: in Spark's strings one escapes
_DIGITS = "^ *([0-9]{4})([0-9]{2})[0-9]{2}([0-9]{6})?([^0-9]|$)"
_IN_WORDS = "(^|[ ,])[0-9]{1,2}[ -]([A-Za-z]{3})[a-z]*[ -]([0-9]{4})([^0-9A-Za-z]|$)"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _part_of_date(iso: int, digits: int, words: str) -> str:
    """A number out of a date in ISO 8601, as 20190131 or 20190131235959, or as "31 Jan 2019"; null where there is
    none. ``iso`` and ``digits`` are groups of the patterns."""
    return f"""CASE WHEN regexp_extract(date, '{_ISO}', 1) <> ''
        THEN try_cast(regexp_extract(date, '{_ISO}', {iso}) AS INTEGER)
        WHEN regexp_extract(date, '{_DIGITS}', 1) <> ''
        THEN try_cast(regexp_extract(date, '{_DIGITS}', {digits}) AS INTEGER)
        ELSE {words} END"""


YEAR = _part_of_date(1, 1, f"try_cast(regexp_extract(date, '{_IN_WORDS}', 3) AS INTEGER)")
"""The year of ``date``."""
MONTH = _part_of_date(
    3, 2,
    f"CASE lower(regexp_extract(date, '{_IN_WORDS}', 2)) "
    + " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(_MONTHS, 1))
    + " END",
)  # fmt: skip
"""The month of ``date``, from 1; null where only the year is given."""


@dataclass(frozen=True)
class Query:
    """Tags of a folder as a table ``tags``, with the target's ``score``, ``strongest`` window and ``flagged``.

    Documents in other languages than the model's are not in it, but in ``others``.
    """

    tables: Tables
    folder: TagsFolder
    label: str
    threshold: float

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """All rows of a result, as dicts. Raises `ValueError` with the engine's message, which names the file."""
        return self.tables.rows(sql, **values)

    def row(self, sql: str, **values: Any) -> dict[str, Any]:
        """The only row of a result."""
        (row,) = self.rows(sql, **values)
        return row


def score_columns(labels: Sequence[str]) -> list[str]:
    """What the scores of labels are called here, ``d0, w0, d1, w1 …``: a label can be any text."""
    return [f"{kind}{i}" for i in range(len(labels)) for kind in "dw"]


def stored_columns(folder: TagsFolder) -> list[str]:
    """What all columns of a tags file are called here, in their order: scores as in `score_columns`, those of a second
    stage ``r0, r1 …``, the others by their names."""
    before, scores, after = folder.plain_columns, score_columns(folder.labels), [field.name for field in TAG_EVIDENCE]
    rescored = [f"r{i}" for i in range(len(folder.schema) - len(before) - len(scores) - len(after))]
    return [*before, *scores, *rescored, *after]


def open_tags(tables: Tables, folder: TagsFolder, label: str, threshold: float) -> Query:
    """Make the views that every question is asked of; ``scores`` has the columns ``d0, w0, d1, w1 …`` of all labels.

    In none of them but ``others`` are documents in other languages.
    """
    scores = score_columns(folder.labels)
    plain = [*folder.plain_columns, *(field.name for field in TAG_EVIDENCE)]
    tables.open_files("stored", folder.files, folder.schema, stored_columns(folder))
    other = f"status = '{OTHER_LANGUAGE}'"
    tables.view("others", f"SELECT lang, words, bytes FROM stored WHERE {other}")
    tables.view(
        "scores", f"SELECT {', '.join(f'{_number(name)} AS {name}' for name in scores)} FROM stored WHERE NOT {other}"
    )
    target = folder.labels.index(label)
    bound = f"'{threshold!r}'::DOUBLE"  # of text: a number would become a decimal first
    tables.view(
        "tags",
        f"""SELECT *, coalesce(score >= {bound}, false) AS flagged,
                   coalesce(strongest >= {bound}, false) AS window_flagged
            FROM (SELECT {", ".join(plain)}, file, {_number(f"d{target}")} AS score,
                         {_number(f"w{target}")} AS strongest FROM stored WHERE NOT {other})""",
    )
    return Query(tables, folder, label, threshold)


def _number(column: str) -> str:
    """A score in double precision, as a threshold is; NaN, which a broken model may give, is no score."""
    return f"CASE WHEN isnan({column}) THEN NULL ELSE {column}::DOUBLE END"


def headline(query: Query) -> dict[str, Any]:
    """Totals and flagged, by documents, words and bytes."""
    row = query.row(
        """SELECT count(*) AS documents, coalesce(sum(words), 0)::BIGINT AS words,
                  coalesce(sum(bytes), 0)::BIGINT AS bytes, coalesce(sum(chars), 0)::BIGINT AS chars,
                  count(*) FILTER (WHERE flagged) AS flagged_documents,
                  coalesce(sum(words) FILTER (WHERE flagged), 0)::BIGINT AS flagged_words,
                  coalesce(sum(bytes) FILTER (WHERE flagged), 0)::BIGINT AS flagged_bytes,
                  count(*) FILTER (WHERE status = $no_words) AS no_score FROM tags""",
        no_words=NO_WORDS,
    )
    units = ("documents", "words", "bytes")
    counted = {u: {"flagged": row[f"flagged_{u}"], "total": row[u], "share": _share(row, u)} for u in units}
    return {**counted, "chars": row["chars"], "no_score": row["no_score"]}


def _share(row: dict[str, Any], unit: str) -> float | None:
    return row[f"flagged_{unit}"] / row[unit] if row[unit] else None


def curve(query: Query) -> list[dict[str, Any]]:
    """Documents, words and bytes at or over each of some 120 thresholds, exact; see `BINS`."""
    rows = query.rows(
        f"""SELECT least(floor(score * {BINS}), {BINS})::BIGINT AS bin, count(*) AS documents,
                   sum(words)::BIGINT AS words, sum(bytes)::BIGINT AS bytes
            FROM tags WHERE score IS NOT NULL GROUP BY bin ORDER BY bin DESC"""
    )
    points = []
    sums = {"documents": 0, "words": 0, "bytes": 0}
    for edge in reversed(_curve_edges()):
        while rows and rows[0]["bin"] >= edge:
            first = rows.pop(0)
            sums = {unit: total + first[unit] for unit, total in sums.items()}
        points.append({"threshold": edge / BINS, **sums})
    return points[::-1]


def _curve_edges() -> list[int]:
    """In bins: steps of a hundredth, and finer ones near 0 and 1, where most scores are."""
    percents = [round(percent * BINS / 100) for percent in range(1, 100)]
    tail = [1, 2, 5, *range(10, 100, 10)]
    return sorted({*tail, *percents, *(BINS - edge for edge in tail)})


def labels(query: Query, shown: int) -> dict[str, Any]:
    """Score histograms of the target and of the labels that most documents score 0.5 or more in."""
    names = query.folder.labels
    columns = score_columns(names)
    counts = query.row(f"SELECT {', '.join(f'count(*) FILTER (WHERE {c} >= 0.5) AS {c}' for c in columns)} FROM scores")
    order = sorted(range(len(names)), key=lambda i: (names[i] != query.label, -counts[f"d{i}"], i))[:shown]
    bars = _bars(query, [f"{kind}{i}" for i in order for kind in "dw"])
    listed = [
        {
            "label": names[i],
            "documents": counts[f"d{i}"],
            "windows": counts[f"w{i}"],
            "document_bars": bars[f"d{i}"],
            "window_bars": bars[f"w{i}"],
        }
        for i in order
    ]
    return {"total": len(names), "bar_edges": edges(BARS), "shown": listed}


def edges(steps: int) -> list[float]:
    """The scores that bound ``steps`` equal steps of log-odds; the first and last step take all beyond, too."""
    inner = (1 / (1 + math.exp(REACH - 2 * REACH * i / steps)) for i in range(1, steps))
    return [0.0, *(round(edge, 9) for edge in inner), 1.0]


def _bars(query: Query, columns: Sequence[str]) -> dict[str, list[int]]:
    """A histogram of each column, in one pass; a row of the result has a step of one column and null for the others."""
    # least and greatest pass over null
    steps = ", ".join(f"CASE WHEN {c} IS NOT NULL THEN {step_of(c, BARS)} END AS {c}" for c in columns)
    sets = ", ".join(f"({column})" for column in columns)
    rows = query.rows(
        f"""SELECT {", ".join(columns)}, count(*) AS n FROM (SELECT {steps} FROM scores)
            GROUP BY GROUPING SETS ({sets})"""
    )
    bars = {column: [0] * BARS for column in columns}
    for row in rows:
        for column in columns:
            if row[column] is not None:
                bars[column][row[column]] = row["n"]
    return bars


def windows(query: Query) -> dict[str, Any]:
    """The document's score against its strongest window's: who is over the threshold by which, and a grid.

    ``grid[i][j]`` counts documents with a score in the i-th cell of log-odds and a window in the j-th.
    """
    counts = query.row(
        """SELECT count(*) FILTER (WHERE flagged AND window_flagged) AS both,
                  count(*) FILTER (WHERE window_flagged AND NOT flagged) AS window_only,
                  count(*) FILTER (WHERE flagged AND NOT window_flagged) AS document_only,
                  count(*) FILTER (WHERE NOT flagged AND NOT window_flagged) AS neither FROM tags"""
    )
    rows = query.rows(
        f"""SELECT {step_of("score", CELLS)} AS i, {step_of("strongest", CELLS)} AS j, count(*) AS n
            FROM tags WHERE score IS NOT NULL AND strongest IS NOT NULL GROUP BY i, j"""
    )
    grid = [[0] * CELLS for _ in range(CELLS)]
    for row in rows:
        grid[row["i"]][row["j"]] = row["n"]
    return {**counts, "grid_edges": edges(CELLS), "grid": grid, "by_length": _by_length(query)}


def _by_length(query: Query) -> list[dict[str, Any]]:
    steps = " ".join(f"WHEN words < {length} THEN {i}" for i, length in enumerate(_LENGTHS))
    rows = query.rows(
        f"""SELECT CASE {steps} ELSE {len(_LENGTHS)} END AS step, count(*) AS documents,
                   count(*) FILTER (WHERE flagged) AS flagged,
                   count(*) FILTER (WHERE window_flagged AND NOT flagged) AS window_only
            FROM tags GROUP BY step ORDER BY step"""
    )
    bounds = [0, *_LENGTHS, None]
    return [{"from": bounds[row["step"]], "below": bounds[row.pop("step") + 1], **row} for row in rows]


def hosts(query: Query, shown: int) -> dict[str, Any]:
    """Hosts of at least 20 documents by the lower bound of their rate; all hosts by how many flagged they hold; and
    those that a filter takes most words from."""
    query.tables.keep("by_host", f"SELECT host AS name, {_SUMS} FROM tags WHERE host IS NOT NULL GROUP BY host")
    total = query.row(
        """SELECT count(*) AS distinct_names, count(*) FILTER (WHERE flagged > 0) AS with_flagged,
                  coalesce(sum(documents), 0)::BIGINT AS documents, coalesce(sum(flagged), 0)::BIGINT AS flagged
           FROM by_host"""
    )
    listed = f"SELECT *, {_RATES} FROM by_host WHERE flagged > 0"
    large = f"AND documents >= {LEAST_DOCUMENTS}"
    return {
        **total,
        "least_documents": LEAST_DOCUMENTS,
        "by_rate": query.rows(f"{listed} {large} ORDER BY low DESC, flagged DESC, name LIMIT {shown}"),
        "by_count": query.rows(f"{listed} ORDER BY flagged DESC, low DESC, name LIMIT {shown}"),
        **costs(query, "host", shown, "lost DESC, documents DESC"),
    }


def groups(query: Query, column: str, shown: int) -> dict[str, Any]:
    """Languages, sources or topics, those with most flagged first; ``documents`` of the whole: those that have one."""
    query.tables.keep("grouped", f"SELECT {column} AS name, {_SUMS} FROM tags GROUP BY {column}")
    total = query.row(
        """SELECT count(name) AS distinct_names,
                  coalesce(sum(documents) FILTER (WHERE name IS NOT NULL), 0)::BIGINT AS documents FROM grouped"""
    )
    rows = query.rows(
        f"SELECT *, {_RATES} FROM grouped ORDER BY flagged DESC, documents DESC, name NULLS LAST LIMIT {shown}"
    )
    return {**total, "rows": rows if total["distinct_names"] else []}


def topics(query: Query) -> dict[str, Any]:
    """As `groups`, of topics, and what a filter takes from each."""
    return {**groups(query, "topic", MOST_TOPICS), **costs(query, "topic", MOST_TOPICS, "documents DESC")}


def costs(query: Query, column: str, shown: int, order: str) -> dict[str, Any]:
    """``costs``: documents and words that a filter takes from each value of a column, at each of ``thresholds``, which
    are some usual ones and the query's own; of the first ``shown`` in ``order``, in which ``lost`` stands for the words
    that it takes at the query's own."""
    at = sorted({*COST_THRESHOLDS, query.threshold})
    lost = ", ".join(
        f"count(*) FILTER (WHERE {over}) AS d{i}, coalesce(sum(words) FILTER (WHERE {over}), 0)::BIGINT AS w{i}"
        for i, over in enumerate(f"score >= '{threshold!r}'::DOUBLE" for threshold in at)
    )
    rows = query.rows(
        f"""SELECT *, w{at.index(query.threshold)} AS lost
            FROM (SELECT {column} AS name, count(*) AS documents, sum(words)::BIGINT AS words, {lost} FROM tags
                  WHERE {column} IS NOT NULL GROUP BY {column}) ORDER BY {order}, name LIMIT {shown}"""
    )
    cells = [
        {"name": row["name"], "threshold": threshold, "documents": row["documents"], "words": row["words"],
         "documents_lost": row[f"d{i}"], "words_lost": row[f"w{i}"]}
        for row in rows for i, threshold in enumerate(at)
    ]  # fmt: skip
    return {"thresholds": at, "costs": cells}


def other_languages(query: Query, shown: int) -> dict[str, Any]:
    """Documents in other languages than the model's, which no other figure takes in: in all, and the most frequent."""
    total = query.row(
        """SELECT count(*) AS documents, coalesce(sum(words), 0)::BIGINT AS words,
                  coalesce(sum(bytes), 0)::BIGINT AS bytes, count(DISTINCT lang) AS distinct_names FROM others"""
    )
    rows = query.rows(
        f"""SELECT lang AS name, count(*) AS documents, sum(words)::BIGINT AS words, sum(bytes)::BIGINT AS bytes
            FROM others GROUP BY name ORDER BY documents DESC, name LIMIT {shown}"""
    )
    return {**total, "rows": rows}


def dates(query: Query, most_months: int = 48) -> dict[str, Any]:
    """By month, or by year where there are more months than ``most_months`` or dates without one."""
    read = f"SELECT words, flagged, date IS NULL AS missing, {YEAR} AS year, {MONTH} AS month FROM tags"
    query.tables.keep("by_month", f"SELECT year, month, missing, {_SUMS} FROM ({read}) GROUP BY year, month, missing")
    good = "year BETWEEN 1000 AND 2999 AND (month IS NULL OR month BETWEEN 1 AND 12)"
    total = query.row(
        f"""SELECT coalesce(sum(documents) FILTER (WHERE missing), 0)::BIGINT AS missing,
                   coalesce(sum(documents) FILTER (WHERE NOT missing AND ({good}) IS NOT TRUE), 0)::BIGINT
                       AS unreadable,
                   count(*) FILTER (WHERE {good}) > {most_months}
                       OR count(*) FILTER (WHERE {good} AND month IS NULL) > 0 AS by_year
            FROM by_month"""
    )
    period = "printf('%04d', year)" if total["by_year"] else "printf('%04d-%02d', year, month)"
    rows = query.rows(
        f"""SELECT *, {_RATES} FROM (
                SELECT {period} AS name, sum(documents)::BIGINT AS documents, sum(flagged)::BIGINT AS flagged,
                       sum(words)::BIGINT AS words, sum(flagged_words)::BIGINT AS flagged_words
                FROM by_month WHERE {good} GROUP BY name) ORDER BY name"""
    )
    kind = "year" if total.pop("by_year") else "month"
    return {**total, "period": kind, "rows": rows}


_EXAMPLE = """file, row, id, url, host, date, lang, chars, words, score, strongest"""


_STRONGEST_FIRST = 'row_number() OVER (PARTITION BY file, row ORDER BY span_score DESC, "start")'
"""Places of a document's spans. What is in a place is then chosen from outside: QUALIFY is not in every Spark 4."""


def strongest_spans(query: Query, number: int) -> list[dict[str, Any]]:
    """The label's strongest spans, one a document and at most three a host, each likely copy once.

    ``copies`` counts documents of the same size with a span of the same size and score, among the strongest spans.
    """
    alike = 'PARTITION BY span_score, chars, words, "end" - "start"'
    return query.rows(
        f"""WITH found AS (
                SELECT {_EXAMPLE}, span."start" AS "start", span."end" AS "end", span.score::DOUBLE AS span_score
                FROM (SELECT *, {query.tables.unnest}(spans) AS span FROM tags) WHERE span.label = $label
                ORDER BY span_score DESC, file, row, "start" LIMIT {_STRONGEST}),
            ranked AS (SELECT *, {_STRONGEST_FIRST} AS of_document FROM found),
            alike AS (SELECT *, row_number() OVER ({alike} ORDER BY file, row) AS of_alike,
                count(*) OVER ({alike}) - 1 AS copies FROM ranked WHERE of_document = 1),
            single AS (SELECT *, row_number() OVER (
                PARTITION BY coalesce(host, file || '#' || row) ORDER BY span_score DESC, file, row) AS of_host
                FROM alike WHERE of_alike = 1)
            SELECT {_EXAMPLE}, "start", "end", span_score, copies FROM single WHERE of_host <= {_PER_HOST}
            ORDER BY span_score DESC, file, row LIMIT $number""",
        label=query.label,
        number=number,
    )


def drawn_documents(query: Query, number: int) -> list[dict[str, Any]]:
    """Flagged documents in the order of a digest of id and row: a draw that is the same whenever it is made.

    ``start`` and ``end`` are those of the document's strongest span of the label, null if it has none.
    """
    return query.rows(
        f"""WITH drawn AS (
                SELECT {_EXAMPLE}, spans, md5(id || '/' || row) AS draw FROM tags
                WHERE flagged ORDER BY draw, file LIMIT $number),
            found AS (SELECT file, row, span."start" AS "start", span."end" AS "end", span.score::DOUBLE AS span_score
                FROM (SELECT file, row, {query.tables.unnest}(spans) AS span FROM drawn) WHERE span.label = $label),
            ranked AS (SELECT *, {_STRONGEST_FIRST} AS of_document FROM found),
            strongest AS (SELECT * FROM ranked WHERE of_document = 1)
            SELECT {_EXAMPLE}, "start", "end", span_score, 0 AS copies
            FROM drawn LEFT JOIN strongest USING (file, row) ORDER BY draw, file""",
        label=query.label,
        number=number,
    )
