"""Snapshots, paired comparison, and the registry: nothing in it is replaced, and every model has its lineage."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from classifiers import registry
from classifiers.card import ModelCard, default_model, write_card
from classifiers.comparison import paired
from classifiers.evaluation import average_precision
from classifiers.registry import RegistryError
from jobs.main import cli
from jobs.snapshot import freeze
from labels import codebook
from labels.records import read_records
from labels.split import is_held_out
from labels.store import Candidate, add_draw, next_item, open_store, record_label

NONE = dict.fromkeys(codebook.LABELS, False)


def model(folder: Path, name: str) -> Path:
    """A file with a card: the registry does not look into models."""
    path = folder / f"{name}.bin"
    path.write_bytes(f"model {name}".encode())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_card(ModelCard(name, digest, ("ai", "adverse"), "adverse", 0.5, {}, data={"texts": 3}), path)
    return path


def place_of(kind: str, folder: Path) -> str:
    return str(folder / "registry") if kind == "local" else f"memory://{folder.name}/registry"


@pytest.mark.parametrize("kind", ["local", "remote"])
def test_models_are_promoted_with_lineage_and_found_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TROPESCAN_CACHE", str(tmp_path / "cache"))
    where, one, two = place_of(kind, tmp_path), model(tmp_path, "one"), model(tmp_path, "two")
    with pytest.raises(RegistryError, match="no model was promoted"):
        registry.find(where, "latest")
    first = registry.promote(where, one, by="ada", why="the first")
    second = registry.promote(where, two, by="bob", why="better", figures={"average precision": 0.5})
    assert (first.number, first.parent, first.data) == (1, None, {"texts": 3})
    assert (second.number, second.parent, second.figures) == (2, first.digest, {"average precision": 0.5})
    assert registry.promotions(where) == [first, second]
    assert registry.find(where, "latest").read_bytes() == two.read_bytes()
    found = registry.find(where, first.digest[:8])
    assert found.read_bytes() == one.read_bytes() and found.with_suffix(".json").exists()
    for wrong in (first.digest[:7], "0" * 64):
        with pytest.raises(RegistryError, match="at least 8 digits"):
            registry.find(where, wrong)
    with pytest.raises(RegistryError, match="is the latest"):
        registry.promote(where, two, by="bob", why="again")
    assert registry.promote(where, one, by="ada", why="back").number == 3


def test_nothing_in_a_registry_is_replaced(tmp_path: Path) -> None:
    where, one, two = str(tmp_path / "r"), model(tmp_path, "one"), model(tmp_path, "two")
    registry.promote(where, one, by="ada", why="x")
    digest = hashlib.sha256(one.read_bytes()).hexdigest()
    registry.promote(where, two, by="ada", why="x")
    (tmp_path / "r" / "models" / f"{digest}.bin").write_bytes(b"changed")
    with pytest.raises(RegistryError, match="nothing in a registry is replaced"):
        registry.promote(where, one, by="ada", why="x")
    with pytest.raises(RegistryError, match="not that of its name"):
        registry.find(where, digest)
    bare = tmp_path / "bare.bin"
    bare.write_bytes(b"x")
    with pytest.raises(RegistryError, match="no card"):
        registry.promote(where, bare, by="ada", why="x")


def test_of_many_promotions_at_once_each_has_its_number_or_is_refused(tmp_path: Path) -> None:
    where = str(tmp_path / "r")
    models = [model(tmp_path, f"m{k}") for k in range(6)]
    refused: list[Exception] = []

    def promote(path: Path) -> None:
        try:
            registry.promote(where, path, by="x", why="race")
        except RegistryError as error:
            refused.append(error)

    threads = [threading.Thread(target=promote, args=(path,)) for path in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = registry.promotions(where)
    assert [one.number for one in made] == list(range(1, len(made) + 1)) and len(made) + len(refused) == 6
    assert len({one.digest for one in made}) == len(made) >= 1


def test_model_references_are_taken_by_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = str(tmp_path / "r")
    run = CliRunner()
    missing = run.invoke(cli, ["explain", "--model", "tropescan:latest", "x"])
    assert missing.exit_code == 2 and "TROPESCAN_REGISTRY" in missing.output
    done = run.invoke(cli, ["promote", str(default_model()), "--registry", where, "--by", "ada", "--why", "shipped"])
    assert done.exit_code == 0 and "promotion 1" in done.output
    monkeypatch.setenv("TROPESCAN_REGISTRY", where)
    shown = run.invoke(cli, ["explain", "--model", "tropescan:latest", "The robot lied."])
    assert shown.exit_code == 0 and "explained: adverse" in shown.output
    absent = run.invoke(cli, ["scan", "x", "--out", str(tmp_path / "o"), "--model", str(tmp_path / "no.bin")])
    assert absent.exit_code == 2 and "no such file" in absent.output


def test_paired_intervals_cover_the_true_difference_and_are_narrower_than_unpaired() -> None:
    """Two scores of which the second has less noise on the same documents; accuracy at 0 as a simple metric."""

    def accuracy(truth: np.ndarray, scores: np.ndarray) -> float:
        return float(np.mean((scores > 0) == truth))

    random, hits = np.random.default_rng(3), 0
    for seed in range(60):
        truth = random.random(400) < 0.5
        hard = random.random(400) < 0.3  # wrong for both
        right = ~hard
        one = np.where(right & (random.random(400) < 0.9), 1, -1) * np.where(truth, 1, -1)
        other = np.where(right, 1, -1) * np.where(truth, 1, -1)
        found = paired(accuracy, truth, one.astype(float), other.astype(float), [f"s{k}" for k in range(400)],
                       resamples=100, seed=seed)  # fmt: skip
        hits += found.difference.low <= 0.07 <= found.difference.high
    assert hits >= 50
    same = paired(average_precision, truth, one.astype(float), one.astype(float), ["s"] * 400, resamples=100)
    assert same.difference.value == same.difference.low == same.difference.high == 0 and same.second_higher == 0.5


def store_with_labels(place: Path) -> None:
    """Items of both splits, all labelled, some acquired, one a near-duplicate across the split."""
    held = [f"s{k}" for k in range(99) if is_held_out(f"s{k}")][:3]
    free = [f"s{k}" for k in range(99) if not is_held_out(f"s{k}")][:3]
    long = " ".join(f"word{k}" for k in range(60))
    store = open_store(place)
    fair = [Candidate(f"f{s}", s, text=f"{s} fair text", inclusion_probability=0.1) for s in held + free]
    fair += [Candidate("dup1", held[0], text=long, inclusion_probability=0.1)]
    add_draw(store, "fair", "designed", fair, method="random")
    learned = [Candidate(f"a{s}", s, text=f"{s} acquired text") for s in held[:1] + free]
    add_draw(store, "learned", "acquired", [*learned, Candidate("dup2", free[0], text=f"{long} end")], method="margin")
    for draw in ("fair", "learned"):
        while (leased := next_item(store, "ann", draw)) is not None:
            record_label(store, leased.item.id, "ann", "human", NONE, "none", token=leased.token, draw=draw)
    store.close()


def test_a_snapshot_is_named_by_its_content_and_leaves_out_what_may_not_be_used(tmp_path: Path) -> None:
    store_with_labels(tmp_path / "l.sqlite")
    store = open_store(tmp_path / "l.sqlite")
    made, again = freeze(store, tmp_path / "snapshots"), freeze(store, tmp_path / "snapshots")
    assert made == again and made.digest == hashlib.sha256(made.path.read_bytes()).hexdigest()
    assert made.digest[:16] in made.path.name
    records = read_records(made.path)
    assert made.left_out == {"nearly the same as a text of the other split": 1, "held out, but acquired": 1}
    assert len(records) == made.records == 10 and "dup2" not in {r.id for r in records}
    assert not any(is_held_out(r.source) for r in records if r.id.startswith("a"))
    assert {(r.annotator, r.kind) for r in records} == {("ann", "human")}


def test_training_takes_a_store_and_the_card_names_its_snapshot(tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="the fasttext package (extra train) is not installed")
    from tests.test_training import labelled_folder

    place, out = str(tmp_path / "l.sqlite"), tmp_path / "m.bin"
    run = CliRunner()
    imported = run.invoke(cli, ["label", "import", str(labelled_folder(tmp_path)), "--store", place, "--name", "all"])
    assert imported.exit_code == 0 and "240 new labels" in imported.output
    small = ["--bucket", "500", "--min-count", "1"]
    done = run.invoke(cli, ["train", "--store", place, "--out", str(out), *small])
    assert done.exit_code == 0, done.output
    (snapshot,) = (tmp_path / "snapshots").iterdir()
    files = json.loads(out.with_suffix(".json").read_text("utf-8"))["data"]["SHA-256 of label files"]
    assert files == {snapshot.name: hashlib.sha256(snapshot.read_bytes()).hexdigest()}
    nothing = run.invoke(cli, ["train", "--out", str(out)])
    assert "no label records" in str(nothing.exception)


def test_compare_says_what_differs_and_which_documents_changed_sides(tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="the fasttext package (extra train) is not installed")
    from tests.test_training import labelled_folder

    labels = labelled_folder(tmp_path)
    run = CliRunner()
    small = ["--bucket", "500", "--min-count", "1"]
    for name, penalty in (("a", "0.1"), ("b", "20")):
        out = str(tmp_path / f"{name}.bin")
        done = run.invoke(cli, ["train", str(labels), "--out", out, "--penalty", penalty, *small])
        assert done.exit_code == 0, done.output
    pair = [str(tmp_path / "a.bin"), str(tmp_path / "b.bin"), str(labels), "--resamples", "100"]
    done = run.invoke(cli, ["compare", *pair, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    overall = found["overall"]
    assert set(overall) == {
        "average precision", "expected calibration error", "recall at FPR 0.001", "recall at FPR 0.0001",
    }  # fmt: skip
    for one in overall.values():
        assert one["difference"]["value"] == pytest.approx(one["second"] - one["first"])
    assert found["first"] != found["second"]
    for changed in found["changed sides"]:
        assert changed["right now"] == (changed["flagged by the second"] == changed["adverse"])
    shown = run.invoke(cli, ["compare", *pair])
    assert shown.exit_code == 0 and "changed sides" in shown.output
