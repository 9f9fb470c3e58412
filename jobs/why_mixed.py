"""Documents that a policy mixed in, told by the id that apply gave them: what they are, where, and by which draw."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from jobs.applied import Run
from pipeline.policy.mixing import draws_behind


@dataclass(frozen=True)
class MixedIn:
    """The user's document ``own`` as copy ``number`` (from 0) behind the document of the decision ``behind``."""

    own: str
    number: int
    behind: dict[str, Any]


def mixed_in(run: Run, id: str) -> Iterator[MixedIn]:
    """What an id of the output can stand for among the documents that were mixed in."""
    if not run.content["figures"]["mixed_in"]:
        return
    for own, behind, number in _parts(id):
        found = (MixedIn(own, number, row) for row in run.decided(behind) if row["weight"])
        yield from (one for one in found if _is_there(run, one))


def _parts(id: str) -> Iterator[tuple[str, str, int]]:
    """The ways to read an id as ``own@behind#number``; ids can hold an @ themselves."""
    head, _, number = id.rpartition("#")
    if re.fullmatch(r"0|[1-9][0-9]*", number):
        for at in re.finditer("@", head):
            yield head[: at.start()], head[at.end() :], int(number)


def _is_there(run: Run, one: MixedIn) -> bool:
    """Whether the draw took it, as far as that can be told: the user's documents are not kept with a run."""
    if run.policy is None or run.policy.mix_in is None:
        return True
    mix_in, seed = run.policy.mix_in, run.policy.seed
    (draw,) = draws_behind(one.behind["id"], [one.number], seed)
    if mix_in.documents[int(draw * len(mix_in.documents))].id != one.own:
        return False
    try:
        words = run.tags_of(one.behind).column("words")[0].as_py()
    except (OSError, ValueError):
        return True
    (copies,) = mix_in.copies([one.behind["id"]], np.array([words * one.behind["weight"]]), seed)
    return bool(one.number < copies)


def print_mixed(console: Console, run: Run, one: MixedIn) -> None:
    """Tell of one."""
    behind = one.behind
    console.print(f"[bold]mixed in[/]: the policy's own document {escape(repr(one.own))}", highlight=False)
    console.print(
        f"  behind {escape(behind['id'])}: {escape(behind['shard'])}, row {behind['row']}, weight "
        f"{behind['weight']:g}; number {one.number + 1} of those there",
        highlight=False,
    )
    if run.policy is not None and (source := _source(run)):
        (draw,), size = draws_behind(behind["id"], [one.number], run.policy.seed), source["documents"]
        console.print(
            f"  drawn {draw:.6f} from the hash of {escape(behind['id'])}#{one.number} (seed {run.policy.seed}): "
            f"document {int(draw * size) + 1:,} of {size:,} in {escape(source['name'])}, which are to be "
            f"{source['rate']:.4g} of all words",
            highlight=False,
        )
    if run.policy is None or run.policy.mix_in is None:
        console.print("  taken from the id alone: the policy's own documents are not at hand to compare with")


def _source(run: Run) -> dict[str, Any] | None:
    """Name, rate and number of the documents to mix in."""
    if run.policy is None:
        return None
    if (mix_in := run.policy.mix_in) is not None:
        return {"name": mix_in.name, "rate": mix_in.rate, "documents": len(mix_in.documents)}
    return None if run.policy.file else dict(json.loads(run.policy.text)["mix_in"] or {})
