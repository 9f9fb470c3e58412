"""What may still be spent, in tokens and in US dollars, by many questions at once. Knows numbers only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock


class BudgetSpent(Exception):
    """The next question could go over the budget."""


@dataclass
class Budget:
    """Limits, None for no limit; ``tokens`` and ``cost`` (US dollars) are what was spent, ``held`` what may be yet."""

    most_tokens: int | None = None
    most_cost: float | None = None
    tokens: int = 0
    cost: float = 0.0
    _held_tokens: int = 0
    _held_cost: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def holding(self, tokens: int, cost: float) -> Iterator[None]:
        """Set aside what a question may take, while it is asked; raises `BudgetSpent` if there is not so much."""
        with self._lock:
            over = self.most_tokens is not None and self.tokens + self._held_tokens + tokens > self.most_tokens
            dear = self.most_cost is not None and self.cost + self._held_cost + cost > self.most_cost
            if over or dear:
                raise BudgetSpent
            self._held_tokens += tokens
            self._held_cost += cost
        try:
            yield
        finally:
            with self._lock:
                self._held_tokens -= tokens
                self._held_cost -= cost

    def spend(self, tokens: int, cost: float) -> None:
        """Note what an answer took."""
        with self._lock:
            self.tokens += tokens
            self.cost += cost
