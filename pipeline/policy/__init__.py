"""What is to happen to documents, by their tags: the user's rules, and what they decide. Knows no texts."""

from pipeline.policy.actions import (
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
)
from pipeline.policy.conditions import (
    All,
    AnyOf,
    Dated,
    InMode,
    Measure,
    Not,
    OneOf,
    OnHost,
    Scored,
    Sized,
)
from pipeline.policy.decide import DECISIONS, decide
from pipeline.policy.mixing import MixIn, OwnDocument
from pipeline.policy.policy import Policy, Rule
from pipeline.policy.read import load_policy, parse_plain, parse_policy
from pipeline.policy.setting import PolicyError
from pipeline.policy.tokens import Tokenizer

__all__ = [
    "DECISIONS", "All", "AnyOf", "Constant", "ControlTokens", "Curve", "Dated", "Drop", "Evidence", "Excise",
    "FromFile", "InMode", "Keep", "KeepShare", "Mask", "Measure", "MixIn", "Not", "OnHost", "OneOf", "OwnDocument",
    "Policy", "PolicyError", "Rule", "Scored", "Sized", "Tokenizer", "decide", "load_policy", "parse_plain",
    "parse_policy",
]  # fmt: skip
