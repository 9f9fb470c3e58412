"""A worker that applies a policy holds a part of its shard, whatever the format, and no objects for each document."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_scan import scan
from made_tags import LABELS

from pipeline.readers.batches import BATCH_ROWS
from pipeline.schema import label_columns, scores_schema, window_column

FEW, MANY = BATCH_ROWS, 3 * BATCH_ROWS
MOST = 48 << 10
"""KiB by which memory may grow from one batch of documents to three; what is written of them grows by 7 MiB."""
PEAK = """
import sys
from test_apply import figures, job_of
from pipeline.apply.plan import open_scan, plan_apply
from pathlib import Path
crawl, scanned, out, to, policy = sys.argv[1:]
job = job_of(Path(scanned), Path(out), Path(policy).read_text(), to=to)
for task in reversed(plan_apply([crawl], open_scan(scanned))):
    written = job.run(task).written
    print(written, next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def flat_scorer(documents: pa.RecordBatch) -> pa.RecordBatch:
    """The same scores for all documents, and the same evidence."""
    n = documents.num_rows
    columns: dict[str, Any] = {
        "chars": pa.array(np.full(n, 36)),
        "words": pa.array(np.full(n, 20)),
        "status": pa.array(["ok"] * n),
    }
    for column in label_columns(LABELS):
        columns |= {name: pa.array(np.full(n, 0.5, np.float32)) for name in (column, window_column(column))}
    schema = scores_schema(LABELS)
    spans = [[{"label": "adverse", "start": 2, "end": 9, "score": 0.5}]] * n
    columns["spans"] = pa.array(spans, schema.field("spans").type)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A shard of many small documents and one of few, their tags, and a policy that writes each document several times,
    and others between."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "in").mkdir()
    numbers = pa.array([f"{i}" for i in range(MANY)])
    table = pa.table({"id": numbers, "text": ["A few words of text, and some more. "] * MANY, "url": numbers,
                      "n": [None if i % 999 == 1 else i for i in range(MANY)]})  # fmt: skip
    pq.write_table(table, folder / "in" / "many.parquet")
    pq.write_table(table.slice(0, FEW), folder / "in" / "few.parquet")
    (folder / "own.jsonl").write_text(json.dumps({"text": "Good words. " * 5}) + "\n")
    (folder / "p.toml").write_text(
        f'weight_as = "repeat"\nmix_in = {{ documents = "{folder}/own.jsonl", rate = 0.2 }}\n'
        '[[rule]]\nname = "mask"\nmask = { labels = ["adverse"] }\nweight = 2\n'
    )
    return folder / "in", scan(folder / "in", folder / "scanned", scorer=flat_scorer), folder / "p.toml"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory of a process is read from /proc")
@pytest.mark.parametrize("to", ["parquet", "jsonl.zst", "tar", "mds.zstd"])
def test_memory_stays_bounded(made: tuple[Path, Path, Path], tmp_path: Path, to: str) -> None:
    crawl, scanned, policy = map(str, made)
    here = Path(__file__).parent
    paths = {"PYTHONPATH": os.pathsep.join(map(str, (here, here.parent)))}
    command = [sys.executable, "-c", PEAK, crawl, scanned, str(tmp_path / "out"), to, policy]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | paths, check=True)
    few, before, many, after = map(int, done.stdout.split())
    assert few > 2 * FEW and many > 2 * MANY and after - before < MOST
