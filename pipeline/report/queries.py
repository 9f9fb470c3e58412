"""The questions a report asks of the tags, in SQL: only counts and a few examples ever reach Python.

Knows the TAGS schema and DuckDB; nothing of pages or plots. Intervals are Wilson's (1927), 95 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import duckdb

from pipeline.report.folder import TagsFolder, escape_glob
from pipeline.schema import NO_WORDS, OTHER_LANGUAGE, TAG_BASE, TAG_EVIDENCE, label_columns, tags_schema, window_column

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
_LENGTHS = (128, 512, 2048, 8192)
_STRONGEST = 10_000
_PER_HOST = 3
_Z = 1.959963984540054

_MACROS = f"""
CREATE MACRO logit(score) AS ln(greatest(score, 1e-9) / greatest(1 - score, 1e-9));
CREATE MACRO wilson_low(k, n) AS
    greatest(0, (k + {_Z**2 / 2} - {_Z} * sqrt(k * (n - k) / n + {_Z**2 / 4})) / (n + {_Z**2}));
CREATE MACRO wilson_high(k, n) AS
    least(1, (k + {_Z**2 / 2} + {_Z} * sqrt(k * (n - k) / n + {_Z**2 / 4})) / (n + {_Z**2}));
CREATE MACRO step(score, steps) AS
    greatest(0, least(steps - 1, floor((logit(score) + {REACH}) * steps / {2 * REACH})))::BIGINT;
"""

_SUMS = """
    count(*) AS documents, count(*) FILTER (flagged) AS flagged,
    sum(words)::BIGINT AS words, coalesce(sum(words) FILTER (flagged), 0)::BIGINT AS flagged_words
"""

_RATES = "flagged / documents AS share, wilson_low(flagged, documents) AS low, wilson_high(flagged, documents) AS high"

_MONTHS = "['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']"
_YEAR_MONTH = rf"""
    CASE WHEN regexp_matches(date, '^\s*\d{{4}}([-/.]\d{{1,2}})?([^0-9]|$)')
         THEN [regexp_extract(date, '^\s*(\d{{4}})', 1), regexp_extract(date, '^\s*\d{{4}}[-/.](\d{{1,2}})', 1)]
         WHEN regexp_matches(date, '^\s*\d{{8}}(\d{{6}})?([^0-9]|$)')
         THEN [trim(date)[1:4], trim(date)[5:6]]
         WHEN regexp_matches(date, '(^|[ ,])\d{{1,2}}[ -][A-Za-z]{{3}}[a-z]*[ -]\d{{4}}\b')
         THEN [regexp_extract(date, '\d{{1,2}}[ -][A-Za-z]{{3}}[a-z]*[ -](\d{{4}})', 1),
               list_position({_MONTHS}, lower(regexp_extract(date, '\d{{1,2}}[ -]([A-Za-z]{{3}})', 1)))::VARCHAR]
    END
"""
"""[year, month] as text, of ISO 8601, 20190131 and 20190131235959, and "31 Jan 2019"; month '' where not given."""


@dataclass(frozen=True)
class Query:
    """Tags of a folder as a DuckDB view ``tags``, with the target's ``score``, ``strongest`` window and ``flagged``.

    Documents in other languages than the model's are not in it, but in the view ``others``.
    """

    connection: duckdb.DuckDBPyConnection
    folder: TagsFolder
    label: str
    threshold: float

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """All rows of a result, as dicts. Raises `ValueError` with DuckDB's message, which names the file."""
        try:
            result = self.connection.execute(sql, values) if values else self.connection.execute(sql)
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        except duckdb.Error as error:
            raise ValueError(f"the tags in {self.folder.url} cannot be read: {error}") from error

    def row(self, sql: str, **values: Any) -> dict[str, Any]:
        """The only row of a result."""
        (row,) = self.rows(sql, **values)
        return row


def quoted(name: str) -> str:
    """A column name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def open_tags(connection: duckdb.DuckDBPyConnection, folder: TagsFolder, label: str, threshold: float) -> Query:
    """Make the views that every question is asked of; ``scores`` has the columns ``d0, w0, d1, w1 …`` of all labels.

    In none of them but ``others`` are documents in other languages.
    """
    query = Query(connection, folder, label, threshold)
    connection.execute(_MACROS)
    connection.execute("SET VARIABLE files = $files", {"files": [escape_glob(file) for file in folder.files]})
    connection.execute("SET VARIABLE threshold = $threshold::DOUBLE", {"threshold": threshold})
    source = "read_parquet(getvariable('files'), filename = 'tags file', hive_partitioning = false)"
    columns = [row["column_name"] for row in query.rows(f"DESCRIBE SELECT * FROM {source}")]
    # by position: DuckDB's names ignore case, so that of the labels A and a one is renamed
    name_in = dict(zip(tags_schema(folder.labels).names, map(quoted, columns), strict=False))
    scores = [
        f"{_number(name_in[column])} AS d{i}, {_number(name_in[window_column(column)])} AS w{i}"
        for i, column in enumerate(label_columns(folder.labels))
    ]
    target = label_columns(folder.labels)[folder.labels.index(label)]
    other = f"{name_in['status']} = '{OTHER_LANGUAGE}'"
    connection.execute(f"CREATE VIEW scores AS SELECT {', '.join(scores)} FROM {source} WHERE NOT {other}")
    connection.execute(f"CREATE VIEW others AS SELECT lang, words, bytes FROM {source} WHERE {other}")
    base = ", ".join(f"{name_in[field.name]} AS {field.name}" for field in (*TAG_BASE, *TAG_EVIDENCE))
    connection.execute(
        f"""CREATE VIEW tags AS
            SELECT *, coalesce(score >= getvariable('threshold'), false) AS flagged,
                   coalesce(strongest >= getvariable('threshold'), false) AS window_flagged
            FROM (SELECT {base}, "tags file" AS file, {_number(name_in[target])} AS score,
                         {_number(name_in[window_column(target)])} AS strongest FROM {source} WHERE NOT {other})"""
    )
    return query


def _number(column: str) -> str:
    """A score in double precision, as a threshold is; NaN, which a broken model may give, is no score."""
    return f"CASE WHEN isnan({column}) THEN NULL ELSE {column}::DOUBLE END"


def headline(query: Query) -> dict[str, Any]:
    """Totals and flagged, by documents, words and bytes."""
    row = query.row(
        """SELECT count(*) AS documents, coalesce(sum(words), 0)::BIGINT AS words,
                  coalesce(sum(bytes), 0)::BIGINT AS bytes, coalesce(sum(chars), 0)::BIGINT AS chars,
                  count(*) FILTER (flagged) AS flagged_documents,
                  coalesce(sum(words) FILTER (flagged), 0)::BIGINT AS flagged_words,
                  coalesce(sum(bytes) FILTER (flagged), 0)::BIGINT AS flagged_bytes,
                  count(*) FILTER (status = $no_words) AS no_score FROM tags""",
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
    columns = [f"{kind}{i}" for i in range(len(names)) for kind in "dw"]
    counts = query.row(f"SELECT {', '.join(f'count(*) FILTER ({c} >= 0.5) AS {c}' for c in columns)} FROM scores")
    order = sorted(range(len(names)), key=lambda i: (names[i] != query.label, -counts[f"d{i}"], i))[:shown]
    listed = [
        {
            "label": names[i],
            "documents": counts[f"d{i}"],
            "windows": counts[f"w{i}"],
            "document_bars": _bars(query, f"d{i}"),
            "window_bars": _bars(query, f"w{i}"),
        }
        for i in order
    ]
    return {"total": len(names), "bar_edges": edges(BARS), "shown": listed}


def edges(steps: int) -> list[float]:
    """The scores that bound ``steps`` equal steps of log-odds; the first and last step take all beyond, too."""
    inner = (1 / (1 + math.exp(REACH - 2 * REACH * i / steps)) for i in range(1, steps))
    return [0.0, *(round(edge, 9) for edge in inner), 1.0]


def _bars(query: Query, column: str) -> list[int]:
    rows = query.rows(
        f"SELECT step({column}, {BARS}) AS bar, count(*) AS n FROM scores WHERE {column} IS NOT NULL GROUP BY bar"
    )
    found = {row["bar"]: row["n"] for row in rows}
    return [found.get(bar, 0) for bar in range(BARS)]


def windows(query: Query) -> dict[str, Any]:
    """The document's score against its strongest window's: who is over the threshold by which, and a grid.

    ``grid[i][j]`` counts documents with a score in the i-th cell of log-odds and a window in the j-th.
    """
    counts = query.row(
        """SELECT count(*) FILTER (flagged AND window_flagged) AS both,
                  count(*) FILTER (window_flagged AND NOT flagged) AS window_only,
                  count(*) FILTER (flagged AND NOT window_flagged) AS document_only,
                  count(*) FILTER (NOT flagged AND NOT window_flagged) AS neither FROM tags"""
    )
    rows = query.rows(
        f"""SELECT step(score, {CELLS}) AS i, step(strongest, {CELLS}) AS j, count(*) AS n
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
                   count(*) FILTER (flagged) AS flagged, count(*) FILTER (window_flagged AND NOT flagged) AS window_only
            FROM tags GROUP BY step ORDER BY step"""
    )
    bounds = [0, *_LENGTHS, None]
    return [{"from": bounds[row["step"]], "below": bounds[row.pop("step") + 1], **row} for row in rows]


def hosts(query: Query, shown: int) -> dict[str, Any]:
    """Hosts of at least 20 documents by the lower bound of their rate; all hosts by how many flagged they hold."""
    query.connection.execute(
        f"CREATE TEMP TABLE by_host AS SELECT host AS name, {_SUMS} FROM tags WHERE host IS NOT NULL GROUP BY host"
    )
    total = query.row(
        """SELECT count(*) AS distinct_names, count(*) FILTER (flagged > 0) AS with_flagged,
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
    }


def groups(query: Query, column: str, shown: int) -> dict[str, Any]:
    """Languages or sources, those with most flagged first; ``documents`` of the whole is of those that have one."""
    query.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE grouped AS SELECT {column} AS name, {_SUMS} FROM tags GROUP BY name"
    )
    total = query.row(
        """SELECT count(name) AS distinct_names,
                  coalesce(sum(documents) FILTER (name IS NOT NULL), 0)::BIGINT AS documents FROM grouped"""
    )
    rows = query.rows(f"SELECT *, {_RATES} FROM grouped ORDER BY flagged DESC, documents DESC, name LIMIT {shown}")
    return {**total, "rows": rows if total["distinct_names"] else []}


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
    query.connection.execute(
        f"""CREATE TEMP TABLE by_month AS
            SELECT try_cast(part[1] AS INTEGER) AS year, try_cast(part[2] AS INTEGER) AS month, date IS NULL AS missing,
                   {_SUMS} FROM (SELECT *, {_YEAR_MONTH} AS part FROM tags) GROUP BY year, month, missing"""
    )
    good = "year BETWEEN 1000 AND 2999 AND (month IS NULL OR month BETWEEN 1 AND 12)"
    total = query.row(
        f"""SELECT coalesce(sum(documents) FILTER (missing), 0)::BIGINT AS missing,
                   coalesce(sum(documents) FILTER (NOT missing AND ({good}) IS NOT TRUE), 0)::BIGINT AS unreadable,
                   count(*) FILTER ({good}) > {most_months} OR count(*) FILTER ({good} AND month IS NULL) > 0 AS by_year
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


def strongest_spans(query: Query, number: int) -> list[dict[str, Any]]:
    """The label's strongest spans, one a document and at most three a host, each likely copy once.

    ``copies`` counts documents of the same size with a span of the same size and score, among the strongest spans.
    """
    return query.rows(
        f"""WITH found AS (
                SELECT {_EXAMPLE}, span."start" AS "start", span."end" AS "end", span.score::DOUBLE AS span_score
                FROM (SELECT *, unnest(spans) AS span FROM tags) WHERE span.label = $label
                ORDER BY span_score DESC, file, row, "start" LIMIT {_STRONGEST}),
            best AS (SELECT * FROM found
                QUALIFY row_number() OVER (PARTITION BY file, row ORDER BY span_score DESC, "start") = 1),
            single AS (SELECT *, count(*) OVER alike - 1 AS copies FROM best
                WINDOW alike AS (PARTITION BY span_score, chars, words, "end" - "start")
                QUALIFY row_number() OVER (alike ORDER BY file, row) = 1)
            SELECT * FROM single
            QUALIFY row_number() OVER (
                PARTITION BY coalesce(host, file || '#' || row) ORDER BY span_score DESC, file, row) <= {_PER_HOST}
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
                FROM (SELECT file, row, unnest(spans) AS span FROM drawn) WHERE span.label = $label
                QUALIFY row_number() OVER (PARTITION BY file, row ORDER BY span.score DESC, span."start") = 1)
            SELECT {_EXAMPLE}, "start", "end", span_score, 0 AS copies
            FROM drawn LEFT JOIN found USING (file, row) ORDER BY draw, file""",
        label=query.label,
        number=number,
    )
