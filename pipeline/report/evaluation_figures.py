"""The plots of an evaluation page: precision and recall, ROC with a log axis, reliability.

Knows the figures of an evaluation as plain numbers; knows neither models nor documents.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.report.figures import BLUE, BROWN, GREEN, INK, Picture, picture

STROKES = (
    (BLUE, "-"), (BROWN, "--"), (GREEN, ":"), (BROWN, "-."), (GREEN, "--"), (INK, ":"), (INK, "-."),
)  # fmt: skip
Curves = dict[str, list[list[float]]]


def precision_recall_picture(curves: Curves) -> Picture:
    """Precision against recall, the model's and the baselines'."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _lines(axes, curves)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("Recall")
        axes.set_ylabel("Precision")

    return picture(draw, f"Line chart: precision against recall of {', '.join(curves)}.", 470, 400)


def roc_picture(curves: Curves, negatives: str) -> Picture:
    """Recall against the false positive rate, on a log axis: what counts is at its left end."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _lines(axes, curves)
        axes.set_xscale("log")
        axes.set_xlim(_least_rate(curves), 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(f"False positive rate, {negatives} (log scale)")
        axes.set_ylabel("Recall")

    return picture(
        draw, f"Line chart: recall against false positive rate on {negatives} of {', '.join(curves)}.", 470, 400
    )


def _lines(axes: Axes, curves: Curves) -> None:
    for (name, points), (colour, stroke) in zip(curves.items(), STROKES, strict=False):
        if points:
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, stroke, color=colour, label=name, linewidth=1.8 if name == "model" else 1.2)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.16), fontsize=8.5, ncols=2)


def _least_rate(curves: Curves) -> float:
    rates = [x for points in curves.values() for x, _ in points if x > 0]
    return min(rates, default=1e-3) / 1.5


def reliability_picture(rows: list[dict[str, Any]]) -> Picture:
    """Share of positives against calibrated probability, both on log axes, at the natural base rate."""
    seen = [row for row in rows if row["share"] > 0]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([1e-6, 1], [1e-6, 1], color=INK, linewidth=1, dashes=(4, 2), label="perfectly calibrated")
        axes.plot([r["probability"] for r in seen], [r["share"] for r in seen], "o-", color=BLUE, label="model")
        for row in seen:
            axes.annotate(
                f"{row['positives']}", (row["probability"], row["share"]), xytext=(5, -9), textcoords="offset points",
                fontsize=8.5,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        least = min([1e-2, *(r["probability"] for r in seen), *(r["share"] for r in seen)])
        axes.set_xlim(least / 2, 1.1)
        axes.set_ylim(least / 2, 1.1)
        axes.set_xlabel("Calibrated probability (log scale)")
        axes.set_ylabel("Share that holds the label (log scale)")
        axes.legend(loc="upper left")

    text = f"Reliability plot of {len(seen)} groups by calibrated probability, at the natural base rate."
    return picture(draw, text, 440, 360)
