"""The types that every stage agrees on: DOCUMENTS in, TAGS out, and the `Estimate` of a number.

Knows neither files, nor engines, nor how a score is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

DOCUMENTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("source", pa.string()),
        pa.field("lang", pa.string()),
        pa.field("row", pa.int64(), nullable=False),
    ]
)
"""One document a row. ``row`` is the record's position in its shard, rejected records included, so
that a later pass can join tags to the shard whatever was rejected on the way."""

SPAN = pa.struct(
    [
        pa.field("label", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
    ]
)
"""Evidence: a stretch of the text, in Unicode code points from its start, end exclusive."""

TAG_BASE = (
    pa.field("id", pa.string(), nullable=False),
    pa.field("row", pa.int64(), nullable=False),
    pa.field("chars", pa.int64(), nullable=False),
    pa.field("bytes", pa.int64(), nullable=False),
    pa.field("words", pa.int64(), nullable=False),
    pa.field("url", pa.string()),
    pa.field("host", pa.string()),
    pa.field("date", pa.string()),
    pa.field("lang", pa.string()),
    pa.field("source", pa.string()),
)
COUNTED = ("chars", "words")
"""Sizes that a `Scorer` counts, since it reads the whole text anyway."""
TAG_TOPIC = (pa.field("topic", pa.string()), pa.field("topic_score", pa.float32()))
"""Columns that tags have behind `TAG_BASE` where a model of topics was given: the document's likeliest topic and its
probability, null where that model knows no word of it. In every language, whatever the status."""
TAG_EVIDENCE = (
    pa.field("spans", pa.list_(SPAN), nullable=False),
    pa.field("status", pa.string(), nullable=False),
)
OK = "ok"
NO_WORDS = "no_words"
"""``status`` of a document of which the model knows no word: it has no score."""
OTHER_LANGUAGE = "other_language"
"""``status`` of a document in another language than the model's: its scores, if it has any, stand for nothing, and no
figure is made of them."""

MODES = ("fiction", "argument", "news", "technical", "ai_voice", "other")
"""How a text about AI speaks of it, by the codebook; a model has a label of the name for each that it tells."""

Scorer = Callable[[pa.RecordBatch], pa.RecordBatch]
"""DOCUMENTS rows in; out, in the same order: `COUNTED` (int64), for each label ``<label>`` and
``<label>_window`` (float32, null where there is no score), ``<lexicon>`` for each lexicon, ``<label>_rescored`` for
those of a second stage, ``spans`` and ``status``."""

TopicFinder = Callable[[pa.Array], pa.RecordBatch]
"""Texts (large_string, no nulls) in; out, in the same order, the columns of `TAG_TOPIC`."""

LanguageIdentifier = Callable[[pa.Array], pa.Array]
"""Texts (large_string, no nulls) in; out, in the same order, what language each is in (string), null where unsure."""


def label_columns(labels: Sequence[str]) -> list[str]:
    """Column names of the whole-document scores; a label that is a column of TAGS gets a prefix."""
    taken = {f.name for f in (*TAG_BASE, *TAG_EVIDENCE)}
    return [f"label_{name}" if name in taken else name for name in labels]


def window_column(column: str) -> str:
    """Name of the column with the strongest window of the score in ``column``."""
    return f"{column}_window"


def rescored_column(column: str) -> str:
    """Name of the column with what a second stage makes of the score in ``column``."""
    return f"{column}_rescored"


def score_fields(labels: Sequence[str], rescored: Sequence[str] = (), lexicons: Sequence[str] = ()) -> list[pa.Field]:
    """Two float32 fields for each label: the document's score and its strongest window's; then one for each lexicon,
    the document's; then one for each label that a second stage rescores, null where it did not read the document."""
    names = [name for c in label_columns(labels) for name in (c, window_column(c))]
    names += [*label_columns(lexicons), *(rescored_column(c) for c in label_columns(rescored))]
    if len(set(names)) != len(names):
        raise ValueError(
            f"labels {sorted([*labels, *lexicons])} make two columns of one name; rename a label of the model"
        )
    return [pa.field(name, pa.float32()) for name in names]


def scores_schema(labels: Sequence[str], rescored: Sequence[str] = (), lexicons: Sequence[str] = ()) -> pa.Schema:
    """What a `Scorer` returns for a model with these labels and lexicons, some labels ``rescored`` by a second
    stage."""
    sizes = [f for f in TAG_BASE if f.name in COUNTED]
    return pa.schema([*sizes, *score_fields(labels, rescored, lexicons), *TAG_EVIDENCE])


def tags_schema(
    labels: Sequence[str], metadata: dict[str, str] | None = None, rescored: Sequence[str] = (), *,
    lexicons: Sequence[str] = (), topics: bool = False,
) -> pa.Schema:  # fmt: skip
    """The TAGS schema for a model's labels and lexicons; ``metadata`` goes into the Parquet footer.

    Raises `ValueError` if a label makes a column that ``topics`` have.
    """
    scores = score_fields(labels, rescored, lexicons)
    if topics and (taken := sorted({f.name for f in scores} & {f.name for f in TAG_TOPIC})):
        raise ValueError(f"the model has a label {taken[0]!r}, which is a column of topics; scan without --topics")
    return pa.schema([*TAG_BASE, *(TAG_TOPIC if topics else ()), *scores, *TAG_EVIDENCE], metadata=metadata)


def schema_of(model: Mapping[str, Any]) -> pa.Schema:
    """The TAGS schema of tags whose metadata describe the model so."""
    return tags_schema(
        model["labels"], rescored=rescored_labels(model), topics=bool(topics_of(model)), lexicons=lexicons_of(model)
    )


def lexicons_of(model: Mapping[str, Any]) -> list[str]:
    """The lexicons that the model counts, from its description in the tags' metadata; none where it has none."""
    return list(model.get("lexicons", []))


def rescored_labels(model: Mapping[str, Any]) -> list[str]:
    """The labels that a second stage rescored, from the description of the model in the tags' metadata."""
    return list(model.get("rescorer", {}).get("labels", []))


def topics_of(model: Mapping[str, Any]) -> list[str]:
    """The topics that tags can name, from the same description; none where tags have no topics."""
    return list(model.get("topic_model", {}).get("labels", []))


def topic_digest(model: Mapping[str, Any]) -> str:
    """SHA-256 of the model of topics, from the same description; "" where tags have no topics."""
    return str(model.get("topic_model", {}).get("digest", ""))


@dataclass(frozen=True)
class Estimate:
    """A number with its interval (95 % unless ``method`` says otherwise) and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int
    method: str
