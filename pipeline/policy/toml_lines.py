"""On which line of a TOML file each key stands, which tomllib does not say. Knows TOML that tomllib has accepted, and
nothing of what the keys mean."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys and positions in arrays, from the top of the file."""
_TOKEN = re.compile(
    r'''(?P<blank>[ \t\r]+|\#[^\n]*)
    |(?P<newline>\n)
    |(?P<string>"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')
    |(?P<mark>[\[\]{}=.,])
    |(?P<word>[^\s\[\]{}=.,"'\#]+)''',
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def lines_of(text: str) -> dict[Path, int]:
    """Lines from 1 of all keys, tables and elements of arrays of a valid TOML document."""
    return _Scan(text).document()


class _Scan:
    """One walk through the tokens."""

    def __init__(self, text: str) -> None:
        self._tokens: list[_Token] = []
        line = 1
        for found in _TOKEN.finditer(text):
            if found.lastgroup != "blank":
                self._tokens.append(_Token(found.lastgroup or "", found[0], line))
            line += found[0].count("\n")
        self._tokens.append(_Token("end", "", line))
        self._at = 0
        self._tables: Counter[Path] = Counter()
        self._lines: dict[Path, int] = {}

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self._next.kind != "end":
            if self._next.kind == "newline":
                self._take()
            elif self._next.text == "[":
                table = self._header()
            else:
                self._key_and_value(table)
        return self._lines

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _header(self) -> Path:
        self._take()
        of_array = self._next.text == "["
        if of_array:
            self._take()
        path: Path = ()
        parts = self._key()
        for i, (name, line) in enumerate(parts):
            path = (*path, name)
            self._lines.setdefault(path, line)
            if of_array and i == len(parts) - 1:
                self._tables[path] += 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
                self._lines.setdefault(path, line)
        while self._next.text == "]":
            self._take()
        return path

    def _key(self) -> list[tuple[str, int]]:
        parts = []
        while self._next.kind in ("word", "string"):
            token = self._take()
            parts.append((token.text.strip("\"'") if token.kind == "string" else token.text, token.line))
            if self._next.text == ".":
                self._take()
        return parts

    def _key_and_value(self, path: Path) -> None:
        for name, line in self._key():
            path = (*path, name)
            self._lines.setdefault(path, line)
        self._take()  # the sign of equality
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._next.text == "{":
            self._members(path, "}")
        elif self._next.text == "[":
            self._members(path, "]")
        else:
            while self._next.kind not in ("newline", "end") and self._next.text not in (",", "]", "}"):
                self._take()

    def _members(self, path: Path, closing: str) -> None:
        self._take()
        position = 0
        while self._next.text != closing:
            if self._next.kind == "newline" or self._next.text == ",":
                self._take()
            elif closing == "}":
                self._key_and_value(path)
            else:
                self._lines[(*path, position)] = self._next.line
                self._value((*path, position))
                position += 1
        self._take()
