"""Tags beside the decisions that a policy made of them: the same rows in the same order, or an error.

Knows what 'tropescan apply' leaves; nothing of policies. Asks DuckDB, whose positional join reads both in lockstep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.prevalence.slices import SLICES
from pipeline.report.all_tags import open_all
from pipeline.report.folder import TagsFolder
from pipeline.report.tables import DuckTables
from pipeline.reweight.categories import name_of

_NEEDED = ("row", "id", "action", "rule", "weight")
FINE = 1 << 20
"""Parts of a document that its weight is rounded to, so that sums are whole numbers and alike in any order."""


class DecisionsError(ValueError):
    """Decisions that are not of these tags; the message names the file and says what to do."""


@dataclass(frozen=True)
class Decided:
    """A table ``decided``: that of `open_all` with ``action``, ``rule``, ``weight``, and ``parts``, the weight in parts
    of `FINE`."""

    tables: DuckTables
    folder: TagsFolder
    run: str

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """All rows of a result."""
        return self.tables.rows(sql, **values)


def open_decisions(tables: DuckTables, folder: TagsFolder, run: str) -> Decided:
    """Join the tags with the decisions below ``run``, the folder of 'tropescan apply --out', and check every row.

    Raises `DecisionsError` where a shard has no decisions, or they are of other rows.
    """
    files = [_decisions_of(folder, run, file) for file in folder.files]
    names = _columns(files[0])
    open_all(tables, folder)
    renamed = [f"made_{name}" if name in _NEEDED else f"unused_{i}" for i, name in enumerate(names)]
    tables.open_files("made", files, pa.schema([]), renamed)
    tables.view(
        "beside", "SELECT all_tags.*, made.* EXCLUDE (file), made.file AS made_file FROM all_tags POSITIONAL JOIN made"
    )
    tables.view(
        "decided",
        f"""SELECT * EXCLUDE (made_id, made_row, made_file, made_action, made_rule, made_weight),
                   made_action AS action, made_rule AS rule, made_weight AS weight,
                   round(made_weight * {FINE})::BIGINT AS parts FROM beside""",
    )
    _check(tables, dict(zip(folder.files, files, strict=True)))
    tables.connection.create_function("slice_of", _slice, [str, str], str, null_handling="special")
    return Decided(tables, folder, run)


def _decisions_of(folder: TagsFolder, run: str, file: str) -> str:
    url = storage.join(run, "decisions", f"{folder.name_of(file)}.parquet")
    if not storage.exists(url):
        raise DecisionsError(f"{url}: the shard of {file} has no decisions; finish 'tropescan apply' into {run}")
    return url


def _columns(file: str) -> list[str]:
    try:
        with storage.open_input(file) as opened:
            names = pq.read_schema(opened).names
    except pa.ArrowInvalid as error:
        raise DecisionsError(f"{file}: not a file of decisions ({error}); apply the policy again") from error
    if missing := [name for name in _NEEDED if name not in names]:
        raise DecisionsError(f"{file}: no column {missing[0]!r}; decisions have {', '.join(_NEEDED)}")
    return list(names)


def _check(tables: DuckTables, files: dict[str, str]) -> None:
    """Every row stands beside its own: same id, same row, in the files of one shard; every weight is a number."""
    tables.view("pairs", f"SELECT * FROM ({_values(files)}) AS pairs (tags_file, decisions_file)")
    wrong = tables.rows(
        """SELECT coalesce(file, decisions.tags_file) AS tags_file, count(*) AS n, min(coalesce(row, made_row)) AS first
           FROM beside LEFT JOIN pairs AS decisions ON made_file = decisions.decisions_file
           WHERE id IS DISTINCT FROM made_id OR row IS DISTINCT FROM made_row OR file IS DISTINCT FROM tags_file
              OR NOT coalesce(isfinite(made_weight) AND made_weight >= 0, false)
           GROUP BY 1 ORDER BY 1 LIMIT 1"""
    )
    if wrong:
        raise DecisionsError(
            f"{files[wrong[0]['tags_file']]}: from row {wrong[0]['first']} on its rows are not those of "
            f"{wrong[0]['tags_file']}; apply the policy to these tags again"
        )


def _values(files: dict[str, str]) -> str:
    rows = ", ".join("('{}', '{}')".format(*(part.replace("'", "''") for part in pair)) for pair in files.items())
    return f"VALUES {rows}"


def _slice(by: str, value: str | None) -> str:
    """The slice of a value, given as text; see `SLICES`."""
    given = int(value) if SLICES[by].column == "words" and value is not None else value
    return name_of(by, given)
