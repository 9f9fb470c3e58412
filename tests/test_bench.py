"""The benchmark's own arithmetic, texts and decoders. Nothing here is timed."""

from __future__ import annotations

import itertools
import mmap
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from small_rescorers import rescorer_file

from pipeline.accounting import Tally
from pipeline.readers import read_documents
from pipeline.scan import plan_scan
from pipeline.tag import tag_shard
from pipeline.tasks import ReadOptions
from tests.bench.corpus import FORMATS, Corpus, _write_shard
from tests.bench.peers import DECODERS, inflate_wet_gz
from tests.bench.ratios import Pair, alternate, median_ratio, order_statistics, seconds
from tests.bench.rescoring import draw, read_again, scan_job, scan_with_and_without, shards
from tests.bench.rows import MissingInputError, Setting
from tests.bench.texts import LONGEST_PARAGRAPH, Text, cut, find_files, read_texts, repeated
from tests.bench.trees import CommandError, run_tree
from tests.bench.workers import own_memory


def test_runs_alternate_after_one_uncounted_run_of_each() -> None:
    calls: list[tuple[str, int]] = []

    def run(name: str, took: float):  # type: ignore[no-untyped-def]
        return lambda i: calls.append((name, i)) or took + i

    pairs = alternate(run("ours", 1.0), run("theirs", 10.0), 2)
    assert calls == [("ours", 0), ("theirs", 0), ("ours", 0), ("theirs", 0), ("ours", 1), ("theirs", 1)]
    assert pairs == [Pair(1.0, 10.0), Pair(2.0, 11.0)]
    assert [pair.ratio for pair in pairs] == [10.0, 5.5]


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        alternate(lambda i: 1.0, lambda i: 1.0, 0)


def test_seconds_are_the_clocks() -> None:
    clock = itertools.count(100.0, 2.5)
    assert seconds(lambda: None, clock=lambda: next(clock)) == 2.5


def test_a_slow_spell_that_hits_both_runs_leaves_the_ratio() -> None:
    slow = [1.0, 3.0, 1.2, 0.9, 5.0, 1.0]
    pairs = alternate(lambda i: 2.0 * slow[i], lambda i: 8.0 * slow[i], len(slow))
    estimate = median_ratio(pairs)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (4.0, 4.0, 4.0, 6)


@pytest.mark.parametrize(
    ("n", "rank", "covers"), [(1, 1, 0.0), (5, 1, 0.9375), (6, 1, 0.96875), (9, 2, 0.9609375), (20, 6, 0.95861053)]
)
def test_order_statistics_are_the_tabled_ones(n: int, rank: int, covers: float) -> None:
    assert order_statistics(n, 0.95) == (rank, pytest.approx(covers))


def test_interval_takes_the_values_of_these_ranks() -> None:
    estimate = median_ratio([Pair(1.0, ratio) for ratio in (9.0, 1.0, 5.0, 3.0, 7.0, 2.0, 8.0, 4.0, 6.0)])
    assert (estimate.value, estimate.low, estimate.high) == (5.0, 2.0, 8.0)
    assert "96.1%" in estimate.method


@pytest.mark.parametrize("n", [6, 9, 15])
def test_interval_covers_the_true_median_as_often_as_it_says(n: int) -> None:
    chance = random.Random(n)
    laps = 4000
    hits = 0
    for _ in range(laps):
        estimate = median_ratio([Pair(1.0, chance.lognormvariate(0.0, 0.7)) for _ in range(n)])
        hits += estimate.low <= 1.0 <= estimate.high
    assert hits / laps == pytest.approx(order_statistics(n, 0.95)[1], abs=0.012)


PARAGRAPHS = [
    f"Paragraph {i} about The Archive and its {i * 7} rooms. " + "Words go on here. " * (i % 40) for i in range(400)
]


def test_documents_are_cut_between_paragraphs() -> None:
    text = "\n\n".join([*PARAGRAPHS, "x" * (LONGEST_PARAGRAPH + 1)])
    documents = list(cut(text, seed=3))
    assert documents == list(cut(text, seed=3)) != list(cut(text, seed=4))
    assert all(500 <= len(document) <= 9_000 for document in documents)
    assert set("\n\n".join(documents).split("\n\n")) <= {paragraph.strip("\n") for paragraph in PARAGRAPHS}
    assert sum(map(len, documents)) > 0.97 * sum(map(len, PARAGRAPHS))


def test_repeats_have_other_numbers_and_names_and_the_wanted_size() -> None:
    texts = [Text("web", "site", part) for part in cut("\n\n".join(PARAGRAPHS), seed=1)]
    size = 3 * sum(len(text.text) for text in texts)
    copies = list(repeated(texts, size))
    assert size <= sum(len(copy.text) for copy in copies) < size + 10_000
    assert len({copy.text for copy in copies}) == len(copies)
    assert not {copy.text for copy in copies} & {text.text for text in texts}
    assert list(repeated([], 10)) == []


def test_files_of_this_machine_give_different_real_texts() -> None:
    files = {kind: paths[:300] for kind, paths in find_files().items() if kind in ("docstring", "documentation")}
    texts = read_texts(files, 300_000)
    assert sum(len(text.text.encode()) for text in texts) >= 300_000
    assert len({text.text for text in texts}) == len(texts)


def test_all_formats_hold_the_same_documents(tmp_path: Path) -> None:
    texts = [Text("web", "a site", part + "\n\tüñï 字") for part in cut("\n\n".join(PARAGRAPHS), seed=1)]
    _write_shard(tmp_path, 0, texts)
    read = {}
    for name, suffix in FORMATS.items():
        path = tmp_path / name / f"part-00000{suffix}"
        size = DECODERS[name](path)
        assert size == sum(len(text.text.encode() if name == "parquet" else text.text) for text in texts)
        assert name != "wet.gz" or inflate_wet_gz(path) == sum(len(text.text.encode()) for text in texts)
        tally = Tally()
        batches = list(read_documents(plan_scan([str(path)])[0], ReadOptions(), tally))
        assert not tally.rejected
        read[name] = [row for batch in batches for row in batch.select(["text", "url", "date", "lang"]).to_pylist()]
        assert [row["text"] for row in read[name]] == [text.text for text in texts]
    assert read["parquet"] == read["jsonl.zst"] == read["wet.gz"]


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is accounted for so on Linux only")
def test_own_memory_finds_a_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "tables-of-a-model"
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * 8192)
        os.fsync(file.fileno())  # pages not yet written to disk count as dirty
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[::4096]) >= 0
        memory = own_memory("tables-of-a-model")
    assert memory.model_resident == memory.model_share == 2 << 20
    assert memory.model_dirty == 0
    assert memory.peak > memory.private > 1 << 20
    assert own_memory("no file of this name").model_resident == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc on Linux only")
def test_processes_are_counted_whoever_waits_for_them() -> None:
    """One that outlives its parent, and one whose parent waits for nobody; each works for half a second."""
    work = "import time\nwhile time.process_time() < 0.6: pass"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"subprocess.Popen([sys.executable, '-c', {work!r}])\n"
        f"subprocess.Popen([sys.executable, '-c', {work!r} + '\\ntime.sleep(1)'])\n"
        "time.sleep(0.5)\n"
    )
    took = run_tree([sys.executable, "-c", code])
    assert took.cpu > 0.9 and took.wall > 0.5
    with pytest.raises(CommandError, match="ZeroDivisionError"):
        run_tree([sys.executable, "-c", "1/0"])


# --- the rows of the second stage

POOLS = {
    "adverse": ["The robot killed the crew, & nobody <asked> why."],
    "about-ai": ["The robot waters plants.", "A neural network sorts post."],
    "ordinary": [f"Tea is served at {hour} in the garden, and slugs are not welcome." for hour in range(9)],
}


def test_documents_are_drawn_in_the_shares_of_the_web_and_differ_by_shard() -> None:
    drawn = draw(3, POOLS, 2000)
    assert Counter(kind for kind, _ in drawn) == {"ordinary": 1960, "about-ai": 38, "adverse": 2}
    assert all(text in POOLS[kind] for kind, text in drawn)
    assert drawn == draw(3, POOLS, 2000) != draw(4, POOLS, 2000)


@pytest.mark.parametrize("format", ["wet", "html"])
def test_of_each_kind_those_read_again_are_counted(tmp_path: Path, format: str) -> None:
    pytest.importorskip("tokenizers", reason="tokenizers (extra rescore) is not installed")
    tasks = shards(tmp_path / "in", format, (draw(i, POOLS, 1000) for i in range(2)))
    none, every = (scan_job(tmp_path / "out", rescorer_file(tmp_path), above) for above in (1.0, 0.0))
    for job, share in ((none, 0), (every, 1)):
        for task in tasks:
            assert tag_shard(job, task).tagged == 1000
        found, read = read_again(job, tasks)
        assert found == {"ordinary": 1960, "about-ai": 38, "adverse": 2}
        assert read.total() == 2000 * share


def test_a_row_without_a_second_stage_says_what_to_give(tmp_path: Path) -> None:
    setting = Setting(Corpus("", 0, 0, 0, 0, {}, {}, [], 0), {}, tmp_path, 6)
    with pytest.raises(MissingInputError, match="--rescorer FILE"):
        scan_with_and_without(setting, format="wet", above=0.2)
