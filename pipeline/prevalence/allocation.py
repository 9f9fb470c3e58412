"""How many documents to read in each stratum, and how sure that will make us, before anything is read.

Knows the strata's sizes, guesses of their rates, and a budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.prevalence.melding import TAILS, Chances
from pipeline.prevalence.sample import count_sample, stratified

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MISSED = 0.1
"""Of the positives, the share that the plan expects in the lowest stratum, where nothing better is known."""
MOST_RATE = 0.9
"""Of a stratum, in a guess without labels."""
FLOOR = 5
TRIALS = 30


@dataclass(frozen=True)
class Outlook:
    """What an allocation can be expected to give: mean interval and half width relative to the expected value."""

    labels: int
    low: float
    high: float
    relative_error: float


def anticipate(documents: Ints, lowest: Ints, expected: float) -> Floats:
    """Guesses of the rates of positives by stratum, float64, shape (strata,), without a pilot.

    The strata that ``lowest`` (indices) names share `MISSED` of the positives by size; the others have an equal part
    each, `MOST_RATE` of a stratum at most: what does not fit goes where there is room, above the lowest if it can. What
    a wrong guess costs was simulated: docs/prevalence.md.
    """
    most: Floats = max(MOST_RATE, expected) * documents.astype(np.float64)
    low = np.isin(np.arange(len(documents)), lowest)
    rest = ~low if np.any(~low) else low
    positives = np.zeros(len(documents))
    _spread(positives, most, rest.astype(np.float64), expected * documents.sum() * (1 - MISSED))
    _spread(positives, most, np.where(low, documents, 0.0), expected * documents.sum() * MISSED)
    for where in (rest, np.ones(len(documents), bool)):
        _spread(positives, most, where * (most - positives), expected * documents.sum() - positives.sum())
    return np.asarray(positives / np.maximum(documents, 1), np.float64)


def _spread(positives: Floats, most: Floats, weights: Floats, number: float) -> None:
    """Add so many positives by weight, where there is room for them."""
    if number > 0 and weights.sum() > 0:
        positives += np.minimum(weights / weights.sum() * number, most - positives)


def pilot_rates(labelled: Ints, positives: Ints, guess: Floats) -> Floats:
    """Rates from labels that exist, each stratum's guess counting as one label (a shrunken pilot variance)."""
    return np.asarray((positives + guess) / (labelled + 1.0), np.float64)


def allocate(documents: Ints, variances: Floats, budget: int, *, floor: int = FLOOR) -> Ints:
    """Neyman's (1934) allocation, with the positive that was not seen counted: int64, shape (strata,), sum <= budget.

    What is made small is W^2 (v / n + 1 / n^2) over strata of share W and ``variances`` v of a document (see
    `variances_of`): of the count, and of one unseen positive, or negative, on which the bounds rest. That is Neyman's
    W sqrt(v) where documents of both kinds will be found, W^(2/3) where only one kind will. Strata that come
    out whole are read whole; each gets ``floor`` documents, or all that it has. Raises `ValueError` if the budget does
    not reach for that.
    """
    least = np.minimum(floor, documents)
    if budget < least.sum():
        raise ValueError(
            f"a budget of {budget} labels cannot give {floor} to each of {len(documents)} strata; "
            f"it takes {least.sum()} at least"
        )
    share = documents / documents.sum()
    low, high = 1e-15, 1e15
    for _ in range(120):
        middle = np.sqrt(low * high)
        if np.clip(_sizes(share, variances, middle), least, documents).sum() > budget:
            low = middle
        else:
            high = middle
    wanted = np.clip(_sizes(share, variances, high), least, documents)
    sizes = np.floor(wanted).astype(np.int64)
    left = min(budget, int(documents.sum())) - int(sizes.sum())
    sizes[np.argsort(sizes - wanted, kind="stable")[:left]] += 1
    return np.minimum(sizes, documents)


def _sizes(share: Floats, variances: Floats, price: float) -> Floats:
    """n with n^3 price = W^2 (v n + 2), where one label more is worth its price in every stratum."""
    sizes = np.ones(len(share))
    for _ in range(60):
        sizes = np.cbrt(share**2 * (variances * sizes + 2) / price)
    return np.asarray(sizes, np.float64)


def variances_of(rates: Floats, *, measured: bool) -> Floats:
    """p (1 - p) of rates that a pilot measured; p of guesses: a stratum that is taken for nearly all positive, and is
    not, would have too few labels (with guesses ten times too high, intervals up to 1.4 times as wide)."""
    return rates * (1 - rates) if measured else rates


def outlook(documents: Ints, rates: Floats, labelled: Ints, *, seed: int = 0) -> Outlook:
    """The mean interval over simulated audits of a population with these rates."""
    random = np.random.default_rng(seed)
    positives = np.minimum(np.round(rates * documents), documents).astype(np.int64)
    expected = float(rates @ documents / documents.sum())  # not of the positives, which may round to none
    figures, chances = [], Chances(seed, draws=4000)
    for _ in range(TRIALS):
        found = random.hypergeometric(positives, documents - positives, labelled)
        figures.append(stratified(count_sample(documents, labelled, found), chances=chances).estimate)
    low, high = (float(np.mean([getattr(one, end) for one in figures])) for end in ("low", "high"))
    half = (high - low) / 2
    return Outlook(int(labelled.sum()), low, high, half / expected)


def least_relative_error(budget: int, expected: float, population: int) -> float:
    """Half of the upper arm that a stratum without a positive leaves, read with the whole budget, in what is not read:
    no allocation and no classifier gets an honest interval below it."""
    return float(-np.log(2 * TAILS[1]) / budget / 2 / expected * max(0.0, 1 - budget / population))


def budget_for(
    documents: Ints, rates: Floats, relative_error: float, most: int, *, measured: bool = False
) -> Outlook | None:  # fmt: skip
    """The least budget, within 5 %, whose outlook reaches the relative error; None if ``most`` does not."""
    variances = variances_of(rates, measured=measured)
    reached = outlook(documents, rates, allocate(documents, variances, most))
    if reached.relative_error > relative_error:
        return None
    low, high = max(1, int(np.minimum(FLOOR, documents).sum())), most
    while high > low * 1.05 and high - low > 1:
        middle = int(np.sqrt(low * high)) if low * 2 < high else (low + high) // 2
        tried = outlook(documents, rates, allocate(documents, variances, middle))
        if tried.relative_error <= relative_error:
            reached, high = tried, middle
        else:
            low = middle
    return reached
