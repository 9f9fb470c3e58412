"""The command: builds corpus and models once, measures the rows, prints the table, writes ``bench.json``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.bench.corpus import Corpus, build_corpus
from tests.bench.engines import ROWS as OF_ENGINES
from tests.bench.machine import describe_machine, versions
from tests.bench.models import train_model
from tests.bench.peers import PeerError
from tests.bench.rescoring import ROWS as OF_RESCORING
from tests.bench.rows import ROWS as KERNEL_AND_SCAN
from tests.bench.rows import Measured, MissingInputError, Row, Setting
from tests.bench.trees import CommandError

ROWS = (*KERNEL_AND_SCAN, *OF_ENGINES, *OF_RESCORING)
SHARDS = 9
FULL, QUICK = 220_000_000, 20_000_000
"""Bytes of text."""


def main() -> None:
    """Exit status 0 whatever the figures; missed bars are marked."""
    arguments = _arguments()
    console = Console()
    out = Path(arguments.out)
    folder = out / ("quick" if arguments.quick else "full")
    with console.status("gathering text and training models (once)"):
        corpus = build_corpus(folder / "corpus", QUICK if arguments.quick else FULL, SHARDS)
        models = {labels: train_model(corpus, folder / "models", labels) for labels in (2, 6)}
    setting = Setting(corpus, models, folder, 6 if arguments.quick else SHARDS, arguments.rescorer)
    _print_corpus(console, corpus)
    before = describe_machine()
    results = []
    for row in ROWS:
        if not arguments.rows or row.name in arguments.rows:
            with console.status(f"{row.name}: {row.what} against {row.against}"):
                results.append(_measure(row, setting))
            console.print(_line(results[-1]), highlight=False)
            content = {"machine": before, "quick": arguments.quick, "versions": versions(), "corpus": asdict(corpus)}
            (out / "bench.json").write_text(json.dumps(content | {"rows": results}, indent=1), "utf-8")
    for name in ("scan", "rescoring"):
        shutil.rmtree(folder / name, ignore_errors=True)
    console.print(_table(results))
    console.print(f"figures in {out / 'bench.json'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--out", default="bench-out", help="folder for shards, models and bench.json")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK / 1e6:.0f} MB of text, to try it out")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], metavar="NAME", help="only these")
    parser.add_argument("--rescorer", type=Path, metavar="FILE", help="a second stage, for the rows rescore-…")
    return parser.parse_args()


def _print_corpus(console: Console, corpus: Corpus) -> None:
    kinds = ", ".join(f"{kind} {size / 1e6:.0f}" for kind, size in corpus.bytes_by_kind.items())
    console.print(f"{corpus.text_bytes / 1e6:.0f} MB of text in {corpus.documents:,} documents (MB: {kinds})")
    if corpus.repeated_bytes:
        share = corpus.repeated_bytes / corpus.text_bytes
        console.print(f"this machine has too little text: {share:.0%} are repeats with other numbers and names")


def _measure(row: Row, setting: Setting) -> dict[str, Any]:
    """Run on as many cores as the row is about; a peer that cannot run is said, not skipped in silence."""
    all_cores = os.sched_getaffinity(0)
    begin = time.monotonic()
    os.sched_setaffinity(0, set(sorted(all_cores)[-row.cores :]))
    pa.set_cpu_count(row.cores)
    try:
        outcome = _outcome(row, row.measure(setting))
    except (PeerError, CommandError, MissingInputError, ImportError) as error:
        outcome = {"not_measured": str(error)}
    finally:
        os.sched_setaffinity(0, all_cores)
    about = {"name": row.name, "what": row.what, "against": row.against, "at_least": row.bar, "clock": row.clock}
    return about | outcome | {"seconds": round(time.monotonic() - begin, 1), "load_average": os.getloadavg()}


def _outcome(row: Row, measured: Measured) -> dict[str, Any]:
    met = None if row.bar is None else measured.ratio.value >= row.bar
    return {**asdict(measured), "met": met}


def _verdict(result: dict[str, Any]) -> str:
    if "not_measured" in result:
        return "[yellow]not measured[/]"
    return {None: "", True: "[green]met[/]", False: "[red]MISSED[/]"}[result["met"]]


def _cells(result: dict[str, Any]) -> list[str]:
    bar = "" if result["at_least"] is None else f"{result['at_least']:g}"
    if "not_measured" in result:
        return [result["what"], result["against"], "", "", "", bar, _verdict(result), escape(result["not_measured"])]
    ratio, unit = result["ratio"], result["unit"]
    return [
        result["what"],
        result["against"],
        f"{result['ours']:,.4g} {unit}",
        f"{result['theirs']:,.4g} {unit}",
        f"{ratio['value']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})",
        bar,
        _verdict(result),
        result["note"],
    ]


def _line(result: dict[str, Any]) -> str:
    what, against, *rest = _cells(result)
    return f"{what} / {against}: {'  '.join(cell for cell in rest if cell)}"


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table("what", "against", "ours", "theirs", "ratio (interval)", "at least", "", title="tropescan bench")
    for result in results:
        table.add_row(*_cells(result)[:-1])
    return table
