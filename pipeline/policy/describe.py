"""What rules ask and do, in words, and what a document answers: for people who want to know why.

Knows policies and tags; decides nothing.
"""

from __future__ import annotations

import numpy as np

from pipeline.policy.actions import Action, ControlTokens, Drop, Evidence, Excise, Keep, KeepShare, Mask
from pipeline.policy.conditions import (
    All,
    AnyOf,
    Condition,
    Dated,
    InMode,
    Measure,
    Not,
    OneOf,
    OnHost,
    Scored,
    Sized,
)
from pipeline.policy.tag_columns import TagColumns
from pipeline.schema import MODES

_SHOWN = 4


def describe_action(action: Action) -> str:
    """What a rule does."""
    match action:
        case Keep():
            return "keep"
        case Drop(reason, replace):
            return f"drop: {reason}" + (" (a kept one like it takes its place)" if replace else "")
        case KeepShare(share):
            return f"keep a share of {share:g}"
        case Mask(evidence):
            return f"mask {describe_evidence(evidence)}"
        case Excise(evidence, marker):
            return f"cut out {describe_evidence(evidence)}" + (f", put {marker!r}" if marker else "")
        case ControlTokens(before, after, unmarked, evidence):
            what = "the document" if evidence is None else describe_evidence(evidence)
            left = f", a share of {unmarked:g} left unmarked" if unmarked else ""
            return f"put {before!r}{f' and {after!r}' if after else ''} around {what}{left}"


def describe_evidence(evidence: Evidence) -> str:
    """Which spans."""
    return f"spans of {', '.join(evidence.labels)}" + (f" from {evidence.at_least:g} on" if evidence.at_least else "")


def describe(condition: Condition) -> str:
    """What a condition asks."""
    match condition:
        case Scored(measure, least, below):
            return _bounds(describe_measure(measure), least, below)
        case Sized(column, least, below):
            return _bounds(column, least, below)
        case Dated(since, before):
            return _bounds("date", since, before)
        case OneOf(column, values):
            return f"{column} is {_some(values)}"
        case InMode(modes):
            return f"mode is {_some(modes)}"
        case OnHost(names):
            return f"host is {_some(names)}, or below"
        case Not(inner):
            return f"not ({describe(inner)})"
        case All(inner):
            return " and ".join(map(describe, inner)) or "every document"
        case AnyOf(inner):
            return " or ".join(f"({describe(one)})" for one in inner)
    return repr(condition)


def describe_measure(measure: Measure) -> str:
    """The measure as policies name it."""
    rate = f" at a base rate of {measure.base_rate:g}" if measure.base_rate is not None else ""
    return f"{measure.kind}.{measure.label}{rate}"


def answer(condition: Condition, tags: TagColumns) -> str:
    """What the one document in a batch says to a condition that is not made of others."""
    match condition:
        case Scored(measure):
            return _number(float(measure.of(tags)[0]))
        case Sized(column):
            return _number(float(tags.numbers(column)[0]))
        case Dated():
            return str(tags.tags.column("date")[0].as_py())
        case OneOf(column):
            return str(tags.tags.column(column)[0].as_py())
        case InMode():
            mode = int(tags.modes()[0])
            return MODES[mode] if mode >= 0 else "none: no score"
        case OnHost():
            return str(tags.tags.column("host")[0].as_py())
    return ""


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.6g}"


def _bounds(name: str, least: float | None, below: float | None) -> str:
    low = "" if least is None else f"{least:.9g} <= "
    return f"{low}{name}" + ("" if below is None else f" < {below:.9g}")


def _some(values: tuple[str, ...]) -> str:
    more = f" or {len(values) - _SHOWN} others" if len(values) > _SHOWN else ""
    return " or ".join(values[:_SHOWN]) + more
