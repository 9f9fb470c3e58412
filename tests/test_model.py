"""Folded models are stock fastText files that give the same probabilities, to fastText and to us."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from odd_texts import odd_texts
from small_models import MODELS, model_file
from test_parity import OVA_TOLERANCE, TOLERANCE, predicted, scored

from classifiers.card import ModelCard, card_of, read_card, write_card
from classifiers.fasttext_file import ModelFileError, read_model
from classifiers.fold import fold_file
from classifiers.prepare import model_digest
from jobs.main import cli

PRUNED = [name for name in MODELS if "pruned" in name]
FOLDABLE = [name for name in MODELS if name not in PRUNED]


@pytest.mark.parametrize("name", FOLDABLE)
def test_a_folded_model_gives_the_same_probabilities(name: str, tmp_path: Path) -> None:
    texts, folded = [text for text in odd_texts()[::7] if len(text) < 5000], tmp_path / "folded.bin"
    fold_file(model_file(name), folded)
    before = predicted(model_file(name), texts)
    theirs, (ours, _, _) = predicted(folded, texts), scored(folded, texts)
    known = ~np.isnan(before)
    assert (known == ~np.isnan(theirs)).mean() > 0.999  # fastText leaves out labels below 1e-5, on either side of it
    known &= ~np.isnan(theirs)
    sure = MODELS[name].loss in ("ova", "ns")  # their sigmoid is a table of steps, which the last bit can tip
    for after in (theirs, ours):
        differences = np.abs(after - before)[known]
        assert np.quantile(differences, 0.999) <= TOLERANCE
        assert sure or differences.max() <= TOLERANCE
        assert (differences > OVA_TOLERANCE).mean() <= 1e-3
    model = read_model(folded)
    assert model.dim == len(model.labels) and np.array_equal(model.output, np.eye(model.dim))


@pytest.mark.parametrize("name", PRUNED)
def test_pruned_models_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"pruned.*\.bin") as caught:
        fold_file(model_file(name), tmp_path / "folded.bin")
    assert str(model_file(name)) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_target_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    for target in (tmp_path / "missing" / "folded.bin", tmp_path):
        with pytest.raises(OSError, match=str(tmp_path)):
            fold_file(model_file("softmax bigrams"), target)
    assert not list(tmp_path.iterdir())


def test_a_model_can_be_folded_onto_itself(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_file("softmax bigrams").read_bytes())
    fold_file(path, path)
    once = path.read_bytes()
    fold_file(path, path)
    assert path.read_bytes() == once and [file.name for file in tmp_path.iterdir()] == ["model.bin"]


def test_the_commands(tmp_path: Path) -> None:
    source, target = model_file("softmax subwords"), tmp_path / "folded.bin"
    done = CliRunner().invoke(cli, ["model", "fold", str(source), str(target)])
    assert done.exit_code == 0 and f"{target.stat().st_size:,} bytes" in done.output
    shown = CliRunner().invoke(cli, ["model", "info", str(source)])
    assert shown.exit_code == 0 and "3 to 6 characters" in shown.output and "softmax" in shown.output
    facts = json.loads(CliRunner().invoke(cli, ["model", "info", "--json", str(target)]).output)
    assert facts["dimension"] == len(facts["labels"]) == 4 and facts["bytes"] == target.stat().st_size
    pruned = CliRunner().invoke(cli, ["model", "info", str(model_file("quantized, pruned"))])
    assert "buckets kept" in pruned.output
    assert CliRunner().invoke(cli, ["model", "fold", str(tmp_path / "none.bin"), str(target)]).exit_code == 2


def test_folding_takes_the_place_of_no_other_file(tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(model_file("softmax bigrams").read_bytes())
    (tmp_path / "link.bin").symlink_to(source)
    (tmp_path / "x.json").write_text("{}")
    for target, words in (("x.json", "ends in .bin"), ("model.bin", "would be lost"), ("link.bin", "would be lost")):
        done = CliRunner().invoke(cli, ["model", "fold", str(source), str(tmp_path / target)])
        assert done.exit_code == 2 and words in done.output
    assert source.read_bytes() == model_file("softmax bigrams").read_bytes()
    assert (tmp_path / "x.json").read_text() == "{}"


def model_with_card(path: Path) -> ModelCard:
    path.write_bytes(model_file("softmax bigrams").read_bytes())
    labels = tuple(read_model(path).label_names)
    card = ModelCard(path.name, model_digest(path), labels, labels[1], 0.7, {labels[1]: 0.8}, limits=("few texts",))
    write_card(card, path)
    return card


def test_a_folded_model_has_the_card_of_the_one_that_it_was_made_from(tmp_path: Path) -> None:
    source, target = tmp_path / "model.bin", tmp_path / "folded.bin"
    before = model_with_card(source)
    for _ in range(2):  # the second time over a model and its card
        done = CliRunner().invoke(cli, ["model", "fold", str(source), str(target)])
        assert done.exit_code == 0 and "folded.json: the card of" in done.output
        card = card_of(target, model_digest(target), before.labels)  # refuses one of another model
        assert (card.target, card.threshold, card.limits) == (before.target, 0.7, ("few texts",))
        assert card.hyperparameters == {"folded from the model of SHA-256": before.digest}
        assert card.digest in target.with_suffix(".md").read_text("utf-8")
    assert read_card(source.with_suffix(".json")) == before


def test_folding_leaves_no_card_to_another_model(tmp_path: Path) -> None:
    source = tmp_path / "model.bin"
    card = model_with_card(source)
    plain = tmp_path / "plain.bin"
    plain.write_bytes(source.read_bytes())
    quantized = tmp_path / "model.ftz"
    quantized.write_bytes(source.read_bytes())
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "README.md").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for one, target, words in (
        (plain, "model.bin", "has no card"),
        (quantized, "model.bin", "would lose it"),
        (source, "notes.bin", "not a model card"),
        (source, "README.bin", "would be lost"),
    ):
        done = CliRunner().invoke(cli, ["model", "fold", str(one), str(tmp_path / target)])
        assert done.exit_code and words in done.output + str(done.exception), done.output
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    write_card(replace(card, digest="0" * 64), source)
    done = CliRunner().invoke(cli, ["model", "fold", str(source), str(tmp_path / "new.bin")])
    assert done.exit_code and "the card of another model" in str(done.exception)
    assert not (tmp_path / "new.bin").exists()
