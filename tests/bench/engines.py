"""Rows of the engines: our jobs against the obvious ones, and what each engine costs beside the local one.

Processor time of all processes, and wall time, on two cores. Start-up is apart: what the same command takes for as many
shards of one document each is taken off.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.corpus import ROWS_PER_GROUP, Corpus
from tests.bench.engine_peers import SETTINGS
from tests.bench.ratios import Pair, median_ratio
from tests.bench.rows import Measured, Row, Setting
from tests.bench.trees import CommandError, Took, run_tree

Clock = Literal["cpu", "wall"]
WORKERS = 2
SHARDS = 64
PEER_PAIRS, PAIRS = 3, 6
"""A pair with the obvious job takes minutes."""
LAPS = 4
"""So many times the texts of a shard are in one that is scanned by two of our engines: beside six seconds of scanning,
the sixteen that Spark takes to start would be most of what is measured."""
CONF = [word for name, value in SETTINGS.items() for word in ("--spark-conf", f"{name}={value}")]
ENGINES = {
    "local": [],
    "datatrove": ["--engine", "datatrove", "--tasks", "16"],
    "ray": ["--engine", "datatrove", "--executor", "ray", "--tasks", "16", "--mem-per-cpu-gb", "1"],
    "spark": ["--engine", "spark", "--master", f"local[{WORKERS}]", *CONF],
}


def linked(corpus: Corpus, folder: Path, laps: int = 1) -> Path:
    """A folder with so many Parquet shards, each the texts of one of the corpus ``laps`` times; links after the first
    few."""
    target = folder / f"shards-{laps}"
    if not target.exists():
        shutil.rmtree(unfinished := target.with_suffix(".unfinished"), ignore_errors=True)
        unfinished.mkdir(parents=True)
        for i in range(SHARDS):
            shard, first = unfinished / f"part-{i:05d}.parquet", unfinished / f"part-{i % corpus.shards:05d}.parquet"
            if i < corpus.shards:
                texts = pa.concat_tables([corpus.texts(i)] * laps)
                pq.write_table(texts, shard, compression="zstd", row_group_size=ROWS_PER_GROUP)
            else:
                os.link(first, shard)
        unfinished.rename(target)
    return target


def tiny(corpus: Corpus, folder: Path) -> Path:
    """A folder with so many Parquet shards of one document."""
    target = folder / "tiny"
    target.mkdir(parents=True, exist_ok=True)
    for i in range(SHARDS):
        pq.write_table(corpus.texts(0).slice(i, 1), target / f"part-{i:05d}.parquet")
    return target


def scan(setting: Setting, engine: str, shards: Path) -> Took:
    """``tropescan scan`` as its users run it."""
    out = setting.out / "engines" / "scanned"
    for folder in (out, Path(f"{out}-logs")):
        shutil.rmtree(folder, ignore_errors=True)
    arguments = ["scan", str(shards), "--out", str(out), "--model", str(setting.models[2]), "--quiet"]
    command = [sys.executable, "-c", "from jobs.main import main; main()", *arguments, "--workers", str(WORKERS)]
    return run_tree([*command, *ENGINES[engine]], {"RAY_USAGE_STATS_ENABLED": "0"})


def peer(setting: Setting, kind: str, shards: Path) -> Took:
    """The obvious job of that engine."""
    out = setting.out / "engines" / "peer"
    shutil.rmtree(out, ignore_errors=True)
    model = setting.models[2]
    command = [sys.executable, "-m", "tests.bench.engine_peers", kind, str(shards), str(out), str(model), "docstring"]
    return run_tree([*command, str(WORKERS)], {"HF_ASSETS_CACHE": str(model.parent / "assets")})


Job = Callable[[Path], Took]


def _without_start(job: Job, shards: Path, start: Took) -> Took:
    took = job(shards) - start
    if min(took.cpu, took.wall) <= 0:
        raise CommandError(f"{shards}: takes no longer than shards of one document; measure with more text")
    return took


def _start(job: Job, shards: Path) -> Took:
    """The lesser of two runs, after one that fills caches."""
    job(shards)
    runs = [job(shards) for _ in range(2)]
    return Took(min(run.cpu for run in runs), min(run.wall for run in runs))


def _alternating(setting: Setting, ours: Job, theirs: Job, pairs: int, laps: int = 1) -> list[tuple[Took, Took]]:
    folder = setting.out / "engines"
    small, full = tiny(setting.corpus, folder), linked(setting.corpus, folder, laps)
    starts = _start(ours, small), _start(theirs, small)
    return [(_without_start(ours, full, starts[0]), _without_start(theirs, full, starts[1])) for _ in range(pairs)]


@lru_cache
def _against_peer(setting: Setting, engine: str) -> list[tuple[Took, Took]]:
    return _alternating(setting, partial(scan, setting, engine), partial(peer, setting, engine), PEER_PAIRS)


@lru_cache
def _against_local(setting: Setting, engine: str) -> list[tuple[Took, Took]]:
    return _alternating(setting, partial(scan, setting, engine), partial(scan, setting, "local"), PAIRS, LAPS)


def _measured(setting: Setting, runs: Sequence[tuple[Took, Took]], clock: Clock, laps: int = 1) -> Measured:
    """Of one clock. Speeds are of text."""
    pairs = [Pair(getattr(ours, clock), getattr(theirs, clock)) for ours, theirs in runs]
    size = sum(setting.corpus.shard_bytes[i % setting.corpus.shards] for i in range(SHARDS)) * laps / 1e6
    ours = statistics.median(size / pair.ours for pair in pairs)
    theirs = statistics.median(size / pair.theirs for pair in pairs)
    return Measured(median_ratio(pairs), ours, theirs, pairs, note=f"{SHARDS} shards, {size:,.0f} MB of text")


def against_peer(setting: Setting, *, engine: str, clock: Clock) -> Measured:
    """The same shards and the same model, by our engine and by the obvious job."""
    return _measured(setting, _against_peer(setting, engine), clock)


def against_local(setting: Setting, *, engine: str, clock: Clock) -> Measured:
    """The same scan by an engine and by the local one."""
    return _measured(setting, _against_local(setting, engine), clock, LAPS)


_CLOCKS: tuple[Clock, ...] = ("cpu", "wall")
_PEERS = {"spark": ("pandas UDF with fastText", 5), "datatrove": ("its FastTextClassifierFilter", 12)}

ROWS = (
    *(
        Row(f"{engine}-{clock}", f"scan --engine {engine}", against, bar,
            partial(against_peer, engine=engine, clock=clock), cores=WORKERS, clock=clock)
        for engine, (against, bar) in _PEERS.items() for clock in _CLOCKS
    ),
    *(
        Row(f"overhead-{engine}-{clock}", f"scan --engine {engine}", "--engine local", 1 / 1.15,
            partial(against_local, engine=engine, clock=clock), cores=WORKERS, clock=clock)
        for engine in ("datatrove", "ray", "spark") for clock in _CLOCKS
    ),
)  # fmt: skip
