"""Types of options that several commands take."""

from __future__ import annotations

import math
from typing import Any

import click


class _Probability(click.FloatRange):
    """A number from 0 to 1; NaN, which no comparison of click's refuses, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number from 0 to 1.", param, ctx)
        return number


PROBABILITY = _Probability(0, 1)
