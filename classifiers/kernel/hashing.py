"""Second stage: fastText's 32-bit hash of each word, and the 64-bit key under which the word table knows it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import int8, int32, uint32, uint64
from numpy.typing import NDArray

from classifiers.kernel.loads import load64
from pipeline.compiled.stage import stage

FNV_START = 2166136261
FNV_PRIME = 16777619
EOS_PREFIX = int.from_bytes(b"</s>", "little")
LABEL_PREFIX = int.from_bytes(b"__label_", "little")
EACH_BYTE = 0x0101010101010101


class Parts(NamedTuple):
    """Work space of `hash_rest`, an entry for each word."""

    bytes: NDArray[np.uint64]
    sizes: NDArray[np.int32]
    hashes: NDArray[np.uint32]


def new_parts(n: int) -> Parts:
    """Room for ``n`` words."""
    return Parts(np.zeros(n, np.uint64), np.zeros(n, np.int32), np.zeros(n, np.uint32))


@stage
def load_prefixes(
    data: Any, limit: Any, edges: Any, n: Any, prefix: Any, length: Any, hashes: Any, long_words: Any
) -> Any:  # fmt: skip
    """The first 8 bytes of each word, zeros behind; returns the number of words over 8 bytes."""
    n_long = 0
    for t in range(n):
        start = edges[2 * t]
        size = edges[2 * t + 1] - start
        prefix[t] = _load_part(data, limit, start, size) if start >= 0 else uint64(EOS_PREFIX)
        length[t] = int32(min(size, 2147483647))
        hashes[t] = uint32(FNV_START)
        long_words[n_long] = t
        n_long += size > 8
    return n_long


@stage
def any_special(n: Any, n_ends: Any, prefix: Any) -> Any:
    """Whether a word may be a label or is `</s>` itself, which ``n_ends`` tokens are anyway."""
    labels, ends = 0, 0
    for t in range(n):
        labels += prefix[t] == uint64(LABEL_PREFIX)
        ends += prefix[t] == uint64(EOS_PREFIX)
    return labels > 0 or ends > n_ends


@stage
def _load_part(data: Any, limit: Any, start: Any, size: Any) -> Any:
    """Up to 8 bytes, zeros behind ``size``."""
    if start + 8 <= limit:
        return load64(data, start) & (~uint64(0) >> uint64(64 - 8 * min(size, 8)))
    value = uint64(0)
    for k in range(min(size, 8)):
        value |= uint64(data[start + k]) << uint64(8 * k)
    return value


@stage
def lower_prefixes(n: Any, prefix: Any) -> None:
    """Turn ASCII capitals into small letters, 8 bytes at once; bytes from 0x80 on stay."""
    high, low = uint64(0x80 * EACH_BYTE), uint64(0x7F * EACH_BYTE)
    for t in range(uint64(n)):
        value = prefix[t]
        from_a = (value & low) + uint64((0x80 - ord("A")) * EACH_BYTE)
        after_z = (value & low) + uint64((0x7F - ord("Z")) * EACH_BYTE)
        prefix[t] = value | (((from_a ^ after_z) & ~value & high) >> uint64(2))


@stage
def hash_parts(n: Any, parts: Any, sizes: Any, hashes: Any) -> None:
    """Go on with FNV-1a for up to 8 bytes of each word, without a branch, so that the compiler hashes many words at
    once.

    fastText extends each byte's sign before the exclusive or (`Dictionary::hash`).
    """
    for t in range(n):
        value, size = parts[t], sizes[t]
        h = hashes[t]
        for k in range(8):
            byte = uint32(int32(int8(value >> uint64(8 * k))))
            h = uint32((h ^ byte) * uint32(FNV_PRIME)) if size > k else h
        hashes[t] = h


@stage
def hash_rest(
    plain_words: Any, data: Any, limit: Any, edges: Any, n: Any, words: Any, hashes: Any, keys: Any, room: Any
) -> None:  # fmt: skip
    """Finish the hashes and keys of ``words``, the ``n`` over 8 bytes: 8 more of all of them, then of those that are
    longer still, and so on. ``room`` is a `Parts`."""
    at = 8
    while n > 0:
        for j in range(n):
            start, stop = edges[2 * words[j]] + at, edges[2 * words[j] + 1]
            room.bytes[j] = _load_part(data, limit, start, stop - start)
            room.sizes[j] = int32(min(stop - start, 2147483647))
            room.hashes[j] = hashes[words[j]]
        if plain_words:
            lower_prefixes(n, room.bytes)
        hash_parts(n, room.bytes, room.sizes, room.hashes)
        longer = 0
        for j in range(n):
            t = words[j]
            hashes[t], keys[t] = room.hashes[j], _mixed(keys[t]) ^ room.bytes[j]
            words[longer] = t
            longer += room.sizes[j] > 8
        n, at = longer, at + 8


@stage
def _mixed(key: Any) -> Any:
    """Every bit spread over the whole key (the finaliser of SplitMix64; Steele, Lea and Flood, OOPSLA 2014)."""
    key = (key ^ (key >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> uint64(27))) * uint64(0x94D049BB133111EB)
    return key ^ (key >> uint64(31))


@stage
def hash_bytes(data: Any, start: Any, stop: Any) -> Any:
    """fastText's hash of a stretch of bytes (for subwords and for building tables)."""
    h = uint32(FNV_START)
    for i in range(start, stop):
        h = uint32((h ^ uint32(int32(int8(data[i])))) * uint32(FNV_PRIME))
    return h


def word_keys(
    data: Any, limit: Any, edges: Any, keys: Any, lengths: Any, hashes: Any, long_words: Any, room: Any
) -> None:  # fmt: skip
    """Fill ``keys`` (uint64) with the keys of words given by their edges; the other arrays are work space."""
    n_long = load_prefixes(data, limit, edges, keys.size, keys, lengths, hashes, long_words)
    hash_rest(False, data, limit, edges, n_long, long_words, hashes, keys, room)
