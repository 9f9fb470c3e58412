"""The second stage: its arithmetic, its file, the cascade, scans with it on every engine at hand, and its training.

Second stages here have random weights and need no library of deep learning; two tests compare with PyTorch's and are
skipped, saying so, where it is not installed.
"""

from __future__ import annotations

import json
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from command import tropescan
from crawls import contents, read_tags, write_shard
from small_rescorers import rescorer_file, small_content, tokenizer_json
from test_evaluation_command import records

from classifiers.card import default_model
from classifiers.passages import passages
from classifiers.rescorer_file import Reading, RescorerFileError, read_rescorer, write_rescorer
from classifiers.rescorer_training import Fitted, RescorerOptions, Task, fit_rescorer
from classifiers.rescoring import RescoringScorer, load_rescorer, open_rescorer, strongest_passages
from classifiers.score import FastTextScorer
from classifiers.training import Example
from classifiers.transformer import Layer, Transformer, pooled
from jobs.main import cli
from jobs.measure import held_out
from jobs.rescorer_eval import variants
from jobs.rescorer_train import MOST_OF_COLLECTION, choose_examples, mix_of
from jobs.scan import make_job
from jobs.training_data import load_training_data
from labels.records import write_records
from pipeline.report.all_tags import open_all
from pipeline.report.collect import collect
from pipeline.report.folder import open_folder
from pipeline.report.tables import DuckTables
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
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
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
        RescoringScorer.open(first, path, 0.5)


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


def test_the_strongest_passages_are_read(first: FastTextScorer) -> None:
    reading = Reading("adverse", words=20, passages=2)
    parts = passages(TEXTS[4], reading.words)
    scores = first(batch(parts)).column("adverse").to_pylist()
    chosen = strongest_passages(TEXTS[4], first, reading)
    assert len(chosen) == 2 < len(parts)
    assert [scores[parts.index(part)] for part in chosen] == sorted(scores, reverse=True)[:2]
    assert strongest_passages(TEXTS[0], first, reading) == [TEXTS[0]]


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
        named_alike = json.dumps(reports[1][part]).replace(f"{tmp_path}/both/", f"{tmp_path}/plain/")
        assert json.loads(named_alike) == reports[0][part], part  # examples name their file of tags
    assert all_scores(tmp_path / "both") == all_scores(tmp_path / "plain")


def all_scores(folder: Path) -> list[dict[str, Any]]:
    """What policies see of tags, without the names of files."""
    with closing(DuckTables(str(folder))) as tables:
        open_all(tables, open_folder(str(folder), tables))
        return tables.rows("SELECT * EXCLUDE (file) FROM all_tags ORDER BY id")


def test_another_second_stage_or_threshold_is_another_scan(crawl: Path, tmp_path: Path) -> None:
    paths = [rescorer_file(tmp_path, seed) for seed in (0, 1)]
    jobs = [job(tmp_path), job(tmp_path, paths[0]), job(tmp_path, paths[1]), job(tmp_path, paths[0], 0.125)]
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


# --- training and evaluation


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of documents from 50 sources, and a first stage trained on them."""
    folder = tmp_path_factory.mktemp("labelled")
    write_records(records(), folder / "records.jsonl")
    arguments = ["train", str(folder / "records.jsonl"), "--out", str(folder / "m.bin"), "--bucket", "500"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    return folder


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["rescorer", *map(str, arguments)])


def test_the_evaluation_sets_both_stages_side_by_side(labelled: Path, tmp_path: Path) -> None:
    options = ("--rescorer", rescorer_file(tmp_path), "--model", labelled / "m.bin", "--resamples", 100)
    done = run("eval", labelled / "records.jsonl", *options, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    rows = found["figures"]["average precision, documents about AI"]
    first = rows.pop("first stage")["value"]
    assert len(rows) == 3 and 0.5 < first["value"] <= 1
    for row in rows.values():
        assert row["difference"]["value"] == pytest.approx(row["value"]["value"] - first["value"])
        assert row["difference"]["low"] <= row["difference"]["value"] <= row["difference"]["high"]
    shares = [row["adverse, real"] for row in found["read again"].values()]
    assert len(shares) == 5 and shares == sorted(shares, reverse=True)
    assert found["documents"].keys() == found["read again"]["0.2"].keys() and min(found["documents"].values()) > 0
    shown = run("eval", labelled / "records.jsonl", *options)
    assert "first stage" in shown.stdout and "more" in shown.stdout
    refused = run("eval", labelled / "records.jsonl", *options, "--label", "admirable")
    assert refused.exit_code == 2 and "the second stage has adverse" in refused.output


def test_texts_that_are_not_read_rank_below_all_that_are(labelled: Path, tmp_path: Path) -> None:
    loaded = open_rescorer(rescorer_file(tmp_path))
    data = load_training_data([str(labelled / "records.jsonl")], [], [])
    texts = held_out(labelled / "m.bin", data)
    above = float(np.median(texts.document["adverse"]))
    second = np.random.default_rng(0).normal(0, 3, len(texts.examples))
    *_, cascade = variants(loaded, texts, second, "adverse", above).values()
    read = texts.document["adverse"] >= above
    assert cascade[read].min() > cascade[~read].max()
    order = np.argsort(texts.document["adverse"][~read], kind="stable")
    assert np.all(np.diff(cascade[~read][order]) >= 0)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_a_mix_has_both_stages_on_one_scale(share: float) -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(-4, 2, 500), random.normal(1, 7, 500)
    weight, other, constant = mix_of(first, second, share)
    as_first = (other * second + constant) / share
    assert weight == 1 - share
    assert as_first.mean() == pytest.approx(first.mean()) and as_first.std() == pytest.approx(first.std())


def test_no_collection_outweighs_and_background_is_the_hardest() -> None:
    large = [Example(f"a {k}", frozenset({"ai"}), "s", "s") for k in range(500)]
    small = [Example(f"b {k}", frozenset({"ai"}), "t", "t") for k in range(7)]
    background = [Example(f"c {k}", frozenset(), f"u{k}") for k in range(1000)]
    scores = np.concatenate([np.zeros(507), np.linspace(0, 1, 1000)])
    chosen = choose_examples([*large, *small, *background], scores, 0)
    assert sum(one.source == "s" for one in chosen) == MOST_OF_COLLECTION
    assert sum(one.source == "t" for one in chosen) == 7
    assert [one.text for one in chosen if one.collection is None] == [f"c {k}" for k in range(700, 1000)]


def test_training_learns_what_only_order_tells_and_repeats_itself(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch (extra encoder) is not installed")
    random = np.random.default_rng(0)
    rows = [[2, *random.permutation([10, 11, 12, 13, 14, 15]).tolist(), 3] for _ in range(400)]
    truth = np.array([[row.index(10) < row.index(11)] for row in rows])  # no bag of words knows this
    task = Task([[row, [2, 20, 3]] for row in rows[:300]], truth[:300], np.ones(300), np.ones(1))
    options = RescorerOptions(layers=2, trained=2, epochs=25, rate=3e-3, dropout=0.0)
    encoder = small_bert(tmp_path)
    fitted = fit_rescorer(encoder, task, options)
    unseen = fitted.document_logits([[row] for row in rows[300:]])[:, 0]
    assert np.mean((unseen > np.median(unseen)) == truth[300:, 0]) > 0.8
    short = RescorerOptions(layers=2, trained=1, epochs=1)
    twice = [fit_rescorer(encoder, task, short).weights(8) for _ in range(2)]
    assert all(np.array_equal(twice[0][name], twice[1][name]) for name in twice[0])
    untouched = fit_rescorer(encoder, replace(task, weights=np.full(300, 2.0)), short).weights(8)
    assert np.array_equal(untouched["layer.0.attention"], twice[0]["layer.0.attention"])
    half = fit_rescorer(encoder, task, replace(options, half=True))
    logits = half.document_logits([[row] for row in rows[300:]])[:, 0]
    assert logits.dtype == np.float32 and np.mean((logits > np.median(logits)) == truth[300:, 0]) > 0.8
    assert not np.array_equal(logits, unseen)


def test_a_trained_second_stage_scans(labelled: Path, crawl: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch (extra encoder) is not installed")
    small = ("--layers", 2, "--trained", 1, "--epochs", 1, "--share", 0.3)
    options = ("--model", labelled / "m.bin", "--encoder", small_bert(tmp_path), *small)
    outs = [tmp_path / name for name in ("one.npz", "two.npz")]
    for out in outs:
        done = run("train", labelled / "records.jsonl", *options, "--out", out)
        assert done.exit_code == 0, done.output
    assert outs[0].read_bytes() == outs[1].read_bytes()
    content = read_rescorer(outs[0])
    assert set(content.labels) == {"ai", "adverse", "hostile"}  # those of the codebook that the first stage has
    assert content.weights["heads"].shape[1] == 3 and [mix[0] for mix in content.mix] == [0.7] * 3
    wanted = ("--model", labelled / "m.bin", "--rescore", outs[0], "--rescore-above", 0, "--quiet")
    done = tropescan("scan", crawl, "--out", tmp_path / "out", *wanted)
    assert done.returncode == 0, done.stderr
    assert read_tags(tmp_path / "out")["hostile_rescored"].drop_null().to_numpy().std() > 0


def test_an_encoder_that_is_none_is_refused_before_the_work(labelled: Path, tmp_path: Path) -> None:
    (tmp_path / "encoder").mkdir()
    done = run("train", labelled / "records.jsonl", "--encoder", tmp_path / "encoder", "--out", tmp_path / "a.npz",
               "--model", labelled / "m.bin")  # fmt: skip
    assert done.exit_code == 1 and "no tokenizer.json there" in str(done.exception)
