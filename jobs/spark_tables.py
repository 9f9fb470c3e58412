"""Tags as a column of any Spark table: in batch, in Structured Streaming and in Spark SQL.

The scores are those of a scan, bit for bit. Knows neither shards nor reports; for whole shards ``tropescan scan
--engine spark`` is faster, as no text passes through Spark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas import functions
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructField, StructType

from classifiers.score import FastTextScorer
from jobs.scan import make_job
from jobs.spark_session import require_spark, ship_file, shipped_file
from pipeline.schema import DOCUMENTS, tags_schema
from pipeline.tag import tag_batch
from pipeline.tasks import ReadOptions

_OF_DOCUMENT = ("id", "row", "url", "host", "date", "lang", "source")
"""Columns of TAGS that say which document it is: the table has its own, or none."""
_TEXT = "text that tropescan reads"


@dataclass(frozen=True)
class TextTagger:
    """From texts to tags, picklable; ``model`` is what the model file is called on executors, None for its own path."""

    scorer: FastTextScorer
    model: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """Fields of a tag: the columns of TAGS but for those that say which document it is. Nullable, as a tag is."""
        fields = (field.with_nullable(True) for field in tags_schema(self.scorer.labels, lexicons=self.scorer.lexicons))
        return pa.schema([field for field in fields if field.name not in _OF_DOCUMENT])

    @property
    def type(self) -> StructType:
        """The same as a type of Spark."""
        return from_arrow_schema(self.schema)

    def __call__(self, texts: pa.Array) -> pa.StructArray:
        """A tag for each of the texts (string or large_string), null where a scan rejects the text: where it is null
        or not UTF-8."""
        scorer = replace(self.scorer, path=shipped_file(self.model)) if self.model else self.scorer
        texts = readable(texts)
        documents = _documents(texts)
        tags = tag_batch(documents, scorer(documents), tags_schema(scorer.labels, lexicons=scorer.lexicons))
        columns = [tags.column(field.name) for field in self.schema]
        return pa.StructArray.from_arrays(columns, fields=list(self.schema), mask=texts.is_null())

    def append(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches whose last column is the text, with a tag in place of it; for ``mapInArrow``."""
        for batch in batches:
            columns = [*batch.columns[:-1], self(batch.columns[-1])]
            yield pa.RecordBatch.from_arrays(columns, names=[*batch.schema.names[:-1], "tag"])


def readable(texts: pa.Array) -> pa.Array:
    """The texts with null for those that are not UTF-8, which a cast from binary makes in Spark."""
    try:
        texts.validate(full=True)
        return texts
    except pa.ArrowInvalid:
        raw = texts.view(pa.large_binary() if pa.types.is_large_string(texts.type) else pa.binary())
        return pa.array([_decoded(value) for value in raw.to_pylist()], texts.type)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _documents(texts: pa.Array) -> pa.RecordBatch:
    n = len(texts)
    known = {"text": pc.fill_null(texts, "").cast(pa.large_string()), "id": pa.array([""] * n, pa.string())}
    known["row"] = pa.array(range(n), pa.int64())
    columns = [known.get(field.name, pa.nulls(n, field.type)) for field in DOCUMENTS]
    return pa.RecordBatch.from_arrays(columns, schema=DOCUMENTS)


def text_tagger(
    spark: SparkSession, model: str | Path | None = None, *, window: int = 128, stride: int = 64,
    span_threshold: float | None = None, shared_model: bool = False,
) -> TextTagger:  # fmt: skip
    """A tagger with a model file (the shipped one if None), which is sent to every executor once unless
    ``shared_model`` says that they read it at its own path. Options as of ``tropescan scan``.

    Raises `ValueError` for a Spark older than 3.5."""
    require_spark(spark, "3.5", "tagging a table")
    job = make_job(
        "", None if model is None else str(model), window=window, stride=stride, label=None, threshold=None,
        span_threshold=span_threshold, strict=False, options=ReadOptions(),
    )  # fmt: skip
    scorer = cast(FastTextScorer, job.scorer)
    return TextTagger(scorer, None if shared_model else ship_file(spark, scorer.path, scorer.digest))


def tag(
    df: DataFrame, text_column: str = "text", *, model: str | Path | None = None, into: str = "tags", **options: Any
) -> DataFrame:
    """The table with a struct column ``into``: sizes, scores, strongest windows, spans and status of each text.

    ``text_column`` may be nested (``doc.text``). ``options`` are those of `text_tagger`. For a table in batch or of a
    stream. Raises `ValueError` if it has a column ``into``, and what Spark raises if it has no ``text_column``.
    """
    if into in df.columns:
        raise ValueError(f"the table has a column {into!r} already; name another one with into=")
    tagger = text_tagger(df.sparkSession, model, **options)
    schema = StructType([*df.schema.fields, StructField(into, tagger.type)])
    with_text = df.withColumn(_TEXT, F.col(text_column).cast("string"))
    return with_text.mapInArrow(_Renamed(tagger, schema.names), schema)


@dataclass(frozen=True)
class _Renamed:
    """`TextTagger.append` with the names that the result has; a class, as Spark pickles it."""

    tagger: TextTagger
    names: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return (batch.rename_columns(self.names) for batch in self.tagger.append(batches))


def register(spark: SparkSession, name: str = "tropescan", *, model: str | Path | None = None, **options: Any) -> None:
    """Make the function ``name(text)`` known to Spark SQL:
    ``SELECT id, t.* FROM (SELECT id, name(text) AS t FROM pages)``.

    Raises `ValueError` before Spark 4.1, which first had functions on Arrow arrays without pandas.
    """
    arrow_udf: Any = getattr(functions, "arrow_udf", None)
    if arrow_udf is None:
        raise ValueError(f"functions on Arrow arrays need Spark 4.1, and this is {spark.version}; use tag(df) with it")
    tagger = text_tagger(spark, model, **options)

    def tags_of(texts: pa.Array) -> pa.Array:
        return tagger(texts)

    spark.udf.register(name, arrow_udf(tags_of, returnType=tagger.type))
