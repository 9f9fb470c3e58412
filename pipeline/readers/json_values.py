"""One JSON text to a value: by orjson, and by the standard library what that refuses (NaN, lone surrogates)."""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(data: bytes | bytearray) -> Any:
    """The value of a JSON text, lone surrogates replaced by U+FFFD. Raises `ValueError` if it is none, and
    `UnicodeDecodeError` if it is not UTF-8."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        text = data.decode()
    try:
        return _without_surrogates(json.loads(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value
