"""Memory that the C library gives back to the system, or keeps."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h."""
_KEPT = 64 << 20
_ORDINARY = 32 << 20


@cache
def keep_freed_memory() -> None:
    """Let this process keep up to 64 MB that it has freed, so that the next batch does not have to ask for it again:
    the system hands memory out a page at a time, filled with zeros. Pieces of over 32 MB are given back as before.
    Without effect where the C library is another than glibc."""
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, _ORDINARY)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
