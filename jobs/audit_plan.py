"""``tropescan audit plan``: strata, sample sizes, and what they can be expected to tell."""

from __future__ import annotations

import json

import click
import numpy as np
from click.core import ParameterSource
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from jobs.audit_domains import DomainOptions, plan_whole_domains, write_plan
from jobs.audit_engine import audit_engine, engine_options
from jobs.audit_labels import labelled_draw
from jobs.audit_tags import columns_for, documents_in, histogram
from jobs.label_options import opened
from jobs.spark_options import SessionOptions
from jobs.tag_rows import Tags, open_tags
from pipeline.prevalence.allocation import anticipate, budget_for, pilot_rates
from pipeline.prevalence.audited import on_grid
from pipeline.prevalence.names import Key
from pipeline.prevalence.plan import Plan, make_plan
from pipeline.prevalence.strata import Histogram

_OF_STRATA = {
    "expected": "--expect", "wanted": "--relative-error", "proxy": "--proxy", "threshold": "--threshold",
    "pilot": "--pilot",
}  # fmt: skip
MOST = 200_000
"""Labels; no audit that needs more is proposed."""
Ints = NDArray[np.int64]


def threshold_of(tags: Tags, label: str, given: float | None) -> float:
    """The filter's threshold on the strata's grid: as given, else the scan's, else the model's."""
    known = tags.folder.scan if tags.folder.scan.get("label") == label else tags.folder.model
    return on_grid(given if given is not None else float(known.get("threshold", 0.5)))


def _pilot(place: str | None, name: str | None, label: str) -> tuple[Plan, tuple[Ints, Ints]] | None:
    """The plan of an audit's draw, and what its labels found in the strata."""
    if name is None:
        return None
    if place is None:
        raise click.UsageError("--pilot needs --store, where the labels of the earlier draw are")
    with opened(place) as store:
        found = labelled_draw(store, name)
    positive = found.positive(label)
    n = len(found.plan.strata)
    labelled = np.bincount(found.strata, minlength=n).astype(np.int64)
    return found.plan, (labelled, np.bincount(found.strata[positive], minlength=n).astype(np.int64))


def seed_of(given: int | None, pilot: Plan | None) -> int:
    """As given, else 1, or one more than the pilot's. Raises `ValueError` for the pilot's own, by which a stratum's
    first documents would be those of the pilot again."""
    if pilot is None:
        return 1 if given is None else given
    if given == pilot.seed:
        raise ValueError(
            f"--seed {given} is the pilot's own, which draws the pilot's documents again; take another, or leave it out"
        )
    return pilot.seed + 1 if given is None else given


def _warning(plan: Plan, wanted: float | None, found: Histogram, pilot: tuple[Ints, Ints] | None) -> str | None:
    """Said where the budget cannot deliver what is wanted, with what could."""
    if wanted is None or plan.outlook.relative_error <= wanted:
        return None
    lowest = np.flatnonzero([one.lowest for one in plan.strata])
    rates = anticipate(plan.documents, lowest, plan.expected)
    rates = pilot_rates(*pilot, rates) if pilot else rates
    enough = budget_for(plan.documents, rates, wanted, min(MOST, plan.population), measured=pilot is not None)
    needed = f"about {enough.labels:,} labels would" if enough else f"not even {min(MOST, plan.population):,} would"
    return (
        f"{sum(plan.sizes):,} labels cannot give a relative error of {wanted:.0%} at a prevalence of "
        f"{plan.expected:.3g}: expect {plan.outlook.relative_error:.0%}; no design gets below "
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
        f"If {plan.expected:.3g} of the {plan.population:,} documents are {plan.label}, {look.labels:,} labels will "
        f"say some {look.low:.3g} to {look.high:.3g} (95 %), a relative error of {look.relative_error:.0%}.",
        highlight=False,
    )


def _check_options(whole_domains: bool, each: int | None) -> None:
    """Raises `click.UsageError` for options of the other design."""
    if each is not None and not whole_domains:
        raise click.UsageError("--each goes with --whole-domains")
    context = click.get_current_context()
    given = [name for name in _OF_STRATA if context.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    if whole_domains and given:
        raise click.UsageError(
            f"{_OF_STRATA[given[0]]} is of strata, by which documents are drawn one by one; --whole-domains has none"
        )


@click.command("plan")
@click.argument("folder", metavar="DIR")
@click.option("--budget", required=True, type=click.IntRange(1), help="Documents that can be read and labelled.")
@click.option("--expect", "expected", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=1e-3,
              show_default=True, help="A guess of the prevalence; docs/prevalence.md has what a wrong one costs. In "
              "doubt guess low, or take a pilot.")  # fmt: skip
@click.option("--relative-error", "wanted", type=click.FloatRange(0, min_open=True),
              help="Wanted: half the interval's width over the prevalence, 0.3 for 30 %.")  # fmt: skip
@click.option("--label", default="adverse", show_default=True, help="The label that the strata are made for.")
@click.option("--proxy", metavar="COLUMN", help="A second score, which ranks documents with the first. "
              "[default: ai_terms, where the model counts them; else ai, or the label's strongest window]")  # fmt: skip
@click.option("--threshold", type=click.FloatRange(0, 1), help="Of the filter, whose precision and recall are wanted. "
              "[default: the scan's]")  # fmt: skip
@click.option("--pilot", metavar="NAME", help="An earlier audit's draw: its strata and rates found are used.")
@click.option("--store", "place", metavar="PATH|URL", envvar="TROPESCAN_STORE", help="Where the pilot's labels are.")
@click.option("--seed", type=int, help="Another seed draws other documents; a pilot's own is refused. "
              "[default: 1, or the pilot's and 1]")  # fmt: skip
@click.option("--key", type=click.Choice(("id", "row")), help="Draw by the documents' ids, or by shard and row: for "
              "ids that repeat. [default: id, or the pilot's]")  # fmt: skip
@click.option("--whole-domains", is_flag=True, help="Draw registered domains and read all documents of each (cluster "
              "sampling), which costs dearly.")  # fmt: skip
@click.option("--each", type=click.IntRange(1), help="Of each domain no more documents than these.")
@click.option("--out", metavar="FILE", default="plan.json", show_default=True, help="The plan, for audit draw.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@engine_options
def command(
    folder: str, budget: int, expected: float, wanted: float | None, label: str, proxy: str | None,
    threshold: float | None, pilot: str | None, place: str | None, seed: int | None, key: Key | None,
    whole_domains: bool, each: int | None, out: str, as_json: bool, engine: str, spark: SessionOptions,
) -> None:  # fmt: skip
    """Plan an audit of the tags in DIR: which documents to read, and what that will tell, before anything is read.

    Documents rank by how few score as high in the label and in a second score; strata are intervals of that rank, what
    the filter flags apart. Where a pilot's labels exist, sizes follow the variances it found (Neyman's allocation).
    Exit status 1 if --relative-error is wanted and the budget cannot deliver it; the plan is written all the same.
    With --whole-domains the budget is met on average, and no score is looked at.
    """
    _check_options(whole_domains, each)
    if whole_domains:
        with open_tags(folder) as tags, audit_engine(engine, spark) as gather:
            plan_whole_domains(tags, gather, DomainOptions(label, budget, each, seed_of(seed, None), key or "id"),
                               out, as_json=as_json)  # fmt: skip
        return
    before = _pilot(place, pilot, label)
    with open_tags(folder) as tags, audit_engine(engine, spark) as gather:
        columns = before[0].columns if before else columns_for(tags, label, proxy)
        counted = histogram(tags, columns, gather)
        if before:
            before[0].check(documents_in(counted, before[0]), tags.digest, folder)
        plan = make_plan(
            counted, label=label, columns=columns, threshold=threshold_of(tags, label, threshold), expected=expected,
            budget=budget, seed=seed_of(seed, before[0] if before else None), model=tags.digest,
            pilot=before[1] if before else None, strata=before[0].strata if before else None,
            key=key or (before[0].key if before else "id"),
        )  # fmt: skip
    write_plan(plan, out)
    warning = _warning(plan, wanted, counted, before[1] if before else None)
    if as_json:
        click.echo(json.dumps(plan.to_json() | {"warning": warning}, allow_nan=False))
    else:
        _print(plan)
    if warning:
        click.echo(f"Warning: {warning}", err=True)
        raise SystemExit(1)
