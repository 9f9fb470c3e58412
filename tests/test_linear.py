"""The linear trainer: its features are the kernel's, its models are stock files, and meaning reaches unseen words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from odd_texts import odd_texts
from plain_reading import as_plain

from classifiers.cross_validation import cross_validate, fit_scales, logits_of
from classifiers.fasttext_file import FastTextModel, ModelFileError, read_model, write_model
from classifiers.features import FeatureSpace, frequent_words, plain_words
from classifiers.linear import LinearOptions, train_linear
from classifiers.score import FastTextScorer
from classifiers.settings import PLAIN_WORDS, settings_of, with_given
from classifiers.training import Example
from classifiers.word_vectors import encode_words

OPTIONS = LinearOptions(bucket=5000, min_count=1, prior_weight=50)
MACHINES = ("robot", "android", "computer")
DEEDS = ("lied", "schemed", "killed")
KIND = ("helped", "cleaned", "waited")


def examples(n: int = 240) -> list[Example]:
    """Machines that do evil, machines that do not, and people who do evil."""
    random = np.random.default_rng(0)
    out = []
    for i in range(n):
        machine, evil = i % 3 != 2, i % 3 != 1
        who = random.choice(MACHINES) if machine else random.choice(["clerk", "farmer", "sailor"])
        filler = " ".join(f"w{k}" for k in random.integers(0, 40, 12))
        text = f"The {who} {random.choice(DEEDS if evil else KIND)}, {filler} {i}."
        labels = {"ai"} if machine else set()
        out.append(Example(text, frozenset(labels | ({"adverse"} if machine and evil else set())), f"s{i % 7}"))
    return out


def scores(path: Path, texts: Sequence[str], label: str) -> np.ndarray:
    """Scores of one label by the kernel."""
    batch = pa.RecordBatch.from_pydict({"text": pa.array(list(texts), pa.large_string())})
    return np.asarray(FastTextScorer.open(path)(batch).column(label).to_numpy(zero_copy_only=False), np.float64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("linear") / "m.bin"
    write_model(train_linear(examples(), OPTIONS, given={"adverse": "ai"}), path)
    return path


def test_the_features_are_what_the_kernel_adds_up(trained: Path) -> None:
    model = read_model(trained)
    texts = [text.decode("utf-8", "replace") for text in odd_texts() if len(text) < 20_000]
    texts += [one.text for one in examples()]
    counts = FeatureSpace(tuple(model.words), model.bucket).counts(texts)
    n = np.asarray(counts.sum(axis=1)).ravel()
    weight = OPTIONS.prior_weight
    expected = (counts @ model.embedding.astype(np.float64) + weight * settings_of(model).prior) / (n + weight)[:, None]
    found = logits_of(trained, texts)
    assert len(texts) > 500 and (n > 0).mean() > 0.9
    np.testing.assert_allclose(found.whole[n > 0], expected[n > 0], atol=1e-5)


def test_plain_words_are_those_of_the_definition() -> None:
    for text in odd_texts():
        if len(text) < 20_000:
            clean = text.decode("utf-8", "replace")
            assert plain_words(clean) == as_plain(clean.encode()).split()


def test_a_dependent_label_is_the_product_of_both(trained: Path) -> None:
    texts = [one.text for one in examples()]
    logits = logits_of(trained, texts)
    alone = 1 / (1 + np.exp(-logits.whole[:, logits.labels.index("adverse")]))
    np.testing.assert_allclose(scores(trained, texts, "adverse"), alone * scores(trained, texts, "ai"), atol=0.01)
    np.testing.assert_allclose(logits.scores("adverse", {}), scores(trained, texts, "adverse"), atol=0.01)
    assert (logits.window_scores("adverse", {}) >= logits.scores("adverse", {}) - 1e-9).all()


def test_people_who_do_evil_score_low_and_machines_high(trained: Path) -> None:
    found = scores(trained, ["The robot schemed", "The robot cleaned", "The sailor schemed"], "adverse")
    assert found[0] > found[1] and found[0] > found[2]


def test_same_examples_in_any_order_give_the_same_bytes(tmp_path: Path, trained: Path) -> None:
    write_model(train_linear(examples()[::-1], OPTIONS, given={"adverse": "ai"}), tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == trained.read_bytes()


def test_words_of_like_meaning_weigh_alike_though_never_seen(tmp_path: Path) -> None:
    evil, kind, other = np.eye(3, dtype=np.float32)
    vectors = {word.encode(): evil for word in (*DEEDS, "betrayed")} | {word.encode(): kind for word in (*KIND, "sang")}
    vectors |= {word: other for word in frequent_words((one.text for one in examples()), 1) if word not in vectors}
    model = train_linear(
        examples(), OPTIONS, given={"adverse": "ai"}, vectors=vectors, further_words=[b"betrayed", b"sang", b"unknown"]
    )
    write_model(model, tmp_path / "m.bin")
    assert b"betrayed" in model.words and b"unknown" not in model.words
    logits = logits_of(tmp_path / "m.bin", ["The robot betrayed", "The robot sang", "The robot unknown"])
    betrayed, sang, unknown = logits.whole[:, logits.labels.index("adverse")]
    assert betrayed > unknown > sang


def test_what_only_tells_collections_apart_is_not_learned() -> None:
    marked = [
        Example(f"mark w{i % 9} w{i % 5}", frozenset({"ai"} if i % 10 else ()), f"a{i % 3}", "one") for i in range(100)
    ] + [
        Example(f"plain w{i % 9} w{i % 5}", frozenset(() if i % 10 else {"ai"}), f"b{i % 3}", "two") for i in range(100)
    ]  # fmt: skip
    free, held = (
        train_linear(marked, LinearOptions(bucket=100, min_count=1, collection_scale=scale)) for scale in (0.0, 5.0)
    )
    gap = [
        abs((m.embedding[m.words.index(b"mark")] - m.embedding[m.words.index(b"plain")]).item()) for m in (free, held)
    ]
    assert gap[1] < 0.5 * gap[0]


def test_words_as_frequent_with_a_label_as_without_weigh_less() -> None:
    """Every text has a filler word, at random; only the deeds go with the label."""
    plain, contrasted = (
        train_linear(examples(), LinearOptions(bucket=5000, min_count=1, prior_weight=50, contrast=power))
        for power in (0.0, 0.7)
    )
    column = plain.label_names.index("adverse")

    def size(model: FastTextModel, words: Sequence[str]) -> float:
        rows = model.embedding[[model.words.index(word.encode()) for word in words], column]
        return float(np.abs(rows - settings_of(model).prior[column]).mean())

    fillers = [f"w{k}" for k in range(40)]
    assert size(contrasted, fillers) / size(contrasted, DEEDS) < 0.7 * size(plain, fillers) / size(plain, DEEDS)


def test_cross_validation_scores_every_text_once_by_a_model_that_did_not_see_its_source() -> None:
    seen: list[set[str]] = []

    def trainer(part: Sequence[Example]):  # type: ignore[no-untyped-def]
        seen.append({one.source for one in part})
        return train_linear(part, OPTIONS, given={"adverse": "ai"})

    unseen, logits = cross_validate(examples(), trainer, 3)
    assert sorted(one.text for one in unseen) == sorted(one.text for one in examples())
    assert all(len(sources) < 7 for sources in seen) and len(seen) == 3
    assert logits.whole.shape == (len(unseen), 2) and len(logits.windows) == len(unseen)
    truth = np.array(["adverse" in one.labels for one in unseen])
    ranked = logits.scores("adverse", fit_scales(unseen, logits))
    assert ranked[truth].mean() > 2 * ranked[~truth].mean()


def test_settings_that_make_no_sense_are_refused(trained: Path) -> None:
    model = read_model(trained)
    assert PLAIN_WORDS in model.words and settings_of(model).given.tolist() == [1, -1]
    with pytest.raises(ModelFileError, match="no label"):
        with_given(model, {"ai": "mind"})


def test_nothing_to_learn_is_said() -> None:
    with pytest.raises(ValueError, match="all texts, or of none"):
        train_linear([Example("a b", frozenset({"ai"}), "s")] * 3, OPTIONS)


def test_an_encoder_is_a_folder_on_this_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"modules\.json"):
        encode_words([b"robot"], tmp_path)
