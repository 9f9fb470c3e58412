"""What a corpus should become: goals for labels, marginals that are held, bounds of the weights. Read from TOML.

Everything is checked here, before a byte of tags is read. Knows numbers and names; nothing of tags.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pipeline import storage
from pipeline.prevalence.slices import SLICES

Unit = Literal["words", "documents"]
Count = Literal["flag", "probability"]
ALL = "all"
TOTAL = "total"
_MOST_TOP = 5_000


class GoalsError(ValueError):
    """Goals that make no sense; the message names the file and the entry, and says what to do."""


@dataclass(frozen=True)
class Goal:
    """Bounds of what a label holds. ``per`` None: in multiples of what it holds today; "all": as a share of the corpus;
    a label: as its ratio to what that one holds."""

    label: str
    per: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def in_words(self) -> str:
        """Such as "adverse at most 0.1 × today's"."""
        bounds = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        of = {None: "× today's", ALL: "of all"}.get(self.per, f"to one of {self.per}")
        return f"{self.label} {' and '.join(bounds)} {of}"


@dataclass(frozen=True)
class Goals:
    """``hold`` maps each held marginal (a key of `SLICES`, or "total") to the relative tolerance of each of its
    categories: 0.02 lets each move by 2 % of what it holds today. Without "total" the corpus may grow and shrink.

    ``count`` "flag": a document holds a label whole or not at all, by the label's threshold. "probability": it holds
    the calibrated probability's part of it. ``top``: categories held one by one, the largest; the others as one.
    """

    goals: tuple[Goal, ...]
    hold: Mapping[str, float] = field(default_factory=lambda: {TOTAL: 0.0})
    thresholds: Mapping[str, float] = field(default_factory=dict)
    cap: float = 10.0
    floor: float = 0.0
    top: int = 50
    count: Count = "flag"
    unit: Unit = "words"

    def __post_init__(self) -> None:
        _check_entries(self)
        for number, goal in enumerate(self.goals, 1):
            _check_goal(goal, f"goal {number} ({goal.label})")

    @property
    def labels(self) -> list[str]:
        """Labels that goals name, each once, in order."""
        named = [name for goal in self.goals for name in (goal.label, goal.per) if name not in (None, ALL)]
        return list(dict.fromkeys(str(name) for name in named))

    @property
    def marginals(self) -> list[str]:
        """What is held beside the total, in order."""
        return [by for by in self.hold if by != TOTAL]


def _check_entries(goals: Goals) -> None:
    if not goals.goals:
        raise GoalsError('no [[goal]]: name a label and what it should be, as in label = "adverse", at_most = 0.1')
    if goals.unit not in get_args(Unit) or goals.count not in get_args(Count):
        raise GoalsError(f"unit is one of {', '.join(get_args(Unit))}, count one of {', '.join(get_args(Count))}")
    if not 0 <= goals.floor <= 1 <= goals.cap < float("inf"):
        raise GoalsError(
            f"floor {goals.floor:g} and cap {goals.cap:g}: the floor lies in 0 to 1, the cap is at least 1"
        )
    if not 1 <= goals.top <= _MOST_TOP:
        raise GoalsError(f"top is {goals.top}; from 1 to {_MOST_TOP} categories can be held one by one")
    for by, tolerance in goals.hold.items():
        if by not in (*SLICES, TOTAL):
            raise GoalsError(f"[hold] {by}: there is no such marginal; there are {', '.join((TOTAL, *SLICES))}")
        if not 0 <= tolerance < float("inf"):
            raise GoalsError(f"[hold] {by} = {tolerance:g}: a tolerance is 0 or more, as a share of each category")
    for label, threshold in goals.thresholds.items():
        if not 0 < threshold <= 1:
            raise GoalsError(f"[thresholds] {label} = {threshold:g}: a threshold lies in 0 to 1, 0 left out")


def _check_goal(goal: Goal, where: str) -> None:
    bounds = [bound for bound in (goal.at_least, goal.at_most) if bound is not None]
    if not bounds:
        raise GoalsError(f"{where}: neither at_least nor at_most is given")
    if not all(0 <= bound < float("inf") for bound in bounds):
        raise GoalsError(f"{where}: bounds are 0 or more and finite")
    if bounds != sorted(bounds):
        raise GoalsError(f"{where}: at_least {goal.at_least:g} is more than at_most {goal.at_most:g}")
    if goal.per == goal.label:
        raise GoalsError(f'{where}: a label\'s ratio to itself is 1; name another label, "{ALL}", or leave per out')


def read_goals(path: str) -> Goals:
    """Goals from a TOML file (path or fsspec URL); see docs/reweighting.md for its entries.

    Raises `GoalsError` naming file and entry, `OSError` if it cannot be read.
    """
    try:
        return goals_of(tomllib.loads(storage.read_bytes(path).decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GoalsError(f"{path}: not TOML ({error})") from error
    except GoalsError as error:
        raise GoalsError(f"{path}: {error}") from error


def goals_of(content: Mapping[str, Any]) -> Goals:
    """Goals from the parsed TOML."""
    _known(content, ("goal", "hold", "thresholds", "cap", "floor", "top", "count", "unit"), "at the top")
    entries = content.get("goal", [])
    if not isinstance(entries, list):
        raise GoalsError("[goal] is to be written [[goal]], once for each goal")
    values: dict[str, Any] = {"goals": tuple(_goal(entry, f"goal {i}") for i, entry in enumerate(entries, 1))}
    for name in ("hold", "thresholds"):
        if name in content:
            table = _typed(content[name], dict, f"[{name}]", "a table")
            values[name] = {key: _number(value, f"[{name}] {key}") for key, value in table.items()}
    values |= {name: _number(content[name], name) for name in ("cap", "floor") if name in content}
    values |= {name: _typed(content[name], str, name, "a text") for name in ("count", "unit") if name in content}
    if "top" in content:
        values["top"] = _typed(content["top"], int, "top", "a whole number")
    return Goals(**values)


def _goal(entry: Any, where: str) -> Goal:
    entry = _typed(entry, dict, where, "a table")
    _known(entry, ("label", "per", "at_least", "at_most"), where)
    if "label" not in entry:
        raise GoalsError(f"{where}: it names no label")
    names: dict[str, Any] = {
        name: _typed(entry[name], str, f"{where}: {name}", "a text") for name in ("label", "per") if name in entry
    }
    bounds: dict[str, Any] = {
        name: _number(entry[name], f"{where}: {name}") for name in ("at_least", "at_most") if name in entry
    }
    return Goal(**names, **bounds)


def _known(entry: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in entry:
        if name not in names:
            raise GoalsError(f"{where}: there is no entry {name!r}; there are {', '.join(names)}")


def _typed(value: Any, kind: type, where: str, called: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise GoalsError(f"{where}: {value!r} is not {called}")
    return value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise GoalsError(f"{where}: {value!r} is not a number")
    return float(value)
