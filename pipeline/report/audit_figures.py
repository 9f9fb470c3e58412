"""The plots of an audit: trend, labels by mode, strata and draws, precision and recall, what a filter costs.

A figure with too few labels is drawn as its bound, never as a point. Knows the figures of an audit as plain values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from pipeline.report.figures import (
    BLUE,
    BROWN,
    GREEN,
    INK,
    Mark,
    Picture,
    log_counts,
    logit_axis,
    name_at,
    percent,
    picture,
    tick_percent,
    within,
)

NAN = float("nan")
Plain = dict[str, Any]


def _value(figure: Plain | None) -> float:
    return NAN if not figure or figure["value"] is None else float(figure["value"])


def _low(figure: Plain | None) -> float:
    return NAN if not figure else float(figure["low"] or 0.0)


def _high(figure: Plain | None) -> float:
    return NAN if not figure else float(figure["high"])


def _band(axes: Axes, xs: Sequence[float], figures: Sequence[Plain | None], colour: str, label: str) -> None:
    """A line through the values, over a band from bound to bound."""
    axes.fill_between(xs, [_low(f) for f in figures], [_high(f) for f in figures], color=colour, alpha=0.2, linewidth=0)
    axes.plot(xs, [_value(f) for f in figures], "o-", markersize=2.5, color=colour, label=label, linewidth=1.6)


def trend_picture(rows: Sequence[Plain], label: str) -> Picture:
    """Prevalence by date as a line with its band, all intervals holding at once; flag rates beside it."""
    xs, figures = [float(k) for k in range(len(rows))], [row["figure"] for row in rows]

    def draw(figure: Figure) -> list[Mark]:
        axes = figure.add_subplot()
        _band(axes, xs, figures, BLUE, f"{label}, estimated")
        axes.plot(xs, [row["flag_rate"] for row in rows], ":", color=INK, label="flagged", linewidth=1.4)
        known = [_high(f) for f in figures if not f["too_few_labels"]]
        top = max(known) * 1.6 if known else max(map(_high, figures))
        axes.set_ylim(0, min(1.0, max(top, max(row["flag_rate"] for row in rows))) * 1.05 or 1.0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:g} %"))
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: name_at(rows, x, "slice")))
        axes.set_ylabel("Share of documents")
        axes.legend(loc="upper left", fontsize=9.5)
        heights = [f["value"] if f["value"] is not None else min(_high(f), axes.get_ylim()[1]) for f in figures]
        return [Mark(axes, x, y, _said(row)) for x, y, row in zip(xs, heights, rows, strict=True)]

    few = sum(one["too_few_labels"] for one in figures)
    text = (
        f"Line with band: prevalence of {label} in {len(rows)} periods from {rows[0]['slice']} to {rows[-1]['slice']}; "
        f"{few} of them have too few labels and only a bound."
    )
    return picture(draw, text, 470, 300)


def _said(row: Plain) -> str:
    return f"{row['slice']}: {row['figure']['words']}; flagged {percent(row['flag_rate'])}"


def label_picture(label: str, figures: dict[str, Plain]) -> Picture:
    """One label, whole and by mode: dots with intervals on a log axis; an arrow from the bound where labels are few."""
    names = list(figures)

    def draw(figure: Figure) -> list[Mark]:
        axes, marks = figure.add_subplot(), []
        least = min([x for f in figures.values() for x in (_low(f), _high(f) / 30) if x > 0], default=1e-4)
        for y, name in enumerate(reversed(names)):
            one = figures[name]
            if one["too_few_labels"]:
                axes.plot([least, _high(one)], [y, y], "-", color=BROWN, linewidth=1, alpha=0.5)
                axes.plot([_high(one)], [y], "<", color=BROWN, markersize=6, markerfacecolor="none")
            else:
                axes.plot([max(least, _low(one)), max(least, _high(one))], [y, y], "-", color=BLUE, linewidth=1.6)
                if one["value"]:
                    axes.plot([_value(one)], [y], "o", color=BLUE, markersize=5)
                else:
                    axes.text(least, y, "0", color=BLUE, ha="center", va="center")
            at = _high(one) if one["too_few_labels"] else max(least, _value(one))
            marks.append(Mark(axes, at, y, f"{name}: {one['words']}"))
        axes.set_xscale("log")
        axes.set_xlim(least / 1.5, 1.5 * max(least * 10, *map(_high, figures.values())))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: tick_percent(x)))
        axes.set_yticks(range(len(names)), names[::-1])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.grid(visible=False, axis="y")
        return marks

    text = f"Dots with intervals, share of documents that are {label}: " + "; ".join(
        f"{name} {one['words']}" for name, one in figures.items()
    )
    return picture(draw, text, 340, 240)


def strata_picture(shown: Plain, audit: Plain) -> Picture:
    """How many documents have each score and how many were read and found positive; beneath, the scores that each
    stratum holds, with what was read and found in it."""
    edges, own = within(audit["read"]["edges"]), audit["plan"]["threshold"]
    scored = [one for one in audit["strata"] if one["score"]["least"] is not None]

    def draw(figure: Figure) -> list[Mark]:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(10, 1 + len(scored)))
        axes.stairs(shown["document_bars"], edges, fill=True, color=BLUE, alpha=0.3, label="all documents")
        axes.stairs(audit["read"]["read"], edges, color=BROWN, linewidth=1.6, label="read")
        axes.stairs(audit["read"]["positive"], edges, fill=True, color=GREEN, alpha=0.8, label=f"{audit['label']}")
        log_counts(axes, shown["document_bars"])
        axes.set_ylim(top=axes.get_ylim()[1] * 5)
        axes.set_ylabel("Documents (log scale)")
        axes.legend(loc="upper center", ncols=3, fontsize=9)
        logit_axis(below)
        for one in (axes, below):
            one.axvline(own, color=INK, linewidth=1, dashes=(4, 2))
        below.set_xlim(edges[0], edges[-1])
        below.set_xlabel("Score (log-odds scale)")
        return _strips(below, scored, (edges[0], edges[-1]))

    text = "Histogram of scores with strata and the audit's draw: " + "; ".join(map(_of_stratum, audit["strata"]))
    return picture(draw, text, 470, 290 + 17 * len(scored))


def _strips(axes: Axes, strata: Sequence[Plain], ends: tuple[float, float]) -> list[Mark]:
    """A line for each stratum, by its number, from its least to its greatest score, thick for nine tenths of it."""
    marks = []
    for y, one in enumerate(strata):
        least, low, high, greatest = (min(max(score, ends[0]), ends[1]) for score in one["score"].values())
        axes.plot([least, greatest], [y, y], color=BLUE, linewidth=1.4)
        axes.plot([low, high], [y, y], color=BLUE, linewidth=6, alpha=0.5, solid_capstyle="butt")
        axes.annotate(f"{one['positives']:,} of {one['labelled']:,}", (1, y), xycoords=("axes fraction", "data"),
                      xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)  # fmt: skip
        marks += [Mark(axes, at, y, _of_stratum(one)) for at in (low, high)]
    axes.set_yticks(range(len(strata)), [one["name"].partition(":")[0] for one in strata])
    axes.set_ylim(-0.7, len(strata) - 0.3)
    axes.set_ylabel("Stratum")
    axes.grid(visible=False, axis="y")
    return marks


def _of_stratum(one: Plain) -> str:
    return f"{one['name']}: {one['labelled']:,} of {one['documents']:,} read, {one['positives']:,} positive"


def _log_odds_axis(axes: Axes, xs: Sequence[float], own: float) -> None:
    logit_axis(axes)
    axes.set_xlim(xs[0] / (1 + xs[0] * 0.2), 1 - (1 - xs[-1]) / 1.2)
    axes.axvline(own, color=INK, linewidth=1, dashes=(4, 2))
    axes.set_xlabel("Threshold (log-odds scale)")


def quality_picture(rows: Sequence[Plain], own: float) -> Picture:
    """Precision and recall of the filter over thresholds, with bands."""
    xs = [row["threshold"] for row in rows]

    def draw(figure: Figure) -> list[Mark]:
        axes = figure.add_subplot()
        _band(axes, xs, [row["precision"] for row in rows], BLUE, "precision")
        _band(axes, xs, [row["recall"] for row in rows], BROWN, "recall")
        _log_odds_axis(axes, xs, own)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: tick_percent(y)))
        axes.legend(loc="lower center", ncols=2, fontsize=9.5)
        return [Mark(axes, x, _middle(row["precision"]), row["said"]) for x, row in zip(xs, rows, strict=True)]

    at = next((row for row in rows if row["own"]), None)
    words = f"; at {own:.4g}: {_words(at['precision'])} and {_words(at['recall'])}" if at else ""
    return picture(draw, f"Lines with bands: precision and recall over {len(rows)} thresholds{words}.", 470, 320)


def cost_picture(rows: Sequence[Plain], population: Plain, own: float) -> Picture:
    """Share of documents and of words lost at each threshold, and of documents lost wrongly, on a log axis."""
    xs = [row["threshold"] for row in rows]

    def draw(figure: Figure) -> list[Mark]:
        axes = figure.add_subplot()
        lost = [row["flagged"]["documents"] / population["documents"] for row in rows]
        axes.plot(xs, lost, "-", color=BLUE, label="documents lost", linewidth=1.8)
        words = [row["flagged"]["words"] / max(1, population["words"]) or NAN for row in rows]
        axes.plot(xs, words, "--", color=GREEN, label="words lost", linewidth=1.4)
        wrong = [_scaled(row["wrong"]["documents"], share) for row, share in zip(rows, lost, strict=True)]
        floor = min(lost) / 100
        clipped = [f | {"low": max(f["low"] or 0.0, floor)} for f in wrong]
        _band(axes, xs, clipped, BROWN, "documents lost wrongly")
        axes.set_yscale("log")
        axes.set_ylim(floor, min(1.2, max(lost) * 2))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: tick_percent(y)))
        _log_odds_axis(axes, xs, own)
        axes.set_ylabel("Share of the corpus (log scale)")
        axes.legend(loc="lower left", fontsize=9)
        return [Mark(axes, x, y, row["said"]) for x, y, row in zip(xs, lost, rows, strict=True)]

    text = f"Lines: share of documents and words that a filter drops at {len(rows)} thresholds, and dropped wrongly."
    return picture(draw, text, 470, 320)


def _scaled(figure: Plain, by: float) -> Plain:
    return {end: None if figure[end] is None else figure[end] * by for end in ("value", "low", "high")}


def _middle(figure: Plain | None) -> float:
    """Where a pointer is near the figure: its value, or the middle of what it may be."""
    value = _value(figure)
    return value if value == value else 0.5


def _words(figure: Plain | None) -> str:
    return figure["words"] if figure else "nothing"
