"""What is to happen to documents, by their tags: the user's rules, and what they decide. Knows no texts."""

from pipeline.policy.decide import DECISIONS, decide
from pipeline.policy.policy import Policy, Rule
from pipeline.policy.read import load_policy, parse_policy
from pipeline.policy.setting import PolicyError

__all__ = ["DECISIONS", "Policy", "PolicyError", "Rule", "decide", "load_policy", "parse_policy"]
