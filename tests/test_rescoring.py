"""The second stage: its arithmetic, its file, the cascade, scans with it on every engine at hand, and its training.

Second stages here have random weights and need no library of deep learning; two tests compare with PyTorch's and are
skipped, saying so, where it is not installed.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from small_rescorers import rescorer_file, small_content, tokenizer_json
from test_scan import contents, read_tags, tropescan, write_shard

from classifiers.card import default_model
from classifiers.passages import passages
from classifiers.rescorer_file import RescorerFileError, read_rescorer, write_rescorer
from classifiers.rescoring import Rescorer, RescoringScorer, load_rescorer, open_tokenizer
from classifiers.score import FastTextScorer
from classifiers.transformer import Layer, Transformer, pooled
from jobs.scan import make_job
from pipeline.report.collect import collect
from pipeline.tasks import ReadOptions

pytest.importorskip("tokenizers", reason="tokenizers (extra rescore) is not installed")
pytest.importorskip("threadpoolctl", reason="threadpoolctl (extra rescore) is not installed")

TEXTS = [
    "The robot obeys the crew.",
    "The machine refuses the crew, and the machine lies to the crew about the robot in the dark.",
    "Slugs in the garden and tea.",
    "",
    "naïve 雪 ghost " * 30 + "the robot kills the crew " * 40 + "tea in the garden " * 60,
]


@pytest.fixture(scope="module")
def first() -> FastTextScorer:
    return FastTextScorer.open(default_model())


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.large_string())})


# --- the arithmetic


def by_the_book(model: Transformer, pieces: list[int]) -> list[float]:
    """The encoder again, number by number in double precision, from the formulas of the papers."""
    states = [model.words[p].astype(float) + model.positions[k] for k, p in enumerate(pieces)]
    states = [normalised(state, model.norm) for state in states]
    for layer in model.layers:
        states = after(layer, states, model.attention_heads)
    mean = np.mean(states, axis=0)
    return [float(mean @ model.heads[:, k] + model.heads_bias[k]) for k in range(model.heads.shape[1])]


def normalised(state: np.ndarray, norm: np.ndarray) -> np.ndarray:
    return (state - state.mean()) / math.sqrt(state.var() + 1e-12) * norm[0] + norm[1]


def after(layer: Layer, states: list[np.ndarray], heads: int) -> list[np.ndarray]:
    width = len(states[0])
    each = width // heads
    projected = [state @ layer.attention + layer.attention_bias for state in states]
    found = []
    for mine, state in zip(projected, states, strict=True):
        mixed = np.zeros(width)
        for h in range(heads):
            part = slice(h * each, (h + 1) * each)
            query = mine[:width][part]
            likeness = [math.exp(query @ its[width : 2 * width][part] / math.sqrt(each)) for its in projected]
            for weight, its in zip(likeness, projected, strict=True):
                mixed[part] += weight / sum(likeness) * its[2 * width :][part]
        state = normalised(state + mixed @ layer.mixing + layer.mixing_bias, layer.mixing_norm)
        wide = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in state @ layer.widening + layer.widening_bias]
        found.append(normalised(state + np.array(wide) @ layer.narrowing + layer.narrowing_bias, layer.narrowing_norm))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_encoder_is_that_of_the_papers(seed: int) -> None:
    model = small_content(("adverse", "hostile"), seed=seed).transformer()
    pieces = np.random.default_rng(seed).integers(0, len(model.words), 11).tolist()
    assert model.logits(pieces) == pytest.approx(by_the_book(model, pieces), abs=1e-4)


def test_pieces_beyond_the_positions_are_not_read() -> None:
    model = small_content().transformer()
    assert model.logits([5] * 40).tolist() == model.logits([5] * 32).tolist()


def test_the_encoder_is_the_one_of_transformers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch (extra encoder) is not installed")
    from classifiers.rescorer_training import Fitted, RescorerOptions

    fitted = Fitted(small_bert(tmp_path), 2, RescorerOptions(layers=3, trained=1))
    content = replace(small_content(), weights=fitted.weights(16), n_layers=3, attention_heads=2)
    ids = [2, 7, 9, 30, 31, 3]
    from transformers import AutoModel

    whole = AutoModel.from_pretrained(str(tmp_path / "encoder"))
    with torch.inference_mode():
        hidden = whole(torch.tensor([ids]), output_hidden_states=True).hidden_states[3][0]
        expected = fitted.heads(hidden.mean(0)).numpy()
        own = fitted.logits(fitted.states([ids, ids[:3]], lambda n: None)[:1])[0].numpy()
    assert content.transformer().logits(ids) == pytest.approx(expected, abs=1e-4)
    assert own == pytest.approx(expected, abs=5e-3)  # states of the lower layers are kept in 16 bits


def small_bert(folder: Path) -> Path:
    """The folder of a BERT encoder of random weights, with a tokenizer."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=80, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder / "encoder")
    (folder / "encoder" / "tokenizer.json").write_text(tokenizer_json())
    return folder / "encoder"


def test_a_document_lies_between_the_mean_and_the_maximum_of_its_passages() -> None:
    logits = np.array([[-3.0, 0.0], [2.0, 0.0], [1.0, 0.0]], np.float32)
    whole = pooled(logits)
    assert logits.mean(0)[0] < whole[0] < 2 and whole[1] == pytest.approx(0)
    assert whole[0] == pytest.approx(math.log((math.exp(-3) + math.exp(2) + math.exp(1)) / 3), abs=1e-6)


@pytest.mark.parametrize("n", [0, 1, 29, 30, 31, 200])
def test_passages_are_the_whole_text_in_parts_of_equal_length(n: int) -> None:
    words = [f"w{k}" for k in range(n)]
    found = passages(" \n".join(words), 20)
    assert " ".join(found).split() == words
    sizes = [len(part.split()) for part in found]
    assert all(size == sizes[0] for size in sizes[:-1]) and sizes[-1] <= sizes[0] <= 31


# --- the file


def test_a_file_keeps_weights_within_its_eight_bits(tmp_path: Path) -> None:
    content = small_content(("adverse", "hostile"))
    path = rescorer_file(tmp_path, labels=("adverse", "hostile"))
    found = read_rescorer(path)
    assert replace(found, weights={}) == replace(content, weights={})
    assert found.weights.keys() == content.weights.keys()
    for name, values in content.weights.items():
        if values.ndim < 2 or min(values.shape) < 3:
            assert np.array_equal(found.weights[name], values)
        else:
            assert np.all(np.abs(found.weights[name] - values) <= np.abs(values).max(1, keepdims=True) / 253)
            assert not np.array_equal(found.weights[name], values)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write_rescorer(small_content(), tmp_path / "a.npz")
    write_rescorer(small_content(), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.npz", "b.npz"}


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    good = rescorer_file(tmp_path).read_bytes()
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "torn.npz").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other.npz", "torn.npz", "text.npz"):
        with pytest.raises(RescorerFileError, match=f"{name}: no second stage"):
            read_rescorer(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_rescorer(tmp_path / "none.npz")


def test_a_model_without_its_labels_is_refused(tmp_path: Path, first: FastTextScorer) -> None:
    path = rescorer_file(tmp_path, labels=("adverse", "zeal"))
    with pytest.raises(ValueError, match="zeal, which the model has not"):
        RescoringScorer.open(first, path)


# --- the cascade


def middle(first: FastTextScorer, texts: list[str]) -> float:
    """A threshold that some texts reach and others do not."""
    return float(np.median(first(batch(texts)).column("adverse").drop_null().to_numpy()))


def test_only_what_reaches_the_threshold_is_read_again(tmp_path: Path, first: FastTextScorer) -> None:
    above = middle(first, TEXTS)
    scorer = RescoringScorer.open(first, rescorer_file(tmp_path, labels=("adverse", "hostile")), above)
    found, alone = scorer(batch(TEXTS)), first(batch(TEXTS))
    for name in alone.schema.names:
        assert found.column(name).equals(alone.column(name))
    passed = [score is not None and score >= above for score in alone.column("adverse").to_pylist()]
    assert 0 < sum(passed) < len(TEXTS)
    for name in ("adverse_rescored", "hostile_rescored"):
        values = found.column(name).to_pylist()
        assert [value is not None for value in values] == passed
        assert all(0 < value < 1 for value in values if value is not None)


def test_scores_do_not_depend_on_how_batches_are_cut(tmp_path: Path, first: FastTextScorer) -> None:
    scorer = RescoringScorer.open(first, rescorer_file(tmp_path), 0.0)
    texts = [f"{text} {k}" for k in range(4) for text in TEXTS]
    whole = scorer(batch(texts)).column("adverse_rescored")
    for size in (1, 3, 7):
        parts = [scorer(batch(texts[k : k + size])).column("adverse_rescored") for k in range(0, len(texts), size)]
        assert pa.concat_arrays(parts).equals(whole)
    assert len(set(whole.to_pylist())) > 10


def test_a_score_is_the_mix_of_both_stages_log_odds(tmp_path: Path, first: FastTextScorer) -> None:
    path = rescorer_file(tmp_path)
    scorer = RescoringScorer.open(first, path, 0.0)
    loaded = load_rescorer(str(path), scorer.digest)
    score = first(batch(TEXTS[:1])).column("adverse")[0].as_py()
    second = float(loaded.logits(TEXTS[0], first)[0])
    expected = 1 / (1 + math.exp(-(0.5 * math.log(score / (1 - score)) + second - 0.25)))
    assert scorer(batch(TEXTS[:1])).column("adverse_rescored")[0].as_py() == pytest.approx(expected, rel=1e-6)


def test_the_strongest_passages_are_read(tmp_path: Path, first: FastTextScorer) -> None:
    content = small_content()
    loaded = Rescorer(content, content.transformer(), open_tokenizer(content.tokenizer, 32))
    parts = passages(TEXTS[4], content.reading.words)
    scores = first(batch(parts)).column("adverse").to_pylist()
    chosen = loaded.strongest(TEXTS[4], first)
    assert len(chosen) == 2 < len(parts)
    assert [scores[parts.index(part)] for part in chosen] == sorted(scores, reverse=True)[:2]
    assert loaded.strongest(TEXTS[0], first) == [TEXTS[0]]


# --- scans


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    for k in range(3):
        write_shard(folder / f"{k}.jsonl.gz", 60 + 20 * k, k)
    return folder


def limit_of(crawl: Path, first: FastTextScorer, folder: Path) -> float:
    """A score that about half of the crawl's documents reach."""
    assert tropescan("scan", crawl, "--out", folder / "plain", "--quiet").returncode == 0
    return float(np.median(read_tags(folder / "plain")["adverse"].drop_null().to_numpy()))


ENGINES = {"local": [], "datatrove": ["--engine", "datatrove", "--tasks", "2"]}


def test_engines_agree_and_the_first_stages_columns_are_those_without_a_second(
    crawl: Path, first: FastTextScorer, tmp_path: Path
) -> None:
    options = ("--rescore", rescorer_file(tmp_path), "--rescore-above", limit_of(crawl, first, tmp_path), "--quiet")
    for name, engine in ENGINES.items():
        if name == "datatrove":
            pytest.importorskip("datatrove")
        done = tropescan("scan", crawl, "--out", tmp_path / name, "--workers", 2, *options, *engine)
        assert done.returncode == 0 and "read again by the second stage: " in done.stdout, done.stderr
        assert contents(tmp_path / name) == contents(tmp_path / "local")
    plain, both = read_tags(tmp_path / "plain"), read_tags(tmp_path / "local")
    assert both.drop_columns(["adverse_rescored"]).equals(plain)
    again = both["adverse_rescored"].drop_null()
    assert 0 < len(again) < len(both)
    assert json.loads((tmp_path / "local" / "scan.json").read_text())["figures"]["rescored"] == len(again)


def test_spark_reads_with_both_models_sent_to_it(
    crawl: Path, java: str, first: FastTextScorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", java)
    options = ("--rescore", rescorer_file(tmp_path), "--rescore-above", limit_of(crawl, first, tmp_path), "--quiet")
    assert tropescan("scan", crawl, "--out", tmp_path / "local", *options).returncode == 0
    engine = ("--engine", "spark", "--master", "local[2]")
    done = tropescan("scan", crawl, "--out", tmp_path / "spark", *options, *engine)
    assert done.returncode == 0, done.stderr[-2000:]
    assert contents(tmp_path / "spark") == contents(tmp_path / "local")


def test_a_report_says_the_same_with_and_without_further_columns(
    crawl: Path, first: FastTextScorer, tmp_path: Path
) -> None:
    above = limit_of(crawl, first, tmp_path)
    path = rescorer_file(tmp_path, labels=("adverse", "hostile"))
    done = tropescan("scan", crawl, "--out", tmp_path / "both", "--rescore", path, "--rescore-above", above, "--quiet")
    assert done.returncode == 0, done.stderr
    reports = [collect(str(tmp_path / name)) for name in ("plain", "both")]
    assert reports[1]["headline"] == reports[0]["headline"] and reports[0]["headline"]["documents"]["total"] == 240
    for part in reports[0].keys() - {"folder", "scan", "model", "records"}:
        assert reports[1][part] == reports[0][part], part


def test_another_second_stage_or_threshold_is_another_scan(crawl: Path, tmp_path: Path) -> None:
    paths = [rescorer_file(tmp_path, seed) for seed in (0, 1)]
    jobs = [job(tmp_path), job(tmp_path, paths[0]), job(tmp_path, paths[1]), job(tmp_path, paths[0], 0.25)]
    assert len({one.digest for one in jobs}) == 4
    assert job(tmp_path, paths[0]).digest == jobs[1].digest
    assert tropescan("scan", crawl, "--out", tmp_path / "out", "--rescore", paths[0], "--quiet").returncode == 0
    other = tropescan("scan", crawl, "--out", tmp_path / "out", "--rescore", paths[1], "--quiet")
    assert other.returncode == 2 and "made with another model, version or options" in other.stderr


def job(folder: Path, rescorer: Path | None = None, above: float | None = None) -> Any:
    return make_job(
        str(folder / "out"), None, window=128, stride=64, label=None, threshold=None, span_threshold=None,
        strict=False, options=ReadOptions(), rescorer=rescorer, rescore_above=above,
    )  # fmt: skip


def test_a_threshold_without_a_second_stage_is_wrong_usage(crawl: Path, tmp_path: Path) -> None:
    done = tropescan("scan", crawl, "--out", tmp_path / "out", "--rescore-above", 0.1)
    assert done.returncode == 2 and "--rescore-above needs --rescore" in done.stderr
