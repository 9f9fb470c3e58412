"""By what a population is sliced: host, registered domain, top-level domain, date, language, source, length.

Knows columns of TAGS. Slices say nothing of labels; modes, which are labels, are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import tldextract
from numpy.typing import NDArray

NONE = "(none)"
_DIGITS = re.compile(r"\s*(\d{4})[-/.]?(\d{2})?")
_LENGTHS = (128, 512, 2048, 8192)
_extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # its own copy of the list: no network


@dataclass(frozen=True)
class Slicer:
    """One way to slice; see `SLICES`."""

    by: str

    def of(self, batch: pa.RecordBatch) -> tuple[list[str], NDArray[np.int64]]:
        """Names of the slices in a batch of tags, and which of them each row is in: int64, shape (rows,).

        Each distinct value is looked at once: of a million rows few have a host of their own.
        """
        column, name = SLICES[self.by]
        encoded = batch.column(column).dictionary_encode()
        values = [name(value) for value in encoded.dictionary.to_pylist()]
        if encoded.indices.null_count:
            values.append(name(None))
        at = encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
        index = {value: k for k, value in enumerate(dict.fromkeys(values))}
        return list(index), np.array([index[value] for value in values], np.int64)[at]


def _given(value: str | None) -> str:
    return value or NONE


@lru_cache(maxsize=100_000)
def _domain(host: str | None) -> str:
    return _extract(host or "").top_domain_under_public_suffix or _given(host)


def _top(host: str | None) -> str:
    return (host or "").rsplit(".", 1)[-1] or NONE


def _month(date: str | None) -> str:
    found = _DIGITS.match(date or "")
    return "-".join(part for part in found.groups() if part) if found else NONE


def _year(date: str | None) -> str:
    return _month(date)[:4] if date and _DIGITS.match(date) else NONE


def _length(words: int) -> str:
    over = sum(words >= limit for limit in _LENGTHS)
    low = 0 if over == 0 else _LENGTHS[over - 1]
    return f"{low:05d} words or more" if over == len(_LENGTHS) else f"{low:05d} to {_LENGTHS[over] - 1:05d} words"


SLICES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "host": ("host", _given),
    "domain": ("host", _domain),
    "tld": ("host", _top),
    "year": ("date", _year),
    "month": ("date", _month),
    "lang": ("lang", _given),
    "source": ("source", _given),
    "length": ("words", _length),
}
"""For each name the column of TAGS that it is made from, and how. Domains are those that can be registered, by the
public suffix list; dates are as given, ISO 8601 or its digits alone."""
