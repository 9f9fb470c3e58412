"""An evaluation as one HTML page that loads nothing and runs no script: figures, curves, audit, and errors by pointer.

Holds no text of any document. Knows the figures that ``tropescan eval --json`` prints; knows neither models nor labels.
"""

from __future__ import annotations

from typing import Any

from pipeline.report.evaluation_figures import precision_recall_picture, reliability_picture, roc_picture
from pipeline.report.figures import Picture
from pipeline.report.page import open_environment

EXPECTED = {
    "positives": "Hardly any should be flagged once no artificial mind does it.",
    "ordinary texts": "Those with such people, plants or firms: about AI then, they should hardly be flagged more "
    "often than other texts about AI.",
    "members without AI of our pairs": "Mostly villains; they should come near to their twins with an AI.",
}
"""What a model that goes by deeds of artificial minds would show, by whose swaps they are."""


def render_evaluation(evaluation: dict[str, Any]) -> str:
    """The page, as text. The same figures give the same page."""
    environment, style = open_environment()
    curves = evaluation["curves"]
    pictures = {
        "precision-recall": precision_recall_picture(curves["precision-recall"]),
        **{kind: _roc(curves[f"roc, {kind}"], kind) for kind in ("background", "documents about AI")},
        "reliability": reliability_picture(evaluation["reliability"]) if evaluation["reliability"] else None,
    }
    others = {name: reliability_picture(rows) for name, rows in evaluation["reliability of others"].items()}
    template = environment.get_template("evaluation.html")
    return template.render(
        e=evaluation, pictures=pictures, others=others, expected=EXPECTED, interval=_interval, signed=_signed, **style
    )


def _roc(curves: dict[str, list[list[float]]], negatives: str) -> Picture | None:
    """None where there is no negative of that kind."""
    return roc_picture(curves, negatives) if curves["model"] else None


def _interval(figure: dict[str, Any] | None, digits: int = 3) -> str:
    """A figure with its interval, or a dash where it is not defined."""
    if figure is None or figure["value"] != figure["value"]:
        return "–"
    low, high = (f"{figure[end]:.{digits}f}" if figure[end] == figure[end] else "?" for end in ("low", "high"))
    return _told(f"{figure['value']:.{digits}f}", low, high)


def _signed(figure: dict[str, Any]) -> str:
    return _told(*(f"{figure[part]:+.3f}" for part in ("value", "low", "high")))


def _told(value: str, low: str, high: str) -> str:
    """No-break spaces: on a narrow screen the line may end before the interval, not within it."""
    return f"{value} ({low}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{high})"
