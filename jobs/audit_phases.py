"""Two-phase labels in the store: what a language model said of an audit's draw, and what people found of a part.

Composes `labels.store` and `pipeline.prevalence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.audit_labels import check_probabilities, plan_of
from labels.store import Store, designed_selections
from labels.store.judgements import judgements, settled
from labels.store.lookup import draw_named
from labels.store.tables import Item
from pipeline.prevalence.plan import Plan

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

CHEAP = "llm"
PEOPLE = ("human", "adjudicated")


@dataclass(frozen=True)
class FirstPhase:
    """Documents that a language model labelled, in random order: arrays of shape (documents,)."""

    plan: Plan
    documents: list[str]
    items: list[Item]
    strata: Ints
    called: Flags


def first_phase(store: Store, draw: str, label: str) -> FirstPhase:
    """What language models said of the label, by majority, ties positive. Raises `ValueError` if they labelled none."""
    pairs = designed_selections(store, [draw])
    with store.reading() as session:
        plan = plan_of(draw_named(session, draw))
    check_probabilities(draw, plan, [selection for selection, _ in pairs])
    said = judgements(store, draw)
    values = said.of(label)[said.kind(CHEAP)]
    votes = {item: values[:, k][~np.isnan(values[:, k])] for k, item in enumerate(said.items)}
    read = [(selection, item) for selection, item in pairs if len(votes.get(item.id, ()))]
    if not read:
        raise ValueError(f"draw {draw!r}: no language model has labelled any of it; there is no first phase to correct")
    index = {one.name: k for k, one in enumerate(plan.strata)}
    strata = np.array([index[selection.stratum or ""] for selection, _ in read], np.int64)
    called = np.array([votes[item.id].mean() >= 0.5 for _, item in read], bool)
    return FirstPhase(plan, [s.document for s, _ in read], [item for _, item in read], strata, called)


@dataclass(frozen=True)
class Phases:
    """Both phases: which documents of the first people read (``checked``), bool, shape (documents,), and what they
    found: labels and mode, none of a document that they did not read."""

    first: FirstPhase
    checked: Flags
    labels: list[Mapping[str, bool]]
    modes: list[str]

    def positive(self, label: str, mode: str | None = None) -> Flags:
        """Of which people found a label (and a mode), bool, shape (documents,)."""
        pairs = zip(self.labels, self.modes, strict=True)
        return np.array([held.get(label, False) and mode in (None, found) for held, found in pairs], bool)


def both_phases(store: Store, draw: str, people: str, label: str) -> Phases:
    """What both found; people's labels of documents outside of their own draw do not enter."""
    phase = first_phase(store, draw, label)
    drawn = {item.id for _, item in designed_selections(store, [people])}
    known = {one.item.id: one for one in settled(store, [people]) if one.kind in PEOPLE and one.item.id in drawn}
    found = [known.get(item.id) for item in phase.items]
    return Phases(
        phase, np.array([one is not None for one in found], bool), [one.labels if one else {} for one in found],
        [one.mode if one else "" for one in found],
    )  # fmt: skip
