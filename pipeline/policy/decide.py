"""What a policy decides about a batch of tags: a pure function, over whole columns.

Knows policies and TAGS; neither files nor texts.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.keyed_hash import keys
from pipeline.policy.actions import ACTIONS, DROP, KEEP, NAMES, ControlTokens, Drop, KeepShare
from pipeline.policy.policy import Policy, Rule
from pipeline.policy.tag_columns import Bools, TagColumns

DECISIONS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        pa.field("rule", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("draw", pa.float64()),
    ]
)
"""One row for each row of TAGS, in the same order. ``action`` is one of `ACTIONS`; ``rule`` the exemption or rule that
decided, null where none did; ``score`` the first measure that it looks at, null if it looks at none or there is none;
``weight`` how often the document counts (a whole number where weights are repeats), 0 where it is dropped; ``draw`` the
number in [0, 1) from the hash of its id, where one was needed."""


def decide(tags: pa.RecordBatch, policy: Policy) -> pa.RecordBatch:
    """DECISIONS for a batch of TAGS, or for one with the columns that `Policy.columns` names; the tags' metadata say
    what the model's calibration is.

    The same row of tags gets the same decision in any batch and order.
    """
    view = TagColumns(tags)
    found = _Decisions(view, policy)
    undecided = np.ones(len(view), bool)
    for number, rule in enumerate(policy.ordered):
        hit = undecided & takes(rule, view)
        if hit.any():
            found.apply(number, rule, hit)
            undecided &= ~hit
    return found.batch()


def takes(rule: Rule, tags: TagColumns) -> Bools:
    """Which documents a rule takes, if no earlier one does: its condition holds, and there is evidence if it works on
    that."""
    found = rule.when.holds(tags)
    if rule.evidence is not None and found.any():
        found &= tags.has_span(rule.evidence.labels, rule.evidence.at_least)
    return found


class _Decisions:
    """The columns of DECISIONS as they are filled, rule by rule."""

    def __init__(self, tags: TagColumns, policy: Policy) -> None:
        n = len(tags)
        self._tags, self._policy = tags, policy
        self._action = np.full(n, ACTIONS.index(KEEP), np.int8)
        self._rule = np.full(n, -1, np.int32)
        self._weight = np.ones(n)
        self._score, self._draw = np.full(n, np.nan), np.full(n, np.nan)

    def apply(self, number: int, rule: Rule, hit: Bools) -> None:
        """Do what the rule says to the documents that it takes."""
        self._rule[hit] = number
        if rule.measures:
            self._score[hit] = rule.measures[0].of(self._tags)[hit]
        self._action[hit] = ACTIONS.index(NAMES[type(rule.action)])
        self._make_exceptions(rule, hit)
        if rule.weight is not None:
            self._weigh(rule, hit)
        self._weight[hit & (self._action == ACTIONS.index(DROP))] = 0.0

    def _make_exceptions(self, rule: Rule, hit: Bools) -> None:
        """Of a share, the documents whose draw says otherwise."""
        match rule.action:
            case KeepShare(share):
                gone = ~(self._drawn("keep", rule, hit) < share)
                self._action[hit & gone] = ACTIONS.index(DROP)
            case ControlTokens(unmarked=share) if share > 0:
                plain = self._drawn("unmarked", rule, hit) < share
                self._action[hit & plain] = ACTIONS.index(KEEP)
            case _:
                pass

    def _weigh(self, rule: Rule, hit: Bools) -> None:
        assert rule.weight is not None
        weights = np.nan_to_num(rule.weight.of(self._tags), nan=1.0)
        if self._policy.weight_cap is not None:
            weights = np.minimum(weights, self._policy.weight_cap)
        if self._policy.weight_as == "repeat":
            broken = hit & (weights % 1 != 0)
            more = self._drawn("repeat", rule, broken) < weights % 1 if broken.any() else broken
            weights = np.floor(weights) + (broken & more)
        self._weight[hit] = weights[hit]
        self._action[hit & (weights == 0)] = ACTIONS.index(DROP)

    def _drawn(self, purpose: str, rule: Rule, rows: Bools) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Draws of some documents, NaN for the others; draws for other purposes or rules do not depend on them."""
        draws = np.full(len(self._tags), np.nan)
        draws[rows] = keys(self._tags.ids(rows), f"{self._policy.seed}/{purpose}/{rule.name}")
        self._draw[rows] = np.where(np.isnan(self._draw[rows]), draws[rows], self._draw[rows])
        return draws

    def batch(self) -> pa.RecordBatch:
        """The decisions so far."""
        names = pa.array([rule.name for rule in self._policy.ordered], pa.string())
        columns = {
            "row": self._tags.tags.column("row"),
            "id": self._tags.tags.column("id"),
            "action": pa.array(ACTIONS).take(pa.array(self._action)),
            "rule": names.take(pa.array(self._rule, mask=self._rule < 0)),
            "score": pa.array(self._score, mask=np.isnan(self._score)),
            "weight": pa.array(self._weight),
            "draw": pa.array(self._draw, mask=np.isnan(self._draw)),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in DECISIONS.names], schema=DECISIONS)


def replaced(policy: Policy) -> list[str]:
    """Names of the rules whose dropped documents are to be replaced."""
    return [rule.name for rule in policy.rules if isinstance(rule.action, Drop) and rule.action.replace]
