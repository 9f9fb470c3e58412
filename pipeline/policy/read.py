"""A policy out of its TOML file, checked as a whole before anything is done; errors name file and line.

Knows how a policy is written; nothing of what it does.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson

from pipeline import storage
from pipeline.languages import primary_subtag
from pipeline.policy.actions import (
    Action,
    Constant,
    ControlTokens,
    Curve,
    Drop,
    Evidence,
    Excise,
    FromFile,
    Keep,
    KeepShare,
    Mask,
    Weight,
)  # fmt: skip
from pipeline.policy.conditions import (
    KINDS,
    SIZES,
    All,
    AnyOf,
    Condition,
    Dated,
    InMode,
    Kind,
    Measure,
    Not,
    OneOf,
    OnHost,
    Scored,
    Sized,
)  # fmt: skip
from pipeline.policy.mixing import MixIn, OwnDocument
from pipeline.policy.plain import read_plain
from pipeline.policy.policy import Policy, Rule
from pipeline.policy.setting import PolicyError, Setting, parse_toml, read_text
from pipeline.policy.tokens import Tokenizer
from pipeline.reweight.weights import load_weights
from pipeline.schema import MODES, NO_WORDS, OK, OTHER_LANGUAGE
from pipeline.words import count_words

ACTION_KEYS = ("drop", "keep", "mask", "excise", "condition")
CONDITION_KEYS = (
    *KINDS, *SIZES, "mode", "topic", "topic_score", "lang", "source", "status", "host", "host_file", "date",
    "any", "not",
)  # fmt: skip


def load_policy(file: str) -> Policy:
    """The policy in a TOML file (path or fsspec URL); files that it names are read now, from its folder on.

    Raises `PolicyError` naming file and line.
    """
    return parse_policy(read_text(file), file)


def parse_policy(text: str, file: str = "policy") -> Policy:
    """The same of a text; ``file`` is its name in errors, and the files that it names are in that one's folder."""
    return _policy(parse_toml(text, file), text)


def parse_plain(text: str) -> Policy:
    """A policy that was built in Python, from its ``text``, without tokenizer and documents to mix in.

    Raises `ValueError` if that cannot be read back.
    """
    try:
        content = json.loads(text)
        policy = read_plain(content["policy"], content["weights"], {"Policy": Policy, "Rule": Rule})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the plain form of a policy ({error!r})") from error
    if not isinstance(policy, Policy):
        raise ValueError("not the plain form of a policy")
    return replace(policy, text=text)


def _policy(top: Setting, text: str) -> Policy:
    given = top.table("seed", "weight_as", "weight_cap", "tokenizer", "rule", "exempt", "mix_in")
    policy = Policy(
        rules=tuple(_rule(one) for one in given["rule"].array()) if "rule" in given else (),
        exemptions=tuple(_exemption(one) for one in given["exempt"].array()) if "exempt" in given else (),
        seed=given["seed"].integer() if "seed" in given else 0,
        weight_as=given["weight_as"].text("column", "repeat") if "weight_as" in given else "column",  # type: ignore[arg-type]
        weight_cap=_cap(given["weight_cap"]) if "weight_cap" in given else None,
        tokenizer=_tokenizer(given["tokenizer"]) if "tokenizer" in given else None,
        mix_in=_mix_in(given["mix_in"]) if "mix_in" in given else None,
        text=text,
        file=os.path.abspath(storage.local_path(top.file)) if storage.is_local(top.file) else top.file,
    )
    if not policy.rules and policy.mix_in is None:
        raise top.error("a policy without [[rule]] changes nothing; write one")
    for rule, following in pairwise(policy.rules):
        if rule.when == All() and rule.evidence is None:
            raise PolicyError(
                f"{following.where}: rule {following.name!r} is never asked: {rule.name!r} before it takes every "
                "document; put it before, or give that one a when"
            )
    if policy.tokenizer and not policy.masks:
        raise given["tokenizer"].error("no rule masks, so nothing needs a tokenizer; leave it out")
    return policy


def _cap(setting: Setting) -> float:
    if (cap := setting.number(0)) == 0:
        raise setting.error("0 would drop every document; give it more than 0, or leave it out")
    return cap


def _exemption(table: Setting) -> Rule:
    given = table.table("name", "when")
    if "when" not in given:
        raise table.error("an exemption without when keeps everything; say whom it keeps")
    return Rule(_name(table, given), Keep(), _when(given["when"]), where=table.where)


def _rule(table: Setting) -> Rule:
    given = table.table("name", "when", *ACTION_KEYS, "weight", "weights", "replace")
    when = _when(given["when"]) if "when" in given else All()
    actions = [name for name in ACTION_KEYS if name in given]
    if len(actions) > 1:
        raise given[actions[1]].error(f"the rule has {actions[0]} already; write a rule for each")
    if not actions and not given.keys() & {"weight", "weights"}:
        raise table.error(f"the rule does nothing; give it one of {', '.join(ACTION_KEYS)}, weight, weights")
    action: Action = _READ[actions[0]](given[actions[0]], given, when) if actions else Keep()
    if isinstance(action, Drop) and (weight := given.get("weight") or given.get("weights")):
        raise weight.error("the rule drops its documents, which then weigh nothing; leave the weight out")
    if "replace" in given and not isinstance(action, Drop):
        raise given["replace"].error("replaces dropped documents, and the rule drops none")
    return Rule(_name(table, given), action, when, _weight(given), table.where)


def _name(table: Setting, given: dict[str, Setting]) -> str:
    if "name" not in given:
        raise table.error("has no name; give it one: decisions, reports and draws go by it")
    return given["name"].text()


# --- conditions


def _when(table: Setting) -> All:
    given = table.table(*CONDITION_KEYS)
    if not given:
        raise table.error("an empty condition; leave when out for a rule that takes every document")
    return All(tuple(part for name, setting in given.items() for part in _condition(name, setting)))


def _condition(name: str, setting: Setting) -> list[Condition]:
    if name in KINDS:
        return [_scored(name, label, bounds) for label, bounds in setting.table().items()]
    if name in (*SIZES, "topic_score"):
        bounds = setting.table("min", "below")
        return [Sized(name, *_bounds(setting, bounds, 0, float("inf") if name in SIZES else 1))]
    return [_OTHERS[name](setting)]


def _scored(kind: Kind, label: str, setting: Setting) -> Scored:
    given = setting.table("min", "below", *(("base_rate",) if kind.endswith("probability") else ()))
    rate = given["base_rate"].number(1e-9, 1 - 1e-9) if "base_rate" in given else None
    return Scored(Measure(kind, label, rate, setting.where), *_bounds(setting, given, 0, 1))


def _bounds(setting: Setting, given: dict[str, Setting], low: float, high: float) -> tuple[float | None, float | None]:
    least, below = (given[name].number(low, high) if name in given else None for name in ("min", "below"))
    if least is None and below is None:
        raise setting.error("has no bound; give it min (from there on), below (up to there), or both")
    if least is not None and below is not None and least >= below:
        raise setting.error(f"nothing is at least {least:g} and below {below:g}; lower min or raise below")
    return least, below


def _modes(setting: Setting) -> InMode:
    modes = setting.texts()
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise setting.error(f"{unknown[0]!r} is no mode; there are {', '.join(MODES)}")
    return InMode(modes)


def _languages(setting: Setting) -> OneOf:
    tags = [(name, primary_subtag(name)) for name in setting.texts()]
    if unknown := [name for name, tag in tags if tag is None]:
        raise setting.error(f"{unknown[0]!r} is no language; write its BCP 47 tag, such as en")
    return OneOf("lang", tuple(tag for _, tag in tags if tag))


def _statuses(setting: Setting) -> OneOf:
    known = (OK, NO_WORDS, OTHER_LANGUAGE)
    if unknown := [one for one in setting.texts() if one not in known]:
        raise setting.error(f"{unknown[0]!r} is no status of tags; there are {', '.join(known)}")
    return OneOf("status", setting.texts())


def _hosts(setting: Setting) -> OnHost:
    return _on_hosts(setting, setting.texts())


def _host_file(setting: Setting) -> OnHost:
    url, content = setting.read_file()
    lines = (line.partition("#")[0].strip() for line in content.decode("utf-8", "replace").splitlines())
    names = tuple(line for line in lines if line)
    if not names:
        raise setting.error(f"{url} names no host; write one a line")
    return _on_hosts(setting, names)


def _on_hosts(setting: Setting, names: tuple[str, ...]) -> OnHost:
    plain = tuple(name.lower().removeprefix("*.").rstrip(".") for name in names)
    for name in plain:
        if not name or any(sign in name for sign in "/:@* "):
            raise setting.error(f"{name!r} is no host; write it as in example.org, without scheme, port or path")
    return OnHost(tuple(sorted(set(plain))))


def _any(setting: Setting) -> AnyOf:
    conditions = tuple(_when(one) for one in setting.array())
    if not conditions:
        raise setting.error("an empty array, which no document meets; name at least one condition, or leave any out")
    return AnyOf(conditions)


def _dates(setting: Setting) -> Dated:
    given = setting.table("from", "before")
    since, before = (_day(given[name]) if name in given else None for name in ("from", "before"))
    if since is None and before is None:
        raise setting.error("has no bound; give it from, before, or both")
    if since is not None and before is not None and since >= before:
        raise setting.error("ends before it begins; swap from and before")
    return Dated(since, before)


def _day(setting: Setting) -> int:
    value = setting.value
    try:
        day = value if isinstance(value, datetime.date) else datetime.date.fromisoformat(setting.text())
    except ValueError as error:
        raise setting.error(f"{value!r} is no day; write it as 2024-05-18") from error
    return int(day.strftime("%Y%m%d"))


_OTHERS: dict[str, Callable[[Setting], Condition]] = {
    "mode": _modes,
    "topic": lambda setting: OneOf("topic", setting.texts(), setting.where),
    "lang": _languages,
    "source": lambda setting: OneOf("source", setting.texts()),
    "status": _statuses,
    "host": _hosts,
    "host_file": _host_file,
    "date": _dates,
    "any": _any,
    "not": lambda setting: Not(_when(setting)),
}

# --- actions

_Given = dict[str, Setting]


def _drop(setting: Setting, rule: _Given, when: All) -> Action:
    if not isinstance(setting.value, str):
        raise setting.error('give the reason as a text, such as drop = "overt, over 0.75"')
    if "replace" not in rule:
        return Drop(setting.text())
    return Drop(setting.text(), rule["replace"].truth(), rule["replace"].where)


def _keep(setting: Setting, rule: _Given, when: All) -> Action:
    return KeepShare(setting.number(0, 1))


def _mask(setting: Setting, rule: _Given, when: All) -> Action:
    return Mask(_evidence(setting, setting.table("labels", "min")))


def _excise(setting: Setting, rule: _Given, when: All) -> Action:
    given = setting.table("labels", "min", "marker")
    marker = given["marker"].value if "marker" in given else ""
    if not isinstance(marker, str):
        raise given["marker"].error("a text is wanted, which may be empty")
    return Excise(_evidence(setting, given), marker)


def _control_tokens(setting: Setting, rule: _Given, when: All) -> Action:
    given = setting.table("before", "after", "unmarked", "labels", "min")
    if "before" not in given:
        raise setting.error('has no before; name the control token, such as before = "<|adverse|>"')
    if "min" in given and "labels" not in given:
        raise given["min"].error("is of spans, and without labels the whole document is marked; name labels")
    return ControlTokens(
        given["before"].text(),
        given["after"].text() if "after" in given else "",
        given["unmarked"].number(0, 1) if "unmarked" in given else 0.0,
        _evidence(setting, given) if "labels" in given else None,
    )


def _evidence(setting: Setting, given: _Given) -> Evidence:
    if "labels" not in given:
        raise setting.error('has no labels; name those whose spans are meant, such as labels = ["adverse"]')
    return Evidence(given["labels"].texts(), given["min"].number(0, 1) if "min" in given else 0.0, setting.where)


_READ: dict[str, Callable[[Setting, _Given, All], Action]] = {
    "drop": _drop, "keep": _keep, "mask": _mask, "excise": _excise, "condition": _control_tokens,
}  # fmt: skip

# --- weights


def _weight(given: _Given) -> Weight | None:
    if "weights" in given:
        if "weight" in given:
            raise given["weights"].error("the rule has a weight already; keep one of the two")
        return _from_file(given["weights"])
    if "weight" not in given:
        return None
    setting = given["weight"]
    return _curve(setting) if isinstance(setting.value, dict) else Constant(setting.number(0))


def _from_file(setting: Setting) -> FromFile:
    url, _ = setting.read_file()
    try:
        return FromFile(load_weights(url), setting.where)
    except ValueError as error:
        raise setting.error(str(error)) from error


def _curve(setting: Setting) -> Curve:
    given = setting.table("of", "curve", "steps", "base_rate")
    shapes = [name for name in ("curve", "steps") if name in given]
    if "of" not in given or len(shapes) != 1:
        raise setting.error('write { of = "score.adverse", curve = [[0.5, 1], [1, 0.1]] }, or steps for curve')
    kind, _, label = given["of"].text().partition(".")
    if kind not in KINDS or not label:
        raise given["of"].error(f"write one of {', '.join(KINDS)}, a dot and a label, such as score.adverse")
    rate = given["base_rate"].number(1e-9, 1 - 1e-9) if "base_rate" in given else None
    measure = Measure(kind, label, rate, given["of"].where)
    return Curve(measure, _points(given[shapes[0]]), steps=shapes[0] == "steps")


def _points(setting: Setting) -> tuple[tuple[float, float], ...]:
    points = []
    for pair in setting.array():
        numbers = list(pair.array())
        if len(numbers) != 2:
            raise pair.error("a point is two numbers: the measure, and the weight there")
        points.append((numbers[0].number(0, 1), numbers[1].number(0)))
    if not points or any(b[0] <= a[0] for a, b in pairwise(points)):
        raise setting.error("give points whose first numbers rise, such as [[0.5, 1], [1, 0.1]]")
    return tuple(points)


# --- files


def _tokenizer(setting: Setting) -> Tokenizer:
    url, content = setting.read_file()
    tokenizer = Tokenizer(content.decode("utf-8", "replace"))
    try:
        tokenizer.check()
    except ValueError as error:
        raise setting.error(f"{url}: {error}") from error
    return tokenizer


def _mix_in(setting: Setting) -> MixIn:
    given = setting.table("documents", "rate")
    if given.keys() != {"documents", "rate"}:
        raise setting.error('write documents = "own.jsonl" and rate = 0.01, the share of words they should be')
    url, content = given["documents"].read_file()
    documents = tuple(
        _own(given["documents"], f"{url}:{number}", line)
        for number, line in enumerate(content.splitlines(), 1)
        if line.strip()
    )
    if not documents:
        raise given["documents"].error(f"{url} holds no document; write one JSON object a line, with id and text")
    return MixIn(documents, given["rate"].number(1e-9, 0.999), given["documents"].text())


def _own(setting: Setting, place: str, line: bytes) -> OwnDocument:
    wanted = "write a JSON object with text and, if you like, id"
    try:
        value: Any = orjson.loads(line)
    except ValueError as error:
        raise setting.error(f"{place}: {error}; {wanted}") from error
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str) or not text.split():
        raise setting.error(f"{place}: no text; {wanted}")
    return OwnDocument(str(value.get("id", place.rpartition("/")[2])), text, count_words(text))


__all__ = ["PolicyError", "load_policy", "parse_plain", "parse_policy"]
