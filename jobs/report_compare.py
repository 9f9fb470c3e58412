"""``tropescan report compare``: two reports side by side, differences tested as such."""

from __future__ import annotations

import json

import click

from pipeline import storage
from pipeline.report.compare import compare, load_report


@click.command("compare")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--out", metavar="FILE", default="compare.html", show_default=True, help="The page, HTML.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, and write no page.")
def command(first: str, second: str, out: str, as_json: bool) -> None:
    """Compare two reports, A and B: two corpora, or one before and after a policy.

    Both are files that 'tropescan report DIR --audit FILE --json FILE' wrote. Prevalences by label and unit, and of
    slices that both have, with the interval of each difference (B minus A) and its p-value; overlapping intervals show
    nothing. Reports without an audit are compared by flag rates alone, which are not prevalences.

    \b
      tropescan report old --audit old-audit.json --json old.json
      tropescan report new --audit new-audit.json --json new.json
      tropescan report compare old.json new.json --out compare.html
    """
    found = compare(load_report(first), load_report(second))
    for row in found["labels"]:
        if row["label"] == found["label"] and row["difference"]:
            gap = row["difference"]
            click.echo(f"{row['unit']}: {gap['words']}, p = {gap['p_value']:.2g}", err=True)
    for note in found["notes"]:
        click.echo(f"note: {note}", err=True)
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    from pipeline.report.compare_page import render_comparison  # here: --json need not wait for plots to load

    with storage.whole_file(out) as file:
        file.write(render_comparison(found).encode())
    click.echo(f"page in {out}", err=True)
