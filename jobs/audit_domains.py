"""Audits of whole domains: their plan, and what it draws. Composes `pipeline.prevalence` and the tags."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial

import click
import numpy as np
from rich.console import Console

from jobs.audit_engine import Gather
from jobs.audit_tags import names_in, rows_at
from jobs.tag_rows import Tags, candidate, fetch_texts
from labels.codebook import LABELS
from labels.store import Candidate
from pipeline import storage
from pipeline.prevalence.bounds import clopper_pearson
from pipeline.prevalence.clusters import Clusters, by_domains
from pipeline.prevalence.domains import (
    DomainCensus,
    DomainPlan,
    count_domains,
    domains_added_up,
    draw_domains_of,
    draws_merged,
    make_domain_plan,
)
from pipeline.prevalence.melding import TAILS
from pipeline.prevalence.names import Key
from pipeline.prevalence.plan import Plan
from pipeline.prevalence.sample import size_biased


def census(tags: Tags, gather: Gather, key: Key = "id", wanted: tuple[str, ...] = ()) -> DomainCensus:
    """Every domain counted, and the tags of the documents that are wanted, by name."""
    one = partial(count_domains, wanted=wanted, names=names_in(tags, key))
    return gather(tags.folder.files, one, domains_added_up, "Counting")


@dataclass(frozen=True)
class DomainOptions:
    """What a plan of whole domains is made of; see `DomainPlan`."""

    label: str
    budget: int
    each: int | None
    seed: int
    key: Key


def plan_whole_domains(tags: Tags, gather: Gather, options: DomainOptions, out: str, *, as_json: bool) -> None:
    """Make the plan, write it to ``out``, and print what it can tell. Raises `ValueError` as `make_domain_plan`."""
    if options.label not in LABELS:
        raise ValueError(f"there is no label {options.label!r}; there are {', '.join(LABELS)}")
    counted = census(tags, gather)
    plan = make_domain_plan(counted, model=tags.digest, **asdict(options))
    write_plan(plan, out)
    said = outlook(plan, counted)
    if as_json:
        click.echo(json.dumps(plan.to_json() | {"outlook": said}))
    else:
        _print(plan, said)


def write_plan(plan: Plan | DomainPlan, out: str) -> None:
    """For audit draw."""
    with storage.whole_file(out) as file:
        file.write(json.dumps(plan.to_json(), indent=1, allow_nan=False).encode())
    click.echo(f"plan in {out}", err=True)


def outlook(plan: DomainPlan, counted: DomainCensus) -> str:
    """What a draw without a positive would bound, beside what documents drawn one by one would."""
    sizes, none = counted.table()[:, 0], np.zeros(plan.drawn)
    read = np.full(plan.drawn, round(plan.expected / plan.drawn), np.int64)
    held = read if plan.each is None else np.maximum(read, round(plan.documents / plan.domains))
    drawn = Clusters(
        plan.domains, plan.documents, float(plan.documents), size_biased(sizes), held, read, none.astype(np.int64), none
    )
    bound = by_domains(drawn).in_words("documents")
    alone = clopper_pearson(0, max(1, round(plan.expected)), (0.0, 2 * TAILS[1]))[1]
    return (
        f"If no domain drawn holds any {plan.label}: {bound}. As many documents drawn one by one would say at most "
        f"{100 * alone:.2g} in 100: whole domains cost dearly, as a domain that was not seen may be {plan.label} whole."
    )


def _print(plan: DomainPlan, said: str) -> None:
    of_each = "all documents" if plan.each is None else f"at most {plan.each:,} documents"
    Console(highlight=False).print(
        f"{plan.drawn:,} of {plan.domains:,} domains, {of_each} of each: some {plan.expected:,.0f} of "
        f"{plan.documents:,} documents, {plan.least:,} to {plan.most:,} in nine draws of ten.\n{said}"
    )


def domain_candidates(tags: Tags, plan: DomainPlan, gather: Gather, *, keep_text: bool) -> list[Candidate]:
    """The drawn documents, domain by domain in random order, with domain and inclusion probability."""
    counted = census(tags, gather)
    plan.check(counted, tags.digest, tags.folder.url)
    one = partial(draw_domains_of, plan=plan, names=names_in(tags, plan.key))
    drawn = gather(tags.folder.files, one, partial(draws_merged, plan=plan), "Drawing")
    rows = rows_at(tags, [document.where for document in drawn])
    texts = fetch_texts(tags, rows.values())
    found = []
    for document in drawn:
        row = rows[document.where]
        found.append(candidate(
            tags, row, texts[row["filename"], row["row"]], keep_text=keep_text, stratum=document.domain,
            probability=plan.chance(int(counted.sums[document.domain][0])), name=document.name,
        ))  # fmt: skip
    return found
