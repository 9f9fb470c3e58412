"""The bench of second stages: what trains a fold, and how both stages are mixed and judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_rescorers import tokenizer_json
from test_rescoring import small_bert
from test_training_recipes import texts

from classifiers.rescorer_training import RescorerOptions
from tests.bench.rescorer_recipes import RECIPES, SHARES, Second, part_of, rows_of, second_logits, task_of
from tests.bench.training_recipes import METRICS, WEB, Bench

pytest.importorskip("tokenizers", reason="tokenizers (extra rescore) is not installed")
AI = "average precision, documents about AI"


def encoder_folder(folder: Path) -> Path:
    """With a tokenizer and nothing else."""
    (folder / "tokenizer.json").write_text(tokenizer_json())
    return folder


def test_a_part_of_a_task_has_the_rows_documents_and_truth(tmp_path: Path) -> None:
    bench = Bench(texts())
    task = task_of(bench, 1, encoder_folder(tmp_path))
    part = part_of(task, np.array([5, 0]))
    assert part.passages == [task.passages[5], task.passages[0]]
    assert np.array_equal(part.truth, task.truth[[5, 0]]) and part.truth.any()


def test_a_stage_that_knows_adds_and_one_of_noise_takes_away() -> None:
    bench, random = Bench(texts()), np.random.default_rng(0)
    truth = np.array(["adverse" in one.labels for one in bench.examples])
    first = truth + random.normal(0, 1, len(truth))
    knowing = {row.recipe: row for row in rows_of(bench, "knows", first, 100 * truth - 7.0)}
    noise = rows_of(bench, "noise", first, random.normal(0, 1, len(truth)))
    assert list(knowing) == [f"knows, share {share:g}" for share in SHARES] and set(knowing["knows, share 1"].more) == {
        *METRICS,
        WEB,
    }
    assert knowing["knows, share 1"].figures[AI].value == 1 and knowing["knows, share 0.3"].more[AI].low > 0
    assert noise[-1].more[AI].high < 0


def test_logits_come_from_models_of_other_sources(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch (extra encoder) is not installed")
    bench, encoder = Bench(texts(), n_folds=2), small_bert(tmp_path)
    task = task_of(bench, 1, encoder)
    second = Second("small", RescorerOptions(layers=2, trained=1, epochs=1))
    every = np.arange(len(bench.examples))
    found = second_logits(bench, task, every, second, encoder)
    fewer = every[
        (bench.folds == 0) | (every % 2 == 0)
    ]  # other texts train the model of fold 0, the same that of fold 1
    other = second_logits(bench, task, fewer, second, encoder)
    assert np.array_equal(other[bench.folds == 1], found[bench.folds == 1])
    assert not np.array_equal(other[bench.folds == 0], found[bench.folds == 0])


def test_no_two_recipes_are_called_the_same() -> None:
    assert len({one.name for one in RECIPES}) == len(RECIPES)
