"""What is worth labelling next: formulas over arrays of scores, and the mixture of what they choose.

Every priority is float64 of the shape of its scores; higher is sooner, -inf is never. Knows neither tags, nor texts,
nor a store. After Settles 2009, Active Learning Literature Survey.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from labels.near_duplicates import Signature

Scores = NDArray[np.float64]
"""Probabilities of the target label; NaN where there is no score."""


def _ranked(priority: Scores) -> Scores:
    return np.where(np.isnan(priority), -np.inf, priority)


def margin(scores: Scores, threshold: float = 0.5) -> Scores:
    """Nearness to the threshold: minus the distance in log-odds (Settles, section 3.1)."""
    return _ranked(-np.abs(_logit(scores) - _logit(np.float64(threshold))))


def entropy(scores: Scores) -> Scores:
    """Shannon entropy of the label in bits (Settles, section 3.1)."""
    p = np.clip(scores, 1e-12, 1 - 1e-12)
    return _ranked(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))


def disagreement(one: Scores, other: Scores) -> Scores:
    """Jensen-Shannon divergence, in bits, of two models' labels (a committee of two; Settles, section 3.2)."""
    missing = np.isnan(one) | np.isnan(other)
    p, q = np.where(missing, 0.5, one), np.where(missing, 0.5, other)
    return _ranked(np.where(missing, np.nan, entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2))


def top(scores: Scores) -> Scores:
    """The highest scores first: where hard negatives hide among what the model would flag."""
    return _ranked(scores)


def near_miss(scores: Scores, threshold: float) -> Scores:
    """The highest scores that do not reach the threshold."""
    return _ranked(np.where(scores < threshold, scores, np.nan))


def novelty(candidates: Sequence[Signature], known: Sequence[Signature]) -> Scores:
    """One minus the estimated similarity to the nearest known text; of candidates alike, the first is the novel one.

    Farthest first (Gonzalez 1985; Sener and Savarese 2018): each choice counts as known to those after it.
    """
    old = np.array(known)
    nearest = np.array([(old == one).mean(axis=1).max() if len(known) else 0.0 for one in candidates])
    stack, priority = np.array(candidates), np.full(len(candidates), -np.inf)
    left = np.ones(len(candidates), bool)
    for rank in range(len(candidates)):
        chosen = int(np.argmin(np.where(left, nearest, np.inf)))
        left[chosen] = False
        priority[chosen] = (1 - nearest[chosen]) - 2.0 * rank  # the order of choosing goes before the distance
        nearest = np.maximum(nearest, (stack == stack[chosen]).mean(axis=1))
    return priority


def _logit(p: Scores | np.float64) -> Scores:
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def quotas(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """``n`` divided by shares, by largest remainders; raises `ValueError` without a share above 0."""
    total = sum(shares.values())
    if not shares or min(shares.values()) < 0 or total <= 0:
        raise ValueError(f"shares {dict(shares)} must not be negative, and one must be above 0")
    exact = {name: n * share / total for name, share in shares.items()}
    given = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda name: given[name] - exact[name])[: n - sum(given.values())]:
        given[name] += 1
    return given


def mix(
    ranked: Mapping[str, Sequence[int]],
    wanted: Mapping[str, int],
    keys: Sequence[Sequence[str]],
    caps: Sequence[int],
    refused: Callable[[int], bool] = lambda _: False,
) -> list[tuple[int, str]]:
    """Choose candidates by several rankings, in turns: (candidate, name of the ranking that chose it).

    ``keys[j][i]`` is candidate i's host, source …: of each no more than ``caps[j]`` are chosen; '' has no cap.
    ``refused`` is asked last and once for each, so that it may remember what it has let pass.
    """
    lines = {name: iter(order) for name, order in ranked.items()}
    used: list[Counter[str]] = [Counter() for _ in keys]
    seen: set[int] = set()
    chosen: list[tuple[int, str]] = []
    left = dict(wanted)
    while lines:
        for name in list(lines):
            one = (
                next((i for i in lines[name] if _may(i, seen, keys, caps, used, refused)), None) if left[name] else None
            )
            if one is None:
                del lines[name]
                continue
            left[name] -= 1
            chosen.append((one, name))
            for j, key in enumerate(keys):
                used[j][key[one]] += 1
    return chosen


def _may(
    i: int,
    seen: set[int],
    keys: Sequence[Sequence[str]],
    caps: Sequence[int],
    used: Sequence[Counter[str]],
    refused: Callable[[int], bool],
) -> bool:
    if i in seen or any(key[i] and used[j][key[i]] >= caps[j] for j, key in enumerate(keys)):
        return False
    seen.add(i)
    return not refused(i)
