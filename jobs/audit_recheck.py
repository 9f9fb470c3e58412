"""``tropescan audit recheck``: a random part of what a cheap annotator labelled, for people to read again."""

from __future__ import annotations

from dataclasses import dataclass

import click
import numpy as np

from jobs.audit_labels import plan_of
from jobs.audit_phases import FirstPhase, first_phase
from jobs.label_options import opened, store_option
from labels.codebook import LABELS
from labels.store import Candidate, add_draw
from labels.store.lookup import draw_named
from labels.store.tables import DESIGNED, Item
from pipeline.prevalence.allocation import allocate

METHOD = "audit recheck"


@dataclass(frozen=True)
class Part:
    """What the cheap annotator said alike of, in one stratum, in random order."""

    stratum: str
    called: bool
    rows: list[int]

    @property
    def name(self) -> str:
        """As stored with each document."""
        return f"{self.stratum}; {'called' if self.called else 'passed'}"


def parts_of(phase: FirstPhase) -> list[Part]:
    """By stratum and by what was said, without empty ones."""
    found = [
        Part(one.name, called, np.flatnonzero((phase.strata == at) & (phase.called == called)).tolist())
        for at, one in enumerate(phase.plan.strata)
        for called in (True, False)
    ]
    return [part for part in found if part.rows]


def sizes_of(phase: FirstPhase, parts: list[Part], called: int | None, passed: int) -> list[int]:
    """How many of each part are read again: of the called all or the share asked for, of the passed Neyman's."""
    every_called = sum(len(part.rows) for part in parts if part.called)
    share = 1.0 if called is None else min(1.0, called / max(1, every_called))
    left = [part for part in parts if not part.called]
    weight = {
        one.name: one.documents / max(1, size) for one, size in zip(phase.plan.strata, phase.plan.sizes, strict=True)
    }
    documents = np.array([round(weight[part.stratum] * len(part.rows)) for part in left], np.int64)
    budget = min(passed, sum(len(part.rows) for part in left))
    given = iter(allocate(documents, np.full(len(left), 1e-3), budget).tolist() if left else [])
    wanted = [int(np.ceil(share * len(part.rows))) if part.called else next(given) for part in parts]
    return [min(n, len(part.rows)) for n, part in zip(wanted, parts, strict=True)]


def _candidate(item: Item, document: str, part: Part, probability: float) -> Candidate:
    return Candidate(
        document=document, source=item.source, text=item.text, sha256=item.sha256, url=item.url, host=item.host,
        shard=item.shard, row=item.row, stratum=part.name, inclusion_probability=probability,
    )  # fmt: skip


@click.command("recheck")
@store_option
@click.option("--draw", "first", required=True, metavar="NAME", help="The audit's draw, labelled by a language model.")
@click.option("--name", required=True, help="Name of the new draw, for people.")
@click.option("--passed", required=True, type=click.IntRange(1), help="To read of those that it did not call positive.")
@click.option("--called", type=click.IntRange(1), help="To read of those that it called positive. [default: all]")
@click.option("--label", default="adverse", show_default=True)
def command(place: str, first: str, name: str, passed: int, called: int | None, label: str) -> None:
    """Draw a random part of an audit that a language model labelled, for people to read: two-phase labels.

    'audit estimate --people NAME' then corrects the model's errors by what people found, whatever they are, and reports
    them. Inclusion probabilities are those of both phases together.
    """
    if label not in LABELS:
        raise ValueError(f"there is no label {label!r}; there are {', '.join(LABELS)}")
    with opened(place) as store:
        phase = first_phase(store, first, label)
        parts = parts_of(phase)
        sizes = sizes_of(phase, parts, called, passed)
        chances = phase.plan.chances
        found = [
            (i, _candidate(phase.items[i], phase.documents[i], part, chances[part.stratum] * n / len(part.rows)))
            for part, n in zip(parts, sizes, strict=True)
            for i in part.rows[:n]
        ]
        with store.reading() as session:
            wanted = draw_named(session, first).wanted + 1
            plan = plan_of(draw_named(session, first))
        parameters = {
            "of": first,
            "label": label,
            "seed": plan.seed,
            "sizes": dict(zip([p.name for p in parts], sizes, strict=True)),
        }
        add_draw(
            store, name, DESIGNED, [one for _, one in sorted(found, key=lambda pair: pair[0])], method=METHOD,
            parameters=parameters, wanted=wanted,
        )  # fmt: skip
    click.echo(f"{len(found)} of {len(phase.documents)} documents drawn into {name!r} for people")
