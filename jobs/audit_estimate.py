"""``tropescan audit estimate``: prevalence with intervals from the labels of an audit's draw."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from jobs.audit_figures import Audit, filtering, flag_rates, join, modes, prevalences, shown, slices
from jobs.audit_labels import LabelledDraw, labelled_draw
from jobs.audit_phases import two_phase_counts
from jobs.label_options import opened, store_option
from jobs.tag_rows import open_tags
from labels.store import Store
from pipeline.prevalence.adjusted import Checks
from pipeline.prevalence.melding import Form
from pipeline.prevalence.slices import SLICES
from pipeline.prevalence.two_phase import annotator_checks, two_phase


def _checks(context: click.Context, parameter: click.Parameter, value: str | None) -> Checks | None:
    if value is None:
        return None
    try:
        right, tried = (int(part) for part in value.split("/"))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not like 97/100") from error
    if not 0 <= right <= tried or not tried:
        raise click.BadParameter(f"{value!r}: the first may not be above the second")
    return Checks(right, tried)


def _phases(store: Store, draw: str, people: str, label: str) -> dict[str, Any]:
    counts = two_phase_counts(store, draw, people, label)
    sensitivity, specificity = annotator_checks(counts)
    return {
        "figure": shown(two_phase(counts)), "first_phase": int(counts.read.sum()),
        "first_phase_alone": counts.uncorrected(),
        "read_by_people": int((counts.called_checked + counts.passed_checked).sum()),
        "model_sensitivity": None if sensitivity != sensitivity else sensitivity,
        "model_specificity": None if specificity != specificity else specificity,
    }  # fmt: skip


def _notes(labelled: LabelledDraw) -> list[str]:
    notes = []
    missing = labelled.drawn - len(labelled.documents)
    if missing:
        notes.append(
            f"{missing:,} of {labelled.drawn:,} drawn documents have no settled label; the figures take them to be "
            "missing at random, which skipped and disputed ones are not"
        )
    if len(labelled.kinds) > 1:
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in labelled.kinds.items())
        notes.append(f"labels are of several kinds ({kinds}); --people corrects a model's by people's")
    elif "llm" in labelled.kinds:
        notes.append("all labels are by language models, whose errors no interval here counts; see audit recheck")
    return notes


def _gathered(
    audit: Audit, most: int, sensitivity: Checks | None, specificity: Checks | None, form: Form
) -> dict[str, Any]:
    labelled, totals = audit.labelled, audit.whole.sums.sum(axis=0)
    return {
        "label": labelled.plan.label, "drawn": labelled.drawn, "labelled": len(labelled.documents),
        "kinds": labelled.kinds, "notes": _notes(labelled),
        "population": {"documents": int(totals[0]), "words": int(totals[1]), "bytes": int(totals[2])},
        "prevalence": prevalences(audit, sensitivity, specificity, form), "modes": modes(audit),
        "flag_rate": flag_rates(audit), "filter": filtering(audit),
        "by": audit.slicer.by if audit.slicer else None, "slices": slices(audit, most),
    }  # fmt: skip


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"{found['labelled']:,} labelled of {found['population']['documents']:,} documents")
    table = Table("label", "documents", "words", "positives", "effective labels", box=None)
    for label, units in found["prevalence"].items():
        one, effective = units["documents"], units["documents"]["effective_labels"]
        table.add_row(
            label,
            one["words"],
            units["words"]["words"],
            str(one["positives"]),
            f"{effective:,.0f}" if effective else "-",
        )
    console.print(table)
    rates = found["flag_rate"]
    console.print(f"flagged: {rates['documents']:.4%} (a flag rate, no prevalence)")
    for name, figure in found["filter"]["documents"].items():
        console.print(f"{name} of the filter: {figure['words']}")
    if "two_phase" in found:
        console.print(f"two-phase, corrected by people: {found['two_phase']['figure']['words']}")
    if found["slices"]:
        _print_slices(console, found)


def _print_slices(console: Console, found: dict[str, Any]) -> None:
    table = Table(found["by"], "documents", "flagged", found["label"], "q-value", box=None)
    for one in found["slices"]:
        q = f"{one['q_value']:.2g}"
        table.add_row(one["slice"], f"{one['documents']:,}", f"{one['flag_rate']:.3%}", one["figure"]["words"], q)
    console.print(table)


@click.command("estimate")
@click.argument("folder", metavar="DIR")
@store_option
@click.option("--draw", required=True, metavar="NAME", help="An audit's draw, labelled.")
@click.option("--by", type=click.Choice(tuple(SLICES)), help="Estimates for each slice, too.")
@click.option("--most", default=20, show_default=True, type=click.IntRange(1), help="Slices to show, the largest.")
@click.option("--people", metavar="NAME", help="People's draw of 'audit recheck', which corrects a model's labels.")
@click.option("--sensitivity", callback=_checks, metavar="RIGHT/TRIED",
              help="Known positives that annotators called positive in blind checks: corrects for misses.")  # fmt: skip
@click.option("--specificity", callback=_checks, metavar="RIGHT/TRIED",
              help="The same of negatives. Without it positives are taken to have been read twice.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Prevalences by exact strata: wider, for populations made to mislead.")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def command(
    folder: str, place: str, draw: str, by: str | None, most: int, people: str | None, sensitivity: Checks | None,
    specificity: Checks | None, exact: bool, as_json: bool,
) -> None:  # fmt: skip
    """Estimate prevalence in the tags in DIR from the labels of an audit's draw.

    Every label, by documents, words and bytes, with intervals that hold when positives are rare; the filter's
    precision and recall on this very corpus, and a bound for what it lets pass. A figure with too few labels behind it
    is printed as its bound alone. Draws that were not designed, such as those of 'label acquire', are refused.

    Intervals are 95 %: 1 % of error below, 4 % above. Those of dates (--by month, year) hold all at once. The q-value
    of a slice is for its differing from the rest, controlled over all slices.
    """
    if specificity and not sensitivity:
        raise click.UsageError("--specificity goes with --sensitivity")
    with open_tags(folder) as tags, opened(place) as store:
        labelled = labelled_draw(store, draw)
        audit = join(tags, labelled, by)
        found = _gathered(audit, most, sensitivity, specificity, "exact" if exact else "mid-p")
        if people:
            found["two_phase"] = _phases(store, draw, people, labelled.plan.label)
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
    else:
        _print(found)
    for note in found["notes"]:
        click.echo(f"note: {note}", err=True)
