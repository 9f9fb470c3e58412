"""Second stage: fastText's 32-bit hash of each word, and the 64-bit key under which the word table knows it."""

from __future__ import annotations

from typing import Any

from numba import int8, int32, uint32, uint64

from classifiers.kernel.loads import load64
from classifiers.kernel.stage import stage

FNV_START = 2166136261
FNV_PRIME = 16777619
FNV64_START = 14695981039346656037
FNV64_PRIME = 1099511628211
EOS_PREFIX = int.from_bytes(b"</s>", "little")
LABEL_PREFIX = int.from_bytes(b"__label_", "little")
EACH_BYTE = 0x0101010101010101


@stage
def load_prefixes(data: Any, limit: Any, edges: Any, n: Any, prefix: Any, length: Any, long_words: Any) -> Any:
    """The first 8 bytes of each word, zeros behind; returns (words over 8 bytes, whether any is special)."""
    n_long, special = 0, 0
    for t in range(n):
        start = edges[2 * t]
        size = edges[2 * t + 1] - start
        if start < 0:
            value = uint64(EOS_PREFIX)
        elif start + 8 <= limit:
            value = load64(data, start) & (~uint64(0) >> uint64(64 - 8 * min(size, 8)))
        else:
            value = uint64(0)
            for k in range(min(size, 8)):
                value |= uint64(data[start + k]) << uint64(8 * k)
        prefix[t] = value
        length[t] = int32(min(size, 2147483647))
        special |= ((value == uint64(EOS_PREFIX)) & (start >= 0)) | (value == uint64(LABEL_PREFIX))
        long_words[n_long] = t
        n_long += size > 8
    return n_long, special


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
def hash_prefixes(n: Any, prefix: Any, length: Any, hashes: Any) -> None:
    """FNV-1a of up to 8 bytes, without a branch, so that the compiler hashes many words at once.

    fastText extends each byte's sign before the exclusive or (`Dictionary::hash`).
    """
    for t in range(n):
        value, size = prefix[t], length[t]
        h = uint32(FNV_START)
        for k in range(8):
            byte = uint32(int32(int8(value >> uint64(8 * k))))
            h = uint32((h ^ byte) * uint32(FNV_PRIME)) if size > k else h
        hashes[t] = h


@stage
def hash_rest(
    data: Any, edges: Any, n_long: Any, long_words: Any, hashes: Any, keys: Any, plain_words: Any
) -> None:  # fmt: skip
    """Finish the hash of words over 8 bytes, and mix all their bytes into a 64-bit key.

    With ``plain_words`` capitals count as small letters, as `lower_prefixes` has them.
    """
    for j in range(n_long):
        t = long_words[j]
        h, key = hashes[t], (keys[t] ^ uint64(FNV64_START)) * uint64(FNV64_PRIME)
        if plain_words:  # constants, so that the compiler leaves the test out where no letter is a capital
            h, key = _hash_on(data, edges[2 * t] + 8, edges[2 * t + 1], h, key, uint64(26))
        else:
            h, key = _hash_on(data, edges[2 * t] + 8, edges[2 * t + 1], h, key, uint64(0))
        hashes[t] = h
        keys[t] = finish_key(key, edges[2 * t + 1] - edges[2 * t])


@stage
def _hash_on(data: Any, start: Any, stop: Any, h: Any, key: Any, capitals: Any) -> Any:
    """Hash and key with some more bytes; the first ``capitals`` letters from A on count as small letters."""
    for i in range(start, stop):
        byte = uint64(data[i])
        byte |= uint64(byte - uint64(ord("A")) < capitals) << uint64(5)
        h = uint32((h ^ uint32(int32(int8(byte)))) * uint32(FNV_PRIME))
        key = (key ^ byte) * uint64(FNV64_PRIME)
    return h, key


@stage
def finish_key(key: Any, size: Any) -> Any:
    """Spread the last bytes over the whole key."""
    key ^= uint64(size) << uint64(32)
    key ^= key >> uint64(29)
    return key * uint64(0xBF58476D1CE4E5B9)


@stage
def hash_bytes(data: Any, start: Any, stop: Any) -> Any:
    """fastText's hash of a stretch of bytes (for subwords and for building tables)."""
    h = uint32(FNV_START)
    for i in range(start, stop):
        h = uint32((h ^ uint32(int32(int8(data[i])))) * uint32(FNV_PRIME))
    return h


def word_keys(data: Any, limit: Any, edges: Any, keys: Any, lengths: Any, hashes: Any, long_words: Any) -> None:
    """Fill ``keys`` (uint64) with the keys of words given by their edges; the other arrays are work space."""
    n_long, _ = load_prefixes(data, limit, edges, keys.size, keys, lengths, long_words)
    hash_prefixes(keys.size, keys, lengths, hashes)
    hash_rest(data, edges, n_long, long_words, hashes, keys, False)
