"""Categories of documents by domain, language, length, date, source: the largest by name, the rest as one.

A name stands for its bucket, one of 2**20 by hash, so that counts of any number of names take the same memory and add
up over shards in any order. Two names that share a bucket share its category; among a million names the largest few
hundred hardly ever do. Knows TAGS columns; nothing of weights.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.prevalence.slices import SLICES

BUCKETS = 1 << 20
_DATE = 7
"""Characters of a date that say year and month, with a separator between them or without."""
Ints = NDArray[np.int64]


@lru_cache(maxsize=1 << 19)
def bucket_of(by: str, value: str | int | None) -> int:
    """The bucket of the category that a value of the column lies in; ``by`` is one of `SLICES`."""
    name = name_of(by, value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) % BUCKETS


def name_of(by: str, value: str | int | None) -> str:
    """The category of a value of the column that ``by`` is made from."""
    return SLICES[by].name(value)


def distinct(tags: pa.RecordBatch, by: str) -> tuple[Ints, list[str | int | None]]:
    """For each row (int64, shape (rows,)) which of the values it has, and the values: some may be of no row.

    ``tags`` are a batch with the column that ``by`` is made from, plain or as a dictionary.
    """
    column = tags.column(SLICES[by].column)
    if SLICES[by].column == "date":
        text = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
        column = pc.utf8_slice_codeunits(pc.utf8_ltrim_whitespace(text), 0, _DATE)
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    if encoded.null_count == 0:
        return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), values
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), len(values))
    return indices.to_numpy(zero_copy_only=False), [*values, None]


def distinct_buckets(tags: pa.RecordBatch, by: str) -> tuple[Ints, Ints]:
    """For each row (int64, shape (rows,)) which of the buckets it is in, and the buckets, int64, some of them twice."""
    rows, values = distinct(tags, by)
    return rows, np.array([bucket_of(by, value) for value in values], np.int64)
