"""``tropescan label agree``: how far annotators agree, label by label, with intervals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations

import click
import numpy as np

from jobs.label_options import opened, store_option
from labels import codebook
from labels.agreement import (
    Measure,
    cohen_kappa,
    consensus,
    fleiss_kappa,
    krippendorff_alpha,
    with_interval,
)  # fmt: skip
from labels.store.judgements import Judgements, judgements
from pipeline.schema import Estimate

LEAST_SHARED = 10


@dataclass(frozen=True)
class Agreement:
    """One figure: who was compared, by which measure, on which label."""

    who: str
    measure: str
    label: str
    figure: Estimate


def agreements(found: Judgements, resamples: int, seed: int) -> Iterator[Agreement]:
    """All annotators together; each pair that shares enough items; each language model against what people say."""
    for label in codebook.LABELS:
        values = found.of(label)

        def figure(who: str, name: str, measure: Measure, part: np.ndarray, label: str = label) -> Agreement:
            estimate = with_interval(measure, part, found.sources, resamples=resamples, seed=seed)
            return Agreement(who, name, label, estimate)

        if len(values) >= 2:
            yield figure("all", "Krippendorff's alpha", krippendorff_alpha, values)
            yield figure("all", "Fleiss' kappa", fleiss_kappa, values)
        for a, b in combinations(range(len(values)), 2):
            if (~np.isnan(values[[a, b]])).all(axis=0).sum() >= LEAST_SHARED:
                pair = f"{found.annotators[a]} / {found.annotators[b]}"
                yield figure(pair, "Cohen's kappa", cohen_kappa, values[[a, b]])
        people = found.kind("human")
        for model in found.kind("llm") if people else ():
            both = np.stack([consensus(values[people]), values[model]])
            if (~np.isnan(both)).all(axis=0).sum() >= LEAST_SHARED:
                yield figure(f"people / {found.annotators[model]}", "Cohen's kappa", cohen_kappa, both)


@click.command("agree")
@store_option
@click.option("--draw", metavar="NAME", help="Only items of this draw.")
@click.option("--resamples", default=1000, show_default=True, type=click.IntRange(100), help="Of the bootstrap.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(place: str, draw: str | None, resamples: int, seed: int, as_json: bool) -> None:
    """Print how far annotators agree on each label: 1 is perfect, 0 what chance gives.

    Krippendorff's alpha and Fleiss' kappa over all annotators, Cohen's kappa for each pair with 10 items in common,
    and for each language model against what people agree on. Intervals resample whole sources. Labels that were
    undone, and adjudicated ones, do not count.
    """
    with opened(place) as store:
        found = judgements(store, draw)
    rows = [row for row in agreements(found, resamples, seed) if row.figure.n]
    if not rows:
        raise ValueError(
            "no two annotators have labelled the same item; draw with --annotators 2, and let a second one label"
        )
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=1))
        return
    for row in rows:
        f = row.figure
        click.echo(f"{f.value:6.3f} ({f.low:.3f} to {f.high:.3f}, n={f.n})  {row.label:16}{row.measure}, {row.who}")
