"""``tropescan audit estimate``: prevalence with intervals from the labels of an audit's draw."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from jobs.audit_differences import Pair
from jobs.audit_domain_estimate import estimate_domains, is_of_domains, print_domains, refuse
from jobs.audit_engine import Gather, audit_engine, engine_options
from jobs.audit_examples import examples
from jobs.audit_figures import Audit, against, filtering, flag_rates, join, modes, prevalences, shown, strata
from jobs.audit_labels import labelled_draw
from jobs.audit_phases import both_phases
from jobs.audit_print import BY_MODE, Printed, print_estimate
from jobs.audit_slice_costs import COSTS, slice_costs
from jobs.audit_slices import MOST_SLICES, slices
from jobs.audit_thresholds import read_bars, thresholds
from jobs.label_options import opened, store_option
from jobs.spark_options import SessionOptions
from jobs.tag_rows import Tags, open_tags
from labels.codebook import LABELS, MODES
from labels.store import Store
from pipeline import storage
from pipeline.prevalence.adjusted import Checks
from pipeline.prevalence.melding import Form
from pipeline.prevalence.sample import stratified
from pipeline.prevalence.slices import SLICES, check_slices, slices_of
from pipeline.prevalence.strata import UNITS
from pipeline.prevalence.two_phase import TwoPhase
from pipeline.report.queries import BARS, MOST_TOPICS, edges

ON_THE_PAGE = ("month", "year", "domain", "topic", "source", "lang", "length")
"""``topic`` where tags have topics."""
EXAMPLES = 8
"""Of each kind, for a page to quote."""


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


def _two_phase(audit: Audit) -> dict[str, Any] | None:
    counts = audit.sample(audit.positive)
    if not isinstance(counts, TwoPhase):
        return None
    sensitivity, specificity = counts.checks()
    return {
        "figure": shown(stratified(counts)), "first_phase": int(counts.read.sum()),
        "first_phase_alone": counts.uncorrected(), "read_by_people": counts.n,
        "model_sensitivity": None if sensitivity != sensitivity else sensitivity,
        "model_specificity": None if specificity != specificity else specificity,
    }  # fmt: skip


def _notes(audit: Audit) -> list[str]:
    labelled, notes = audit.labelled, []
    missing = labelled.drawn - len(labelled.documents)
    if missing:
        notes.append(
            f"{missing:,} of {labelled.drawn:,} drawn documents have no settled label; the figures take them to be "
            "missing at random, which skipped and disputed ones are not"
        )
    if len(labelled.kinds) > 1:
        kinds = ", ".join(f"{kind} {n:,}" for kind, n in labelled.kinds.items())
        by_people = (
            "figures are corrected by people's"
            if audit.phases
            else "--people corrects a model's by people's, and what rests on a model's word says uncorrected"
        )
        notes.append(f"labels are of several kinds ({kinds}); {by_people}")
    elif "llm" in labelled.kinds:
        notes.append(
            "all labels are by language models, whose errors no interval here counts (uncorrected); see audit recheck"
        )
    return notes


def _gathered(audit: Audit, options: _Options) -> dict[str, Any]:
    sliced = {
        one.by: slices(audit, one, options.most, options.compared.get(one.by, ()), options.form)
        for one in audit.slicers
    }
    labelled, totals = audit.labelled, audit.census.whole.sums.sum(axis=0)
    return {
        "label": labelled.plan.label, "draw": options.draw, "drawn": labelled.drawn,
        "labelled": len(labelled.documents), "kinds": labelled.kinds, "notes": _notes(audit),
        "plan": {name: getattr(labelled.plan, name) for name in ("threshold", "expected", "seed", "model")},
        "population": {"documents": int(totals[0]), "words": int(totals[1]), "bytes": int(totals[2])},
        "prevalence": prevalences(
            audit, options.sensitivity, options.specificity, options.form, regression=options.regression
        ),
        "flag_rate": flag_rates(audit), "filter": filtering(audit), "against": against(audit),
        "slices": {by: one.rows for by, one in sliced.items()},
        "differences": {by: one.differences for by, one in sliced.items() if one.differences},
        "two_phase": _two_phase(audit),
    }  # fmt: skip


def _for_a_page(tags: Tags, audit: Audit, settled: Audit, found: dict[str, Any], gather: Gather) -> dict[str, Any]:
    """What a page needs beside the figures ``found``. ``settled``: the audit by settled labels, which say of one
    document what it is."""
    shown_slices = {by: [row["slice"] for row in found["slices"].get(by, [])] for by in COSTS}
    read = {"edges": edges(BARS), **read_bars(settled, edges(BARS))}
    return {
        "modes": modes(audit), "strata": strata(settled), "thresholds": thresholds(audit), "read": read,
        "examples": examples(tags, settled, EXAMPLES),
        "costs": {by: slice_costs(tags, audit, by, names, gather) for by, names in shown_slices.items() if names},
    }  # fmt: skip


@dataclass(frozen=True)
class _Options:
    draw: str
    by: Sequence[str]
    people: str | None
    out: str | None
    most: int | None
    compared: Mapping[str, Sequence[Pair]]
    sensitivity: Checks | None
    specificity: Checks | None
    form: Form
    regression: bool


@click.command("estimate")
@click.argument("folder", metavar="DIR")
@store_option
@click.option("--draw", required=True, metavar="NAME", help="An audit's draw, labelled.")
@click.option("--by", multiple=True, type=click.Choice((*SLICES, BY_MODE)),
              help="Estimates for each slice, too; may be repeated.")  # fmt: skip
@click.option("--most", type=click.IntRange(1),
              help=f"Slices to show, the largest. [default: {MOST_SLICES}, {MOST_TOPICS} topics]")  # fmt: skip
@click.option("--compare", multiple=True, type=(click.Choice(tuple(SLICES)), str, str), metavar="BY SLICE SLICE",
              help="Test the difference of two slices, such as: domain a.org b.org. May be repeated.")  # fmt: skip
@click.option("--label", multiple=True, type=click.Choice(LABELS),
              help="Labels to print slices of; JSON has all. [default: the audit's]")  # fmt: skip
@click.option("--unit", multiple=True, type=click.Choice(UNITS), default=["documents"], show_default=True,
              help="What to print slices by; JSON has all.")  # fmt: skip
@click.option("--people", metavar="NAME", help="People's draw of 'audit recheck', which corrects a model's labels.")
@click.option("--sensitivity", callback=_checks, metavar="RIGHT/TRIED",
              help="Known positives that annotators called positive in blind checks: corrects for misses.")  # fmt: skip
@click.option("--specificity", callback=_checks, metavar="RIGHT/TRIED",
              help="The same of negatives. Without it positives are taken to have been read twice.")  # fmt: skip
@click.option(
    "--exact", is_flag=True, help="Prevalences, of slices too, by exact strata: wider, for populations made to mislead."
)
@click.option("--regression", is_flag=True, help="The audited label by documents assisted by the score within strata: "
              "narrower where it is common and the classifier good. Decide before you look.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option("--out", metavar="FILE", help=f"Write them, by {', '.join(ON_THE_PAGE)}, for 'tropescan report --audit'.")
@engine_options
def command(
    folder: str, place: str, draw: str, by: tuple[str, ...], most: int | None,
    compare: tuple[tuple[str, str, str], ...], label: tuple[str, ...], unit: tuple[str, ...], people: str | None,
    sensitivity: Checks | None, specificity: Checks | None, exact: bool, regression: bool, as_json: bool,
    out: str | None, engine: str, spark: SessionOptions,
) -> None:  # fmt: skip
    """Estimate prevalence in the tags in DIR from the labels of an audit's draw.

    Every label, by documents, words and bytes, with intervals that hold when positives are rare; the filter's
    precision and recall on this very corpus, and a bound for what it lets pass. A figure with too few labels behind it
    is printed as its bound alone. Draws that were not designed, such as those of 'label acquire', are refused.

    Slices have every label by documents, words and bytes in JSON; printed is the audit's label by documents, unless
    --label and --unit say otherwise.

    Intervals are 95 %: 1 % of error below, 4 % above. Those of dates (--by month, year) hold all at once, and so do
    those of differences: of each date from the one before, the last from the first, and those of --compare; their
    p-values are adjusted for how many there are (Holm). The q-value of a slice is for its differing from the rest,
    controlled over all slices; a slice with too few labels has a shrunken figure beside it, which is model-based. A
    draw of whole domains has an interval that counts domains, with design effect and effective labels, and no slices.
    With --people all figures are corrected by what people found. A figure that rests on a language model's word is
    marked as uncorrected.
    """
    if specificity and not sensitivity:
        raise click.UsageError("--specificity goes with --sensitivity")
    if regression and (exact or people):
        raise click.UsageError(
            "--regression rests on a normal approximation, which --exact does without, and on labels of one phase: "
            "leave out --exact and --people, or it"
        )
    compared = {one: [(a, b) for named, a, b in compare if named == one] for one, _, _ in compare}
    form: Form = "exact" if exact else "mid-p"
    options = _Options(draw, by, people, out, most, compared, sensitivity, specificity, form, regression)
    with open_tags(folder) as tags, opened(place) as store, audit_engine(engine, spark) as gather:
        whole_domains = is_of_domains(store, draw)
        found = (_of_domains if whole_domains else _of_documents)(tags, store, gather, options)
    plain = json.dumps(found, allow_nan=False)
    if out:
        with storage.whole_file(out) as file:
            file.write(plain.encode())
    if as_json:
        click.echo(plain)
    elif whole_domains:
        print_domains(found)
    else:
        print_estimate(found, Printed(tuple(dict.fromkeys((*by, *compared))), label or (found["label"],), unit))
    for note in found["notes"]:
        click.echo(f"note: {note}", err=True)


def _of_domains(tags: Tags, store: Store, gather: Gather, options: _Options) -> dict[str, Any]:
    """Raises `ValueError` for what a draw of whole domains cannot tell."""
    refuse(options.draw, {
        "by": set(options.by) - {BY_MODE}, "compare": options.compared, "people": options.people,
        "sensitivity": options.sensitivity, "out": options.out, "regression": options.regression,
    })  # fmt: skip
    wanted = MODES if options.by else ()
    return estimate_domains(tags, store, options.draw, gather, form=options.form, modes=wanted)


def _of_documents(tags: Tags, store: Store, gather: Gather, options: _Options) -> dict[str, Any]:
    on_page = [one for one in ON_THE_PAGE if one in slices_of(tags.folder.model)] if options.out else []
    slicers = [one for one in dict.fromkeys((*options.by, *options.compared, *on_page)) if one != BY_MODE]
    check_slices(slicers, tags.folder.model, tags.folder.url)
    labelled = labelled_draw(store, options.draw)
    phases = both_phases(store, options.draw, options.people, labelled.plan.label) if options.people else None
    settled = join(tags, labelled, slicers, gather, also=phases.first.documents if phases else ())
    audit = settled.corrected(phases) if phases else settled
    found = _gathered(audit, options)
    if options.out:
        return found | _for_a_page(tags, audit, settled, found, gather)
    return found | ({"modes": modes(audit)} if BY_MODE in options.by else {})
