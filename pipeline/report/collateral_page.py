"""What a policy costs as one HTML page that loads nothing and runs no script. Its tables stand in it as CSV, too.

Knows the figures of `collateral`; nothing of tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pipeline.prevalence.slices import SLICES
from pipeline.report.csv_link import csv_text
from pipeline.report.figures import BLUE, GREEN, INK, Picture, logit_axis, picture
from pipeline.report.page import open_environment


def render_collateral(figures: dict[str, Any]) -> str:
    """The page, as text. The same figures give the same page."""
    environment, style = open_environment()
    scored = [row for row in figures["scores"] if row["documents"]]
    return environment.get_template("collateral.html").render(
        c=figures, **style, changed=_changed, as_csv=csv_text, kept=_kept, amount=_amount,
        sliced={by: SLICES[by] for by in figures["margins"]},
        scores=score_picture(scored, figures["label"]) if scored else None,
    )  # fmt: skip


def score_picture(rows: list[dict[str, Any]], label: str) -> Picture:
    """Mean weight of documents by score, over how many there are."""
    middles = [_middle(row["from"], row["below"]) for row in rows]
    weights = [row["documents_after"] / row["documents"] for row in rows]

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot(middles, weights, "o-", color=BLUE, markersize=3.5, linewidth=1.4)
        upper.axhline(1, color=INK, linewidth=1, dashes=(4, 2))
        upper.set_ylim(0, max(1.1, *weights) * 1.05)
        upper.set_ylabel("Mean weight")
        lower.vlines(middles, 0.7, [row["documents"] for row in rows], color=GREEN, linewidth=5)
        lower.set_yscale("log")
        lower.set_ylim(0.7)
        lower.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        lower.set_ylabel("Documents")
        logit_axis(lower)
        lower.set_xlabel("Score (log-odds scale)")

    low, high = weights[0], weights[-1]
    text = f"Line chart: mean weight of documents by score of {label}, from {low:.3g} at the lowest to {high:.3g}."
    return picture(draw, text, 470, 320)


def _middle(low: float, high: float) -> float:
    """A score in the middle of a step of log-odds; the outer steps have one bound."""
    if low <= 0:
        return high / 1.5
    return (low + high) / 2 if high < 1 else 1 - (1 - low) / 1.5


def _changed(before: float, after: float) -> str:
    """The change in percent, with its sign, or a dash where there was nothing."""
    if before <= 0:
        return "–"
    change = 100 * (after / before - 1)
    return f"{change:+.3g}\N{NO-BREAK SPACE}%" if abs(change) >= 0.0005 else "0\N{NO-BREAK SPACE}%"


def _kept(row: Mapping[str, Any]) -> float | None:
    return row["words_after"] / row["words"] if row["words"] else None


def _amount(value: float) -> str:
    """Documents or words after weighing, which need not be whole numbers."""
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.4g}"
