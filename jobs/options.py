"""Types of options that several commands take."""

from __future__ import annotations

import math
from typing import Any

import click


class _Finite(click.FloatRange):
    """A number within limits; NaN, which no comparison of click's refuses, and infinity are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number{' from 0 to 1' if self.max == 1 else ''}.", param, ctx)
        return number


PROBABILITY = _Finite(0, 1)
POSITIVE = _Finite(0, min_open=True)
FOLDER = click.Path(exists=True, file_okay=False)
"""A folder to read that is there."""
