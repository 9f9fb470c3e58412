"""What a corpus should become: goals for labels, marginals that are held, bounds of the weights. Read from TOML.

Everything is checked here, before a byte of tags is read. Knows numbers and names; nothing of tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pipeline.policy.setting import PolicyError, Setting, parse_toml, read_text
from pipeline.prevalence.slices import SLICES, TOPIC

Unit = Literal["words", "documents"]
Count = Literal["flag", "probability"]
ALL = "all"
TOTAL = "total"
_MOST_TOP = 5_000


_CHOICES = {"count": Count, "unit": Unit}
_BOUNDS = {"cap": (1.0,), "floor": (0.0, 1.0)}


class GoalsError(PolicyError):
    """Goals that make no sense; the message says which, and what to do."""


@dataclass(frozen=True)
class Goal:
    """Bounds of what a label holds, or, where ``label`` is "", a ``topic``. ``per`` None: in multiples of what it holds
    today; "all": as a share of the corpus; a label: as its ratio to what that one holds."""

    label: str
    per: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    topic: str = ""

    @property
    def name(self) -> str:
        """What it bounds, in words."""
        return self.label or f"topic {self.topic}"

    def in_words(self) -> str:
        """Such as "adverse at most 0.1 × today's"."""
        bounds = [f"at least {self.at_least:g}"] if self.at_least is not None else []
        bounds += [f"at most {self.at_most:g}"] if self.at_most is not None else []
        of = {None: "× today's", ALL: "of all"}.get(self.per, f"to one of {self.per}")
        return f"{self.name} {' and '.join(bounds)} {of}"


@dataclass(frozen=True)
class Goals:
    """``hold`` maps each held marginal (a key of `SLICES`, or "total") to the relative tolerance of each of its
    categories: 0.02 lets each move by 2 % of what it holds today. Without "total" the corpus may grow and shrink.

    ``count`` "flag": a document holds a label whole or not at all, by the label's threshold. "probability": it holds
    the calibrated probability's part of it. ``top``: categories held one by one, the largest; the others as one.
    ``places``: by label, and "topic" with a topic's name, file and line of what names it, for errors.
    """

    goals: tuple[Goal, ...]
    hold: Mapping[str, float] = field(default_factory=lambda: {TOTAL: 0.0})
    thresholds: Mapping[str, float] = field(default_factory=dict)
    cap: float = 10.0
    floor: float = 0.0
    top: int = 50
    count: Count = "flag"
    unit: Unit = "words"
    places: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        _check_entries(self)
        for goal in self.goals:
            _check_goal(goal)

    @property
    def labels(self) -> list[str]:
        """Labels that goals name, each once, in order."""
        named = [name for goal in self.goals for name in (goal.label, goal.per) if name not in (None, ALL)]
        return list(dict.fromkeys(str(name) for name in named if name))

    def at(self, name: str) -> str:
        """The place of a label, or of "topic" with a topic's name, as errors begin; empty for goals of no file."""
        return f"{self.places[name]}: " if name in self.places else ""

    @property
    def marginals(self) -> list[str]:
        """What is held beside the total, in order."""
        return [by for by in self.hold if by != TOTAL]

    @property
    def kinds(self) -> list[str]:
        """Kinds of categories that are counted: those held, and topics where a goal is of one."""
        return list(dict.fromkeys([*self.marginals, *(TOPIC for goal in self.goals if goal.topic)]))


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


def _check_goal(goal: Goal) -> None:
    bounds = [bound for bound in (goal.at_least, goal.at_most) if bound is not None]
    if not bounds:
        raise GoalsError(f"{goal.name}: neither at_least nor at_most is given")
    if not all(0 <= bound < float("inf") for bound in bounds):
        raise GoalsError(f"{goal.name}: bounds are 0 or more and finite")
    if bounds != sorted(bounds):
        raise GoalsError(f"{goal.name}: at_least {goal.at_least:g} is more than at_most {goal.at_most:g}")
    if goal.per == goal.label:
        raise GoalsError(f"{goal.label}: its ratio to itself is 1; name another label or {ALL!r}, or leave per out")


def read_goals(file: str) -> Goals:
    """Goals from a TOML file (path or fsspec URL); see docs/reweighting.md for its entries.

    Raises `PolicyError` naming file and line.
    """
    return goals_of(parse_toml(read_text(file), file))


def goals_of(setting: Setting) -> Goals:
    """Goals from the whole of a parsed TOML file. Raises `PolicyError` naming file and line."""
    given = setting.table("goal", "hold", "thresholds", "cap", "floor", "top", "count", "unit")
    values: dict[str, Any] = {"goals": tuple(map(_goal, given["goal"].array())) if "goal" in given else ()}
    values |= {
        name: {key: one.number(0) for key, one in given[name].table(*known).items()}
        for name, known in (("hold", (TOTAL, *SLICES)), ("thresholds", ())) if name in given
    }  # fmt: skip
    values |= {name: given[name].number(*bounds) for name, bounds in _BOUNDS.items() if name in given}
    values |= {
        name: given[name].text(*get_args(of)) for name, of in (("count", Count), ("unit", Unit)) if name in given
    }
    if "top" in given:
        values["top"] = given["top"].integer()
    try:
        return Goals(**values, places=_places(given))
    except GoalsError as error:
        raise setting.error(str(error)) from error


def _places(given: Mapping[str, Setting]) -> dict[str, str]:
    """Where each label and topic is named first, in goals before thresholds."""
    found = dict(given["thresholds"].table()) if "thresholds" in given else {}
    for goal in reversed(list(given["goal"].array()) if "goal" in given else []):
        named = goal.table()
        found |= {str(named[key].value): named[key] for key in ("per", "label") if key in named}
        found |= {f"topic {named['topic'].value}": named["topic"]} if "topic" in named else {}
    return {name: setting.where for name, setting in found.items()}


def _goal(setting: Setting) -> Goal:
    given = setting.table("label", "topic", "per", "at_least", "at_most")
    if ("label" in given) == ("topic" in given):
        raise setting.error("names both a label and a topic" if "label" in given else "names no label, and no topic")
    names = {name: given[name].text() for name in ("label", "topic", "per") if name in given}
    bounds = {name: given[name].number(0) for name in ("at_least", "at_most") if name in given}
    low, high = bounds.get("at_least"), bounds.get("at_most")
    goal = Goal(names.get("label", ""), names.get("per"), low, high, names.get("topic", ""))
    try:
        _check_goal(goal)
    except GoalsError as error:
        raise setting.error(str(error)) from error
    return goal
