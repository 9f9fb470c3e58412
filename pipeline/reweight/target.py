"""From goals and counted tags to weights, or to what stands in the way of them.

Composes `cells`, `problem`, `balance`, `reach` and `outcome`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.prevalence.slices import TOPIC
from pipeline.reweight.balance import PRECISION, Balanced, Constraints, balance
from pipeline.reweight.cells import Measure, Scored, Table
from pipeline.reweight.goals import ALL, TOTAL, Goal, Goals, GoalsError
from pipeline.reweight.outcome import outcome
from pipeline.reweight.problem import Bound, Problem, problem_of
from pipeline.reweight.reach import nearest
from pipeline.reweight.weights import CategoryFactor, Floats, ScoreFactor, Weights
from pipeline.schema import label_columns, topics_of

REACHED = 1e-6
"""A goal counts as reached if it is missed by no more than this share of its scale."""
_STEPS = np.arange(-8.0, 8.5, 0.5)
"""Log-odds where steps of scores begin if labels are held in part."""
_ROUNDS = 10
_PRESSING = 5
Probability = Callable[[Floats], Floats]


class InfeasibleError(ValueError):
    """No weights reach the goals; the message says which is missed, by how much, and what stands in the way."""


def measure_of(goals: Goals, model: Mapping[str, Any], probabilities: Mapping[str, Probability]) -> Measure:
    """What is to be counted for the goals in tags of a model (its description in their metadata).

    ``probabilities`` maps labels to their calibrations, as far as the model has any. Raises `GoalsError` for labels
    or topics that the model, its calibrations or the tags lack.
    """
    _check_topics(goals, model)
    labels, columns = list(model["labels"]), label_columns(model["labels"])
    for label in (*goals.labels, *goals.thresholds):
        if label not in labels:
            raise GoalsError(f"{goals.at(label)}the tags have no label {label!r}; they have {', '.join(labels[:50])}")
    scored = []
    for label in goals.labels:
        column, edges = columns[labels.index(label)], (threshold_of(label, goals, model),)
        if goals.count == "probability":
            if label not in probabilities:
                raise GoalsError(
                    f'{goals.at(label)}count = "probability": the model has no calibration of {label!r}; use "flag"'
                )
            edges = (-1.0, *(1 / (1 + np.exp(-_STEPS))).tolist())
        scored.append(Scored(label, column, edges, probabilities[label] if goals.count == "probability" else None))
    return Measure(tuple(scored), tuple(goals.kinds), goals.top, goals.unit)


def _check_topics(goals: Goals, model: Mapping[str, Any]) -> None:
    known, named = topics_of(model), [goal for goal in goals.goals if goal.topic]
    if TOPIC in goals.kinds and not known:
        at = goals.at(named[0].name) if named else ""
        raise GoalsError(f"{at}the tags have no topics; scan again with --topics MODEL, or leave topic out")
    if unknown := [goal for goal in named if goal.topic not in known]:
        raise GoalsError(
            f"{goals.at(unknown[0].name)}{unknown[0].topic!r} is no topic of the model that the tags were made with; "
            f"it has {', '.join(known)}"
        )


def threshold_of(label: str, goals: Goals, model: Mapping[str, Any]) -> float:
    """From which score on a document holds a label: by the goals, else by the model for its target, else 0.5."""
    own = model.get("threshold") if label == model.get("target") else None
    return float(goals.thresholds.get(label, 0.5 if own is None else own))


def target(table: Table, goals: Goals, model: str, topic_model: str = "") -> Weights:
    """The least distorting weights that reach the goals on the counted tags; ``model`` is the digest of theirs,
    ``topic_model`` that of the model of their topics.

    Raises `InfeasibleError` if there are none, `ValueError` for tags without words (or documents).
    """
    problem = problem_of(table, goals)
    _check_labels(problem)
    found, constraints, bounds = _solved(problem)
    if found.missed > REACHED:
        raise InfeasibleError(_explained(problem, constraints, bounds))
    scores, categories = _factors(problem, bounds, found.multipliers)
    topics, about = topic_model if TOPIC in table.kinds else "", outcome(problem, found.weights)
    return Weights(scores, categories, goals.floor, goals.cap, model, topics, about)


def _check_labels(problem: Problem) -> None:
    """What nothing holds cannot be raised, and a ratio to it would quietly take away all of the other label."""
    for goal in problem.goals.goals:
        if goal.topic and problem.topic_code(goal) is None:
            raise InfeasibleError(
                f"{goal.in_words()} is wanted, but no document is of that topic, or too few are to be counted by "
                "themselves: raise top, or --cells, or leave the goal out"
            )
        if goal.at_least and not problem.bounded(goal)[1].sum() > 0:
            raise InfeasibleError(
                f"{goal.in_words()} is wanted, but no document in the tags holds {goal.label}: lower its threshold "
                "under [thresholds], or leave the goal out"
            )


def _solved(problem: Problem) -> tuple[Balanced, Constraints, list[Bound]]:
    """Where labels are held in part, a document counts as the mean of its step; the bounds are then moved by the error
    that was made, until the goals hold for the documents' own probabilities."""
    goals, aims = problem.goals, [1.0] * len(problem.goals.goals)
    rounds = 0
    while True:
        constraints, bounds = problem.constraints(aims)
        found = balance(problem.mass, constraints, goals.floor, goals.cap)
        errors = [problem.error(goal, found.weights) for goal in goals.goals]
        wanted = [1 / error for error in errors]
        rounds += 1
        if goals.count == "flag" or found.missed > REACHED or rounds == _ROUNDS:
            return found, constraints, bounds
        if max(abs(want / aim - 1) for want, aim in zip(wanted, aims, strict=True)) < PRECISION:
            return found, constraints, bounds
        aims = wanted


def _factors(
    problem: Problem, bounds: Sequence[Bound], multipliers: Floats
) -> tuple[tuple[ScoreFactor, ...], tuple[CategoryFactor, ...]]:
    """The multipliers as logs of factors; what holds everywhere goes to the first score, or else category."""
    table, everywhere = problem.table, 0.0
    logs = {label: np.zeros(len(shares)) for label, shares in problem.shares.items()}
    margins = {by: np.zeros(len(kind.names) + 1) for by, kind in table.kinds.items()}
    for bound, multiplier in zip(bounds, multipliers.tolist(), strict=True):
        if bound.goal is not None:
            if bound.goal.topic:
                margins[TOPIC][problem.topic_code(bound.goal)] += multiplier
            else:
                logs[bound.goal.label] += multiplier * problem.shares[bound.goal.label]
            if bound.goal.per == ALL:
                everywhere -= multiplier * bound.ratio
            elif bound.goal.per is not None:
                logs[bound.goal.per] -= multiplier * bound.ratio * problem.shares[bound.goal.per]
        elif bound.by == TOTAL:
            everywhere += multiplier
        else:
            margins[bound.by][bound.code] += multiplier
    next(iter((logs | margins).values()))[:] += everywhere
    scores = tuple(ScoreFactor(s.column, s.edges, _logs(logs[s.label])) for s in table.measure.labels)
    kinds = tuple(CategoryFactor(by, kind.buckets, kind.names, _logs(margins[by])) for by, kind in table.kinds.items())
    return scores, kinds


def _logs(found: Floats) -> tuple[float, ...]:
    """To twelve decimals, so that the last bits, which differ between machines, do not make other weights."""
    return tuple(np.round(found, 12).tolist())


def _explained(problem: Problem, constraints: Constraints, bounds: Sequence[Bound]) -> str:
    """Which goals are missed at the nearest weights, by how much, and which held categories press on them."""
    elastic = np.array([i for i, bound in enumerate(bounds) if bound.goal is not None], np.int64)
    near = nearest(problem.mass, constraints, elastic, problem.goals.floor, problem.goals.cap)
    missed = dict.fromkeys(bounds[i].goal for i in elastic if near.missed[i] > REACHED)
    if not missed:
        return (
            "the goals can only just be reached, by weights that all lie at the floor or the cap; "
            "loosen a goal, a tolerance, the floor or the cap a little"
        )
    lines = [_missed(problem, goal, near.weights) for goal in missed if goal is not None]
    pressing = [bounds[i].in_words() for i in near.pressing[:_PRESSING]]
    held = f". What holds them back most: {', '.join(pressing)}" if pressing else ""
    return (
        f"no weights from {problem.goals.floor:g} to {problem.goals.cap:g} reach the goals. At the nearest ones: "
        f"{'; '.join(lines)}{held}. Loosen what is named, move the floor or the cap, or ask for less"
    )


def _missed(problem: Problem, goal: Goal, weights: Floats) -> str:
    reached, (_, held) = problem.value(goal, weights), problem.bounded(goal)
    at_floor, at_cap = (
        float(held[at].sum() / held.sum())
        for at in (weights <= problem.goals.floor * (1 + 1e-6) + 1e-9, weights >= problem.goals.cap * (1 - 1e-6))
    )
    return (
        f"{goal.in_words()} is wanted, {'nothing' if reached is None else format(reached, '.4g')} is reached, with "
        f"{at_floor:.1%} of the {problem.goals.unit} of {goal.name} at the floor and {at_cap:.1%} at the cap"
    )
