"""Stretches of a text as stretches of its tokens, by the ``tokenizer.json`` of a model that is to be trained.

Knows the package tokenizers, which is an extra; nothing of policies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Spans = Sequence[tuple[int, int]]
"""Starts and ends, ends not included, in rising order."""


@dataclass(frozen=True)
class Tokenizer:
    """``content`` of a ``tokenizer.json``, so that no worker needs the file."""

    content: str = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer as Tokenizers
        except ModuleNotFoundError as error:
            raise ValueError(
                f"a tokenizer needs the package tokenizers: pip install 'tropescan[tokens]' ({error})"
            ) from error
        tokenizer = Tokenizers.from_str(self.content)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def check(self) -> None:
        """Raises `ValueError` if the content is no tokenizer, or the package is missing."""
        try:
            self._tokenizer  # noqa: B018 (a property that loads)
        except ValueError:
            raise
        except Exception as error:  # tokenizers raises plain exceptions
            raise ValueError(f"not a tokenizer.json: {error}") from error

    def spans(self, text: str, spans: Spans) -> list[tuple[int, int]]:
        """The tokens that share a character with one of the spans of code points, as spans of positions among the
        text's tokens, without special tokens."""
        if not spans:
            return []
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        found: list[tuple[int, int]] = []
        for position, (start, end) in enumerate(offsets):
            if any(start < stop and begin < end for begin, stop in spans):
                joins = bool(found) and found[-1][1] == position
                found[-1:] = [(found[-1][0], position + 1)] if joins else [*found[-1:], (position, position + 1)]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"content": self.content}
