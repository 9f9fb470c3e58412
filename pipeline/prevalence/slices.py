"""By what a population is sliced: host, registered domain, top-level domain, topic, date, language, source, length.

Knows columns of TAGS. Slices say nothing of labels; modes, which are labels, are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import tldextract
from numpy.typing import NDArray

from pipeline.schema import topics_of

NONE = "(none)"
TOPIC = "topic"
_DIGITS = re.compile(r"\s*(\d{4})[-/.]?(\d{2})?")
_LENGTHS = (128, 512, 2048, 8192)
_extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # its own copy of the list: no network


@dataclass(frozen=True)
class Slicer:
    """One way to slice; see `SLICES`."""

    by: str

    @property
    def column(self) -> str:
        """Which column of the tags it is made from."""
        return SLICES[self.by].column

    def of(self, batch: pa.RecordBatch) -> tuple[list[str], NDArray[np.int64]]:
        """Names of the slices in a batch of tags, and which of them each row is in: int64, shape (rows,).

        Each distinct value is looked at once: of a million rows few have a host of their own.
        """
        slicing = SLICES[self.by]
        encoded = batch.column(slicing.column).dictionary_encode()
        values = [slicing.name(value) for value in encoded.dictionary.to_pylist()]
        if encoded.indices.null_count:
            values.append(slicing.name(None))
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


class Slicing(NamedTuple):
    """The column of TAGS that slices are made from, how a value's slice is called, and what one and several of them
    are, in words."""

    column: str
    name: Callable[[Any], str]
    title: str
    titles: str


SLICES: dict[str, Slicing] = {
    "host": Slicing("host", _given, "host", "hosts"),
    "domain": Slicing("host", _domain, "registered domain", "registered domains"),
    "tld": Slicing("host", _top, "top-level domain", "top-level domains"),
    TOPIC: Slicing("topic", _given, "topic", "topics"),
    "year": Slicing("date", _year, "year", "years"),
    "month": Slicing("date", _month, "month", "months"),
    "lang": Slicing("lang", _given, "language", "languages"),
    "source": Slicing("source", _given, "source", "sources"),
    "length": Slicing("words", _length, "length", "lengths"),
}
"""All that a population is sliced by. Domains are those that can be registered, by the public suffix list; dates are as
given, ISO 8601 or its digits alone; topics are those of the scan's model of topics, and tags without one have none."""


def slices_of(model: Mapping[str, Any]) -> list[str]:
    """The keys of `SLICES` that tags can be sliced by whose metadata describe the model so."""
    return [by for by in SLICES if by != TOPIC or topics_of(model)]


def check_slices(wanted: Iterable[str], model: Mapping[str, Any], where: str) -> None:
    """Raises `ValueError` that begins with ``where`` if tags of the model lack what one of ``wanted`` is made from."""
    if not set(wanted) <= set(slices_of(model)):
        raise ValueError(f"{where}: the tags have no topics; scan again with --topics MODEL, or leave topic out")
