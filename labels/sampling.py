"""Designed draws as formulas: a number for each document that is the same everywhere, and probabilities of inclusion.

Knows numbers only; neither tags nor a store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_HEX_DIGITS = 13
"""52 bits: every such number is a double exactly, in whatever engine computes it."""


def uniform(seed: int, document: str) -> float:
    """A number in [0, 1) that depends on the seed and the document's id alone: SHA-256 of ``seed:id``.

    With it a draw needs no state: any engine, in any order, draws the same documents.
    """
    digest = hashlib.sha256(f"{seed}:{document}".encode("utf-8", "surrogatepass")).hexdigest()
    return int(digest[:_HEX_DIGITS], 16) / float(16**_HEX_DIGITS)


def uniform_sql(seed: int, column: str) -> str:
    """The same as an expression of DuckDB."""
    hexadecimal = f"'0x' || substr(sha256('{int(seed)}:' || {column}), 1, {_HEX_DIGITS})"
    return f"(({hexadecimal})::BIGINT / {16**_HEX_DIGITS}.0::DOUBLE)"


def allocate(n: int, sizes: Mapping[str, int], shares: Mapping[str, float] | None = None) -> dict[str, int]:
    """How many of ``n`` to draw from each stratum: in equal parts, or by ``shares``, never more than there are.

    What a stratum cannot give goes to the others; the sum is ``n`` unless there are fewer documents. A stratum with
    documents gets at least one, or its part of the population could not be estimated: raises `ValueError` if ``n``
    is too small for that.
    """
    present = sorted(name for name, size in sizes.items() if size)
    if n < len(present):
        raise ValueError(f"{n} documents cannot cover {len(present)} strata; draw more, or use fewer strata")
    given = dict.fromkeys(present, 1)
    for _ in range(n - len(present)):
        open_ = [name for name in present if given[name] < sizes[name]]
        if not open_:
            break
        weight = {name: (shares or {}).get(name, 0.0) if shares else 1.0 for name in open_}
        given[min(open_, key=lambda name: ((given[name] + 1) / max(weight[name], 1e-12), name))] += 1
    return given


def stratum_names(cuts: Sequence[float]) -> list[str]:
    """Names of the strata between cut points of a score, from low to high; each holds its lower bound.

    Raises `ValueError` unless the cuts rise and lie inside (0, 1).
    """
    if not cuts or list(cuts) != sorted(set(cuts)) or cuts[0] <= 0 or cuts[-1] >= 1:
        raise ValueError(f"cut points {list(cuts)} must rise and lie between 0 and 1, both excluded")
    edges = ["0", *(f"{cut:g}" for cut in cuts), "1"]
    return [f"{low} to {high}" for low, high in pairwise(edges)]


def pps_scale(n: int, largest: NDArray[np.float64], total: float, count: int) -> float:
    """The factor c for which the probabilities min(1, c * size) sum to ``n`` (Särndal et al. 1992, section 3.6.2).

    ``largest``: the ``n`` largest sizes, falling, float64; ``total`` and ``count`` are of all sizes above 0. Infinite
    if there are no more than ``n`` of them: then all are drawn.
    """
    if count <= n:
        return float("inf")
    rest = total - np.concatenate([[0.0], np.cumsum(largest)[:-1]])
    certain = int(np.argmax((n - np.arange(n)) * largest < rest))
    return float((n - certain) / rest[certain])
