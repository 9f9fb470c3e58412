"""Weights as a function of a row of tags, and the file that keeps them.

A weight is a product: one factor for the step that each score lies in, one for each category (domain, length …), cut to
the cap and the floor. Knows TAGS; nothing of how the factors were found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline import storage
from pipeline.prevalence.slices import SLICES
from pipeline.reweight.categories import BUCKETS, distinct_buckets
from pipeline.schema import OTHER_LANGUAGE

FORMAT = "tropescan weights 2"
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class WeightsError(ValueError):
    """A file that holds no weights of this version; the message names it and says what to do."""


@dataclass(frozen=True)
class ScoreFactor:
    """Of a column of scores: ``logs[i]`` is the log of the factor in step i. Step 0 is a score below ``edges[0]``, none
    at all, or one of a document in another language; step i begins at ``edges[i - 1]``."""

    column: str
    edges: tuple[float, ...]
    logs: tuple[float, ...]


@dataclass(frozen=True)
class CategoryFactor:
    """Of the categories of one kind (a key of `SLICES`): ``logs[i]`` is that of bucket ``buckets[i]``, called
    ``names[i]``; the last log, one more than there are buckets, that of all others."""

    by: str
    buckets: tuple[int, ...]
    names: tuple[str, ...]
    logs: tuple[float, ...]


@dataclass(frozen=True)
class Weights:
    """A weight for every row of tags: exp of the sum of its factors' logs, not below ``floor`` nor above ``cap``.

    ``model`` is the digest of the model whose scores they are for, ``topic_model`` of that of the topics; "" if they do
    not go by topic. ``about`` says how they were made and what they
    reach; it decides nothing.
    """

    scores: tuple[ScoreFactor, ...]
    categories: tuple[CategoryFactor, ...]
    floor: float
    cap: float
    model: str
    topic_model: str = ""
    about: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def columns(self) -> list[str]:
        """The columns of TAGS that `of` reads."""
        made_from = (SLICES[factor.by].column for factor in self.categories)
        return list(dict.fromkeys(["status", *(factor.column for factor in self.scores), *made_from]))

    def of(self, tags: pa.RecordBatch) -> Floats:
        """The weight of each row, float64, shape (rows,). ``tags`` need only have `columns`."""
        logs = np.zeros(tags.num_rows)
        for factor in self.scores:
            logs += np.array(factor.logs)[score_steps(tags, factor.column, np.array(factor.edges))]
        for each in self.categories:
            rows, buckets = distinct_buckets(tags, each.by)
            logs += self._logs[each.by][buckets][rows]
        return cut(logs, self.floor, self.cap)

    @cached_property
    def _logs(self) -> dict[str, Floats]:
        """Of each kind of category, the log of the factor of every bucket there is."""
        found = {}
        for each in self.categories:
            found[each.by] = np.full(BUCKETS, each.logs[-1])
            found[each.by][list(each.buckets)] = each.logs[:-1]
        return found

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides a weight."""
        content = {name: value for name, value in asdict(self).items() if name != "about"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def cut(logs: Floats, floor: float, cap: float) -> Floats:
    """exp of the logs, not below the floor nor above the cap; no log overflows."""
    weights: Floats = np.clip(np.exp(np.minimum(logs, np.log(cap) + 1.0)), floor, cap)
    return weights


def score_steps(tags: pa.RecordBatch, column: str, edges: Floats) -> Ints:
    """In which step each row's score lies, int64, shape (rows,); see `ScoreFactor`."""
    scores = np.array(pc.fill_null(tags.column(column), np.nan).to_numpy(zero_copy_only=False), np.float64)
    other = pc.equal(tags.column("status"), OTHER_LANGUAGE).to_numpy(zero_copy_only=False)
    none = np.isnan(scores) | other.astype(bool)
    steps = np.searchsorted(edges, scores, side="right")
    steps[none] = 0
    return steps.astype(np.int64)


def save_weights(weights: Weights, path: str) -> None:
    """Write them as JSON to a path or fsspec URL."""
    content = {"format": FORMAT, "digest": weights.digest, **asdict(weights)}
    with storage.whole_file(path) as file:
        file.write((json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def load_weights(path: str) -> Weights:
    """The weights that ``tropescan policy target`` wrote to a path or fsspec URL.

    Raises `WeightsError` for another file, or one that was changed by hand; `OSError` if it cannot be read.
    """
    try:
        content = json.loads(storage.read_bytes(path))
        if content.pop("format") != FORMAT:
            raise ValueError("its format is of another version")
        digest = content.pop("digest")
        weights = weights_of(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: no weights of this version of tropescan ({error}); make them again with "
                           "'tropescan policy target'") from error  # fmt: skip
    if weights.digest != digest:
        raise WeightsError(f"{path}: changed after it was made (its digest is another); make it again with "
                           "'tropescan policy target'")  # fmt: skip
    return weights


def weights_of(scores: Sequence[Any], categories: Sequence[Any], **rest: Any) -> Weights:
    """Weights of plain types, as `dataclasses.asdict` gives them. Raises `ValueError` if they are none."""
    made = Weights(
        tuple(ScoreFactor(one["column"], tuple(one["edges"]), tuple(one["logs"])) for one in scores),
        tuple(
            CategoryFactor(one["by"], tuple(one["buckets"]), tuple(one["names"]), tuple(one["logs"]))
            for one in categories
        ),
        **rest,
    )
    for factor in made.scores:
        if len(factor.logs) != len(factor.edges) + 1:
            raise ValueError(f"factors of {factor.column} do not match its steps")
    for each in made.categories:
        if each.by not in SLICES or not len(each.logs) - 1 == len(each.buckets) == len(each.names):
            raise ValueError(f"factors of {each.by} do not match its categories")
    if not 0 <= made.floor <= 1 <= made.cap:
        raise ValueError("its floor and cap do not lie around 1")
    return made
