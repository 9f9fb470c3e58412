"""Which shards go together when an engine's task takes several: a pure function from tasks to parts.

Knows neither engines nor formats.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from pipeline.tasks import ShardTask

BYTES_A_SHARD = 1 << 20
"""Added to each shard's size: what opening it costs, and what spreads shards whose store does not say a size."""


def number_of_parts(
    tasks: Sequence[ShardTask], *, least: int = 1, most: int = 1000, bytes_a_part: int = 1 << 30
) -> int:
    """Parts of about ``bytes_a_part`` stored bytes, between ``least`` and ``most``, never more than shards."""
    wanted = -(-sum(task.size + BYTES_A_SHARD for task in tasks) // bytes_a_part)
    return max(1, min(max(least, min(wanted, most)), len(tasks)))


def spread_by_size(tasks: Sequence[ShardTask], parts: int) -> list[list[ShardTask]]:
    """``parts`` lists of about equal bytes, each with its largest shard first; every task is in one of them.

    The longest-processing-time rule (Graham 1969): the next largest goes where least is, so that the fullest part has
    at most 4/3 of what the best spread would give it. A shard that is larger than all others together is alone.
    """
    if parts < 1:
        raise ValueError(f"parts must be at least 1, not {parts}")
    spread: list[list[ShardTask]] = [[] for _ in range(parts)]
    loads = [(0, part) for part in range(parts)]
    for task in sorted(tasks, key=lambda task: (-task.size, task.name)):
        load, part = heapq.heappop(loads)
        spread[part].append(task)
        heapq.heappush(loads, (load + task.size + BYTES_A_SHARD, part))
    return spread
