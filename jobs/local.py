"""The local engine: a pool of processes that survives the death of any of them.

Knows how to run a function over tasks; nothing of shards, scores or files.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Work = Callable[[Any, Callable[[Any], None]], Any]
"""``work(task, progress)`` returns the result; ``progress`` takes any picklable value on the way."""

_SECONDS_TO_STOP = 5.0


@dataclass(frozen=True)
class Event(Generic[Task]):
    """News of a task: ``progress`` on the way, then either ``result`` or ``error``."""

    task: Task
    progress: Any = None
    result: Any = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        """Whether this is the task's last event."""
        return self.progress is None


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(work: Work, tasks: Sequence[Task], workers: int) -> Iterator[Event[Task]]:
    """Run all tasks in ``workers`` fresh processes; yields their events as they come.

    A task that raises, or whose process dies (killed, out of memory), ends with an ``error``; the others go on.
    When the caller stops early, or on Ctrl-C, the processes are ended and joined.
    """
    pending = list(reversed(tasks))
    running: list[_Worker] = []
    try:
        for _ in range(min(workers, len(tasks))):
            running.append(_Worker(work))
            running[-1].start(pending.pop())
        while busy := [worker for worker in running if worker.task is not None]:
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                event = worker.receive()
                if event.finished:
                    worker.task = None
                    if worker.dead and pending:
                        running[running.index(worker)] = worker = _Worker(work)
                    if pending:
                        worker.start(pending.pop())
                yield event
    finally:
        _stop(running)


class _Worker:
    """One process, the pipe to it, and the task it has."""

    def __init__(self, work: Work) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(work, theirs), daemon=True)
        with _interrupts_held():
            self.process.start()
        theirs.close()
        self.task: Any = None
        self.dead = False

    def start(self, task: Any) -> None:
        self.task = task
        with suppress(OSError):  # it died while idle; `receive` says so
            self.pipe.send(task)

    def receive(self) -> Event[Any]:
        try:
            kind, value = self.pipe.recv()
        except (EOFError, OSError):
            self.dead = True
            self.process.join()
            return Event(self.task, error=f"the worker process died ({_cause(self.process.exitcode)})")
        return Event(self.task, **{kind: value})


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches the whole group, but the parent ends the processes: those started in here never see it, not even
    while they import, as they inherit the mask of signals. The parent gets it afterwards."""
    resource_tracker.ensure_running()  # else started by the first process, and its start would lift the mask
    came: list[int] = []
    in_main = (
        threading.current_thread() is threading.main_thread()
    )  # where Python runs handlers, whoever got the signal
    usual = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if in_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if usual is not None:
            signal.signal(signal.SIGINT, usual)
        if came:
            signal.raise_signal(signal.SIGINT)


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"{name}; the system may have been out of memory: try fewer --workers" if code == -9 else name
    return f"exit status {code}"


def _serve(work: Work, pipe: Connection) -> None:
    """Life of a worker process: tasks until the parent closes the pipe."""
    signal.signal(signal.SIGTERM, lambda *_: _leave())
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            message = ("result", work(task, lambda value: pipe.send(("progress", value))))
        except BrokenPipeError:  # the parent is gone
            return
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            message = ("error", f"{type(error).__name__}: {error} ({os.path.basename(last.filename)}:{last.lineno})")
        with suppress(BrokenPipeError):  # the parent is gone; the next `recv` ends this process
            pipe.send(message)


def _leave() -> None:
    raise SystemExit(0)  # unwinds, so that unfinished files are removed


def _stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if worker.task is not None:
            worker.process.terminate()
        worker.pipe.close()
    for worker in workers:
        worker.process.join(_SECONDS_TO_STOP)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
