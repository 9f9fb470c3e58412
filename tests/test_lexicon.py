"""A lexicon is one more column of the model: it counts words in the same pass, and is no label."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from commands import done
from odd_texts import odd_texts
from plain_reading import as_plain
from small_models import trainer

from classifiers.audit import top_ngrams
from classifiers.cross_validation import logits_of
from classifiers.fasttext_file import FastTextModel, ModelFileError, read_model, write_model
from classifiers.features import FeatureSpace, plain_words
from classifiers.lexicon import AI_WORDS, NONE, SLOPE, with_lexicon
from classifiers.linear import LinearOptions, train_linear
from classifiers.score import FastTextScorer
from classifiers.settings import LEXICON, labels_of, settings_of
from classifiers.training import Example
from jobs.main import cli

OPTIONS = LinearOptions(bucket=5000, min_count=1, prior_weight=50)
WORDS = (b"robot", b"superintelligence")
"""One that examples have, and one that none has."""
NAMES = {"given": {"adverse": "ai"}}


def examples() -> list[Example]:
    random = np.random.default_rng(0)
    out = []
    for i in range(240):
        who, labels = [("robot", {"ai", "adverse"}), ("android", {"ai"}), ("farmer", set())][i % 3]
        filler = " ".join(f"w{k}" for k in random.integers(0, 40, 12))
        deed = "schemed" if i % 3 == 0 or i % 6 == 2 else "helped"
        out.append(Example(f"The {who} {deed}, {filler} {i}.", frozenset(labels), f"s{i % 7}"))
    return out


def model(prior_weight: int = 50, absent: float = -1.0, **more: Any) -> FastTextModel:
    options = LinearOptions(bucket=5000, min_count=1, prior_weight=prior_weight, absent=absent)
    return train_linear(examples(), options, **NAMES, **more)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lexicon") / "m.bin"
    write_model(model(lexicons={"ai_terms": WORDS}), made)
    return made


def scored(path: Path, texts: Sequence[str]) -> pa.RecordBatch:
    batch = pa.RecordBatch.from_pydict({"text": pa.array(list(texts), pa.large_string())})
    return FastTextScorer.open(path)(batch)


def column(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), np.float64)


def texts_to_score() -> list[str]:
    odd = [text.decode("utf-8", "replace") for text in odd_texts() if len(text) < 20_000]
    return [*odd, "Robot, ROBOT; robots!", "a SUPERINTELLIGENCE", "robot " * 400, *(one.text for one in examples())]


def test_the_column_is_the_share_of_rows_that_are_words_of_the_list(path: Path) -> None:
    texts, file = texts_to_score(), read_model(path)
    rows = np.asarray(FeatureSpace(tuple(file.words), file.bucket).counts(texts).sum(axis=1)).ravel()
    hits = np.array([sum(word in WORDS for word in plain_words(text)) for text in texts])
    logits = np.clip(NONE + SLOPE * hits / (rows + OPTIONS.prior_weight), -8, 8)
    found = column(scored(path, texts), "ai_terms")
    assert (hits > 0).sum() > 80 and (logits == 8).any()
    np.testing.assert_allclose(found[rows > 0], 1 / (1 + np.exp(-logits[rows > 0])), atol=0.01)
    without = found[(rows > 0) & (hits == 0)]
    assert len(without) > 300 and np.all(without == without[0]) and np.all(found[hits > 0] > without[0])


def test_fasttext_itself_gives_the_same(tmp_path: Path) -> None:
    write_model(model(prior_weight=0, lexicons={"ai_terms": WORDS}), tmp_path / "m.bin")
    texts = [one.text for one in examples()[:60]]
    theirs = trainer().load_model(str(tmp_path / "m.bin"))
    found = column(scored(tmp_path / "m.bin", texts), "ai_terms")
    for text, ours in zip(texts, found, strict=True):
        clean = as_plain(text.encode()).decode()
        probabilities = {label: p for p, label in theirs.f.predict(clean + "\n", -1, 0.0, "strict")}
        assert ours == pytest.approx(probabilities["__label__ai_terms"], abs=1e-6)


def test_no_other_column_changes(tmp_path: Path) -> None:
    path = tmp_path / "with.bin"
    write_model(model(absent=0.0, lexicons={"ai_terms": WORDS}), path)
    write_model(model(), tmp_path / "without.bin")
    texts = [text for text in texts_to_score() if "SUPERINTELLIGENCE" not in text]
    with_it, without = scored(path, texts), scored(tmp_path / "without.bin", texts)
    for name in without.schema.names:
        assert with_it.column(name).equals(without.column(name)), name
    assert with_it.schema.names == [*without.schema.names[:-2], "ai_terms", *without.schema.names[-2:]]


def test_a_text_or_window_without_any_of_its_words_has_another_logit(tmp_path: Path) -> None:
    files = {lost: tmp_path / f"{lost}.bin" for lost in (0.0, -1.5)}
    for lost, file in files.items():
        write_model(model(absent=lost, lexicons={"ai_terms": WORDS}), file)
    far = "farmer " * 300
    texts = [*texts_to_score(), f"robot {far}", f"{far} robot", far]
    before, after = (logits_of(file, texts) for file in files.values())
    assert (before.labels, before.given.tolist()) == (("adverse", "ai"), [1, -1])
    without = np.array([not any(word in WORDS for word in plain_words(text)) for text in texts])
    known = np.any(before.whole != before.whole[texts.index("")], axis=1)
    change = after.whole - before.whole
    assert 300 < without.sum() < len(texts) - 80 and not change[:, 0].any()
    np.testing.assert_allclose(change[known & without, 1], -1.5)
    assert not change[~without, 1].any()
    first, last, none = ((after.windows[k] - before.windows[k])[:, 1] for k in (-3, -2, -1))
    assert first[0] == 0 == last[-1] and len(first) > 2
    np.testing.assert_allclose([*first[1:], *last[:-1], *none], -1.5)
    found = {lost: scored(file, texts) for lost, file in files.items()}
    for label in before.labels:
        for logits, batch in zip((before, after), found.values(), strict=True):
            np.testing.assert_allclose(column(batch, label)[known], logits.scores(label, {})[known], atol=0.01)
            np.testing.assert_allclose(
                column(batch, f"{label}_window")[known], logits.window_scores(label, {})[known], atol=0.01
            )


def test_the_file_keeps_what_absence_adds(path: Path, tmp_path: Path) -> None:
    done("model", "fold", path, tmp_path / "folded.bin")
    for file in (path, tmp_path / "folded.bin"):
        assert settings_of(read_model(file)).absent.tolist() == [[0.0, -1.0, 0.0]]
        assert json.loads(done("model", "info", file, "--json"))["without words"] == ["of ai_terms: ai -1"]
    write_model(model(), tmp_path / "none.bin")
    assert "nothing changes" in done("model", "info", tmp_path / "none.bin")


def test_a_lexicon_is_no_label(path: Path) -> None:
    scorer = FastTextScorer.open(path)
    assert scorer.labels == labels_of(read_model(path)) == ("adverse", "ai") and scorer.lexicons == ("ai_terms",)
    logits = logits_of(path, [one.text for one in examples()])
    assert logits.labels == ("adverse", "ai") and logits.whole.shape[1] == len(logits.given) == 2
    assert all(windows.shape[1] == 2 for windows in logits.windows)
    assert {
        span["label"] for spans in scored(path, texts_to_score()).column("spans").to_pylist() for span in spans
    } <= {
        "adverse",
        "ai",
    }
    assert set(top_ngrams(path, examples())) == {"adverse", "ai"}


def test_models_that_cannot_have_one_are_refused() -> None:
    whole = model(lexicons={"ai_terms": WORDS})
    with pytest.raises(ModelFileError, match="already"):
        with_lexicon(whole, "ai_terms", WORDS)
    with pytest.raises(ModelFileError, match="already"):
        with_lexicon(model(), "ai", WORDS)
    with pytest.raises(ModelFileError, match="loss ova"):
        with_lexicon(replace(whole, loss="softmax"), "other", WORDS)
    with pytest.raises(ModelFileError, match="no label 'mind'"):
        with_lexicon(model(), "other", WORDS, {"mind": -1.0})
    stock = replace(whole, words=[word.replace(b"tropescan plain-words", b"plain") for word in whole.words])
    with pytest.raises(ModelFileError, match="need plain words"):
        settings_of(stock)
    unlike = model()
    unlike.words[-1] = LEXICON + b"ai_terms"
    with pytest.raises(ModelFileError, match="last labels"):
        settings_of(unlike)


def test_the_list_is_of_plain_words_each_once() -> None:
    assert len(set(AI_WORDS)) == len(AI_WORDS)
    assert [plain_words(word.decode()) for word in AI_WORDS] == [[word] for word in AI_WORDS]


# Scans and audits.


@pytest.fixture(scope="module")
def scanned(path: Path) -> Path:
    folder = path.parent
    with gzip.open(folder / "crawl.jsonl.gz", "wt") as file:
        for number, one in enumerate(examples()):
            file.write(json.dumps({"id": str(number), "text": one.text}) + "\n")
    done("scan", folder / "crawl.jsonl.gz", "--model", path, "--out", folder / "scanned", "--quiet")
    return folder / "scanned"


def test_tags_have_it_as_a_score_of_documents_and_reports_do_not(scanned: Path) -> None:
    tags = pq.read_table(next((scanned / "tags").glob("*.parquet")))
    described = json.loads(tags.schema.metadata[b"tropescan.model"])
    assert described["labels"] == ["adverse", "ai"] and described["lexicons"] == ["ai_terms"]
    assert tags.schema.field("ai_terms").type == pa.float32() and "ai_terms_window" not in tags.schema.names
    robot, android, farmer = tags["ai_terms"].to_pylist()[:3]
    assert robot > android == farmer
    figures = json.loads(done("report", scanned, "--json"))
    assert "ai_terms" not in json.dumps(figures["labels"]) and "adverse" in json.dumps(figures["labels"])


def test_it_cannot_flag(path: Path, scanned: Path, tmp_path: Path) -> None:
    shard, plan = scanned.parent / "crawl.jsonl.gz", tmp_path / "plan.json"
    for command in (
        ("scan", shard, "--model", path, "--out", tmp_path, "--label", "ai_terms"),
        ("audit", "plan", scanned, "--budget", 60, "--label", "ai_terms", "--out", plan),
    ):
        with pytest.raises(ValueError, match="no label 'ai_terms'; it has adverse, ai"):
            CliRunner().invoke(cli, [str(word) for word in command], catch_exceptions=False)


def test_audits_take_it_as_the_second_proxy_unless_told_otherwise(scanned: Path, tmp_path: Path) -> None:
    for given, used in (((), "ai_terms"), (("--proxy", "ai_terms"), "ai_terms"), (("--proxy", "ai"), "ai")):
        plan = tmp_path / f"{used}.json"
        done("audit", "plan", scanned, "--budget", 60, "--expect", 0.05, "--out", plan, *given)
        assert json.loads(plan.read_text())["columns"]["proxy"] == used
    done(
        "audit", "draw", scanned, "--plan", tmp_path / "ai_terms.json", "--store", tmp_path / "s.sqlite", "--name", "a"
    )


def test_a_policy_can_ask_for_it_as_a_gate_but_not_for_its_window(scanned: Path, tmp_path: Path) -> None:
    """Of the texts on androids, too, the model says that they are about AI; those without a word of the list stay."""
    rule = '[[rule]]\nname = "gated"\nwhen = {{ score.ai.min = 0.2, {} }}\ndrop = "gated"\n'
    policy, crawl = tmp_path / "policy.toml", scanned.parent / "crawl.jsonl.gz"
    policy.write_text(rule.format("score.ai_terms.min = 0.01"))
    done("apply", crawl, scanned, "--policy", policy, "--out", tmp_path / "kept", "--quiet")
    decided = pq.read_table(next((tmp_path / "kept" / "decisions").glob("*.parquet")))
    dropped = {row["row"] for row in decided.to_pylist() if row["action"] == "drop"}
    assert dropped == set(range(0, 240, 3))
    policy.write_text(rule.format("window.ai_terms.min = 0.01"))
    with pytest.raises(ValueError, match="no label 'ai_terms'"):
        CliRunner().invoke(
            cli,
            ["apply", str(crawl), str(scanned), "--policy", str(policy), "--out", str(tmp_path / "b")],
            catch_exceptions=False,
        )


def test_the_file_says_what_it_holds_and_folds(path: Path, tmp_path: Path) -> None:
    facts = json.loads(done("model", "info", path, "--json"))
    assert facts["labels"] == ["adverse", "ai"] and facts["lexicons"] == ["ai_terms"]
    done("model", "fold", path, tmp_path / "folded.bin")
    assert FastTextScorer.open(tmp_path / "folded.bin").lexicons == ("ai_terms",)
