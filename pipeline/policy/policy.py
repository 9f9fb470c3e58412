"""A policy: what is to happen to documents, by their tags, as frozen data. Whoever writes it decides; nothing here
knows which label is good and should count more.

Knows TAGS and models' labels; neither files of documents nor how anything is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pipeline.policy.actions import (
    Action,
    ControlTokens,
    Curve,
    Drop,
    Evidence,
    Excise,
    FromFile,
    Keep,
    Mask,
    Weight,
)
from pipeline.policy.conditions import All, Condition, InMode, Measure, OneOf, measures_of, parts_of
from pipeline.policy.mixing import MixIn
from pipeline.policy.plain import plain, to_json
from pipeline.policy.setting import PolicyError
from pipeline.policy.tag_columns import modes_of, score_column
from pipeline.policy.tokens import Tokenizer
from pipeline.prevalence.slices import TOPIC
from pipeline.schema import TAG_TOPIC, lexicons_of, topic_digest, topics_of
from pipeline.tasks import digest

WeightAs = Literal["column", "repeat"]


@dataclass(frozen=True)
class Rule:
    """Takes the documents for which ``when`` holds and no earlier rule did; does the action, and gives a weight.

    ``where`` is the rule's place in the file, for errors.
    """

    name: str
    action: Action = field(default_factory=Keep)
    when: Condition = field(default_factory=All)
    weight: Weight | None = None
    where: str = field(default="", compare=False)

    @property
    def evidence(self) -> Evidence | None:
        """The spans that its action works on."""
        match self.action:
            case Mask(evidence) | Excise(evidence) | ControlTokens(evidence=evidence):
                return evidence
        return None

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that it looks at; the first is the score that a decision names."""
        return measures_of(self.when) + ((self.weight.measure,) if isinstance(self.weight, Curve) else ())


@dataclass(frozen=True)
class Policy:
    """Exemptions keep documents from all rules; then the first rule that takes a document decides; a document that none
    takes is kept, and counts once.

    ``seed`` goes into every draw. Weights become a column, or a count of repeats; none is above ``weight_cap``.
    ``text`` is what was read from ``file``, for people; of a policy that was built in Python, its plain form as JSON.
    """

    rules: tuple[Rule, ...] = ()
    exemptions: tuple[Rule, ...] = ()
    seed: int = 0
    weight_as: WeightAs = "column"
    weight_cap: float | None = None
    tokenizer: Tokenizer | None = None
    mix_in: MixIn | None = None
    text: str = field(default="", compare=False)
    file: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        names: set[str] = set()
        for rule in self.ordered:
            if rule.name in names:
                raise PolicyError(f"{_at(rule)}: an earlier one has this name, and decisions go by it; rename one")
            names.add(rule.name)
        self._check_cap()
        if not self.text:
            object.__setattr__(self, "text", to_json(self))

    def _check_cap(self) -> None:
        if self.weight_cap is None:
            return
        if not self.weight_cap > 0:
            raise PolicyError(f"weight_cap: {self.weight_cap:g} would drop every document; give it more than 0")
        for rule in self.rules:
            if isinstance(rule.action, Drop) and rule.action.replace:
                raise PolicyError(
                    f"{rule.action.where or _at(rule)}: replace lets kept documents count as often as the budget asks, "
                    "which weight_cap forbids; leave one of the two out"
                )

    @cached_property
    def ordered(self) -> tuple[Rule, ...]:
        """Exemptions and rules, in the order in which they are asked."""
        return self.exemptions + self.rules

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what happens, the content of named files included."""
        return digest(plain(self))

    @property
    def weighs(self) -> bool:
        """Whether any document can count other than once or not at all."""
        return any(rule.weight is not None for rule in self.rules) or self.replaces

    @property
    def replaces(self) -> bool:
        """Whether kept documents take the place of dropped ones."""
        return any(isinstance(rule.action, Drop) and rule.action.replace for rule in self.rules)

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """All that rules put into texts to mark them."""
        actions = [rule.action for rule in self.rules if isinstance(rule.action, ControlTokens)]
        return tuple(dict.fromkeys(token for one in actions for token in (one.before, one.after) if token))

    @property
    def masks(self) -> bool:
        """Whether any rule masks."""
        return any(isinstance(rule.action, Mask) for rule in self.rules)

    def columns(self, names: Sequence[str]) -> list[str]:
        """The columns of TAGS that decisions need; ``names`` are the model's labels, or all columns of the tags."""
        wanted = {"id", "row"}
        for rule in self.ordered:
            wanted |= rule.when.columns | (rule.weight.columns if rule.weight else frozenset())
            wanted |= {"spans", "status"} if rule.evidence else set()
            if any(isinstance(part, InMode) for part in parts_of(rule.when)):
                wanted |= {score_column(mode, window=False) for mode in modes_of(names)}
        if self.replaces:
            wanted |= {"lang", "source", "words"}
        return sorted(wanted)

    def check(self, model: Mapping[str, Any]) -> None:
        """Raises `PolicyError` naming the place if the tags of this model cannot answer what the policy asks."""
        for rule in self.ordered:
            for measure in rule.measures:
                _check_measure(measure, model, measure.where or _at(rule))
            if isinstance(rule.weight, FromFile):
                _check_weights(rule.weight, model, rule.weight.where or _at(rule))
            if rule.evidence:
                _check_evidence(rule.evidence, model, rule.evidence.where or _at(rule))
            if any(isinstance(part, InMode) for part in parts_of(rule.when)) and not modes_of(model["labels"]):
                raise PolicyError(f"{_at(rule)}: the tags' model has no label for any mode; leave out mode")
            _check_topics(rule, model)


def _at(rule: Rule) -> str:
    return f"{rule.where}: rule {rule.name!r}" if rule.where else f"rule {rule.name!r}"


def _check_measure(measure: Measure, model: Mapping[str, Any], where: str) -> None:
    if measure.kind == "score" and measure.label in lexicons_of(model):
        return
    if measure.label not in model["labels"]:
        raise PolicyError(
            f"{where}: the model that made the tags has no label {measure.label!r}; it has {', '.join(model['labels'])}"
        )
    if measure.is_probability and measure.label not in model.get("calibration", {}):
        kind = "window" if measure.is_window else "score"
        raise PolicyError(
            f"{where}: the card of the model that made the tags has no calibration of {measure.label!r}; "
            f"write {kind}.{measure.label} for the score as it is"
        )


def _check_weights(weight: FromFile, model: Mapping[str, Any], where: str) -> None:
    weights, topics = weight.weights, topic_digest(model)
    for wanted, found, what in (
        (weights.model, model["digest"], "scores of another model"),
        (weights.topic_model or topics, topics, "topics of another model, or of none,"),
    ):
        if wanted != found:
            raise PolicyError(
                f"{where}: the weights are for the {what} than that of the tags; make them from these tags with "
                "'tropescan policy target'"
            )


def _check_topics(rule: Rule, model: Mapping[str, Any]) -> None:
    if not rule.when.columns & {field.name for field in TAG_TOPIC}:
        return
    known = topics_of(model)
    named = [part for part in parts_of(rule.when) if isinstance(part, OneOf) and part.column == TOPIC]
    if not known:
        at = (named[0].where if named else "") or _at(rule)
        raise PolicyError(f"{at}: the tags have no topics; scan again with --topics MODEL, or leave topic out")
    for part in named:
        if unknown := [name for name in part.values if name not in known]:
            raise PolicyError(
                f"{part.where or _at(rule)}: {unknown[0]!r} is no topic of the model that the tags were made with; "
                f"it has {', '.join(known)}"
            )


def _check_evidence(evidence: Evidence, model: Mapping[str, Any], where: str) -> None:
    kept = model.get("span_thresholds", {})
    for label in evidence.labels:
        if label not in kept:
            raise PolicyError(f"{where}: the tags hold no spans of {label!r}; they hold those of {', '.join(kept)}")
        if evidence.at_least < kept[label] and evidence.at_least > 0:
            raise PolicyError(
                f"{where}: the tags hold spans of {label!r} from {kept[label]:.4g} on, so not all from "
                f"{evidence.at_least:g}; raise min, or scan with --span-threshold {evidence.at_least:g}"
            )
