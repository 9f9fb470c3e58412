"""Blind checks for a draw: settled items mixed in, by which each annotator is held against what was settled.

Chooses among the store's adjudicated items; knows no tags.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import chain, zip_longest
from typing import Any

import click

from labels.sampling import uniform
from labels.store import Candidate, Store, StoreError
from labels.store.judgements import Settled, settled

EVERY = 10


def blind_check_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--gold`` and ``--gold-every``, for commands that make a draw."""
    gold = click.option(
        "--gold", default=0, show_default=True, type=click.IntRange(0), metavar="N",
        help="Mix in so many settled items as blind checks, half of them adverse if there are as many.",
    )  # fmt: skip
    every = click.option(
        "--gold-every", default=EVERY, show_default=True, type=click.IntRange(2), metavar="K",
        help="With --gold: every K-th item of an annotator is a blind check.",
    )  # fmt: skip
    return gold(every(command))


def blind_checks(store: Store, n: int, seed: int, besides: Collection[str]) -> list[Candidate]:
    """``n`` adjudicated items as gold candidates, by keyed hash, adverse and others in turns.

    ``besides`` are digests of the draw's own items. Raises `StoreError` if fewer are settled: an item on which
    annotators only agree is no check, for it moves with what the next one says.
    """
    if not n:
        return []
    known = [one for one in settled(store) if one.state == "adjudicated" and one.item.sha256 not in besides]
    if len(known) < n:
        raise StoreError(
            f"{n} blind checks asked for, but {len(known)} items besides the draw's own are adjudicated; ask for "
            "fewer, or settle more ('tropescan label adjudicate', or import records of kind adjudicated)"
        )
    known.sort(key=lambda one: uniform(seed, one.item.sha256))
    halves = ([one for one in known if one.labels["adverse"] is wanted] for wanted in (True, False))
    turns = [one for one in chain.from_iterable(zip_longest(*halves)) if one is not None]
    return [_gold(one) for one in turns[:n]]


def _gold(one: Settled) -> Candidate:
    return Candidate(one.item.document, one.item.source, sha256=one.item.sha256, gold=True)
