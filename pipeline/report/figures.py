"""The plots of a report: each as two SVG images, for light and for dark screens, and a text that says what it shows.

Images, not markup: an SVG inside ``<img>`` runs no script and loads nothing, whatever it holds; and no text of a crawl
gets into one. Knows the figures of `collect`; nothing of tags.
"""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


INK, GRID, BLUE, BROWN, GREEN = "#3b4252", "#d8dce4", "#1d4ed8", "#b45309", "#0f766e"
SERIES = (BLUE, BROWN, GREEN)
IN_THE_DARK = {INK: "#c3c9d5", GRID: "#3a404d", BLUE: "#82aaff", BROWN: "#f0a45d", GREEN: "#5eead4"}
HEAT = LinearSegmentedColormap.from_list("heat", ["#3b76ee22", "#3b76eeff"])
"""From nearly transparent to opaque, so that it reads on a light page and on a dark one."""
_STROKES = ("-", "--", ":")


@dataclass(frozen=True)
class Mark:
    """A point of a plot, in its axes' data, with what is said where a pointer is near it."""

    axes: Axes
    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Picture:
    """A plot as data URLs of SVG images, its size in CSS pixels, and its text for those who do not see it.

    ``points``: (x, y, text) for a script that shows what is near a pointer, in parts of width and height from the upper
    left.
    """

    light: str
    dark: str
    width: int
    height: int
    text: str
    points: tuple[tuple[float, float, str], ...] = ()


def picture(
    draw: Callable[[Figure], Sequence[Mark] | None], text: str, width: int = 440, height: int = 300
) -> Picture:  # fmt: skip
    """Draw for both themes. Sizes suit a phone; a page may scale the picture up."""
    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "tropescan", "font.family": "DejaVu Sans", "font.size": 10.5,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK,
        "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True, "legend.frameon": False,
        "axes.linewidth": 0.7,
    }  # fmt: skip
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained", facecolor="none")
        marks = draw(figure) or ()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        points = tuple(_placed(figure, mark) for mark in marks)  # after saving, which lays the axes out
    light = buffer.getvalue().decode().replace("'DejaVu Sans'", FONTS.replace("'", "&apos;"))
    dark = light
    for colour, other in IN_THE_DARK.items():
        dark = dark.replace(colour, other)
    return Picture(_data_url(light), _data_url(dark), width, height, text, points)


def _placed(figure: Figure, mark: Mark) -> tuple[float, float, str]:
    pixels = mark.axes.transData.transform((mark.x, mark.y))
    x, y = figure.transFigure.inverted().transform(pixels)
    return round(float(x), 4), round(1 - float(y), 4), mark.text


def _data_url(svg: str) -> str:
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


def percent(share: float | None, digits: int = 3) -> str:
    """A share for people: ``1.23 %``, ``0.00456 %``, ``0 %``, or a dash where there is none."""
    if share is None:
        return "–"
    value = 100 * share
    if value == 0 or float(f"{value:.{digits}g}") >= 100:
        return f"{value:.4g} %"
    return f"{value:#.{digits}g}".rstrip(".") + " %" if value >= 0.0001 else f"{value:.1e} %"


def curve_picture(report: dict[str, Any]) -> Picture:
    """Share of documents, words and bytes at or over each threshold; log-odds against log."""
    points, totals, flag = report["curve"], report["headline"], report["threshold"]
    xs = [point["threshold"] for point in points]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for unit, colour, stroke in zip(("documents", "words", "bytes"), SERIES, _STROKES, strict=True):
            total = totals[unit]["total"]
            ys = [point[unit] / total if total and point[unit] else float("nan") for point in points]
            axes.plot(xs, ys, stroke, color=colour, label=unit, linewidth=1.8)
        axes.set_xscale("logit")
        axes.set_xlim(xs[0], xs[-1])
        logit_ticks(axes.xaxis, tuple(_LOGIT_TICKS))
        if any(point["documents"] for point in points):
            axes.set_yscale("log")
            axes.set_ylim(top=min(axes.get_ylim()[1], 1.2))  # few documents: a decade around their share is drawn
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(axes) < 2.5 else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: tick_percent(y)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        if xs[0] <= flag <= xs[-1]:
            axes.axvline(flag, color=INK, linewidth=1, dashes=(4, 2))
            axes.annotate(f"threshold {flag:.4g}", (flag, 1), xycoords=("data", "axes fraction"), xytext=(0, 3),
                          textcoords="offset points", ha="center", va="bottom", fontsize=9.5)  # fmt: skip
        axes.set_xlabel("Threshold (log-odds scale)")
        axes.set_ylabel("Share at or over it (log scale)")
        axes.legend(loc="lower left")

    parts = ", ".join(
        f"{percent(_part(totals, point))} at {point['threshold']:g}" for point in points if point["threshold"] in _NAMED
    )
    text = f"Line chart: share of documents, words and bytes at or over a threshold. Documents: {parts}."
    return picture(draw, text, 470)


_NAMED = (0.1, 0.5, 0.9, 0.99)
_LOGIT_TICKS = {0.0001: "0.0001", 0.001: "0.001", 0.01: "0.01", 0.1: "0.1", 0.5: "0.5", 0.9: "0.9", 0.99: "0.99",
                0.999: "0.999", 0.9999: "0.9999"}  # fmt: skip


FEWER_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)


def _log_odds(score: float) -> float:
    return math.log(max(score, 1e-9) / max(1 - score, 1e-9))


def _part(totals: dict[str, Any], point: dict[str, Any]) -> float | None:
    total = totals["documents"]["total"]
    return point["documents"] / total if total else None


def logit_ticks(axis: Axis, shown: Sequence[float]) -> None:
    """Name these scores on an axis of log-odds, and nothing between."""
    axis.set_major_locator(FixedLocator(list(shown)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: _LOGIT_TICKS.get(round(x, 6), "")))
    axis.set_minor_locator(NullLocator())


def logit_axis(axes: Axes) -> None:
    """Scores on a log-odds scale, with few ticks."""
    axes.set_xscale("logit")
    logit_ticks(axes.xaxis, FEWER_TICKS)


def _decades(axes: Axes) -> float:
    low, high = axes.get_ylim()
    return math.log10(high / low)


def tick_percent(share: float) -> str:
    """A share on an axis."""
    return f"{100 * share:g} %" if share >= 1e-9 or share == 0 else f"{100 * share:.0e} %"


def histogram_picture(label: dict[str, Any], edges: Sequence[float], flag: float | None) -> Picture:
    """How many documents have each score, and each strongest window; counts on a log scale."""
    inside = within(edges)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.stairs(label["document_bars"], inside, fill=True, color=BLUE, alpha=0.55, label="document")
        axes.stairs(label["window_bars"], inside, color=BROWN, linewidth=1.4, label="strongest window",
                    baseline=None)  # fmt: skip
        log_counts(axes, label["document_bars"] + label["window_bars"])
        if flag is not None:
            axes.axvline(flag, color=INK, linewidth=1, dashes=(4, 2))
        logit_axis(axes)
        axes.set_xlim(inside[0], inside[-1])
        axes.set_xlabel("Score (log-odds scale)")
        axes.set_ylabel("Documents (log scale)")
        axes.legend(loc="upper center", ncols=2, fontsize=9.5)

    text = (
        f"Histogram of scores: {sum(label['document_bars']):,} documents have one; {label['documents']:,} score "
        f"0.5 or more, and {label['windows']:,} have a window that does."
    )
    return picture(draw, text, 340, 220)


def within(edges: Sequence[float]) -> list[float]:
    """The edges with 0 and 1, which have no log-odds, moved as far out as the next edge is wide."""
    first = edges[1] ** 2 / edges[2]
    return [first, *edges[1:-1], 1 - first]


def log_counts(axes: Axes, counts: Sequence[int]) -> None:
    """Counts on a log scale, with nothing at the bottom."""
    most = max(counts, default=0)
    if most:
        axes.set_yscale("log")
        axes.set_ylim(0.7, most * 4)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def windows_picture(report: dict[str, Any]) -> Picture:
    """Documents by their score and their strongest window's, in cells of one unit of log-odds; shade on a log scale."""
    grid, flag = report["windows"]["grid"], report["threshold"]
    most = max(n for row in grid for n in row)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        shades = LogNorm(1, max(10, most))
        axes.grid(visible=False)
        cells = [[n or float("nan") for n in column] for column in zip(*grid, strict=True)]
        reach = math.log(1 / report["windows"]["grid_edges"][1] - 1) * len(grid) / (len(grid) - 2)
        mesh = axes.imshow(cells, cmap=HEAT, norm=shades, origin="lower", extent=(-reach, reach) * 2,
                           interpolation="none", aspect="auto")  # fmt: skip
        # Of fixed shape, the axes would not give way to a wide colour bar, and the label on the left be cut off.
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(FixedLocator([_log_odds(tick) for tick in FEWER_TICKS]))
            axis.set_major_formatter(FuncFormatter(lambda _, i: f"{FEWER_TICKS[i or 0]:g}"))
        bar = figure.colorbar(mesh, ax=axes, format=FuncFormatter(lambda n, _: f"{n:,.0f}"), shrink=0.9)
        bar.set_label("Documents (log scale)")
        bar.outline.set_visible(False)
        bar.ax.minorticks_off()
        for line in (axes.axvline, axes.axhline):
            line(min(reach, max(-reach, _log_odds(flag))), color=INK, linewidth=1, dashes=(4, 2))
        axes.text(0.03, 0.97, "diluted", transform=axes.transAxes, ha="left", va="top")
        axes.set_xlabel("Score of the document")
        axes.set_ylabel("Score of its strongest window")

    text = (
        "Heat map of document scores against strongest windows: at the upper left, with a window at or over the "
        f"threshold and a document score below it, lie {report['windows']['window_only']:,} documents."
    )
    return picture(draw, text, 440, 340)


def dates_picture(dates: dict[str, Any]) -> Picture:
    """Share of documents flagged in each period, with intervals, over the number of documents."""
    rows = dates["rows"]
    xs = range(len(rows))

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        shares = [row["share"] for row in rows]
        spread = [[row["share"] - row["low"] for row in rows], [row["high"] - row["share"] for row in rows]]
        upper.errorbar(xs, shares, yerr=spread, fmt="o", markersize=3.5, color=BLUE, elinewidth=1)
        upper.set_ylim(0, _top([(row["share"], row["high"]) for row in rows]))
        upper.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        upper.set_ylabel("Documents flagged")
        lower.bar(xs, [row["documents"] for row in rows], color=GREEN, width=0.8)
        lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        lower.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
        lower.set_ylabel("Documents")
        lower.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        lower.xaxis.set_major_formatter(FuncFormatter(lambda x, _: name_at(rows, x)))
        for axes in (upper, lower):
            axes.grid(visible=False, axis="x")

    highest = max(rows, key=lambda row: row["low"])
    text = (
        f"Chart of the share of documents flagged by {dates['period']}, {rows[0]['name']} to {rows[-1]['name']}, with "
        f"95 % intervals; highest lower bound in {highest['name']}: {percent(highest['share'])} of "
        f"{highest['documents']:,}."
    )
    return picture(draw, text, 470, 320)


def name_at(rows: Sequence[dict[str, Any]], x: float, key: str = "name") -> str:
    """What a tick of an axis over rows is called; nothing between two of them."""
    inside = 0 <= x < len(rows) and x == int(x)
    return str(rows[int(x)][key]) if inside else ""


def _top(points: list[tuple[float, float]]) -> float:
    """An upper end that shows every share whole, and the intervals unless periods of few documents make them wide."""
    most = max(share for share, _ in points)
    widest = max(high for _, high in points)
    return (min(widest, 3 * most) if most else widest) * 1.05 or 1.0
