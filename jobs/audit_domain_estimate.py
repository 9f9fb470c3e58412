"""Prevalence from a labelled draw of whole domains: joins labels, domains and plan, and refuses what it cannot tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from jobs.audit_domains import census
from jobs.audit_engine import Gather
from jobs.audit_figures import Plain, shown
from jobs.audit_labels import DOMAINS, kinds_of, settled_selections
from jobs.audit_phases import CHEAP
from jobs.tag_rows import Tags
from labels.codebook import LABELS
from labels.store import Store
from labels.store.judgements import Settled
from labels.store.lookup import draw_named
from labels.store.tables import Selection
from pipeline.prevalence.clusters import Clusters, by_domains
from pipeline.prevalence.domains import DomainCensus, DomainPlan, domain_plan_from_json
from pipeline.prevalence.melding import Form
from pipeline.prevalence.sample import size_biased
from pipeline.prevalence.strata import UNITS

Flags = NDArray[np.bool_]
REFUSED = {
    "by": "a slice holds too few of the domains drawn to count them; modes (--by mode) are parts of the whole",
    "compare": "slices, which it would hold against each other, hold too few of the domains drawn",
    "people": "a second phase is a random part of documents that were drawn one by one",
    "sensitivity": "errors of annotators are corrected for documents that were drawn one by one",
    "regression": "it is within strata, of which there are none",
    "out": "its page shows strata, thresholds and slices, which are of documents drawn one by one",
}
"""What a draw of whole domains cannot give, with the reason."""


def is_of_domains(store: Store, draw: str) -> bool:
    """Whether that draw is one of whole domains."""
    with store.reading() as session:
        return draw_named(session, draw).method == DOMAINS


def refuse(draw: str, wanted: Mapping[str, object]) -> None:
    """Raises `ValueError` for the first of `REFUSED` that is wanted."""
    for name, reason in REFUSED.items():
        if wanted.get(name):
            raise ValueError(
                f"draw {draw!r} is of whole domains, without --{name}: {reason}; plan without --whole-domains for it"
            )


@dataclass(frozen=True)
class _Read:
    """A labelled draw of whole domains, joined to the census. ``domains``: index of each labelled document's, int64,
    shape (labelled,), among those of which anything was labelled; ``held`` their documents; ``sizes`` of the labelled
    documents, float64, (labelled, 3)."""

    plan: DomainPlan
    counted: DomainCensus
    drawn: int
    found: list[Settled]
    domains: NDArray[np.int64]
    held: NDArray[np.int64]
    sizes: NDArray[np.float64]

    def clusters(self, positive: Flags, unit: str) -> Clusters:
        """Of what is positive, bool, shape (labelled,)."""
        at, n, every = UNITS.index(unit), len(self.held), self.counted.table()
        return Clusters(
            self.plan.domains, self.plan.documents, float(every[:, at].sum()), size_biased(every[:, at]), self.held,
            np.bincount(self.domains, minlength=n), np.bincount(self.domains[positive], minlength=n),
            np.bincount(self.domains, self.sizes[:, at] * positive, minlength=n).astype(np.float64),
            "uncorrected" if any(one.kind == CHEAP for one in self.found) else "design",
        )  # fmt: skip

    def holds(self, label: str, mode: str | None = None) -> Flags:
        """Which of the labelled documents do, bool, shape (labelled,)."""
        return np.array([one.labels[label] and mode in (None, one.mode) for one in self.found], bool)


def _joined(tags: Tags, store: Store, draw: str, gather: Gather) -> _Read:
    """Raises `ValueError` if the tags or the stored probabilities are not those of the plan, or nothing is labelled."""
    selections, read, found = settled_selections(store, draw)
    with store.reading() as session:
        parameters: dict[str, Any] = draw_named(session, draw).parameters
    plan = domain_plan_from_json(parameters["plan"])
    counted = census(tags, gather, plan.key, tuple(one.document for one in read))
    plan.check(counted, tags.digest, tags.folder.url)
    _check_probabilities(draw, plan, counted, selections)
    if not read:
        raise ValueError(f"draw {draw!r}: none of its documents has a settled label; label some, domain by domain")
    rows = [counted.rows[one.document] for one in read]
    names, at = np.unique([row["domain"] for row in rows], return_inverse=True)
    held = np.array([round(counted.sums[name][0]) for name in names.tolist()], np.int64)
    sizes = np.array([[1.0, row["words"], row["bytes"]] for row in rows], np.float64)
    return _Read(plan, counted, len(selections), found, at.astype(np.int64), held, sizes)


def _check_probabilities(
    name: str, plan: DomainPlan, counted: DomainCensus, selections: Sequence[Selection]
) -> None:  # fmt: skip
    for one in selections:
        held = counted.sums.get(one.stratum or "")
        if held is None or abs((one.inclusion_probability or 0.0) - plan.chance(round(held[0]))) > 1e-12:
            raise ValueError(
                f"draw {name!r}: document {one.document!r} has the inclusion probability "
                f"{one.inclusion_probability:g}, not that of its domain {one.stratum!r}; it was not drawn by this plan"
            )


def estimate_domains(
    tags: Tags, store: Store, draw: str, gather: Gather, *, form: Form, modes: Sequence[str] = ()
) -> Plain:
    """All figures of the draw, as plain values: of every label, by documents, words and bytes, and of ``modes``."""
    read = _joined(tags, store, draw, gather)

    def one(label: str, unit: str, mode: str | None = None) -> Plain:
        return shown(by_domains(read.clusters(read.holds(label, mode), unit), form=form), unit)

    plan = read.plan
    return {
        "label": plan.label, "draw": draw, "design": "whole domains", "drawn": read.drawn,
        "labelled": len(read.found), "kinds": kinds_of(read.found), "notes": _notes(read),
        "plan": plan.to_json(),
        "population": {"documents": plan.documents, "words": plan.words, "bytes": plan.bytes, "domains": plan.domains},
        "domains": {"drawn": plan.drawn, "labelled": len(read.held)},
        "prevalence": {label: {unit: one(label, unit) for unit in UNITS} for label in LABELS},
        "modes": {label: {mode: one(label, "documents", mode) for mode in modes} for label in LABELS} if modes else {},
    }  # fmt: skip


def _notes(read: _Read) -> list[str]:
    notes, missing = [], read.drawn - len(read.found)
    if missing:
        without = read.plan.drawn - len(read.held)
        notes.append(
            f"{missing:,} of {read.drawn:,} drawn documents have no settled label, {without:,} domains none at all; "
            "the figures take both to be missing at random"
        )
    kinds = kinds_of(read.found)
    if CHEAP in kinds:
        notes.append("labels are by language models, whose errors no interval here counts")
    notes.append(
        "precision and recall of the filter, slices and the ratio of two labels are not given: they need documents "
        "that were drawn one by one"
    )
    return notes


def print_domains(found: Plain) -> None:
    """On a terminal: every label, with design effect and effective sample size, and modes."""
    console, one = Console(highlight=False, markup=False), found["domains"]
    console.print(
        f"{found['labelled']:,} labelled of {found['population']['documents']:,} documents, in {one['labelled']:,} of "
        f"{found['population']['domains']:,} domains"
    )
    table = Table("label", "documents", "words", "positives", "design effect", "effective labels", box=None)
    for label, units in found["prevalence"].items():
        figure = units["documents"]
        effect, effective = figure["design_effect"], figure["effective_labels"]
        table.add_row(
            label, figure["words"], units["words"]["words"], str(figure["positives"]),
            f"{effect:.2g}" if effect else "-", f"{effective:,.0f}" if effective else "-",
        )  # fmt: skip
    console.print(table)
    for mode, figure in found["modes"].get(found["label"], {}).items():
        console.print(f"{found['label']}, {mode}: {figure['words']}")
