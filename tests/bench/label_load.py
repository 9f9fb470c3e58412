"""Fifty annotators at once on the page's real server, over SQLite and PostgreSQL: ``python -m tests.bench.label_load``.

Each reads for some seconds, labels, skips, undoes, and clicks twice now and then. Afterwards the store is held against
what the server confirmed: no label lost, none doubled. Prints percentiles of the times that responses took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, insert, select

from labels.records import text_digest
from labels.store import Store, open_store
from labels.store.tables import Action, Draw, Item, Label, Selection
from tests.bench.machine import describe_machine
from tests.postgresql import cluster, programs

ROOT = Path(__file__).parent.parent.parent
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)"(?: id="spans")? value="([^"]*)">')
SENTENCE = "The machine in the cellar answered each question in the order in which it was asked. "
BAR_MS = 200.0
"""What the 95th percentile of a page may take."""
SKIPS, UNDOES, DOUBLES = 0.05, 0.05, 0.05


@dataclass
class Load:
    """What the annotators did, and how long each response took, in seconds, by what was asked for."""

    times: dict[str, list[float]] = field(default_factory=lambda: {"text": [], "label": [], "label and next text": []})
    confirmed: set[tuple[str, int, str]] = field(default_factory=set)
    undone: int = 0
    skipped: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Annotator:
    """One person with a browser: signs in, and labels until the time is over."""

    def __init__(self, base: str, number: int, load: Load, reading: float) -> None:
        self.name = f"annotator {number}"
        self.load = load
        self.reading = reading
        self.random = random.Random(number)
        self.http = httpx.AsyncClient(base_url=base, headers={"origin": base}, timeout=60)
        self.page = ""

    async def work(self, until: float) -> None:
        """Sign in, read, act, again and again."""
        async with self.http:
            await self.http.post("/signin", data={"name": self.name, "token": ""})
            await asyncio.sleep(self.random.uniform(0, self.reading))
            await self._look()
            while time.monotonic() < until:
                await asyncio.sleep(self.random.expovariate(1 / self.reading))
                await self._act()

    async def _look(self) -> float:
        begin = time.perf_counter()
        answer = await self.http.get("/draw/1")
        took = time.perf_counter() - begin
        self.load.times["text"].append(took)
        if answer.status_code != 200:
            self.load.failures[f"GET {answer.status_code}"] += 1
        self.page = answer.text
        return took

    async def _act(self) -> None:
        chance = self.random.random()
        if chance < SKIPS:
            self.load.skipped += await self._post("skip", self._fields("judgement")) is not None
        elif chance < SKIPS + UNDOES:
            self.load.undone += await self._post("undo", self._fields("undo")) == "/draw/1"
        else:
            await self._label(twice=chance > 1 - DOUBLES)
            return
        await self._look()

    async def _label(self, *, twice: bool) -> None:
        fields = self._fields("judgement") | self.random.choice(
            [{"none": "1"}, {"ai": "1", "hostile": "1", "mode": "fiction"}]
        )
        begin = time.perf_counter()
        answers = await asyncio.gather(*(self._post("label", fields) for _ in range(1 + twice)))
        took = time.perf_counter() - begin
        if all(answers):
            self.load.confirmed.add((self.name, int(fields["item"]), fields["token"]))
        self.load.times["label"].append(took)
        self.load.times["label and next text"].append(took + await self._look())

    async def _post(self, what: str, fields: dict[str, str]) -> str | None:
        answer = await self.http.post(f"/draw/1/{what}", data=fields)
        if answer.status_code == 303:
            return answer.headers["location"]
        self.load.failures[f"POST {what} {answer.status_code}"] += 1
        return None

    def _fields(self, form: str) -> dict[str, str]:
        part = self.page.split(f'id="{form}"')[-1].split("</form>")[0]
        return dict(HIDDEN.findall(part))


def fill(store: Store, items: int) -> None:
    """A draw of so many texts, written straight into the tables: the queue does not look at signatures or splits."""
    with store.writing() as session:
        session.add(Draw(name="load", purpose="acquired", method="margin", parameters={}, at=store.now(), wanted=1,
                         gold_every=0))  # fmt: skip
        session.flush()
        for start in range(0, items, 5_000):
            numbers = range(start + 1, min(start + 5_000, items) + 1)
            session.execute(insert(Item), [_item(k) for k in numbers])
            session.execute(insert(Selection), [
                {"draw_id": 1, "item_id": k, "document": f"d{k}", "position": k, "scores": {"adverse": 0.5},
                 "gold": False, "done": False} for k in numbers
            ])  # fmt: skip


def _item(k: int) -> dict[str, Any]:
    text = f"Text {k}. " + SENTENCE * (20 + k % 40)
    return {"id": k, "sha256": text_digest(text), "document": f"d{k}", "source": f"s{k % 500}", "text": text,
            "group": f"s{k % 500}", "split": "train", "details": {}}  # fmt: skip


@contextmanager
def served(place: str) -> Iterator[str]:
    """The real command, in a process of its own."""
    code = "from jobs.main import main; main()"
    command = [sys.executable, "-c", code, "label", "serve", "--store", place, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://[^/]+", line)
        assert found, f"the server did not start: {line}"
        try:
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


async def annotate(base: str, annotators: int, seconds: float, reading: float) -> Load:
    """Let so many people label for so long; each reads a text for ``reading`` seconds on average."""
    load = Load()
    until = time.monotonic() + seconds
    await asyncio.gather(*(Annotator(base, k, load, reading).work(until) for k in range(annotators)))
    return load


def check(store: Store, load: Load) -> dict[str, int]:
    """Hold the store against what was confirmed; all numbers but the first two must be 0."""
    undone = select(Action.undone_label).where(Action.undone_label.is_not(None))
    with store.reading() as session:
        rows = session.execute(select(Label.annotator, Label.item_id, Label.token)).all()
        standing = select(Label.item_id, func.count()).where(Label.id.not_in(undone)).group_by(Label.item_id)
        counts = Counter(n for _, n in session.execute(standing))
        done = session.scalar(select(func.count()).where(Selection.done)) or 0
    kept = Counter((row.annotator, row.item_id, row.token) for row in rows)
    return {
        "labels": len(rows),
        "undone or skipped": load.undone + load.skipped,
        "lost": len(load.confirmed - set(kept)),
        "not confirmed": len(set(kept) - load.confirmed),
        "doubled": sum(n - 1 for n in kept.values()) + sum(k for n, k in counts.items() if n > 1),
        "miscounted": abs(done - sum(counts.values())),
        "failures": sum(load.failures.values()),
    }


def measure(place: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Fill a store, put the load on its server, check, and give the figures; times in ms."""
    store = open_store(place)
    fill(store, arguments.items)
    with served(place) as base:
        load = asyncio.run(annotate(base, arguments.annotators, arguments.seconds, arguments.reading))
    checks = check(store, load)
    store.close()
    times = {what: [_percentile(taken, p) for p in (50, 95, 99)] for what, taken in load.times.items()}
    return {"checks": checks, "ms": times, "failures": dict(load.failures)}


def _percentile(taken: list[float], percent: int) -> float:
    ordered = sorted(taken)
    return round(1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1) if ordered else float("nan")


def main() -> None:
    """Exit status 1 if a label was lost, doubled or not confirmed; slow pages are marked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.label_load", description=__doc__)
    parser.add_argument("--out", default="bench-out", help="folder for label_load.json")
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--reading", type=float, default=10, help="seconds a text is read, on average; people take longer"
    )
    parser.add_argument("--items", type=int, default=100_000)
    arguments = parser.parse_args()
    console, machine, results = Console(), describe_machine(), {}
    with ExitStack() as stack:
        places = {"sqlite": str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "labels.sqlite")}
        if programs() is not None:
            places["postgresql"] = stack.enter_context(cluster())
        for name, place in places.items():
            with console.status(f"{name}: {arguments.items:,} items, {arguments.annotators} annotators"):
                results[name] = measure(place, arguments) | {"load_average": os.getloadavg()}
            console.print(_table(name, results[name]))
    if "postgresql" not in results:
        console.print("PostgreSQL is not installed: not measured (Debian: apt-get install postgresql)")
    Path(arguments.out).mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "arguments": vars(arguments), "results": results}
    (Path(arguments.out) / "label_load.json").write_text(json.dumps(content, indent=1), "utf-8")
    broken = [name for name, one in results.items() if any(list(one["checks"].values())[2:])]
    sys.exit(1 if broken else 0)


def _table(name: str, result: dict[str, Any]) -> Table:
    checks = ", ".join(f"{what} {n:,}" for what, n in result["checks"].items())
    table = Table("response", "median ms", "95th percentile", "99th", "", title=f"{name}: {checks}")
    for what, (middle, high, highest) in result["ms"].items():
        verdict = "" if what != "text" else "[green]met[/]" if high < BAR_MS else "[red]MISSED[/]"
        table.add_row(what, f"{middle:g}", f"{high:g}", f"{highest:g}", verdict)
    return table


if __name__ == "__main__":
    main()
