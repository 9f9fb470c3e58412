"""A number for each document that is the same on every engine, retry and order of shards: every draw goes by it.

Knows ids only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_BITS = 52
"""Every such number is a double exactly, in whatever engine computes it."""


def keys(ids: Iterable[str], seed: int | str) -> NDArray[np.float64]:
    """Keys in [0, 1), float64, shape (ids,): the first 52 bits of SHA-256 of ``seed:id``.

    The number that every designed draw of the project goes by, and that SQL engines can compute themselves. Draws that
    must not depend on each other take seeds of their own, such as ``7/keep``.
    """
    start = hashlib.sha256(f"{seed}:".encode())
    parts = []
    for one in ids:
        hasher = start.copy()
        hasher.update(one.encode("utf-8", "surrogatepass"))
        parts.append(hasher.digest()[:8])
    return (np.frombuffer(b"".join(parts), ">u8") >> np.uint64(64 - _BITS)).astype(np.float64) / 2.0**_BITS
