"""Policies as plain types: for digests, and as JSON from which their rules can be read again.

Knows the dataclasses that a policy is made of, by their names; neither files nor what a policy does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from pipeline.policy import actions, conditions
from pipeline.policy.mixing import MixIn
from pipeline.policy.tokens import Tokenizer
from pipeline.reweight.weights import Weights, weights_of

_KNOWN: tuple[type, ...] = (
    actions.Keep, actions.Drop, actions.KeepShare, actions.Mask, actions.Excise, actions.ControlTokens,
    actions.Evidence, actions.Constant, actions.Curve, actions.FromFile,
    conditions.Measure, conditions.Scored, conditions.Sized, conditions.Dated, conditions.OneOf, conditions.InMode,
    conditions.OnHost, conditions.Not, conditions.All, conditions.AnyOf,
)  # fmt: skip


def plain(value: Any) -> Any:
    """Plain types, with the names of classes: two conditions of one content and unlike meaning differ. Large contents
    are named by their digests."""
    if isinstance(value, Tokenizer | MixIn | Weights):
        return [type(value).__name__, value.digest]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.compare}]
    return [plain(one) for one in value] if isinstance(value, tuple | list) else value


def to_json(policy: Any) -> str:
    """A policy as JSON: its plain form and, by digest, the weights that its rules have from files. Of documents to mix
    in it has number, rate and name only, of a tokenizer the digest."""
    weights = {one.digest: asdict(one) | {"about": {}} for one in _weights_in(policy)}
    content = {"policy": plain(policy), "weights": weights, "mix_in": _mix_in(policy.mix_in)}
    return json.dumps(content, indent=1, default=repr)


def _mix_in(mix_in: MixIn | None) -> dict[str, Any] | None:
    if mix_in is None:
        return None
    return {"name": mix_in.name, "rate": mix_in.rate, "documents": len(mix_in.documents)}


def _weights_in(policy: Any) -> Iterator[Weights]:
    for rule in policy.rules:
        if isinstance(rule.weight, actions.FromFile):
            yield rule.weight.weights


def read_plain(value: Any, weights: Mapping[str, Any], known: Mapping[str, type]) -> Any:
    """What `plain` was made from. ``weights`` have their content by digest; ``known`` are classes by name, beside
    those of actions and conditions.

    Raises `ValueError` naming a class that is none of ours: conditions and weights can be of the user's own making.
    """
    if not isinstance(value, list):
        return value
    match value:
        case ["Weights", str(digest)] if digest in weights:
            return weights_of(**weights[digest])
        case ["Tokenizer" | "MixIn", str()]:
            return None
        case [str(name), dict(given)]:
            classes = {**{one.__name__: one for one in _KNOWN}, **known}
            if name not in classes:
                raise ValueError(f"{name} is a class that this version of tropescan does not know")
            return classes[name](**{key: read_plain(one, weights, known) for key, one in given.items()})
    return tuple(read_plain(one, weights, known) for one in value)
