"""Asks a model over HTTP, again if it must be, at no more than so many requests a minute; keeps all that it said.

Retries of the line (429, 5xx, time-outs: exponential backoff with jitter, Retry-After honoured) are the `openai`
package's; an answer that is none is asked for anew here. Knows nothing of stores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import httpx
from openai import APIError, OpenAI
from openai.types.chat import ChatCompletion

from labels.llm.answer import SCHEMA, Answer, AnswerError, parse
from labels.llm.budget import Budget, BudgetSpent
from labels.llm.prompt import Question

FORMATS: dict[str, dict[str, Any]] = {
    "json_schema": {"type": "json_schema", "json_schema": {"name": "labels", "strict": True, "schema": SCHEMA}},
    "json_object": {"type": "json_object"},
    "text": {"type": "text"},
}
CHARS_PER_TOKEN = 2
"""Set low, to hold back enough of a budget: English has about four, other scripts down to one."""


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """In US dollars."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


@dataclass(frozen=True)
class Asked:
    """What came of a question: an answer, or ``error``. ``raw`` has each response as received, one JSON a line."""

    answer: Answer | None
    error: str
    raw: str
    model: str
    tokens_in: int
    tokens_out: int
    cost: float


class Pace:
    """Lets requests begin evenly, at most so many a minute (0: as they come), from any number of threads."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._clock = clock
        self._lock = Lock()

    def __call__(self, _: httpx.Request) -> None:
        """Wait for the next place."""
        with self._lock:
            at = max(self._clock(), self._next)
            self._next = at + self._gap
        time.sleep(max(0.0, at - self._clock()))


class ModelClient:
    """A model behind an endpoint. ``attempts`` is how often a question is asked until an answer is valid."""

    def __init__(
        self, model: str, *, base_url: str, api_key: str, per_minute: float = 0, attempts: int = 3, retries: int = 6,
        timeout: float = 120, response_format: str = "json_schema", temperature: float | None = 0,
        most_tokens_out: int = 1024, prices: Prices | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        self.attempts = attempts
        self.most_tokens_out = most_tokens_out
        self.prices = prices or Prices()
        # Every request passes the pace, the package's retries too.
        http = httpx.Client(event_hooks={"request": [Pace(per_minute)]}, timeout=timeout, follow_redirects=False)
        self._client = OpenAI(
            base_url=base_url, api_key=api_key, max_retries=retries, timeout=timeout, http_client=http
        )
        self._more: dict[str, Any] = {"response_format": FORMATS[response_format]}
        if temperature is not None:
            self._more["temperature"] = temperature

    def ask(self, asked: Question, budget: Budget) -> Asked:
        """Ask until an answer is valid, ``attempts`` times at most, each within the budget.

        Raises `BudgetSpent` if not even one question fits, `openai.APIError` if the endpoint cannot be talked to.
        """
        raw: list[str] = []
        tokens_in, tokens_out, error, model = 0, 0, "", self.model
        for _ in range(self.attempts):
            try:
                with budget.holding(*self._most(asked)):
                    response = self._send(asked)
                    used = _usage(response)
                    budget.spend(sum(used), self.prices.cost(*used))
            except (BudgetSpent, APIError):
                if raw:  # an answer that was paid for is kept; what stands in the way meets the next question too
                    break
                raise
            raw.append(json.dumps(response.to_dict(mode="json"), ensure_ascii=False))
            tokens_in, tokens_out = tokens_in + used[0], tokens_out + used[1]
            model = response.model or model
            try:
                answer = parse(_content(response), check=asked.check, text=asked.text)
                return Asked(
                    answer, "", "\n".join(raw), model, tokens_in, tokens_out, self.prices.cost(tokens_in, tokens_out)
                )
            except AnswerError as why:
                error = str(why)
        return Asked(None, error, "\n".join(raw), model, tokens_in, tokens_out, self.prices.cost(tokens_in, tokens_out))

    def _most(self, asked: Question) -> tuple[int, float]:
        tokens_in = (len(asked.system) + len(asked.user)) // CHARS_PER_TOKEN
        return tokens_in + self.most_tokens_out, self.prices.cost(tokens_in, self.most_tokens_out)

    def _send(self, asked: Question) -> ChatCompletion:
        messages = [{"role": "system", "content": asked.system}, {"role": "user", "content": asked.user}]
        return self._client.chat.completions.create(
            model=self.model, messages=messages, max_tokens=self.most_tokens_out, **self._more  # type: ignore[arg-type]
        )  # fmt: skip

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _usage(response: ChatCompletion) -> tuple[int, int]:
    return (response.usage.prompt_tokens or 0, response.usage.completion_tokens or 0) if response.usage else (0, 0)


def _content(response: ChatCompletion) -> str:
    """What the model said; raises `AnswerError` if it refused, was cut off or said nothing."""
    if not response.choices:
        raise AnswerError("no choice in the response")
    choice = response.choices[0]
    if choice.message.refusal:
        raise AnswerError("the model refused")
    if choice.finish_reason in ("length", "content_filter"):
        raise AnswerError(f"the answer ended early: {choice.finish_reason}")
    if not choice.message.content:
        raise AnswerError("an empty answer")
    return choice.message.content
