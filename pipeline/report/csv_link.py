"""A table as a CSV file inside the page: a link that a browser saves without asking the network for anything."""

from __future__ import annotations

import csv
import io
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup

_LEFT_OUT = ("sample",)
_FORMULA = re.compile(r"[=+\-@\t\r]")
"""What begins a formula to a spreadsheet: a host could be named so."""


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as RFC 4180 text, with the columns of all of them in order; parts of a figure are ``figure.low`` and so on.

    A text that a spreadsheet would run gets an apostrophe in front, as such programs write it themselves.
    """
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in flat)
    return out.getvalue()


def csv_link(name: str, rows: Iterable[Mapping[str, Any]]) -> Markup:
    """The link; ``name`` is ours, not a crawl's."""
    text = csv_text(rows).encode("utf-8", "replace")
    return Markup('<a class="csv" download="{}.csv" href="data:text/csv;charset=utf-8;base64,{}">CSV</a>').format(
        name, b64encode(text).decode()
    )


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.") if name not in _LEFT_OUT else {}
        elif isinstance(value, list):
            found[before + name] = "; ".join(map(str, value))
        else:
            found[before + name] = value
    return found


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
