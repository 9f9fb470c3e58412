"""Third stage: the row of each word, by a perfect hash without collisions, so that a look-up never branches.

The table is built once for a model: words are spread over small groups, and for each group a "pilot" is
sought that sends its words to free slots (Pibiri and Trani, "PTHash", SIGIR 2021, section 3).
"""

from __future__ import annotations

from typing import Any

from numba import int64, uint64

from classifiers.kernel.loads import prefetch
from pipeline.compiled.stage import stage

C1, C2, C3 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
MAX_PILOT = 65536


@stage
def _spread(key: Any) -> Any:
    mixed = key * uint64(C1)
    return mixed ^ (mixed >> uint64(29))


@stage
def _slot(mixed: Any, pilot: Any, n_slots: Any) -> Any:
    spread = ((mixed ^ (uint64(pilot) * uint64(C3))) * uint64(C1)) >> uint64(32)
    return (spread * n_slots) >> uint64(32)


@stage
def look_up(n: Any, keys: Any, pilots: Any, shift: Any, n_slots: Any, records: Any, stride: Any, slots: Any) -> None:
    """Slot of each word in ``records`` (whose first column is the key); unknown words get slot ``n_slots``."""
    for t in range(uint64(n)):
        mixed = _spread(keys[t])
        slot = _slot(mixed, pilots[(mixed * uint64(C2)) >> shift], n_slots)
        prefetch(records, slot * stride)
        slots[t] = slot
    for t in range(uint64(n)):
        slots[t] = slots[t] if records[slots[t] * stride] == keys[t] else n_slots


def key_groups(keys: Any, shift: Any, groups: Any) -> None:
    """Fill ``groups`` (int64) with each key's group, below ``2 ** (64 - shift)``."""
    for i in range(keys.size):
        groups[i] = int64((_spread(keys[i]) * uint64(C2)) >> shift)


def find_pilots(
    keys: Any, members: Any, begin: Any, order: Any, n_slots: Any, used: Any, pilots: Any, slots: Any
) -> Any:
    """Fill ``pilots`` (a group each) and ``slots`` (a key each) so that no two keys share a slot; False if one group
    finds no place.

    ``members[begin[g]:begin[g + 1]]`` are the keys of group g, and ``order`` is the groups, largest first;
    ``used`` (bool, slots) is all False at first.
    """
    for g in order:
        group = members[begin[g] : begin[g + 1]]
        if group.size == 0:
            break
        pilot = _pilot_of(keys, group, n_slots, used, slots)
        if pilot < 0:
            return False
        pilots[g] = pilot
    return True


@stage
def _pilot_of(keys: Any, members: Any, n_slots: Any, used: Any, slots: Any) -> Any:
    """The first pilot under which all members of a group fall on free slots, which it takes; -1 for none."""
    for pilot in range(MAX_PILOT):
        placed = 0
        for i in members:
            slot = int64(_slot(_spread(keys[i]), pilot, n_slots))
            if used[slot]:
                break
            used[slot] = True
            slots[i] = slot
            placed += 1
        if placed == members.size:
            return pilot
        for i in members[:placed]:
            used[slots[i]] = False
    return -1
