"""An audit's figures as text on a terminal. Knows plain values alone."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Column, Table

from pipeline.prevalence.figure import brief

Plain = dict[str, Any]
BY_MODE = "mode"
_OF_THE_FILTER = {"elusion": "what the filter lets pass (elusion)", "rest": "prevalence in what it lets pass"}


class Printed(NamedTuple):
    """What tables there are: by what, of which labels, and by which units."""

    by: tuple[str, ...]
    labels: tuple[str, ...]
    units: tuple[str, ...]


def print_estimate(found: Plain, printed: Printed) -> None:
    """Headline, filter, and tables of slices."""
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
    for by, label, unit in product(*printed):
        console.print()
        console.print(_modes(found, label, unit) if by == BY_MODE else _slices(found, by, label, unit))
        if differences := found["differences"].get(by):
            console.print(_differences(differences, by, label, unit))


def _labels(found: Plain) -> Table:
    table = Table("label", "documents", "words", "positives", "effective labels", box=None)
    for label, units in found["prevalence"].items():
        one = units["documents"]
        effective = f"{one['effective_labels']:,.0f}" if one["effective_labels"] else "-"
        table.add_row(label, brief(one["words"]), brief(units["words"]["words"]), str(one["positives"]), effective)
    return table


def _modes(found: Plain, label: str, unit: str) -> Table:
    table = Table(BY_MODE, f"{label}, of all {unit}", "positives", box=None)
    for mode, units in found["modes"][label].items():
        table.add_row(mode, brief(units[unit]["words"]), str(units[unit]["positives"]))
    return table


def _slices(found: Plain, by: str, label: str, unit: str) -> Table:
    rows = [(one, one["prevalence"][label][unit]) for one in found["slices"][by]]
    some = any(figure and figure["shrunken"] and figure["too_few_labels"] for _, figure in rows)
    columns = unit, f"flagged {found['label']}", f"{label}, of {unit}", "q-value"
    table = Table(Column(by, overflow="fold"), *columns, box=None)
    if some:
        table.add_column("shrunken (model-based)")
    for one, figure in rows:
        said, q = (brief(figure["words"]), f"{figure['q_value']:.2g}") if figure else (f"no {unit}", "")
        few = some and figure and figure["too_few_labels"] and figure["shrunken"]
        small = [brief(figure["shrunken"]["words"]) if few else ""] if some else []
        flagged = f"{one['flagged'][unit] / one[unit]:.3%}" if one[unit] else ""
        table.add_row(one["slice"], f"{one[unit]:,}", flagged, said, q, *small)
    return table


def _differences(rows: list[Plain], by: str, label: str, unit: str) -> Table:
    """Intervals hold at once."""
    names = (Column(name, overflow="fold") for name in (by, "against"))
    table = Table(*names, f"difference in {label}, of {unit}", "p-value, adjusted", box=None)
    for row in rows:
        one = row["differences"][label][unit]
        said, p = (brief(one["words"]), f"{one['p_adjusted']:.2g}") if one else (f"no {unit}", "")
        table.add_row(row["slice"], row["against"], said, p)
    return table
