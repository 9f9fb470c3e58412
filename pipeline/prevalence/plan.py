"""A plan of an audit: strata, how many to read in each, and all that repeats the draw. Saved as JSON.

Knows what was decided before anything was read; knows no label.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.allocation import (
    Outlook,
    allocate,
    anticipate,
    least_relative_error,
    outlook,
    pilot_rates,
    variances_of,
)
from pipeline.prevalence.domains import DESIGN, DomainPlan, domain_plan_from_json
from pipeline.prevalence.frame import Columns
from pipeline.prevalence.names import Key
from pipeline.prevalence.strata import Histogram, Strata, Stratum, make_strata

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """``sizes`` are documents to read by stratum. ``model`` is the digest of the model that made the tags, ``key`` what
    documents are drawn by: see `Names`."""

    label: str
    columns: Columns
    threshold: float
    expected: float
    seed: int
    model: str
    strata: Strata
    sizes: tuple[int, ...]
    outlook: Outlook
    key: Key = "id"

    @property
    def documents(self) -> Ints:
        """Documents by stratum, int64."""
        return np.array([one.documents for one in self.strata], np.int64)

    @property
    def chances(self) -> dict[str, float]:
        """The inclusion probability of any document of each stratum, by its name."""
        return {one.name: size / one.documents for one, size in zip(self.strata, self.sizes, strict=True)}

    @property
    def population(self) -> int:
        """All documents."""
        return int(self.documents.sum())

    def check(self, counts: Ints, model: str, where: str) -> None:
        """Raises `ValueError` unless these are the documents by stratum, and the model, that the plan was made for."""
        if model != self.model or not np.array_equal(counts, self.documents):
            raise ValueError(
                f"{where}: its {int(np.sum(counts)):,} documents are not the {self.population:,} of the plan, stratum "
                "by stratum; the tags changed after it was made, or are of another corpus or model: plan and draw "
                "anew, or give the folder that was planned on"
            )

    @property
    def least_relative_error(self) -> float:
        """What no design gets below with this budget; see `allocation.least_relative_error`."""
        return least_relative_error(sum(self.sizes), self.expected, self.population)

    def to_json(self) -> dict[str, Any]:
        """Plain values; an endless bound is null, and ``cells`` are the strata's runs."""
        plain = asdict(self)
        plain["cells"], plain["strata"] = plain["strata"]["runs"], plain["strata"]["parts"]
        for one in plain["strata"]:
            one["high"] = None if one["high"] == float("inf") else one["high"]
        return plain


def plan_from_json(plain: dict[str, Any]) -> Plan:
    """The plan that `Plan.to_json` gave. Raises `ValueError` if it is none, or one of an earlier kind."""
    try:
        strata = [dict(one) for one in plain["strata"]]
        for one in strata:
            one["high"] = float("inf") if one["high"] is None and one["low"] is not None else one["high"]
        return Plan(
            plain["label"], Columns(**plain["columns"]), plain["threshold"], plain["expected"], plain["seed"],
            plain["model"], Strata(tuple(Stratum(**one) for one in strata), plain["cells"]), tuple(plain["sizes"]),
            Outlook(**plain["outlook"]), plain.get("key", "id"),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"not a plan that this version's 'tropescan audit plan' made ({error!r}); make a new plan"
        ) from error


def load_plan(text: str, name: str) -> Plan | DomainPlan:
    """A plan of either kind, from a file's text; errors name the file."""
    try:
        plain = json.loads(text)
        whole_domains = isinstance(plain, dict) and plain.get("design") == DESIGN
        return domain_plan_from_json(plain) if whole_domains else plan_from_json(plain)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def make_plan(
    counted: Histogram,
    *,
    label: str,
    columns: Columns,
    threshold: float,
    expected: float,
    budget: int,
    seed: int,
    model: str,
    pilot: tuple[Ints, Ints] | None = None,
    strata: Strata | None = None,
    key: Key = "id",
) -> Plan:
    """Strata, sizes and outlook. ``pilot``: labelled and positive by stratum, int64, of ``strata``, which are kept;
    what it found takes the place of ``expected``.

    Raises `ValueError` for a population without documents, or a budget that does not reach for every stratum.
    """
    found = strata or make_strata(counted, expected, threshold=threshold)
    if not found:
        raise ValueError("the tags hold no document; there is nothing to audit")
    documents = np.array([one.documents for one in found], np.int64)
    lowest = np.flatnonzero([one.lowest for one in found])
    rates = anticipate(documents, lowest, expected)
    if pilot:
        rates = pilot_rates(*pilot, rates)
        expected = float(rates @ documents / documents.sum())
    sizes = allocate(documents, variances_of(rates, measured=pilot is not None), min(budget, int(documents.sum())))
    looks = outlook(documents, rates, sizes)
    return Plan(label, columns, threshold, expected, seed, model, found, tuple(sizes.tolist()), looks, key)
