"""Differences between slices of one audit: of each date from the one before, of those that are named. Composes tests.

What is melded of a slice is large: it is kept for as long as a pair waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.prevalence.compare import Difference, adjusted
from pipeline.prevalence.figure import Figure
from pipeline.prevalence.sample import Share

Plain = dict[str, Any]
Key = tuple[str, str]
"""Label and unit."""
Pair = tuple[str, str]
"""Two slices: the difference is the first's rate minus the second's."""


def dated_pairs(names: Iterable[str]) -> list[Pair]:
    """Each date with the one before it in the list, and the last with the first; what is no date stays out."""
    dates = sorted(name for name in names if not name.startswith("("))
    found = [(later, earlier) for earlier, later in pairwise(dates)]
    return [*found, (dates[-1], dates[0])] if len(dates) > 2 else found


class Differences:
    """Takes slices one by one. The intervals of all pairs hold at once, for each label and unit."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = list(dict.fromkeys(pairs))
        self._found: dict[Pair, dict[Key, Difference]] = {}
        self._kept: dict[str, tuple[Mapping[Key, Share], Mapping[Key, Figure]]] = {}

    def add(self, name: str, shares: Mapping[Key, Share], figures: Mapping[Key, Figure]) -> None:
        """A slice: what is melded of it, with chances of its own, and the figures that are printed of that."""
        self._kept[name] = shares, figures
        for one, other in self._waiting():
            if self._kept.keys() >= {one, other}:
                self._found[one, other] = self._between(one, other)
        needed = {one for pair in self._waiting() for one in pair}
        self._kept = {one: kept for one, kept in self._kept.items() if one in needed}

    def _waiting(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair not in self._found]

    def _between(self, one: str, other: str) -> dict[Key, Difference]:
        (first, of_first), (second, of_second) = self._kept[one], self._kept[other]
        return {
            key: Difference.between(
                first[key], second[key], few=of_first[key].too_few_labels or of_second[key].too_few_labels,
                tests=len(self.pairs),
            )
            for key in first if key in second
        }  # fmt: skip

    def rows(self, keys: Sequence[Key]) -> list[Plain]:
        """Of each pair the slice, the one that it is held against, and by label and unit the difference, or None, with
        its p-value, plain and adjusted for the number of pairs."""
        held: dict[Pair, dict[Key, Plain | None]] = {pair: dict.fromkeys(keys) for pair in self.pairs}
        for key in keys:
            known = [pair for pair in self.pairs if key in self._found[pair]]
            p_values = np.array([self._found[pair][key].p_value for pair in known])
            for pair, value in zip(known, adjusted(p_values), strict=True):
                held[pair][key] = self._found[pair][key].as_json() | {"p_adjusted": float(value)}
        return [{"slice": one, "against": other, "differences": nested(by)} for (one, other), by in held.items()]


def nested(by_key: Mapping[Key, Plain | None]) -> dict[str, dict[str, Plain | None]]:
    """By label, then by unit."""
    found: dict[str, dict[str, Plain | None]] = {}
    for (label, unit), one in by_key.items():
        found.setdefault(label, {})[unit] = one
    return found
