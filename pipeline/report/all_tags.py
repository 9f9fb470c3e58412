"""Tags of all documents as one table, those in other languages among them, and the mode that each is in.

What a policy is about, unlike a report. Knows the TAGS schema; nothing of policies.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.folder import TagsFolder
from pipeline.report.queries import score_columns, stored_columns
from pipeline.report.tables import DuckTables
from pipeline.schema import OTHER_LANGUAGE

NO_MODE = "not about AI"
ABOUT_FROM = 0.5
"""The score from which on a document counts as being about something."""


def open_all(tables: DuckTables, folder: TagsFolder) -> None:
    """Make the view ``all_tags``: TAGS and ``file``, with scores as ``d0, w0 …`` (see `score_columns`), float64, null
    for documents in other languages and where a model gave no number."""
    scores = score_columns(folder.labels)
    tables.open_files("tagged", folder.files, folder.schema, stored_columns(folder))
    other = f"status = '{OTHER_LANGUAGE}'"
    known = ", ".join(f"CASE WHEN isnan({s}) OR {other} THEN NULL ELSE {s}::DOUBLE END AS {s}" for s in scores)
    tables.view("all_tags", f"SELECT {', '.join(folder.plain_columns)}, status, file, {known} FROM tagged")


def score_of(folder: TagsFolder, label: str) -> str:
    """The column of ``all_tags`` with a label's scores."""
    return f"d{folder.labels.index(label)}"


def modes_of(folder: TagsFolder, modes: Sequence[str], about: str) -> list[str]:
    """Those modes that the model has; none where it lacks ``about``, without which they mean nothing."""
    return [mode for mode in modes if mode in folder.labels] if about in folder.labels else []


def mode_in_sql(folder: TagsFolder, modes: Sequence[str], about: str) -> str:
    """SQL for the mode that scores highest, of documents that hold ``about``, else `NO_MODE`; ``modes`` not empty."""
    columns = [score_of(folder, mode) for mode in modes]
    best = f"greatest({', '.join(columns)})"
    cases = " ".join(f"WHEN {c} = {best} THEN '{mode}'" for c, mode in zip(columns, modes, strict=True))
    held = f"{score_of(folder, about)} >= {ABOUT_FROM}"
    return f"CASE WHEN ({held}) IS NOT TRUE THEN '{NO_MODE}' {cases} ELSE '{NO_MODE}' END"
