"""JSON lines of many megabytes: their long strings taken out, and decoded a stretch at a time.

A parser returns a text as a Python string, of up to four bytes a character, beside the line and its own copy: six times
the text's size. This way the text takes the place of its literal, and no more.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.readers.json_values import loads

LARGE_LINE = 32 << 20
LONG_STRING = 8 << 20
STRETCH = 1 << 20
_ESCAPE = len(rb"\u0000")


class Shortened(NamedTuple):
    """A line in which placeholders stand for its long strings, and where those stand in the whole line."""

    line: bytes | bytearray
    strings: dict[str, tuple[int, int]]


def shorten(line: bytes | bytearray) -> Shortened:
    """A line as it is, or, if it is large, without its long strings."""
    if len(line) <= LARGE_LINE:
        return Shortened(line, {})
    parts: list[bytes | bytearray] = []
    strings: dict[str, tuple[int, int]] = {}
    done = at = 0
    while (start := line.find(b'"', at) + 1) > 0 and (end := _closing_quote(line, start)) >= 0:
        at = end + 1
        if end - start > LONG_STRING:
            name = f"\0{len(strings)}\0"
            strings[name] = (start, end)
            parts += [line[done:start], b"\\u0000%d\\u0000" % (len(strings) - 1)]
            done = end
    return Shortened(b"".join([*parts, line[done:]]), strings)


def decode_strings(line: bytes | bytearray, places: dict[str, tuple[int, int]]) -> dict[str, memoryview]:
    """`decode_string` of several strings of one line, by their names."""
    if not places:
        return {}
    room = line if isinstance(line, bytearray) else bytearray(line)
    return {name: decode_string(room, *place) for name, place in places.items()}


def decode_string(line: bytearray, start: int, end: int) -> memoryview:
    """The string whose JSON literal stands between two places (quotes left out), in UTF-8: written over its literal,
    which is never shorter. Raises `ValueError` if that is none."""
    begin = at = start
    while start < end:
        stop = _cut(line, start, min(start + STRETCH, end)) if end - start > STRETCH else end
        decoded = loads(b'"%s"' % line[start:stop]).encode()
        line[at : at + len(decoded)] = decoded
        at, start = at + len(decoded), stop
    return memoryview(line)[begin:at]


def _closing_quote(line: bytes | bytearray, start: int) -> int:
    """Place of the quote that ends a literal; -1 if there is none."""
    end = line.find(b'"', start)
    while end >= 0 and _backslashes(line, start, end) % 2:
        end = line.find(b'"', end + 1)
    return end


def _backslashes(line: bytes | bytearray, start: int, end: int) -> int:
    """How many stand in a row before ``end``."""
    at = end
    while at > start and line[at - 1] == ord("\\"):
        at -= 1
    return end - at


def _cut(line: bytes | bytearray, start: int, stop: int) -> int:
    """The last place up to ``stop`` that splits no character and no escape, nor a pair of escapes for one character."""
    while line[stop] & 0xC0 == 0x80:
        stop -= 1
    escape = line.rfind(b"\\", max(start, stop - _ESCAPE + 1), stop)
    if escape >= 0:
        escape -= (_backslashes(line, start, escape + 1) - 1) % 2
        stop = escape if escape + (_ESCAPE if line[escape + 1] == ord("u") else 2) > stop else stop
    low = line[stop : stop + 4].lower()
    if low.startswith((rb"\udc", rb"\udd", rb"\ude", rb"\udf")) and stop - _ESCAPE > start:
        stop -= _ESCAPE
    return stop
