"""The comparison of two reports as one HTML page, in their style. Knows the figures of `compare` alone."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pipeline.prevalence.slices import SLICES
from pipeline.report.figures import BLUE, BROWN, Mark, Picture, logit_axis, percent, picture, tick_percent
from pipeline.report.page import open_environment, script_of

Plain = dict[str, Any]


def render_comparison(comparison: Plain) -> str:
    """The page, as text. The same figures give the same page."""
    environment, style = open_environment()
    template = environment.get_template("compare.html")
    return template.render(
        c=comparison, sliced=SLICES, curve=_curves(comparison["curve"]), **style, **script_of(environment)
    )


def _curves(points: list[Plain]) -> Picture:
    xs = [point["threshold"] for point in points]

    def draw(figure: Figure) -> list[Mark]:
        axes = figure.add_subplot()
        for name, colour, stroke in (("first", BLUE, "-"), ("second", BROWN, "--")):
            ys = [point[name] or float("nan") for point in points]
            axes.plot(xs, ys, stroke, color=colour, label="A" if name == "first" else "B", linewidth=1.8)
        logit_axis(axes)
        axes.set_xlim(xs[0], xs[-1])
        if any(point["first"] or point["second"] for point in points):
            axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: tick_percent(y)))
        axes.set_xlabel("Threshold (log-odds scale)")
        axes.set_ylabel("Share flagged (log scale)")
        axes.legend(loc="lower left")
        return [Mark(axes, p["threshold"], p["first"], _said(p)) for p in points if p["first"]]

    return picture(draw, "Line chart: share of documents flagged at each threshold, in A and in B.", 470, 300)


def _said(point: Plain) -> str:
    return f"{point['threshold']:g}: A {percent(point['first'])}, B {percent(point['second'])}"
