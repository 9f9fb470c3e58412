"""A scan of real shards and real texts by the shipped model, end to end: every record accounted for, spans that lie in
their texts, and scores that fastText gives too. Skipped where the folder with them is not beside the repository."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import tropescan
from numpy.typing import NDArray
from plain_reading import as_plain
from reading import read, shared
from small_models import trainer

from classifiers.card import default_model
from classifiers.fasttext_file import read_model
from classifiers.settings import Settings, settings_of
from pipeline.report.collect import collect
from pipeline.schema import label_columns

EVERY = 6
"""Of the corpus' files, in order, one in so many is scanned."""


@dataclass(frozen=True)
class Scanned:
    """What a scan left: rows of tags by shard, the texts of each shard by row, ``scan.json`` and the exit status."""

    folder: Path
    tags: dict[Path, list[dict[str, Any]]]
    texts: dict[Path, dict[int, str]]
    content: dict[str, Any]
    status: int

    def documents(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Each row of tags with its text."""
        for shard, rows in self.tags.items():
            yield from ((row, self.texts[shard][row["row"]]) for row in rows)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    shards = [*sorted(shared("shards").glob("*.warc*")), *sorted(shared("corpus").glob("*.jsonl.gz"))[::EVERY]]
    out = tmp_path_factory.mktemp("real") / "scanned"
    done = tropescan("scan", *shards, "--out", out, "--workers", 1, "--quiet")
    tags = {shard: pq.read_table(out / "tags" / f"{shard.name}.parquet").to_pylist() for shard in shards}
    content = json.loads((out / "scan.json").read_text("utf-8"))
    return Scanned(out, tags, {shard: texts_of(shard) for shard in shards}, content, done.returncode)


def texts_of(shard: Path) -> dict[int, str]:
    """Texts by row: of JSON lines without our reader."""
    if ".warc" in shard.name:
        return {document["row"]: document["text"] for document in read(shard).documents}
    with gzip.open(shard) as lines:
        return {row: json.loads(line)["text"] for row, line in enumerate(lines)}


def test_every_record_is_tagged_or_rejected(scanned: Scanned) -> None:
    assert len(scanned.tags) > 15 and sum(map(len, scanned.tags.values())) > 1000
    assert scanned.content["shards"] == len(scanned.content["tags"]) == len(scanned.tags)
    assert not scanned.content["failed"] and scanned.status == 1  # one WARC file is cut short
    sums = {"read": 0, "tagged": 0, "rejected": 0}
    for shard, rows in scanned.tags.items():
        report = json.loads((scanned.folder / "reports" / f"{shard.name}.json").read_text("utf-8"))["figures"]
        rejected = sum(report["rejected"].values())
        assert report["read"] == report["tagged"] + rejected and report["tagged"] == len(rows), shard
        assert {row["row"] for row in rows} == set(scanned.texts[shard]), shard
        assert rejected == 0 or ".warc" in shard.name, shard
        for name, n in (("read", report["read"]), ("tagged", len(rows)), ("rejected", rejected)):
            sums[name] += n
    figures = scanned.content["figures"]
    assert sums == {**{name: figures[name] for name in ("read", "tagged")}, "rejected": 1}
    assert figures["rejected"] == {"truncated_stream": 1} and figures["incomplete_shards"] == 1


def test_sizes_and_spans_are_of_the_text(scanned: Scanned) -> None:
    labels, spans = set(scanned.content["model"]["span_thresholds"]), 0
    for row, text in scanned.documents():
        assert (row["chars"], row["bytes"]) == (len(text), len(text.encode()))
        for span in row["spans"]:
            piece = text[span["start"] : span["end"]]
            assert 0 <= span["start"] < span["end"] <= len(text) and piece.strip() and span["label"] in labels
            strongest = row[f"{span['label']}_window"]
            assert scanned.content["model"]["span_thresholds"][span["label"]] <= span["score"] <= strongest
            spans += 1
    assert spans > 100


def test_a_sample_of_scores_is_that_of_fasttext(scanned: Scanned) -> None:
    model = trainer().load_model(str(default_model()))
    file = read_model(default_model())
    settings, labels = settings_of(file), file.label_names  # with the lexicon, which is no label of the scan
    sample = [pair for pair in list(scanned.documents())[::9] if pair[0]["status"] != "no_words"]
    theirs = np.array([probabilities(model, settings, text) for _, text in sample])
    ours = np.array([[row[column] for column in label_columns(labels)] for row, _ in sample])
    differences = np.abs(ours - theirs)
    assert len(sample) > 100 and ours[:, labels.index("adverse")].max() > 0.5
    assert np.quantile(differences, 0.99) < 1e-5
    assert differences.max() < 2e-2  # a step of fastText's table of the sigmoid, or two


def probabilities(model: Any, settings: Settings, text: str) -> NDArray[np.float64]:
    """By fastText's own reading of the text made plain: its mean of rows, to which the prior is added."""
    words = as_plain(text.encode()).split()  # of bytes: fastText takes no other white space for an end of words
    tokens = [*(word.decode() for word in words), "</s>"]
    n = sum(model.get_word_id(token) >= 0 for token in tokens) + len(tokens) - 1  # known words, and pairs
    total = n * model.get_sentence_vector(" ".join(tokens[:-1])).astype(np.float64)
    mean = (total + settings.prior_weight * settings.prior) / (n + settings.prior_weight)
    logits = model.get_output_matrix().astype(np.float64) @ mean
    last = slice(len(logits) - len(settings.lexicons), None)
    without = logits[last] < settings.prior[last] + 1e-3  # one word of a lexicon adds far more
    logits = logits + without @ settings.absent
    return np.where(settings.given >= 0, sigmoid(logits) * sigmoid(logits)[settings.given], sigmoid(logits))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """As fastText has it: a table of 512 steps from -8 to 8, and 1e-5 more."""
    steps = 1 / (1 + np.exp(8 - np.floor((logits + 8) * 32) / 32))
    return np.where(np.abs(logits) > 8, logits > 0, steps) + 1e-5


def test_the_report_of_it_agrees(scanned: Scanned) -> None:
    report = collect(str(scanned.folder))
    assert report["records"]["agrees"] and report["headline"]["documents"]["flagged"] > 50
    shown = [one["excerpt"] for kind in ("strongest", "drawn") for one in report["examples"][kind]]
    assert shown and all("missing" not in excerpt for excerpt in shown)
