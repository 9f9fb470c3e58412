"""Whole domains as what is drawn: how large each is, a plan, and the draw. Adds up over shards, in any order.

A domain's key is the keyed hash of its name, and those with the smallest keys are drawn: a simple random sample of
domains. Knows tags and plans; knows nothing of labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.keyed_hash import keys
from pipeline.prevalence.frame import places, population, rows_of
from pipeline.prevalence.names import Key, Names
from pipeline.prevalence.slices import NONE, Slicer

Floats = NDArray[np.float64]
DESIGN = "whole domains"
DOMAIN = Slicer("domain")
_RANGE = (0.05, 0.95)
_TRIALS = 400


@dataclass
class DomainCensus:
    """Documents, words and bytes of every domain, float64 (3,), by name, and the tags of the documents asked for, with
    ``file`` and ``domain``."""

    sums: dict[str, Floats] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def table(self) -> Floats:
        """All sums, float64 (domains, 3), in order of the names."""
        return np.array([self.sums[name] for name in sorted(self.sums)], np.float64).reshape(-1, 3)


def count_domains(file: str, wanted: Iterable[str], names: Names) -> DomainCensus:
    """The census of a tags file; ``wanted`` are the documents, by name, whose tags are asked for."""
    found, asked = DomainCensus(), pa.array(sorted(set(wanted)), pa.string())
    columns = None if len(asked) else ["host", "words", "bytes"]
    for batch in population(file, columns):
        called, at = DOMAIN.of(batch)
        sums = np.zeros((len(called), 3))
        np.add.at(sums, at, np.stack([np.ones(len(at)), batch["words"].to_numpy(), batch["bytes"].to_numpy()], 1))
        rows = rows_of(batch, file, asked, names) if len(asked) else {}
        part = DomainCensus(dict(zip(called, sums, strict=True)), {name: _placed(row) for name, row in rows.items()})
        found = domains_added_up([found, part])
    return found


def _placed(row: dict[str, Any]) -> dict[str, Any]:
    """With its domain."""
    (name,), _ = DOMAIN.of(pa.RecordBatch.from_pylist([{"host": row["host"]}], pa.schema([("host", pa.string())])))
    return row | {"domain": name}


def domains_added_up(parts: Iterable[DomainCensus]) -> DomainCensus:
    """The sum, which takes the first one's dictionaries: domains may be many."""
    rest = iter(parts)
    total = next(rest)
    for one in rest:
        for name, sums in one.sums.items():
            total.sums[name] = total.sums[name] + sums if name in total.sums else sums
        total.rows = {**one.rows, **total.rows}
    return total


@dataclass(frozen=True)
class DomainPlan:
    """``drawn`` of so many ``domains``, and of each at most ``each`` documents (None: all). ``expected``: documents
    that this makes on average, and ``least`` and ``most`` those of nine draws in ten. ``model`` is the digest of the
    model that made the tags, ``key`` what documents are known by: see `Names`."""

    label: str
    seed: int
    model: str
    domains: int
    documents: int
    words: int
    bytes: int
    drawn: int
    each: int | None
    expected: float
    least: int
    most: int
    key: Key = "id"

    @property
    def population(self) -> int:
        """All documents."""
        return self.documents

    def chance(self, documents: int) -> float:
        """The inclusion probability of any document of a domain with so many."""
        return self.drawn / self.domains * (1.0 if self.each is None else min(1.0, self.each / documents))

    def check(self, census: DomainCensus, model: str, where: str) -> None:
        """Raises `ValueError` unless these are the domains, and the model, that the plan was made for."""
        sums = census.table().sum(axis=0).tolist()
        if model != self.model or [len(census.sums), *sums] != [self.domains, self.documents, self.words, self.bytes]:
            raise ValueError(
                f"{where}: its {len(census.sums):,} domains with {sums[0]:,.0f} documents are not the {self.domains:,} "
                f"with {self.documents:,} of the plan; the tags changed after it was made, or are of another corpus or "
                "model: plan and draw anew, or give the folder that was planned on"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"design": DESIGN} | asdict(self)


def domain_plan_from_json(plain: dict[str, Any]) -> DomainPlan:
    """The plan that `DomainPlan.to_json` gave. Raises `ValueError` if it is none."""
    try:
        return DomainPlan(**{name: value for name, value in plain.items() if name != "design"})
    except TypeError as error:
        raise ValueError(f"not a plan of whole domains ({error}); make a new plan") from error


def make_domain_plan(
    census: DomainCensus, *, label: str, budget: int, each: int | None, seed: int, model: str, key: Key
) -> DomainPlan:
    """As many domains as make ``budget`` documents on average. Raises `ValueError` where documents have no domain, or
    the budget does not reach for two."""
    sums = census.table()
    if NONE in census.sums or not len(sums):
        raise ValueError(
            f"{int(census.sums.get(NONE, np.zeros(3))[0]):,} of {int(sums[:, 0].sum()):,} documents have no domain: "
            "no host is known of them, so that whole domains cannot be drawn; draw documents, without --whole-domains"
        )
    to_read = np.minimum(sums[:, 0], np.inf if each is None else each)
    drawn = min(len(sums), int(budget / to_read.mean()))
    if drawn < min(2, len(sums)):
        raise ValueError(
            f"a budget of {budget} documents does not reach for two domains, which have {to_read.mean():,.0f} on "
            "average; --each N reads at most N of each"
        )
    random = np.random.default_rng(seed)
    trials = [to_read[random.choice(len(sums), drawn, replace=False)].sum() for _ in range(_TRIALS)]
    least, most = (round(float(end)) for end in np.quantile(trials, _RANGE))
    documents, words, size = (int(total) for total in sums.sum(axis=0))
    return DomainPlan(label, seed, model, len(sums), documents, words, size, drawn, each,
                      float(drawn * to_read.mean()), least, most, key)  # fmt: skip


class DrawnDocument(NamedTuple):
    """In the order of the draw: by the domain's key, then by the document's. ``where``: see `frame.places`."""

    domain_key: float
    domain: str
    key: float
    name: str
    where: str


def draw_domains_of(file: str, plan: DomainPlan, names: Names) -> list[DrawnDocument]:
    """What a tags file gives to the draw."""
    found: list[DrawnDocument] = []
    for batch in population(file, [names.column, "row", "host"]):
        called, at = DOMAIN.of(batch)
        of_domains = keys(called, plan.seed)
        near = np.argsort(of_domains, kind="stable")[: plan.drawn]
        mine = np.flatnonzero(np.isin(at, near))
        documents, where = names.of(batch, file), places(batch, file)
        of_documents = keys([documents[i] for i in mine], plan.seed)
        found += [
            DrawnDocument(float(of_domains[at[i]]), called[at[i]], float(key), documents[i], where[i])
            for i, key in zip(mine, of_documents, strict=True)
        ]
        found = first_domains(found, plan)
    return found


def first_domains(found: Iterable[DrawnDocument], plan: DomainPlan) -> list[DrawnDocument]:
    """The domains with the smallest keys, and of each the documents with the smallest: the draw, from those of parts of
    the population; in any order, or in steps, it comes out the same."""
    domains = groupby(sorted(found), key=lambda one: (one.domain_key, one.domain))
    return [one for _, mine in islice(domains, plan.drawn) for one in islice(mine, plan.each)]


def draws_merged(parts: Iterable[Sequence[DrawnDocument]], plan: DomainPlan) -> list[DrawnDocument]:
    """The draw from those of the files."""
    return first_domains((one for part in parts for one in part), plan)
