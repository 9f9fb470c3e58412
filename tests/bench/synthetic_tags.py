"""Tags that no scan made: any number of rows, as many files as wanted, for measuring what reads tags.

    python -m tests.bench.synthetic_tags FOLDER [--files 100] [--rows 1000000]

Every file has rows of its own. Domains follow a Pareto law over 500,000 of them; labels lean on domain and length.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import track

from pipeline.schema import tags_schema
from pipeline.tag import REPETITIVE
from pipeline.tasks import ReadOptions

MODEL: dict[str, Any] = {
    "name": "synthetic", "digest": "5" * 64, "labels": ["adverse", "admirable"], "target": "adverse", "threshold": 0.5,
    "span_thresholds": {}, "window": 128, "stride": 64,
}  # fmt: skip
DOMAINS, LANGUAGES, SOURCES, MONTHS = 500_000, 60, 30, 96


def write_tags(folder: Path, files: int, rows: int) -> None:
    """A folder such as a scan leaves: files of ``rows`` rows each, and ``scan.json``. Files that are there stay."""
    (folder / "tags").mkdir(parents=True, exist_ok=True)
    names = [f"part-{i:05d}" for i in range(files)]
    for i, name in enumerate(track(names, "Making tags")):
        path = folder / "tags" / f"{name}.parquet"
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            _write(unfinished, i, rows)
            unfinished.rename(path)
    (folder / "scan.json").write_text(json.dumps({"model": MODEL, "tags": names, "figures": {}}), "utf-8")


def _write(path: Path, seed: int, rows: int) -> None:
    metadata = {
        "tropescan.version": "0", "tropescan.model": json.dumps(MODEL, sort_keys=True), "tropescan.shard": str(path),
        "tropescan.options": json.dumps(vars(ReadOptions())),
    }  # fmt: skip
    schema = tags_schema(MODEL["labels"], metadata)
    table = pa.Table.from_batches([tags(seed, rows)]).cast(schema)
    pq.write_table(table, path, compression="zstd", use_dictionary=REPETITIVE, row_group_size=1 << 20)


def tags(seed: int, rows: int) -> pa.RecordBatch:
    """Rows of tags, alike for a seed."""
    random = np.random.default_rng(seed)
    domain = np.minimum(random.pareto(0.35, rows) * 3, DOMAINS - 1).astype(np.int64)
    lang = np.minimum(random.geometric(0.35, rows) - 1, LANGUAGES - 1)
    source = np.minimum(random.geometric(0.2, rows) - 1, SOURCES - 1)
    month = random.integers(0, MONTHS, rows)
    words = np.exp(random.normal(5.7, 1.1, rows)).astype(np.int64) + 1
    adverse = _scores(random, -6.5 + 1.5 * (domain % 50 == 7) + 0.3 * np.log(words / 300))
    admirable = _scores(random, -6.0 + 1.5 * (domain % 50 == 9) + 0.3 * (source == 3))
    nothing = pa.nulls(rows, pa.string())
    columns = {
        "id": pa.array(np.char.add(f"{seed}-", np.arange(rows).astype(str))), "row": pa.array(np.arange(rows)),
        "chars": pa.array(6 * words), "bytes": pa.array(6 * words), "words": pa.array(words), "url": nothing,
        "host": _named(domain, "www.site{}.example", DOMAINS),
        "date": _named(month, "{}", [f"{2016 + m // 12}-{m % 12 + 1:02d}" for m in range(MONTHS)]),
        "lang": _named(lang, "x{}", LANGUAGES), "source": _named(source, "source {}", SOURCES),
        "adverse": adverse, "adverse_window": adverse, "admirable": admirable, "admirable_window": admirable,
        "spans": pa.array([[]] * rows, tags_schema([]).field("spans").type),
        "status": pa.array(np.zeros(rows, np.int32)).cast(pa.int32()),
    }  # fmt: skip
    columns["status"] = pa.DictionaryArray.from_arrays(columns["status"], ["ok"]).cast(pa.string())
    return pa.RecordBatch.from_pydict(columns)


def _scores(random: np.random.Generator, log_odds: Any) -> pa.Array:
    """Normal in log-odds, to three digits, so that files stay small."""
    scores = 1 / (1 + np.exp(-random.normal(log_odds, 2.0)))
    return pa.array(np.round(scores, 3).astype(np.float32))


def _named(codes: Any, pattern: str, names: int | list[str]) -> pa.Array:
    values = names if isinstance(names, list) else [pattern.format(i) for i in range(names)]
    used, at = np.unique(codes, return_inverse=True)
    encoded = pa.DictionaryArray.from_arrays(pa.array(at.astype(np.int32)), [values[i] for i in used])
    return encoded.cast(pa.string())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.synthetic_tags", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    write_tags(arguments.folder, arguments.files, arguments.rows)


if __name__ == "__main__":
    main()
