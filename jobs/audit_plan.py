"""``tropescan audit plan``: strata, sample sizes, and what they can be expected to tell."""

from __future__ import annotations

import json

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from jobs.audit_engine import audit_engine, engine_options
from jobs.audit_labels import labelled_draw
from jobs.audit_tags import columns_for, histogram
from jobs.label_options import opened
from jobs.spark_options import SessionOptions
from jobs.tag_rows import Tags, open_tags
from pipeline import storage
from pipeline.prevalence.allocation import anticipate, budget_for, pilot_rates
from pipeline.prevalence.audited import on_grid
from pipeline.prevalence.plan import Plan, make_plan
from pipeline.prevalence.strata import Histogram, Strata

MOST = 200_000
"""Labels; no audit that needs more is proposed."""
Ints = NDArray[np.int64]


def threshold_of(tags: Tags, label: str, given: float | None) -> float:
    """The filter's threshold on the strata's grid: as given, else the scan's, else the model's."""
    known = tags.folder.scan if tags.folder.scan.get("label") == label else tags.folder.model
    return on_grid(given if given is not None else float(known.get("threshold", 0.5)))


def _pilot(place: str | None, name: str | None, label: str) -> tuple[Strata, tuple[Ints, Ints]] | None:
    """Strata of an audit's draw, and what its labels found in them."""
    if name is None:
        return None
    if place is None:
        raise click.UsageError("--pilot needs --store, where the labels of the earlier draw are")
    with opened(place) as store:
        found = labelled_draw(store, name)
    positive = found.positive(label)
    n = len(found.plan.strata)
    labelled = np.bincount(found.strata, minlength=n).astype(np.int64)
    return found.plan.strata, (labelled, np.bincount(found.strata[positive], minlength=n).astype(np.int64))


def _warning(plan: Plan, wanted: float | None, found: Histogram, pilot: tuple[Ints, Ints] | None) -> str | None:
    """Said where the budget cannot deliver what is wanted, with what could."""
    if wanted is None or plan.outlook.relative_error <= wanted:
        return None
    lowest = np.flatnonzero([one.lowest for one in plan.strata])
    rates = anticipate(plan.documents, lowest, plan.expected)
    enough = budget_for(
        plan.documents, pilot_rates(*pilot, rates) if pilot else rates, wanted, min(MOST, plan.population)
    )
    needed = f"about {enough.labels:,} labels would" if enough else f"not even {min(MOST, plan.population):,} would"
    return (
        f"{sum(plan.sizes):,} labels cannot give a relative error of {wanted:.0%} at a prevalence of "
        f"{plan.expected:g}: expect {plan.outlook.relative_error:.0%}; no design gets below "
        f"{plan.least_relative_error:.0%} with so many, "
        f"as what scores low and was not read bounds every interval; {needed}"
    )


def _print(plan: Plan) -> None:
    table = Table("stratum", "documents", "share", "to read", "inclusion\nprobability", box=None)
    for one, size in zip(plan.strata, plan.sizes, strict=True):
        share = f"{one.documents / plan.population:.4%}"
        table.add_row(one.name, f"{one.documents:,}", share, f"{size:,}", f"{size / one.documents:.3g}")
    console, look = Console(), plan.outlook
    console.print(table)
    console.print(
        f"If {plan.expected:g} of the {plan.population:,} documents are {plan.label}, {look.labels:,} labels will say "
        f"some {look.low:.3g} to {look.high:.3g} (95 %), a relative error of {look.relative_error:.0%}.",
        highlight=False,
    )


@click.command("plan")
@click.argument("folder", metavar="DIR")
@click.option("--budget", required=True, type=click.IntRange(1), help="Documents that can be read and labelled.")
@click.option("--expect", "expected", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=1e-3,
              show_default=True, help="A guess of the prevalence. A wrong one costs width, not coverage.")  # fmt: skip
@click.option("--relative-error", "wanted", type=click.FloatRange(0, min_open=True),
              help="Wanted: half the interval's width over the prevalence, 0.3 for 30 %.")  # fmt: skip
@click.option("--label", default="adverse", show_default=True, help="The label that the strata are made for.")
@click.option("--proxy", metavar="COLUMN", help="A second score, which ranks documents with the first. "
              "[default: ai, or the label's strongest window]")  # fmt: skip
@click.option("--threshold", type=click.FloatRange(0, 1), help="Of the filter, whose precision and recall are wanted. "
              "[default: the scan's]")  # fmt: skip
@click.option("--pilot", metavar="NAME", help="An earlier audit's draw: its strata and rates found are used.")
@click.option("--store", "place", metavar="PATH|URL", envvar="TROPESCAN_STORE", help="Where the pilot's labels are.")
@click.option("--seed", default=1, show_default=True, help="Another seed draws other documents.")
@click.option("--out", metavar="FILE", default="plan.json", show_default=True, help="The plan, for audit draw.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@engine_options
def command(
    folder: str, budget: int, expected: float, wanted: float | None, label: str, proxy: str | None,
    threshold: float | None, pilot: str | None, place: str | None, seed: int, out: str, as_json: bool, engine: str,
    spark: SessionOptions,
) -> None:  # fmt: skip
    """Plan an audit of the tags in DIR: which documents to read, and what that will tell, before anything is read.

    Documents rank by how few score as high in the label and in a second score; strata are intervals of that rank, what
    the filter flags apart. Where a pilot's labels exist, sizes follow the variances it found (Neyman's allocation).
    Exit status 1 if --relative-error is wanted and the budget cannot deliver it; the plan is written all the same.
    """
    before = _pilot(place, pilot, label)
    with open_tags(folder) as tags, audit_engine(engine, spark) as gather:
        columns = columns_for(tags, label, proxy)
        counted = histogram(tags, columns, gather)
        plan = make_plan(
            counted, label=label, columns=columns, threshold=threshold_of(tags, label, threshold), expected=expected,
            budget=budget, seed=seed, model=tags.digest, pilot=before[1] if before else None,
            strata=before[0] if before else None,
        )  # fmt: skip
    with storage.whole_file(out) as file:
        file.write(json.dumps(plan.to_json(), indent=1, allow_nan=False).encode())
    warning = _warning(plan, wanted, counted, before[1] if before else None)
    if as_json:
        click.echo(json.dumps(plan.to_json() | {"warning": warning}, allow_nan=False))
    else:
        _print(plan)
    click.echo(f"plan in {out}", err=True)
    if warning:
        click.echo(f"Warning: {warning}", err=True)
        raise SystemExit(1)
