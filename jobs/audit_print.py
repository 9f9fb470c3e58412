"""An audit's figures as text on a terminal. Knows plain values alone."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

BY_MODE = "mode"
_OF_THE_FILTER = {"elusion": "what the filter lets pass (elusion)", "rest": "prevalence in what it lets pass"}


def print_estimate(found: dict[str, Any], by: tuple[str, ...]) -> None:
    """Headline, filter, and a table for each of ``by``."""
    console = Console(highlight=False, markup=False)
    console.print(f"{found['labelled']:,} labelled of {found['population']['documents']:,} documents")
    console.print(_labels(found))
    rates = found["flag_rate"]
    console.print(f"flagged: {rates['documents']:.4%} (a flag rate, no prevalence)")
    for name, figure in found["filter"]["documents"].items():
        console.print(f"{_OF_THE_FILTER.get(name, name + ' of the filter')}: {figure['words']}")
    if found["against"]:
        console.print(f"{found['label']} to {found['against']['label']}: {found['against']['words']}")
    if found["two_phase"]:
        console.print(f"two-phase, corrected by people: {found['two_phase']['figure']['words']}")
    for one in by:
        console.print(_modes(found) if one == BY_MODE else _slices(found, one))


def _labels(found: dict[str, Any]) -> Table:
    table = Table("label", "documents", "words", "positives", "effective labels", box=None)
    for label, units in found["prevalence"].items():
        one = units["documents"]
        effective = f"{one['effective_labels']:,.0f}" if one["effective_labels"] else "-"
        table.add_row(label, one["words"], units["words"]["words"], str(one["positives"]), effective)
    return table


def _modes(found: dict[str, Any]) -> Table:
    table = Table(BY_MODE, f"{found['label']}, of all documents", "positives", box=None)
    for mode, figure in found["modes"][found["label"]].items():
        table.add_row(mode, figure["words"], str(figure["positives"]))
    return table


def _slices(found: dict[str, Any], by: str) -> Table:
    table = Table(by, "documents", "flagged", found["label"], "q-value", "shrunken (model-based)", box=None)
    for one in found["slices"][by]:
        few, q = one["figure"]["too_few_labels"], f"{one['q_value']:.2g}"
        small = one["shrunken"]["words"] if few and one["shrunken"] else ""
        table.add_row(
            one["slice"], f"{one['documents']:,}", f"{one['flag_rate']:.3%}", one["figure"]["words"], q, small
        )
    return table
