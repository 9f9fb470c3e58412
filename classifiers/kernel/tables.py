"""A model in the layout that the kernel reads: a perfect hash over the words, and the rows of words and buckets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tables(NamedTuple):
    """Arrays and numbers of one model; a tuple, because that is what compiled code takes.

    ``records`` (uint64, flat) holds for each slot the word's key and then its row, as float32 pairs;
    ``values`` is the same memory as float32. Row ``n_slots`` belongs to unknown words and is zero.
    ``buckets`` (float32, flat) holds ``width`` numbers for each n-gram row; row ``none`` is zero.
    A word's row already holds the sum over its subwords, and ``features`` says of how many rows.
    ``plain_words`` says how texts are cut into words: see `classifiers.settings.Settings`.
    """

    pilots: NDArray[np.uint16]
    shift: np.uint64
    n_slots: np.uint64
    records: NDArray[np.uint64]
    stride: np.uint64
    values: NDArray[np.float32]
    features: NDArray[np.int32]
    buckets: NDArray[np.float32]
    width: np.uint64
    bucket: np.uint64
    reciprocal: np.uint64
    bucket_rows: NDArray[np.int32]
    none: np.uint64
    orders: int
    minn: int
    maxn: int
    odd_labels: NDArray[np.uint64]
    plain_words: bool
