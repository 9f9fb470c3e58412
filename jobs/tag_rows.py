"""Rows of a scan's tags for the label store: streams them, and turns chosen ones into candidates with their texts.

Composes `pipeline` and `labels`; chooses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import track

from labels.store import Candidate
from pipeline.accounting import Tally
from pipeline.readers import read_documents
from pipeline.report.folder import TagsFolder, open_folder
from pipeline.report.tables import DuckTables, escape_glob
from pipeline.schema import OTHER_LANGUAGE, label_columns, lexicons_of, window_column

Row = dict[str, Any]
"""A row of tags, with ``filename``, the URL of its tags file."""


@dataclass(frozen=True)
class Tags:
    """The tags of a scan, open for queries; the view ``tags`` has their columns and ``filename``, without documents in
    other languages: they are neither drawn nor estimated."""

    folder: TagsFolder
    connection: duckdb.DuckDBPyConnection

    @property
    def digest(self) -> str:
        """SHA-256 of the model that made them."""
        return str(self.folder.model["digest"])

    @property
    def scores(self) -> list[str]:
        """Names of the score columns: each label's, and its strongest window's; then each lexicon's."""
        columns = label_columns(self.folder.labels)
        of_labels = [name for column in columns for name in (column, window_column(column))]
        return of_labels + label_columns(lexicons_of(self.folder.model))

    def rows(self, query: str) -> list[Row]:
        """All rows of a query's result: for results that are small."""
        result = self.connection.execute(query)
        names = [column[0] for column in result.description]
        return [dict(zip(names, values, strict=True)) for values in result.fetchall()]

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """A result of any size, in batches of about 100,000 rows."""
        yield from self.connection.sql(query).to_arrow_reader(100_000)

    def check_score(self, name: str) -> str:
        """The name, if it is a score column; raises `ValueError` naming those that are."""
        if name not in self.scores:
            raise ValueError(f"the tags have no score {name!r}; they have {', '.join(self.scores)}")
        return name


@contextmanager
def open_tags(url: str) -> Iterator[Tags]:
    """Open the folder of a scan; raises `TagsError` if it holds no tags of one model."""
    with closing(DuckTables(url)) as tables:
        folder, connection = open_folder(url, tables), tables.connection
        files = ", ".join(_quoted(escape_glob(file)) for file in folder.files)
        connection.execute(
            f"CREATE VIEW tags AS SELECT * FROM read_parquet([{files}], filename = true)"
            f" WHERE status <> '{OTHER_LANGUAGE}'"
        )
        yield Tags(folder, connection)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def source_of(tags: Tags, row: Row) -> str:
    """Where a document comes from: its source as given, else its host, else the name of its shard."""
    return str(row["source"] or row["host"] or _stem(tags.folder.name_of(row["filename"])))


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].split(".")[0]


def candidate(
    tags: Tags, row: Row, text: str, *, keep_text: bool, stratum: str | None = None, probability: float | None = None,
    name: str | None = None,
) -> Candidate:  # fmt: skip
    """A chosen row, for the store: its scores as they are now, its text or a pointer to it; by its id, or a name."""
    task = tags.folder.task_of(row["filename"])
    return Candidate(
        document=name or row["id"], source=source_of(tags, row), text=text, url=row["url"], host=row["host"],
        shard=task.url, row=row["row"], keep_text=keep_text, scores={score: row[score] for score in tags.scores},
        stratum=stratum, inclusion_probability=probability, details={"lang": row["lang"]} if row["lang"] else {},
    )  # fmt: skip


def fetch_texts(tags: Tags, rows: Iterable[Row]) -> Mapping[tuple[str, int], str]:
    """Texts of rows by (filename, row), each shard read once, no further than needed.

    Raises `ValueError` naming the shard if it no longer holds what was scanned: a draw with holes is none.
    """
    by_file: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_file.setdefault(row["filename"], {})[row["row"]] = row
    texts: dict[tuple[str, int], str] = {}
    for file in track(sorted(by_file), "Reading texts", console=Console(stderr=True), transient=True):
        texts |= {(file, number): text for number, text in _shard_texts(tags, file, by_file[file])}
    return texts


def _shard_texts(tags: Tags, file: str, wanted: Mapping[int, Row]) -> Iterator[tuple[int, str]]:
    task, left = tags.folder.task_of(file), set(wanted)
    numbers = pa.array(sorted(wanted), pa.int64())
    for batch in read_documents(task, tags.folder.options, Tally()):
        found = batch.filter(pc.is_in(batch.column("row"), numbers)).select(["row", "id", "text"]).to_pylist()
        for document in found:
            row = wanted[document["row"]]
            if (document["id"], len(document["text"])) != (row["id"], row["chars"]):
                raise ValueError(f"{task.url}, row {row['row']}: another document than was scanned; scan it again")
            left.discard(document["row"])
            yield document["row"], document["text"]
        if not left:
            return
    raise ValueError(f"{task.url}: {len(left)} scanned rows are gone (row {min(left)} first); scan it again")
