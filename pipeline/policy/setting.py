"""A value of a TOML file with the place where it stands: takes what it should be, and says where it is not.

Knows files and types; nothing of policies.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.policy.toml_lines import Path, lines_of


class PolicyError(ValueError):
    """A policy that cannot be used; the message names file and line, and says what to do."""


@dataclass(frozen=True)
class Setting:
    """``value`` as tomllib gives it, at ``path`` of ``file``."""

    file: str
    value: Any
    path: Path
    lines: Mapping[Path, int]

    @property
    def where(self) -> str:
        """File and line."""
        known = next((self.path[:n] for n in range(len(self.path), 0, -1) if self.path[:n] in self.lines), None)
        return f"{self.file}:{self.lines[known] if known else 1}"

    def error(self, message: str) -> PolicyError:
        """The error to raise about this value."""
        return PolicyError(f"{self.where}: {_dotted(self.path)}{': ' if self.path else ''}{message}")

    def table(self, *known: str) -> dict[str, Setting]:
        """The values of a table by key; raises `PolicyError` for a key that is not ``known`` (none given: any is)."""
        if not isinstance(self.value, dict):
            raise self.error(f"{_kind(self.value)}, where a table is wanted{_such_as(known)}")
        found = {key: self._at(key, value) for key, value in self.value.items()}
        for key, setting in found.items():
            if known and key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                raise setting.error(f"no such setting; {hint}")
        return found

    def array(self) -> Iterator[Setting]:
        """The elements of an array."""
        if not isinstance(self.value, list):
            raise self.error(f"{_kind(self.value)}, where an array is wanted")
        return (self._at(i, value) for i, value in enumerate(self.value))

    def text(self, *choices: str) -> str:
        """A string that is not empty, one of ``choices`` if there are some."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error(f"{_kind(self.value)}, where a text is wanted that is not empty")
        if choices and self.value not in choices:
            raise self.error(f"{self.value!r} is none of {', '.join(choices)}")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """One string, or an array of them."""
        if isinstance(self.value, str):
            return (self.text(),)
        found = tuple(one.text() for one in self.array())
        if not found:
            raise self.error("an empty array; name at least one, or leave the setting out")
        return found

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number between two bounds, both included."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            raise self.error(f"{_kind(self.value)}, where a number is wanted")
        if not low <= self.value <= high:
            raise self.error(f"{self.value} is not between {low:g} and {high:g}")
        return float(self.value)

    def integer(self) -> int:
        """A whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.error(f"{_kind(self.value)}, where a whole number is wanted")
        return self.value

    def truth(self) -> bool:
        """``true`` or ``false``."""
        if not isinstance(self.value, bool):
            raise self.error(f"{_kind(self.value)}, where true or false is wanted")
        return self.value

    def read_file(self) -> tuple[str, bytes]:
        """The URL and content of the file that the value names, from the policy's own folder on."""
        name = self.text()
        folder = os.path.dirname(self.file) if storage.is_local(self.file) else self.file.rpartition("/")[0]
        url = name if "://" in name or os.path.isabs(name) or not folder else storage.join(folder, name)
        try:
            return url, storage.read_bytes(url)
        except OSError as error:
            raise self.error(f"{url} cannot be read ({error}); paths begin at the policy's folder") from error

    def _at(self, key: str | int, value: Any) -> Setting:
        return Setting(self.file, value, (*self.path, key), self.lines)


def read_text(file: str) -> str:
    """The content of a TOML file (path or fsspec URL). Raises `PolicyError` if there is none."""
    try:
        return storage.read_bytes(file).decode()
    except OSError as error:
        raise PolicyError(f"{file}: {error.strerror or error}; name a policy, a TOML file") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{file}: not UTF-8 ({error}); a policy is a TOML file") from error


def parse_toml(text: str, file: str) -> Setting:
    """The whole of a TOML text; ``file`` is its name in errors. Raises `PolicyError` if it is none."""
    text = text.replace("\r\n", "\n")
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        line = (found[1] if found else None) or text.count("\n") + 1
        raise PolicyError(
            f"{file}:{line}: not valid TOML: {str(error)[: found.start()] if found else error}"
        ) from error
    return Setting(file, value, (), lines_of(text))


def _dotted(path: Path) -> str:
    parts = (f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f"the text {value!r}"
        case dict():
            return "a table"
        case list():
            return "an array"
    return f"{value}"


def _such_as(known: tuple[str, ...]) -> str:
    return f" of {', '.join(known)}" if known else ""
