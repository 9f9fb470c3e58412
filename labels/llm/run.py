"""Has a model label a draw's items, several at once, until nothing is left or the budget is spent; resumable.

What a model says goes into the store before the next item is asked for: stop it anywhere and begin again. An item
whose answers are all invalid is skipped with these answers as its note: they are kept, and it is not asked about again
under this name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock

from openai import BadRequestError
from sqlalchemy import func, select

from labels.llm.ask import Asked, ModelClient, Prices
from labels.llm.budget import Budget, BudgetSpent
from labels.llm.prompt import PROMPT_DIGEST, question
from labels.store import Leased, ModelAnswer, Store, next_item, record_label, skip
from labels.store.lookup import draw_named
from labels.store.tables import Action, Item, Label


@dataclass
class Outcome:
    """What a run did: ``invalid`` items have no label; ``stopped`` says why it ended before the items did."""

    labelled: int = 0
    invalid: int = 0
    tokens: int = 0
    cost: float = 0.0
    stopped: str = ""
    errors: list[str] = field(default_factory=list)


@dataclass
class _Run:
    store: Store
    client: ModelClient
    annotator: str
    draw: str
    read_text: Callable[[Item], str]
    budget: Budget
    most_chars: int
    tell: Callable[[Outcome], None]
    limit: int | None
    outcome: Outcome = field(default_factory=Outcome)
    in_hand: set[int] = field(default_factory=set)
    begun: int = 0
    stop: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)


def annotate(
    store: Store, client: ModelClient, *, annotator: str, draw: str, read_text: Callable[[Item], str],
    budget: Budget | None = None, most_chars: int = 20_000, concurrency: int = 4, limit: int | None = None,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:  # fmt: skip
    """Label what the draw still wants of this annotator, ``limit`` items at most; ``tell`` hears of each.

    The budget counts what the annotator spent on the draw before. An error of the endpoint ends the run, once the
    retries are used up, and is raised after what is in hand is written; items that were leased come back.
    """
    budget = budget or Budget()
    budget.spend(*spent(store, annotator, draw, client.prices))
    run = _Run(store, client, annotator, draw, read_text, budget, most_chars, tell, limit)
    with ThreadPoolExecutor(concurrency) as threads:
        workers = [threads.submit(_work, run) for _ in range(concurrency)]
        try:
            for worker in workers:
                worker.result()
        finally:
            run.stop.set()
    return run.outcome


def spent(store: Store, annotator: str, draw: str, prices: Prices) -> tuple[int, float]:
    """Tokens and US dollars that an annotator's answers in a draw have taken, invalid ones with them."""
    with store.reading() as session:
        chosen = draw_named(session, draw).id
        sums = select(
            func.coalesce(func.sum(Label.tokens_in), 0), func.coalesce(func.sum(Label.tokens_out), 0),
            func.coalesce(func.sum(Label.cost), 0.0),
        ).where(Label.annotator == annotator, Label.draw_id == chosen)  # fmt: skip
        tokens_in, tokens_out, cost = session.execute(sums).one()
        skips = select(Action.note).where(
            Action.annotator == annotator, Action.draw_id == chosen, Action.kind == "skip"
        )
        notes = session.scalars(skips).all()
    used = [_used(line) for note in notes for line in note.splitlines() if line.startswith("{")]
    tokens = sum(a + b for a, b in used)
    return int(tokens_in or 0) + int(tokens_out or 0) + tokens, float(cost or 0.0) + sum(
        prices.cost(*one) for one in used
    )


def _used(line: str) -> tuple[int, int]:
    usage = json.loads(line).get("usage") or {}
    return usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0


def _work(run: _Run) -> None:
    try:
        while not run.stop.is_set():
            leased = _take(run)
            if leased is None:
                return
            try:
                _label(run, leased)
            finally:
                with run.lock:
                    run.in_hand.discard(leased.item.id)
    except BudgetSpent:
        run.outcome.stopped = "the budget is spent"
        run.stop.set()
    except BaseException:
        run.stop.set()
        raise


def _take(run: _Run) -> Leased | None:
    with run.lock:
        if run.limit is not None and run.begun >= run.limit:
            return None
        leased = next_item(run.store, run.annotator, run.draw, besides=run.in_hand)
        if leased is not None:
            run.in_hand.add(leased.item.id)
            run.begun += 1
        return leased


def _label(run: _Run, leased: Leased) -> None:
    text = run.read_text(leased.item)
    asked = _ask(run, text)
    _write(run, leased, asked, cut=len(text) > run.most_chars)
    with run.lock:
        run.outcome.labelled += asked.answer is not None
        run.outcome.invalid += asked.answer is None
        run.outcome.errors += [asked.error] if asked.answer is None else []
        run.outcome.tokens += asked.tokens_in + asked.tokens_out
        run.outcome.cost += asked.cost
        run.tell(run.outcome)


def _ask(run: _Run, text: str) -> Asked:
    """The model's answer. A request that the endpoint calls bad is this document's fault only if others were not."""
    try:
        return run.client.ask(question(text, most_chars=run.most_chars), run.budget)
    except BadRequestError as error:
        if not run.outcome.labelled:
            raise
        return Asked(None, f"refused by the endpoint: {error}", "", run.client.model, 0, 0, 0.0)


def _write(run: _Run, leased: Leased, asked: Asked, *, cut: bool) -> None:
    """Keep the answer in the store: as a label, or as the note of a skip."""
    said = asked.answer
    if said is None:
        note = f"no valid answer ({asked.error}); prompt {PROMPT_DIGEST}; as received:\n{asked.raw}"
        skip(run.store, leased.item.id, run.annotator, token=leased.token, draw=run.draw, note=note)
        return
    note = f"[first {run.most_chars:,} characters only] {said.reason}" if cut else said.reason
    kept = ModelAnswer(asked.model, PROMPT_DIGEST, asked.raw, asked.tokens_in, asked.tokens_out, asked.cost)
    record_label(
        run.store, leased.item.id, run.annotator, "llm", said.labels, said.mode, token=leased.token, draw=run.draw,
        sure=said.sure, note=note, spans=said.spans, answer=kept,
    )  # fmt: skip
