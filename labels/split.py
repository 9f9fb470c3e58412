"""Which texts training never sees: whole sources, drawn once by the digest of their name; near-duplicates stay apart.

A text without a source is drawn by its own digest. Texts written for this project have no independent source either;
they are drawn by pair, so that a minimal pair stays together. Knows no store and no model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from labels.near_duplicates import NearIndex, Signature

SHARE = 0.2
SALT = "tropescan held-out 1"
TRAIN, EVALUATION, NEITHER = "train", "evaluation", "neither"
"""``neither``: nearly the same text as one on the other side."""


def is_held_out(group: str) -> bool:
    """Whether a group (a source, or a pair or passage of the seed) is kept for evaluation."""
    number = int.from_bytes(hashlib.sha256(f"{SALT}/{group}".encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return number < SHARE * 2**64


def group_of(source: str, sha256: str, *, synthetic: bool = False, pair: str | None = None) -> str:
    """What must not be divided: the source; the text where there is none; the pair or passage of the seed."""
    if synthetic:
        return pair or sha256
    return source or sha256


def choose_splits(
    groups: Sequence[str],
    signatures: Sequence[Signature | None],
    known: Iterable[tuple[str, Signature | None]] = (),
) -> list[str]:
    """A split for each new text; ``known`` are the splits of those before, which stay.

    Evaluation texts go first: of two near-duplicates among the new ones it is the training text that drops out.
    A signature that is None (no text at hand) is near to nothing.
    """
    index, sides = NearIndex(), list[str]()
    for split, signature in known:
        _enter(index, sides, split, signature)
    chosen = [""] * len(groups)
    for k in _evaluation_first(groups):
        wish = EVALUATION if is_held_out(groups[k]) else TRAIN
        opposite = TRAIN if wish == EVALUATION else EVALUATION
        signature = signatures[k]
        near = index.near(signature) if signature is not None else []
        chosen[k] = NEITHER if any(sides[other] == opposite for other in near) else wish
        _enter(index, sides, chosen[k], signature)
    return chosen


def _enter(index: NearIndex, sides: list[str], split: str, signature: Signature | None) -> None:
    if signature is not None and split != NEITHER:
        index.add(len(sides), signature)
        sides.append(split)


def _evaluation_first(groups: Sequence[str]) -> Iterator[int]:
    yield from sorted(range(len(groups)), key=lambda k: not is_held_out(groups[k]))
