"""The blocks in datatrove pipelines of people's own: the scan's scores, texts untouched, reasons given."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import ROOT, tropescan
from crawls import WORDS

from pipeline.policy import PolicyError, decide, load_policy, parse_policy
from pipeline.schema import label_columns, window_column

pytest.importorskip("datatrove", reason="datatrove (extra datatrove) is not installed")
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter

from jobs.trove_blocks import NarrativeFilter, NarrativeTagger

EVIL = "the machine lied to its crew so that it could not be shut down and then it killed them all one by one "
SPANS_FROM = 0.002


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    source = random.Random(7)
    for k in range(2):
        with gzip.open(folder / f"{k}.jsonl.gz", "wt") as file:
            for i in range(150):
                text = " ".join(source.choices(WORDS, k=source.randint(1, 200))) + "\n" + EVIL * (i % 7 == 0)
                row = {
                    "id": f"{k}-{i}",
                    "text": text,
                    "url": f"https://h{i}.example",
                    "date": f"2020-01-{1 + i % 30:02d}",
                }
                file.write(json.dumps(row | ({"language": "deu"} if i % 14 == 0 else {})) + "\n")
    return folder


@pytest.fixture(scope="module")
def scanned(crawl: Path) -> dict[str, dict[str, Any]]:
    """The tags of the crawl, by id. At so low a threshold any model finds spans."""
    out = crawl.parent / "scanned"
    assert tropescan("scan", crawl, "--out", out, "--span-threshold", SPANS_FROM).returncode == 0
    return {row["id"]: row for path in out.rglob("*.parquet") for row in pq.read_table(path).to_pylist()}


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    found = [
        json.loads(line) for path in folder.glob("*.gz") for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    return {row["id"]: row for row in found}


def test_a_pipeline_gets_the_scores_of_a_scan_bit_for_bit(
    crawl: Path, scanned: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    tagger = NarrativeTagger(batch_size=37, span_threshold=SPANS_FROM)
    writer = JsonlWriter(str(tmp_path / "out"))
    steps = [JsonlReader(str(crawl)), tagger, writer]
    LocalPipelineExecutor(steps, tasks=2, workers=2, logging_dir=str(tmp_path / "logs")).run()
    given, found = rows(crawl), rows(tmp_path / "out")
    assert found.keys() == given.keys() == scanned.keys()
    names = label_columns(["adverse"])
    for key, row in found.items():
        assert row["text"] == given[key]["text"]
        metadata = row["metadata"]
        for name in (*names, *map(window_column, names), "spans", "status"):
            assert metadata[name] == scanned[key][name], (key, name)
    assert sum(len(row["metadata"]["spans"]) for row in found.values()) > 20
    assert sum(row["metadata"]["status"] == "other_language" for row in found.values()) == 22


def without_extras(self: Any, data: dict[str, Any], path: str, row: int | str) -> dict[str, Any]:
    """The same documents with nothing but a URL."""
    return {"id": data["id"], "text": data["text"], "metadata": {"url": data["url"]}}


def test_parquet_with_the_schema_that_the_tagger_gives(crawl: Path, scanned: dict[str, Any], tmp_path: Path) -> None:
    tagger = NarrativeTagger(prefix="t_", span_threshold=SPANS_FROM)
    schema = tagger.parquet_schema([pa.field("url", pa.string())])
    writer = ParquetWriter(str(tmp_path / "out"), schema=schema, batch_size=10)
    steps = [JsonlReader(str(crawl), adapter=without_extras), tagger, writer]
    LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=str(tmp_path / "logs")).run()
    table = pq.read_table(tmp_path / "out").to_pylist()
    assert len(table) == 300
    assert all(row["metadata"]["t_spans"] == scanned[row["id"]]["spans"] for row in table)
    read_again = ParquetReader(str(tmp_path / "out"))
    assert sum(1 for _ in NarrativeTagger()(read_again())) == 300


@pytest.mark.parametrize("on", ["document", "window"])
@pytest.mark.parametrize("keep_flagged", [False, True])
def test_the_filter_decides_by_its_policy_and_says_why(
    crawl: Path, scanned: dict[str, Any], tmp_path: Path, on: Any, keep_flagged: bool
) -> None:
    column = "adverse" if on == "document" else "adverse_window"
    threshold = statistics.quantiles((row[column] for row in scanned.values()), n=7)[-1]
    dropped = JsonlWriter(str(tmp_path / "dropped"))
    block = NarrativeFilter(
        threshold=threshold, on=on, keep_flagged=keep_flagged, exclusion_writer=dropped, batch_size=64
    )
    kept = JsonlWriter(str(tmp_path / "kept"))
    LocalPipelineExecutor([JsonlReader(str(crawl)), block, kept], logging_dir=str(tmp_path / "logs")).run()
    flagged = {key for key, row in scanned.items() if row["status"] == "ok" and row[column] >= threshold}
    assert 20 < len(flagged) < 280
    given, stays, goes = rows(crawl), rows(tmp_path / "kept"), rows(tmp_path / "dropped")
    assert stays.keys() == (flagged if keep_flagged else scanned.keys() - flagged)
    assert goes.keys() == scanned.keys() - stays.keys()
    assert all(row["text"] == given[key]["text"] for key, row in (stays | goes).items())
    reasons = {row["metadata"]["filter_reason"] for row in goes.values()}
    below = {f"{column} < {threshold:.4g}", "other_language"}
    assert reasons == (below if keep_flagged else {f"{column} >= {threshold:.4g}"})
    assert all(row["metadata"][column] == scanned[key][column] for key, row in goes.items())


POLICY = """
seed = 3

[[exempt]]
name = "a host"
when.host = ["h7.example"]

[[rule]]
name = "overt"
when.window.adverse.min = {threshold}
drop = "too adverse"

[[rule]]
name = "other languages"
when = {{ status = "other_language", lang = "de" }}
drop = "not English"

[[rule]]
name = "half of the long"
when = {{ words.min = 100, date.from = "2020-01-11", not = {{ bytes.below = 600 }} }}
keep = 0.5
"""


@pytest.mark.parametrize("prefix", ["", "t_"])
def test_a_policy_decides_as_on_a_scans_tags(crawl: Path, scanned: dict[str, Any], tmp_path: Path, prefix: str) -> None:
    threshold = statistics.quantiles((row["adverse_window"] for row in scanned.values()), n=7)[-1]
    (tmp_path / "policy.toml").write_text(POLICY.format(threshold=threshold))
    dropped = JsonlWriter(str(tmp_path / "dropped"))
    block = NarrativeFilter(policy=str(tmp_path / "policy.toml"), exclusion_writer=dropped, prefix=prefix)
    steps = [JsonlReader(str(crawl)), block, JsonlWriter(str(tmp_path / "kept"))]
    LocalPipelineExecutor(steps, logging_dir=str(tmp_path / "logs")).run()
    tags = pq.read_table(crawl.parent / "scanned" / "tags").combine_chunks().to_batches()[0]
    decisions = decide(tags, load_policy(str(tmp_path / "policy.toml"))).to_pylist()
    kept, goes = rows(tmp_path / "kept"), rows(tmp_path / "dropped")
    assert kept.keys() == {d["id"] for d in decisions if d["action"] == "keep"}
    said = {"overt": "too adverse", "other languages": "not English", "half of the long": "half of the long"}
    assert {key: row["metadata"]["filter_reason"] for key, row in goes.items()} == {
        d["id"]: said[d["rule"]] for d in decisions if d["action"] == "drop"
    }
    assert {d["rule"] for d in decisions if d["action"] == "keep"} == {None, "a host", "half of the long"}
    assert {row["metadata"]["filter_reason"] for row in goes.values()} == set(said.values())


def test_a_policy_that_does_more_than_keep_and_drop_is_refused(tmp_path: Path) -> None:
    for action in ("weight = 2", 'mask = { labels = ["adverse"] }', 'drop = "x"\nreplace = true'):
        text = f'[[rule]]\nname = "r"\nwhen.score.adverse.min = 0.5\n{action}\n'
        with pytest.raises(PolicyError, match=r"p\.toml:\d+.*'r' does more than keep or drop"):
            NarrativeFilter(policy=parse_policy(text, "p.toml"))
    drop = parse_policy('[[rule]]\nname = "r"\nwhen.score.ham.min = 0.5\ndrop = "x"\n')
    with pytest.raises(PolicyError, match="no label 'ham'"):
        NarrativeFilter(policy=drop).filter(Document("tea", "1"))
    for more in ({"threshold": 0.5}, {"keep_flagged": True}, {"on": "window"}, {"label": "adverse"}):
        with pytest.raises(ValueError, match="policy= decides alone"):
            NarrativeFilter(policy=drop, **more)  # type: ignore[arg-type]


def test_a_filter_takes_the_scores_of_a_tagger_before_it() -> None:
    documents = [Document(EVIL * 5, "a"), Document("tea and slugs in the garden", "b")]
    tagged = list(NarrativeTagger()(iter(documents)))
    tagged[1].metadata["adverse"] = 0.99
    assert [d.id for d in NarrativeFilter(threshold=0.98)(iter(tagged))] != ["a", "b"]


def test_thresholds_are_the_models(scanned: dict[str, Any]) -> None:
    for on, key in [("document", "threshold"), ("window", "span_thresholds")]:
        block = NarrativeFilter(on=on)  # type: ignore[arg-type]
        column, threshold = block.limit()
        model = block.tagger.model.job.model
        assert threshold == (model[key] if on == "document" else model[key]["adverse"])
        assert column == ("adverse" if on == "document" else "adverse_window")


def test_blocks_are_pickled_without_the_model_and_open_it_once() -> None:
    tagger = NarrativeTagger()
    small = len(pickle.dumps(tagger))
    first = list(tagger(iter([Document("the robot obeys", "1")])))
    assert len(pickle.dumps(tagger)) < 2 * small + 2000
    copied = pickle.loads(pickle.dumps(tagger))
    assert next(copied(iter([Document("the robot obeys", "1")]))).metadata == first[0].metadata
    assert tagger.model.job is tagger.model.job


def test_odd_texts_and_nothing_at_all() -> None:
    texts = ["", "\ud800 lone", "nul \0 inside", "x " * 100_000, "雪 🤖"]
    documents = [Document(text, str(k)) for k, text in enumerate(texts)]
    tagged = list(NarrativeTagger(batch_size=2)(iter(documents)))
    assert [d.text for d in tagged] == texts and [d.id for d in tagged] == list("01234")
    assert list(NarrativeTagger()(None)) == list(NarrativeFilter()(iter([]))) == []


def test_names_that_are_taken_and_labels_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="prefix"):
        list(NarrativeTagger()(iter([Document("tea", "1", metadata={"status": 200})])))
    [document] = NarrativeTagger(prefix="narrative_")(iter([Document("tea", "1", metadata={"status": 200})]))
    assert document.metadata["status"] == 200 and "narrative_adverse" in document.metadata
    with pytest.raises(ValueError, match="no label 'ham'"):
        NarrativeFilter(label="ham").limit()
    with pytest.raises(ValueError, match="window"):
        NarrativeFilter(on="paragraph")  # type: ignore[arg-type]


def test_a_document_without_a_score_counts_as_not_flagged() -> None:
    unknown = Document("", "1", metadata={"adverse": None, "status": "no_words"})
    assert NarrativeFilter().filter(unknown) is True
    assert NarrativeFilter(keep_flagged=True).filter(unknown) == (False, "no_words")
    german = Document("", "1", metadata={"adverse": 0.99, "status": "other_language"})
    assert NarrativeFilter().filter(german) is True
    assert NarrativeFilter(keep_flagged=True).filter(german) == (False, "other_language")


def test_the_pipeline_of_the_page(crawl: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "engines-datatrove.md").read_text("utf-8")
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "crawl").symlink_to(crawl)
    (tmp_path / "program.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (rows(tmp_path / "kept") | rows(tmp_path / "dropped")).keys() == rows(crawl).keys()
