"""Plain words and priors: fastText on text made plain by plain Python is the oracle of the one, NumPy of the other."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odd_texts import BLOCK, as_batch, huge_text, odd_texts
from plain_reading import as_plain, plain_model_file, plain_tokens, prior_row
from small_models import MODELS, model_file, trainer, vocabulary
from test_parity import FLOOR, LONG_TOLERANCE, OVA_TOLERANCE, assert_parity, predicted, scored

from classifiers.explanation import token_shares
from classifiers.fasttext_file import FastTextModel, ModelFileError, read_model, write_model
from classifiers.fold import fold_file
from classifiers.prepare import PreparedModel, prepare
from classifiers.score import FastTextScorer, load_scoring_model, sum_texts, text_buffer
from classifiers.settings import PLAIN_WORDS, settings_of, with_plain_words
from jobs.main import cli
from pipeline.schema import label_columns, window_column

PLAIN = ["softmax bigrams", "softmax 5-grams, more labels than dimensions", "ova bigrams", "hs bigrams", "ns trigrams",
         "another label prefix", "no </s> in the vocabulary", "softmax unigrams, no buckets"]  # fmt: skip
WEIGHT = 37
CUTTERS = ["“", "—", "…", "•", "→", "\xa0", "«", "\x85", "\u2028", "-", "_", "'", "\x7f", "\0", "\n", "\x1b"]
KEPT = ["é", "Ж", "灯", "🤖", "É", "ⰰ", "ᾳ", "Ā"]


def marked_texts() -> list[bytes]:
    """Known words in other cases, glued by what cuts plain words and by what does not."""
    chosen = random.Random(12)
    texts = []
    for size in [1, 2, 3, 9, 40, 200] * 60:
        pieces = []
        for word in chosen.choices(vocabulary(), k=size):
            pieces += [chosen.choice([word, word.upper(), word.title()]), chosen.choice([" ", *CUTTERS, *KEPT])]
        texts.append("".join(pieces).encode())
    return texts


def plain_texts() -> list[bytes]:
    return [*marked_texts(), *odd_texts()]


def test_the_two_definitions_are_one() -> None:
    for text in plain_texts()[:4000]:
        plain, tokens = as_plain(text), plain_tokens(text)
        assert plain.split() == [text[a:b].lower() for a, b in tokens]
    for number in [*range(0x3100), 0xFEFF, 0x1F916]:
        if not 0xD800 <= number < 0xE000:
            cut = chr(number).isascii() and not chr(number).isalnum()
            cut |= 0x80 <= number < 0xC0 or 0x2000 <= number < 0x3000
            assert (as_plain(f"a{chr(number)}b".encode()) == b"a b") == cut, hex(number)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_words_are_those_of_fasttext_on_plain_text(name: str) -> None:
    path, texts = plain_model_file(name), plain_texts()
    theirs = predicted(path, [as_plain(text) for text in texts])
    assert_parity(path, texts, MODELS[name].loss, theirs)


def test_capitals_and_marks_change_the_score_of_stock_models_only() -> None:
    texts = [b"the lamp was", "The—LAMP: “was".encode()]
    plain, _, words = scored(plain_model_file("softmax bigrams"), texts)
    stock, _, _ = scored(model_file("softmax bigrams"), texts)
    assert np.array_equal(plain[0], plain[1]) and words == [3, 2]
    assert np.abs(stock[0] - stock[1]).max() > 0.01


@pytest.mark.parametrize("name", ["softmax bigrams", "ova bigrams"])
def test_ten_megabytes(name: str) -> None:
    path, text = plain_model_file(name), huge_text().replace(b" ", "—".encode(), 500_000)
    theirs, (ours, _, _) = predicted(path, [as_plain(text)]), scored(path, [text])
    assert np.abs(ours - theirs).max() <= (OVA_TOLERANCE if MODELS[name].loss == "ova" else LONG_TOLERANCE)


def test_words_in_the_tags_stand_between_white_space() -> None:
    _, _, words = scored(plain_model_file("softmax bigrams"), plain_texts())
    assert words == [len(re.findall(rb"[^\0\t-\r ]+", text)) for text in plain_texts()]


@pytest.mark.parametrize("file", [plain_model_file, model_file])
def test_characters_in_the_tags_are_code_points(file: Callable[[str], Path]) -> None:
    """Also of what is not UTF-8: each byte that goes on with no character counts."""
    chars = FastTextScorer.open(file("softmax bigrams"))(as_batch(plain_texts())).column("chars")
    assert chars.to_pylist() == [sum(byte & 0xC0 != 0x80 for byte in text) for text in plain_texts()]


@cache
def plain_model() -> PreparedModel:
    return prepare(plain_model_file("softmax bigrams"))


def tokens_of(texts: list[bytes]) -> list[list[tuple[int, int]]]:
    """First and last byte of each token of each text, as the kernel has it. All texts stand in one buffer."""
    buffer = text_buffer(as_batch(texts).column("text"))
    sums = sum_texts(plain_model(), buffer, 1)
    edges = [sums.chunk_bytes[a:b] - start for a, b, start in zip(
        sums.first_chunk, sums.first_chunk[1:], buffer.offsets[:-1], strict=False)]  # fmt: skip
    return [[(int(a), int(b)) for a, b in each if b > a] for each in edges]


def assert_tokens(texts: list[bytes]) -> None:
    """The kernel's tokens are those of plain Python: one text after the other, and each at the end of its buffer."""
    expected = [plain_tokens(text) for text in texts]
    assert tokens_of(texts) == expected
    for text, tokens in zip(texts, expected, strict=True):
        assert tokens_of([text]) == [tokens], text


def test_characters_that_cut_at_every_place_of_a_step_of_64_bytes() -> None:
    texts = [b"x" * lead + mark.encode() * n + b"yZ" for lead in range(130) for mark in "—«é→€" for n in (1, 2, 3)]
    assert_tokens(texts)


def test_characters_that_cut_at_the_ends_of_blocks() -> None:
    for tokens in (BLOCK, 2 * BLOCK):
        assert_tokens([b"b " * (tokens - 40) + b"x" * lead + "a—b«".encode() * 40 for lead in range(66)])


def test_bytes_that_are_not_utf8() -> None:
    ends = [b"", b"\xe2", b"\xe2\x80", b"\xc2", b"\xe2a", b"\xc2a", b"\xe2\x80a", b"\xe2\xe2\x80\x80\x80", b"\x80\x80",
            b"\xc2\xc2\x80\x80b", b"\xe2\xc2\x80\x80", b"\xc3\xa9\xe2"]  # fmt: skip
    assert_tokens([b"x" * lead + end for end in ends for lead in range(130)])


def test_a_lead_byte_cut_off_does_not_reach_into_the_next_text() -> None:
    ends = (b"\xe2", b"\xe2\x80", b"\xc2", b"x" * 63 + b"\xe2", b"x" * 62 + b"\xe2\x80", b"x" * 63 + b"\xc2")
    starts = (b"\x80\x80lamp lamp", b"\x80 the lamp", b"\x80")
    assert_tokens([text for end in ends for start in starts for text in (b"the", end, start, b"lamp")])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_text_cut_anywhere_gives_the_same_bytes_and_whole_code_points(data: st.DataObject) -> None:
    scorer = FastTextScorer.open(plain_model_file("softmax bigrams", WEIGHT), window=4, stride=2)
    scorer = replace(scorer, span_labels=scorer.labels, span_thresholds=(0.0,) * len(scorer.labels))
    pieces = st.sampled_from([*vocabulary()[:40], *CUTTERS, *KEPT, "</s>", "__label__0", " ", "The", "LIGHTHOUSE"])
    texts = data.draw(st.lists(st.lists(pieces, max_size=90).map("".join), min_size=1, max_size=6))
    batch = as_batch([text.encode() for text in texts])
    whole, cut = scorer(batch), data.draw(st.integers(0, len(texts)))
    parts = [scorer(batch.slice(a, b - a)) for a, b in ((0, cut), (cut, len(texts)))]
    assert pa.Table.from_batches(parts).combine_chunks().to_batches()[0].equals(whole)
    for text, spans in zip(texts, whole.column("spans").to_pylist(), strict=True):
        tokens = plain_tokens(text.encode())
        starts, ends = ({len(text.encode()[: edge[k]].decode()) for edge in tokens} for k in (0, 1))
        for span in spans:
            assert span["start"] == span["end"] or (span["start"] in starts and span["end"] in ends)


# Priors, against NumPy over the rows of the file.


def rows_of(model: FastTextModel, text: bytes) -> NDArray[np.float64]:
    """The rows (n, dim) of the words and bigrams of a text, with fastText's hashes in plain Python."""
    words = [*as_plain(text).split(), b"</s>"]
    known = {word: row for row, word in enumerate(model.words)}
    rows = [known[word] for word in words if word in known]
    hashes = [_hash(word) for word in words]
    for first, second in pairwise(hashes):
        rows.append(len(model.words) + ((first * 116049371 + second) % 2**64) % model.bucket)
    return np.asarray(model.embedding, np.float64)[rows]


def _hash(word: bytes) -> int:
    value = 2166136261
    for byte in word:
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) % 2**32
    return value if value < 2**31 else value - 2**32


def shrunk(model: FastTextModel, rows: NDArray[np.float64], weight: int) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.asarray(model.output, np.float64) @ (
        (rows.sum(axis=0) + weight * prior_row(model.dim).astype(float)) / (len(rows) + weight)
    )
    if model.loss == "softmax":
        powers: NDArray[np.float64] = np.exp(logits - logits.max())
        return powers / powers.sum() + FLOOR
    sigmoid = 1 / (1 + np.exp(8 - np.floor((logits + 8) * 32) / 32))
    return np.where(np.abs(logits) > 8, logits > 0, sigmoid) + FLOOR


@pytest.mark.parametrize("name", ["softmax bigrams", "another label prefix", "ova bigrams"])
@pytest.mark.parametrize("weight", [1, WEIGHT, 10**6])
def test_a_prior_is_added_to_every_sum(name: str, weight: int) -> None:
    path = plain_model_file(name, weight)
    model = read_model(path)
    texts = [text for text in marked_texts()[::3] if b"#is" not in text]
    ours, _, _ = scored(path, texts)
    theirs = np.array([shrunk(model, rows_of(model, text), weight) for text in texts])
    differences = np.abs(ours - theirs)
    assert np.quantile(differences, 0.99) < 1e-6 and differences.max() < 1e-2  # ova: a step of the sigmoid's table
    assert MODELS[name].loss == "ova" or differences.max() < 1e-6


def test_a_prior_where_rows_are_embeddings() -> None:
    """More labels than dimensions: the sums are of embeddings, and projected once."""
    name = "softmax 5-grams, more labels than dimensions"
    prepared = prepare(plain_model_file(name, WEIGHT))
    model, texts = read_model(plain_model_file(name, WEIGHT)), marked_texts()[:60]
    sums = sum_texts(prepared, text_buffer(as_batch(texts).column("text")), 64)
    mean = (sums.totals[:, : model.dim] + WEIGHT * prior_row(model.dim).astype(float)) / (sums.counts + WEIGHT)[:, None]
    logits = mean @ np.asarray(model.output, np.float64).T
    assert np.allclose(prepared.logits(sums.totals, sums.counts), logits)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    ours, _, _ = scored(plain_model_file(name, WEIGHT), texts)
    assert np.allclose(ours, powers / powers.sum(axis=1, keepdims=True) + FLOOR, atol=1e-6)


def test_windows_have_the_prior_too() -> None:
    path = plain_model_file("softmax bigrams", WEIGHT)
    scorer = FastTextScorer.open(path, window=8, stride=4)
    model, text = read_model(path), " — ".join(vocabulary()[:103]).encode()
    prepared = load_scoring_model(scorer.path, scorer.digest)
    sums = sum_texts(prepared, text_buffer(as_batch([text]).column("text")), 4)
    totals = np.concatenate([np.zeros((1, 2)), sums.chunk_totals[: sums.first_chunk[1]]])
    counts = np.concatenate([[0], sums.chunk_counts[: sums.first_chunk[1]]])
    prior = WEIGHT * np.asarray(model.output, np.float64) @ prior_row(model.dim)
    logits = (totals[2:] - totals[:-2] + prior) / (counts[2:] - counts[:-2] + WEIGHT)[:, None]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    best = (powers / powers.sum(axis=1, keepdims=True)).max(axis=0) + FLOOR
    got = scorer(as_batch([text]))
    assert [got.column(window_column(c))[0].as_py() for c in label_columns(scorer.labels)] == pytest.approx(best)


def test_texts_without_a_known_word_have_no_score_for_all_the_prior() -> None:
    texts = [b"", b" \n", "— …!".encode(), b"the"]
    for weight in (0, WEIGHT):
        ours, statuses, _ = scored(plain_model_file("no </s> in the vocabulary", weight), texts)
        assert statuses == ["no_words"] * 3 + ["ok"] and np.isnan(ours[:3]).all()


def test_shares_add_up_to_the_logit_without_the_prior() -> None:
    text = "“The lighthouse—Keeper” counted\nthe BOATS…"
    scorer = FastTextScorer.open(plain_model_file("no </s> in the vocabulary", WEIGHT))
    model = load_scoring_model(scorer.path, scorer.digest)
    sums = sum_texts(model, text_buffer(as_batch([text.encode()]).column("text")), 1)
    n = int(sums.first_chunk[1])
    for k, label in enumerate(scorer.labels):
        shares = token_shares(scorer, text, label)
        assert [(share.start, share.end) for share in shares] == plain_tokens(text.encode())
        without_end = sums.chunk_totals[n - 2, k] / (sums.counts[0] + WEIGHT)
        assert sum(share.share for share in shares) == pytest.approx(without_end)
        prior = model.head.prior[k] / (sums.counts[0] + WEIGHT)
        end = (sums.chunk_totals[n - 1, k] - sums.chunk_totals[n - 2, k]) / (sums.counts[0] + WEIGHT)
        logit = model.logits(sums.totals, sums.counts)[0, k]
        assert sum(share.share for share in shares) + end + prior == pytest.approx(logit)


# The file.


def test_a_file_with_settings_is_a_stock_file(tmp_path: Path) -> None:
    path = plain_model_file("softmax bigrams", WEIGHT)
    theirs = trainer().load_model(str(path))
    assert theirs.get_words()[-1].encode() == PLAIN_WORDS
    write_model(read_model(path), tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()
    plain = settings_of(read_model(path))
    assert plain.plain_words and plain.prior_weight == WEIGHT and np.array_equal(plain.prior, prior_row(10))
    stock = settings_of(read_model(model_file("softmax bigrams")))
    assert not stock.plain_words and stock.prior_weight == 0 and not stock.prior.any()


def test_folding_keeps_the_settings(tmp_path: Path) -> None:
    for name in ("softmax bigrams", "ova bigrams", "hs bigrams"):
        path, folded = plain_model_file(name, WEIGHT), tmp_path / "folded.bin"
        fold_file(path, folded)
        before, after = scored(path, marked_texts())[0], scored(folded, marked_texts())[0]
        assert np.quantile(np.abs(before - after), 0.999) < 1e-5
        assert settings_of(read_model(folded)).prior_weight == WEIGHT


def test_no_text_meets_the_word_of_the_settings() -> None:
    texts = [b"tropescan plain-words", b"tropescan plain words", b"Tropescan\tplain-words", PLAIN_WORDS * 3]
    path = plain_model_file("no </s> in the vocabulary", 0)
    theirs, (ours, _, _) = predicted(path, [as_plain(text) for text in texts]), scored(path, texts)
    assert np.allclose(ours, theirs, atol=1e-6)


def test_settings_that_cannot_be_scored_are_refused(tmp_path: Path) -> None:
    model = read_model(plain_model_file("softmax bigrams", WEIGHT))
    with pytest.raises(ModelFileError, match="subwords"):
        with_plain_words(read_model(model_file("softmax subwords")), 0, prior_row(10))
    with pytest.raises(ModelFileError, match="already"):
        with_plain_words(model, 0, prior_row(10))
    assert model.word_counts is not None
    negative = np.append(model.word_counts[:-1], np.int64(-1))
    changes = {
        "subwords": replace(model, minn=2, maxn=3),
        "-1": replace(model, word_counts=negative),
        "finite": replace(model, embedding=_with_row(model, np.float32(np.inf))),
        "later-setting": replace(model, words=[*model.words[:-1], b"tropescan later-setting"]),
    }
    for message, changed in changes.items():
        write_model(changed, tmp_path / "refused.bin")
        with pytest.raises(ModelFileError, match=message) as caught:
            FastTextScorer.open(tmp_path / "refused.bin")
        assert str(tmp_path / "refused.bin") in str(caught.value)


def _with_row(model: FastTextModel, value: np.float32) -> NDArray[np.float32]:
    embedding = model.embedding.copy()
    embedding[len(model.words) - 1] = value
    return embedding


def test_info_tells_the_settings() -> None:
    shown = CliRunner().invoke(cli, ["model", "info", str(plain_model_file("softmax bigrams", WEIGHT))])
    assert shown.exit_code == 0
    assert re.search(r"plain words\s+yes", shown.output) and re.search(rf"prior weight\s+{WEIGHT}\b", shown.output)
    stock = CliRunner().invoke(cli, ["model", "info", "--json", str(model_file("softmax bigrams"))])
    assert json.loads(stock.output)["plain words"] == "no"
