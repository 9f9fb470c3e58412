"""Which labelled documents training never sees: whole sources, drawn once by the digest of their name.

Texts written for this project have no independent source; they are drawn by pair, so that a minimal pair stays
together.
"""

from __future__ import annotations

import hashlib

SHARE = 0.2
SALT = "tropescan held-out 1"


def is_held_out(group: str) -> bool:
    """Whether a group (a source, or a pair or passage of the seed) is kept for evaluation."""
    number = int.from_bytes(hashlib.sha256(f"{SALT}/{group}".encode()).digest()[:8], "big")
    return number < SHARE * 2**64
