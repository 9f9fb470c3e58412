"""The kernel's sums do not depend on how texts are cut into batches, and its windows are those of plain Python."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odd_texts import as_batch, as_column, huge_text, odd_texts
from small_models import model_file, vocabulary

from classifiers import score
from classifiers.prepare import _word_bytes, model_digest
from classifiers.score import FastTextScorer, load_scoring_model, sum_texts, text_buffer
from pipeline.schema import label_columns, window_column

MODELS = ["softmax trigrams, 6 labels", "hs subwords, more labels than dimensions", "ova bigrams"]


def scorer_of(name: str, window: int = 128, stride: int = 64, threshold: float = 0.4) -> FastTextScorer:
    scorer = FastTextScorer.open(model_file(name), window=window, stride=stride)
    return replace(scorer, span_labels=scorer.labels, span_thresholds=(threshold,) * len(scorer.labels))


def some_texts() -> list[bytes]:
    texts = odd_texts()
    return texts[:40] + texts[40:-300:23] + texts[-300::12] + [texts[-3][:70_001]]


def same(a: pa.RecordBatch, b: pa.RecordBatch) -> bool:
    """Equal to the bit, NaN included."""
    return a.schema == b.schema and bytes(a.serialize()) == bytes(b.serialize())


def joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(parts).combine_chunks().to_batches()[0]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_batches_of_any_size_give_the_same_bytes(name: str, size: int) -> None:
    scorer, batch = scorer_of(name), as_batch(some_texts())
    parts = [scorer(batch.slice(start, size)) for start in range(0, batch.num_rows, size)]
    assert joined(parts).equals(scorer(batch))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_batches_cut_anywhere_give_the_same_bytes(data: Any) -> None:
    scorer = scorer_of(data.draw(st.sampled_from(MODELS)))
    words = st.sampled_from([*vocabulary()[:60], "</s>", "__label__0", "\n", "", "zz\0z"])
    texts = data.draw(
        st.lists(st.lists(words, max_size=90).map(lambda w: " ".join(w).encode()), min_size=1, max_size=9)
    )
    batch = as_batch(texts, data.draw(st.sampled_from([pa.string(), pa.large_string()])))
    cuts = sorted({0, len(texts), *data.draw(st.lists(st.integers(0, len(texts)), max_size=4))})
    parts = [scorer(batch.slice(a, b - a)) for a, b in pairwise(cuts)]
    assert joined(parts).equals(scorer(batch))


@pytest.mark.parametrize("name", MODELS)
def test_how_the_column_is_stored_changes_nothing(name: str, tmp_path: Path) -> None:
    scorer, texts = scorer_of(name), [text for text in some_texts() if _is_utf8(text)]
    wide = as_batch(texts)
    expected = scorer(wide)
    assert same(scorer(as_batch(texts, pa.string())), expected)
    padded = as_batch([b"before", *texts, b"after"])
    assert same(scorer(padded.slice(1, len(texts))), expected)
    pq.write_table(pa.Table.from_batches([wide]), tmp_path / "texts.parquet")
    assert same(scorer(pq.read_table(tmp_path / "texts.parquet").combine_chunks().to_batches()[0]), expected)
    with pa.OSFile(str(tmp_path / "texts.arrow"), "wb") as file, pa.ipc.new_file(file, wide.schema) as writer:
        writer.write_batch(wide)
    with pa.memory_map(str(tmp_path / "texts.arrow")) as mapped:
        assert same(scorer(pa.ipc.open_file(mapped).get_batch(0)), expected)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_buffers_that_end_where_memory_ends(kind: pa.DataType) -> None:
    """The text ends at the last byte of a mapped page, with a page behind it that may not be read."""
    scorer = scorer_of("ova bigrams")
    libc = ctypes.CDLL(None, use_errno=True)
    pages = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    address = pa.py_buffer(pages).address
    assert libc.mprotect(ctypes.c_void_p(address + 2 * mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
    for size in [*range(1, 140), 700, 4096, 8192]:
        text = ("the lamp lighthouse é was " * 400).encode()[:size]
        pages[2 * mmap.PAGESIZE - size : 2 * mmap.PAGESIZE] = text
        data = pa.foreign_buffer(address + 2 * mmap.PAGESIZE - size, size, base=pages)
        offsets = as_column([text], kind).buffers()[1]
        batch = pa.RecordBatch.from_arrays([pa.Array.from_buffers(kind, 1, [None, offsets, data])], ["text"])
        assert same(scorer(batch), scorer(as_batch([text], kind))), size


def test_long_words_that_differ_in_two_bytes_have_keys_of_their_own() -> None:
    """Keys are mixed by 8 bytes: what one byte changes in the first must not be what another one undoes in the next."""
    letters = bytes(range(97, 123))
    start = letters + letters[::-1]
    words = {
        start[:i] + bytes([a]) + start[i + 1 : i + step] + bytes([b]) + start[i + step + 1 :]
        for i in range(32)
        for step in (8, 16)
        for a in letters
        for b in letters
    }
    keys, _, _ = _word_bytes(sorted(words))
    assert len(np.unique(keys)) == len(words) > 40_000


def test_columns_that_are_not_text_or_have_nulls() -> None:
    scorer = scorer_of("ova bigrams")
    with pytest.raises(TypeError, match="int64"):
        scorer(pa.RecordBatch.from_pydict({"text": [1, 2]}))
    with pytest.raises(ValueError, match="1 nulls"):
        scorer(pa.RecordBatch.from_pydict({"text": ["a", None]}))
    for kind in (pa.string(), pa.large_string()):
        assert scorer(as_batch([], kind)).num_rows == 0
        assert scorer(as_batch([b"", b""], kind)).column("words").to_pylist() == [0, 0]


# Windows, against plain Python over the tokens' shares.


class Plain:
    """Windows of one text by the definition: tokens at stride, n-grams that end inside, probabilities of the sums."""

    def __init__(self, scorer: FastTextScorer, text: bytes) -> None:
        model = load_scoring_model(scorer.path, scorer.digest)
        self.head, self.text, self.scorer = model.head, text, scorer
        each = sum_texts(model, text_buffer(as_column([text])), 1)  # a chunk a token: running sums after each
        totals, counts = each.chunk_totals[: each.first_chunk[1]], each.chunk_counts[: each.first_chunk[1]]
        self.totals = np.concatenate([np.zeros((1, totals.shape[1])), totals])
        self.counts = np.concatenate([[0], counts])
        self.edges = each.chunk_bytes[: len(totals)]
        words = [(m.start(), m.end()) for m in re.finditer(rb"[^\0\t-\r ]+", text)]
        assert [tuple(edge) for edge in self.edges if edge[1] > edge[0]] == words

    def windows(self) -> list[tuple[int, int]]:
        """First and last token of each window; the end-of-text token is one too, as in fastText."""
        n, (window, stride) = len(self.counts) - 1, (self.scorer.window, self.scorer.stride)
        starts = [0]
        while starts[-1] + window < n:
            starts.append(starts[-1] + stride)
        return [(start, min(start + window, n)) for start in starts]

    def probabilities(self, first: int, last: int) -> NDArray[np.float64] | None:
        count = self.counts[last] - self.counts[first]
        if count == 0:
            return None
        logits = (self.totals[last] - self.totals[first])[: self.head.n_labels] / count
        powers = np.exp(logits - logits.max())
        softmax: NDArray[np.float64] = powers / powers.sum() + 1e-5
        return softmax

    def best(self) -> NDArray[np.float64]:
        found = [self.probabilities(*window) for window in self.windows()]
        return np.max([p for p in found if p is not None], axis=0)

    def spans(self, label: int, threshold: float) -> list[tuple[int, int, float]]:
        """Windows at or over the threshold, merged where they share a stride or touch; in code points."""
        merged: list[list[float]] = []
        for first, last in self.windows():
            score = self.probabilities(first, last)
            if score is None or score[label] < threshold:
                continue
            if merged and first <= merged[-1][1]:
                merged[-1][1:] = [last, max(merged[-1][2], score[label])]
            else:
                merged.append([first, last, score[label]])
        return [(*self.positions(int(first), int(last)), score) for first, last, score in merged]

    def positions(self, first: int, last: int) -> tuple[int, int]:
        words = [edge for edge in self.edges[first:last] if edge[1] > edge[0]]
        if not words:  # the end-of-text token alone stands where the last word ends
            end = len(self.text[: self.edges[-1][1]].decode())
            return end, end
        return len(self.text[: words[0][0]].decode()), len(self.text[: words[-1][1]].decode())


def window_texts() -> list[bytes]:
    chosen = np.random.default_rng(3)
    texts = [b"", b" ", b"the", b" \n the lamp", b"\0\0 zzz \0"]
    for size in (3, 4, 5, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 191, 192, 193, 400, 2047, 2048, 2300):
        words = [str(word) for word in chosen.choice(vocabulary(), size)]
        gaps = chosen.choice([" ", "\n", "  ", "\t\t ", "\0"], size)
        lead = "\n \0" if size % 2 else ""
        texts.append(
            (lead + "".join(w + g for w, g in zip(words, gaps, strict=True))[: -1 if size % 3 else None]).encode()
        )
    return texts


@pytest.mark.parametrize(("window", "stride"), [(128, 64), (4, 2), (5, 1), (8, 8), (1, 1), (48, 16), (4096, 4096)])
def test_windows_and_spans_are_those_of_plain_python(window: int, stride: int) -> None:
    scorer = scorer_of("softmax trigrams, 6 labels", window, stride, threshold=0.35)
    texts = window_texts()
    got = scorer(as_batch(texts))
    columns = [window_column(name) for name in label_columns(scorer.labels)]
    spans_seen = 0
    for row, text in enumerate(texts):
        plain = Plain(scorer, text)
        if got.column("status")[row].as_py() != "ok":
            continue
        best = [got.column(name)[row].as_py() for name in columns]
        assert np.allclose(best, plain.best(), atol=1e-6)
        spans = got.column("spans")[row].as_py()
        for k, label in enumerate(scorer.labels):
            ours = [(span["start"], span["end"], span["score"]) for span in spans if span["label"] == label]
            expected = plain.spans(k, 0.35)
            assert [span[2] for span in ours] == pytest.approx([span[2] for span in expected], abs=1e-6)
            assert [span[:2] for span in ours] == [span[:2] for span in expected]
        spans_seen += len(spans)
        for span in spans:
            _check_edges(text.decode(), span["start"], span["end"])
    assert spans_seen > 10


def _check_edges(text: str, start: int, end: int) -> None:
    separators = "\0\t\n\v\f\r "
    assert 0 <= start <= end <= len(text)
    if start < end:
        assert text[start] not in separators and text[end - 1] not in separators
        assert start == 0 or text[start - 1] in separators
        assert end == len(text) or text[end] in separators


@pytest.mark.parametrize("name", MODELS)
def test_a_document_of_one_window_scores_as_the_window(name: str) -> None:
    scorer = scorer_of(name)
    texts = [text for text in odd_texts()[:3000] if len(re.findall(rb"[^\0\t-\r ]+", text)) <= 127]
    got = scorer(as_batch(texts))
    assert len(texts) > 2000
    for column in label_columns(scorer.labels):
        assert got.column(column).equals(got.column(window_column(column)))


def test_more_spans_than_there_was_room_for() -> None:
    scorer = scorer_of("softmax trigrams, 6 labels", 1, 1, 0.35)
    text = " ".join(np.random.default_rng(4).choice(vocabulary(), 4_000).tolist()).encode()
    spans = scorer(as_batch([b"the", text])).column("spans")[1].as_py()
    assert len(spans) > 1500
    plain = Plain(scorer, text)
    for k, label in enumerate(scorer.labels):
        ours = [(span["start"], span["end"]) for span in spans if span["label"] == label]
        assert ours == [span[:2] for span in plain.spans(k, 0.35)]


def test_spans_of_a_long_text_take_time_by_its_length() -> None:
    """A span every other word of ten megabytes; the time of a pass over the text for each would be hours."""
    scorer = scorer_of("softmax bigrams", 1, 1, 0.5)
    assert len(scorer(as_batch([huge_text()])).column("spans")[0]) > 100_000


def test_a_text_of_too_many_windows_gets_a_longer_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"short", b"one two three " * 500, b"other words here " * 300]
    strides = {stride: scorer_of("ova bigrams", 16, stride)(as_batch(texts)) for stride in (1, 4, 8)}
    monkeypatch.setattr(score, "MOST_CHUNKS", 800)
    bounded = scorer_of("ova bigrams", 16, 1)(as_batch(texts))
    for row, stride in ((0, 1), (1, 8), (2, 4)):
        assert bounded.slice(row, 1).equals(strides[stride].slice(row, 1)), row
    assert same(joined([scorer_of("ova bigrams", 16, 1)(as_batch([text])) for text in texts]), bounded)
    with pytest.raises(ValueError, match="a text of 7000 bytes has too many windows of 4 words"):
        scorer_of("ova bigrams", 4, 1)(as_batch(texts))
    assert score.longest_text(4) < 7000
    assert score.bounded_stride(score.longest_text(4), 4, 1) == 4


def test_span_labels_and_options_that_do_not_fit() -> None:
    path = model_file("ova bigrams")
    for window, stride in [(128, 0), (64, 128), (100, 64), (0, 0)]:
        with pytest.raises(ValueError, match="multiple"):
            FastTextScorer.open(path, window=window, stride=stride)
    with pytest.raises(ValueError, match="nonsense"):
        FastTextScorer.open(path, span_thresholds={"nonsense": 0.5})
    only = FastTextScorer.open(path, span_thresholds={"2": 0.0})
    assert {span["label"] for span in only(as_batch([b"the lamp"])).column("spans")[0].as_py()} == {"2"}


def ticks_while(call: Callable[[], object]) -> int:
    """How often this thread came to run while another was in a call that takes no turn of Python's own."""
    where, ticks, usual = ["before"], 0, sys.getswitchinterval()

    def run() -> None:
        where[0] = "inside"
        call()
        where[0] = "after"

    thread = threading.Thread(target=run)
    sys.setswitchinterval(60)  # nobody is made to let go of the lock: only who gives it up lets others in
    try:
        thread.start()
        while thread.is_alive():
            ticks += where[0] == "inside"
            time.sleep(0.0005)
    finally:
        sys.setswitchinterval(usual)
    return ticks


def test_the_kernel_runs_without_the_interpreters_lock() -> None:
    model = load_scoring_model(str(model_file(MODELS[0])), model_digest(model_file(MODELS[0])))
    texts = text_buffer(pa.array(["a robot of some words, " * 500_000], pa.large_string()))
    sums = sum_texts(model, texts, 64)
    ends, wanted = np.ones(len(model.labels)), list(range(len(model.labels)))
    assert ticks_while(lambda: ctypes.PyDLL(None).usleep(200_000)) == 0  # a call that keeps it
    arguments = (model.tables, texts.data, len(texts.data), texts.offsets, texts.n, 64)
    block = score.new_block(model.tables.orders, int(model.tables.width))
    assert ticks_while(lambda: score._sum_batch(*arguments, block, sums)) > 0
    scored = score.score_sums(model, sums, texts, 2, ends, wanted)
    room = score.new_room(len(model.labels), int(model.tables.width), sums.first_chunk)
    scores, spans = np.empty((1, len(model.labels)), np.float32), np.empty((1024, 5))
    rest = (texts.data, texts.offsets, 2, ends, np.array(wanted, np.int64), room, scores, scores.copy(), spans)
    assert ticks_while(lambda: [score._score_batch(model.head, sums, *rest) for _ in range(20)]) > 0
    assert np.array_equal(scores, scored[0])


@pytest.mark.parametrize("name", MODELS)
def test_two_threads_score_one_batch_alike(name: str) -> None:
    scorer, batch = scorer_of(name), as_batch(some_texts())
    alone = scorer(batch)
    with ThreadPoolExecutor(2) as threads:
        for found in threads.map(lambda _: scorer(batch), range(6)):
            assert same(found, alone)


@pytest.mark.parametrize("name", MODELS)
def test_tables_are_mapped_from_disk_and_not_copied(name: str) -> None:
    model = load_scoring_model(str(model_file(name)), model_digest(model_file(name)))
    arrays = {field: value for field, value in model.tables._asdict().items() if isinstance(value, np.ndarray)}
    large = {field: value for field, value in arrays.items() if value.nbytes > 10_000}
    assert large
    for field, value in large.items():
        base: Any = value
        while isinstance(base, np.ndarray) and base.base is not None:
            base = base.base
        assert isinstance(base, mmap.mmap), (field, type(base))
