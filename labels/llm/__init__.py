"""Language models as annotators, by any endpoint that speaks OpenAI's protocol.

Knows the codebook and the label store; how texts are read is given to it.
"""

from __future__ import annotations

from labels.llm.answer import Answer, AnswerError, parse
from labels.llm.ask import Asked, ModelClient, Prices
from labels.llm.budget import Budget
from labels.llm.prompt import PROMPT_DIGEST, Question, question
from labels.llm.run import Outcome, annotate

__all__ = [
    "PROMPT_DIGEST", "Answer", "AnswerError", "Asked", "Budget", "ModelClient", "Outcome", "Prices", "Question",
    "annotate", "parse", "question",
]  # fmt: skip
