"""``tropescan label agree``: how far annotators agree, label by label, with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import combinations, groupby
from operator import itemgetter

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
Part = Callable[[np.ndarray], np.ndarray]
"""Judgements of one label to those that are compared."""


@dataclass(frozen=True)
class Agreement:
    """One figure: who was compared, by which measure, on which label."""

    who: str
    measure: str
    label: str
    figure: Estimate


def agreements(found: Judgements, resamples: int, seed: int) -> Iterator[Agreement]:
    """All annotators together; each language model against what people say; each pair that shares enough items."""
    yield from _labelled("all", "Krippendorff's alpha", krippendorff_alpha, found, lambda v: v, resamples, seed)
    yield from _labelled("all", "Fleiss' kappa", fleiss_kappa, found, lambda v: v, resamples, seed)
    for who, part in _pairs(found):
        yield from _labelled(who, "Cohen's kappa", cohen_kappa, found, part, resamples, seed)


def _labelled(
    who: str, name: str, measure: Measure, found: Judgements, part: Part, resamples: int, seed: int
) -> Iterator[Agreement]:
    for label in codebook.LABELS:
        estimate = with_interval(measure, part(found.of(label)), found.sources, resamples=resamples, seed=seed)
        yield Agreement(who, name, label, estimate)


def _pairs(found: Judgements) -> Iterator[tuple[str, Part]]:
    """Those with enough items in common: models against people's consensus first, then by the number of items."""
    said = ~np.isnan(found.values[0])
    people = found.kind("human")
    for model in found.kind("llm") if people else ():

        def against(values: np.ndarray, model: int = model) -> np.ndarray:
            return np.stack([consensus(values[people]), values[model]])

        if (~np.isnan(against(found.values[0]))).all(axis=0).sum() >= LEAST_SHARED:
            yield f"people / {found.annotators[model]}", against
    shared = {(a, b): int((said[a] & said[b]).sum()) for a, b in combinations(range(len(said)), 2)}
    for a, b in sorted((pair for pair, n in shared.items() if n >= LEAST_SHARED), key=lambda pair: -shared[pair]):
        yield f"{found.annotators[a]} / {found.annotators[b]}", itemgetter([a, b])


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
    for (measure, who), group in groupby(rows, key=lambda row: (row.measure, row.who)):
        click.echo(f"{measure}, {who}")
        for row in group:
            click.echo(f"  {row.label:16}{_told(row.figure)}")


def _told(figure: Estimate) -> str:
    if np.isnan(figure.value):
        return f"not defined: only one value was given  (n={figure.n})"
    return f"{figure.value:6.3f}  ({figure.low:.3f} to {figure.high:.3f}, n={figure.n})"
