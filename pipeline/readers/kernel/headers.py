"""Finds fields and texts of WARC records whose headers are like those of others, many records in one call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types, uint8
from numba.core import cgutils
from numpy.typing import NDArray

from pipeline.compiled.stage import machine_operation, stage

ID, URL, DATE, LANG, LENGTH, TEXT = range(6)
NO_FIELD, WHOLE_LINE = -1, -2
"""What a line holds that is none of the fields: what is not wanted, or what must be as it is."""
_RETURN, _NEWLINE, _ZERO = ord("\r"), ord("\n"), ord("0")


class Layouts(NamedTuple):
    """Headers that are known, line by line.

    ``starts`` uint8: how each line begins (a whole one with its newline), one after the other, and ``start_ends`` int64
    (lines + 1,) where; ``fields`` int64 (lines,): what follows; ``lines`` int64 (layouts + 1,): which are whose.
    """

    starts: NDArray[np.uint8]
    start_ends: NDArray[np.int64]
    fields: NDArray[np.int64]
    lines: NDArray[np.int64]


def find_fields(data: Any, places: Any, layouts: Layouts, blank: Any, most: Any, found: Any) -> Any:
    """How many records from the first on are alike: with a known header, in ASCII, whose Content-Length is that of the
    block, of up to ``most`` bytes with one that is not ``blank`` (bool, 256), and no byte order mark.

    Record ``i`` is ``data[places[i]:places[i + 1]]``; ``found`` int64 (records, 6, 2) gets start and stop of each
    field in ``data``, without white space around it (and `URL` without brackets), and of the block as `TEXT`; both are
    0 for a field that is not there.
    """
    layout, n_layouts = 0, layouts.lines.size - 1
    for i in range(places.size - 1):
        tried = 0
        while not _is_alike(data, places[i], places[i + 1], layouts, layout, blank, most, found[i]):
            layout, tried = (layout + 1) % n_layouts, tried + 1
            if tried == n_layouts:
                return i
    return places.size - 1


@stage
def _is_alike(
    data: Any, start: Any, stop: Any, layouts: Layouts, layout: Any, blank: Any, most: Any, fields: Any
) -> Any:  # fmt: skip
    fields[:] = 0
    at, end = start, stop - 4
    for line in range(layouts.lines[layout], layouts.lines[layout + 1]):
        at = _after_line(data, at, end, layouts, line, fields)
        if at < 0:
            return False
    if at + 2 > end or data[at] != _RETURN or data[at + 1] != _NEWLINE:
        return False
    at += 2
    fields[TEXT, 0], fields[TEXT, 1] = at, end
    return (
        at < end <= at + most
        and data[end] == data[end + 2] == _RETURN
        and data[end + 1] == data[end + 3] == _NEWLINE
        and _number(data, fields[LENGTH, 0], fields[LENGTH, 1]) == end - at
        and not (end - at > 2 and data[at] == 0xEF and data[at + 1] == 0xBB and data[at + 2] == 0xBF)
        and not _is_blank(data, at, end, blank)
    )


@stage
def _after_line(data: Any, at: Any, end: Any, layouts: Layouts, line: Any, fields: Any) -> Any:
    """Where the next line begins, and the line's field found; -1 if it is another line."""
    start, stop, field = layouts.start_ends[line], layouts.start_ends[line + 1], layouts.fields[line]
    if at + stop - start > end:
        return -1
    differs = uint8(0)
    for k in range(stop - start):
        differs |= data[at + k] ^ layouts.starts[start + k]
    at += stop - start
    if differs or field == WHOLE_LINE:
        return -1 if differs else at
    newline = _newline(data, at, end)
    if newline < 0 or data[newline - 1] != _RETURN:
        return -1
    if field >= 0:
        _note_value(data, at, newline - 1, field == URL, fields[field])
    return newline + 1


@stage
def _newline(data: Any, at: Any, end: Any) -> Any:
    """Where the next newline stands; -1 if none does, or a byte before it that is not ASCII."""
    while at < end and data[at] != _NEWLINE:
        if data[at] >= 0x80:
            return -1
        at += 1
    return at if at < end else -1


@stage
def _note_value(data: Any, start: Any, stop: Any, brackets: Any, span: Any) -> None:
    """Where a value stands without white space around it, and without brackets then: as `str.strip` does in ASCII."""
    while start < stop and _is_space(data[start]):
        start += 1
    while start < stop and _is_space(data[stop - 1]):
        stop -= 1
    while brackets and start < stop and _is_bracket(data[start]):
        start += 1
    while brackets and start < stop and _is_bracket(data[stop - 1]):
        stop -= 1
    span[0], span[1] = start, stop


@stage
def _is_space(byte: Any) -> Any:
    return byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31


@stage
def _is_bracket(byte: Any) -> Any:
    return byte in (60, 62)


@stage
def _number(data: Any, start: Any, stop: Any) -> Any:
    """A number as it is written in decimal; -1 for anything else."""
    if not 0 < stop - start < 16 or (data[start] == _ZERO and stop - start > 1):
        return -1
    number = 0
    for at in range(start, stop):
        digit = int(data[at]) - _ZERO
        if not 0 <= digit <= 9:
            return -1
        number = 10 * number + digit
    return number


@stage
def _is_blank(data: Any, start: Any, stop: Any, blank: Any) -> Any:
    while start < stop and blank[data[start]]:
        start += 1
    return start == stop


@machine_operation
def copy(_context: Any, target: Any, at: Any, source: Any, start: Any, size: Any) -> Any:
    """Copy ``size`` bytes of ``source[start:]`` to ``target[at:]``, as C's memcpy; the caller keeps within both."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, at, source, start, size = arguments
        target = context.make_array(signature.args[0])(context, builder, to)
        origin = context.make_array(signature.args[2])(context, builder, source)
        cgutils.raw_memcpy(builder, builder.gep(target.data, [at]), builder.gep(origin.data, [start]), size, 1)
        return context.get_dummy_value()

    return types.void(target, at, source, start, size), generate


def gather(data: Any, found: Any, field: Any, gathered: Any, ends: Any) -> None:
    """Copy one field of all records of ``found`` (see `find_fields`), one after the other, into ``gathered`` (uint8);
    ``ends`` int64 (records + 1,) gets where each ends, after a 0."""
    end = 0
    ends[0] = 0
    for i in range(found.shape[0]):
        start = found[i, field, 0]
        size = found[i, field, 1] - start
        copy(gathered, end, data, start, size)
        end += size
        ends[i + 1] = end
