"""Texts that are nearly the same: MinHash signatures of word shingles, and an index of them (datasketch).

Knows texts only. Broder 1997; the index is Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datasketch import MinHash

SHINGLE_WORDS = 5
PERMUTATIONS = 128
NEAR = 0.7
"""Jaccard similarity of shingles, as estimated, from which two texts are nearly the same."""

LONGEST = 2_000_000
"""Code points of a text that its signature is made of: a second of one core."""
_AT_ONCE = 1_000
"""Runs hashed at a time: all of a book at once would take a gigabyte, and be slower."""

Signature = NDArray[np.uint32]
"""Shape (PERMUTATIONS,)."""
_SCHEME = "affine32"
"""Named, because stored signatures must go on meaning the same when the package's default changes."""
_WORD = re.compile(r"\w+")


def shingles(text: str, length: int = SHINGLE_WORDS) -> Iterator[str]:
    """Runs of so many words, in lower case and without punctuation; of a shorter text all its words as one."""
    words = _WORD.findall(text[:LONGEST].casefold())
    for k in range(max(1, len(words) - length + 1)):
        yield " ".join(words[k : k + length])


def signature(text: str, length: int = SHINGLE_WORDS) -> Signature:
    """The MinHash signature of a text's runs of so many words.

    Of a text of more than `LONGEST` code points the first so many speak for it: what goes on alike for as long counts
    as nearly the same.
    """
    sketch = _sketch()
    encoded = (shingle.encode("utf-8", "surrogatepass") for shingle in shingles(text, length))
    for part in _batched(encoded, _AT_ONCE):
        sketch.update_batch(part)
    return np.asarray(sketch.hashvalues, np.uint32)


def _batched(values: Iterable[bytes], n: int) -> Iterator[tuple[bytes, ...]]:
    """Parts of so many (itertools has it from Python 3.12)."""
    left = iter(values)
    return iter(lambda: tuple(islice(left, n)), ())


def similarity(one: Signature, other: Signature) -> float:
    """Estimated Jaccard similarity of two texts' shingles."""
    return float(np.mean(one == other))


def pack(one: Signature) -> bytes:
    """512 bytes, for a database."""
    return one.astype("<u4").tobytes()


def unpack(stored: bytes) -> Signature:
    """The signature that `pack` wrote."""
    return np.frombuffer(stored, "<u4").astype(np.uint32)


class NearIndex:
    """Finds, among signatures entered before, those of nearly the same text, without comparing all pairs."""

    def __init__(self) -> None:
        from datasketch import MinHashLSH

        # A lower threshold than NEAR: the index then misses few, and `near` compares those that it finds.
        self._index = MinHashLSH(threshold=NEAR - 0.15, num_perm=PERMUTATIONS)
        self._known: dict[int, Signature] = {}

    def add(self, key: int, one: Signature) -> None:
        """Enter a signature under a number that is not in use."""
        self._known[key] = one
        self._index.insert(key, _sketch(one), check_duplication=False)

    def near(self, one: Signature) -> list[int]:
        """Numbers of the texts that are nearly the same, sorted."""
        found = self._index.query(_sketch(one))
        return sorted(key for key in found if similarity(one, self._known[key]) >= NEAR)


def nearly_among(texts: Sequence[str], others: Sequence[str]) -> list[bool]:
    """Whether each text is nearly the same as one of the others."""
    index = NearIndex()
    for key, other in enumerate(others):
        index.add(key, signature(other))
    return [bool(index.near(signature(text))) for text in texts]


def _sketch(values: Signature | None = None) -> MinHash:
    from datasketch import MinHash  # here: it loads SciPy, which a page of labels does not need

    return MinHash(num_perm=PERMUTATIONS, hashvalues=values, scheme=_SCHEME)
