"""Counts tags into cells by several processes. Few imports, as each process does them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import track

from jobs.local import Work, run_tasks
from pipeline.report.folder import TagsFolder
from pipeline.reweight.cells import Cells, Measure, Ranking, rank, tally

_GROUPS = 8
"""Of files for each worker."""
_FEW = 2_000_000
"""Documents that one process counts in the time that others take to start."""


def is_small(folder: TagsFolder) -> bool:
    """Whether the tags are so few that one process counts them."""
    return bool(folder.scan.get("figures", {}).get("tagged", _FEW) < _FEW)


def counted(files: Sequence[str], measure: Measure, cells: int, workers: int) -> Cells:
    """Both passes over tags files, by so many processes; one is this one."""
    if workers == 1:
        return tally(files, measure, rank(files, measure).top(), cells)
    ranking = Ranking(measure)
    for part in _each(partial(_rank, measure), files, workers if measure.by else 0, "Ranking categories"):
        ranking.merge(part)
    top = ranking.top()
    whole = Cells(measure, top, cells)
    for other in _each(partial(_tally, measure, top, cells), files, workers, "Counting cells"):
        whole.merge(other)
    return whole


def _rank(measure: Measure, files: Sequence[str], progress: Callable[[Any], None]) -> Ranking:
    return rank(files, measure)


def _tally(
    measure: Measure, top: dict[str, Any], cells: int, files: Sequence[str], progress: Callable[[Any], None]
) -> Cells:
    return tally(files, measure, top, cells)


def _each(work: Work, files: Sequence[str], workers: int, what: str) -> Iterator[Any]:
    """What the work gives for each group of files, in the order that they are done in. Raises `ValueError` with the
    first error of a worker."""
    groups = [list(group) for i in range(_GROUPS * workers) if (group := files[i :: _GROUPS * workers])]
    done = run_tasks(work, groups, workers)
    for event in track(done, what, total=len(groups), console=Console(stderr=True), transient=True):
        if event.error is not None:
            raise ValueError(event.error)
        yield event.result
