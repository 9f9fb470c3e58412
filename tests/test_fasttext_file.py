"""Model files: what is whole is read as the fasttext package reads it, and what is broken is refused with its name."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from small_models import MODELS, language_model, model_file, trainer

from classifiers.fasttext_file import FastTextModel, ModelFileError, read_model, write_model
from classifiers.score import FastTextScorer

WHOLE = ["softmax bigrams", "hs subwords, more labels than dimensions", "quantized, pruned, subwords, norms",
         "quantized with its output"]  # fmt: skip
HEAD = struct.Struct("<ii12id")
SIZES = struct.Struct("<iiiqq")
NUMBERS = [
    "magic",
    "version",
    "dim",
    "ws",
    "epoch",
    "min_count",
    "neg",
    "word_ngrams",
    "loss",
    "model",
    "bucket",
    "minn",
    "maxn",
]


@cache
def whole(name: str) -> bytes:
    return model_file(name).read_bytes()


def refused(path: Path, raw: bytes) -> str:
    """The message of the error that the bytes raise; it names the file."""
    path.write_bytes(raw)
    with pytest.raises(ModelFileError) as caught:
        FastTextScorer.open(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def read_or_refused(path: Path, raw: bytes) -> FastTextModel | None:
    """A model, or None if the file is refused; any other exception fails the test."""
    path.write_bytes(raw)
    try:
        return read_model(path)
    except ModelFileError as error:
        assert str(path) in str(error)
        return None


@pytest.mark.parametrize("name", MODELS)
def test_matrices_words_and_labels_are_those_of_the_package(name: str) -> None:
    ours, theirs = read_model(model_file(name)), trainer().load_model(str(model_file(name)))
    assert [word.decode() for word in ours.words] == theirs.get_words()
    assert [label.decode() for label in ours.labels] == theirs.get_labels()
    assert ours.quantized == theirs.is_quantized() and ours.dim == theirs.get_dimension()
    if not ours.quantized:
        assert np.array_equal(ours.embedding, theirs.get_input_matrix())
        assert np.array_equal(ours.output, theirs.get_output_matrix())


@pytest.mark.parametrize("name", ["softmax bigrams", "hs bigrams", "no </s>, subwords"])
def test_a_model_written_is_the_file_that_was_read(name: str, tmp_path: Path) -> None:
    write_model(read_model(model_file(name)), tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == whole(name)


def test_a_pruned_model_is_not_written(tmp_path: Path) -> None:
    model = read_model(model_file("quantized, pruned"))
    with pytest.raises(ModelFileError, match="unpruned"):
        write_model(model, tmp_path / "dense.bin")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WHOLE)
def test_every_truncation_is_refused(name: str, tmp_path: Path) -> None:
    raw, chosen = whole(name), random.Random(0)
    cuts = {*range(300), *(len(raw) - k for k in range(1, 60)), *(chosen.randrange(len(raw)) for _ in range(300))}
    for cut in sorted(cuts):
        assert read_or_refused(tmp_path / "cut.bin", raw[:cut]) is None, cut


@pytest.mark.parametrize("name", WHOLE)
def test_flipped_bits_are_refused_or_read_but_never_crash(name: str, tmp_path: Path) -> None:
    """Bits of counts and sizes are refused; of names, counts and weights they give another, sound model."""
    raw, chosen, refusals = whole(name), random.Random(1), 0
    places = [*range(HEAD.size + SIZES.size + 60), *(chosen.randrange(len(raw)) for _ in range(300))]
    for place in places:
        changed = bytearray(raw)
        changed[place] ^= 1 << chosen.randrange(8)
        model = read_or_refused(tmp_path / "flipped.bin", bytes(changed))
        refusals += model is None
        if model is not None:
            assert model.output.shape == (len(model.labels), model.dim)
    assert refusals > 40


def test_scoring_with_flipped_bits_never_crashes(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pydict({"text": ["The lighthouse keeper counted the boats", "zzz", ""]})
    for name in ("softmax bigrams", "ova bigrams", "quantized, pruned, subwords, norms"):
        raw, chosen = whole(name), random.Random(2)
        for place in [*range(8, 104, 3), *(chosen.randrange(len(raw)) for _ in range(20))]:
            changed = bytearray(raw)
            changed[place] ^= 1 << chosen.randrange(8)
            (tmp_path / "flipped.bin").write_bytes(changed)
            try:
                scores = FastTextScorer.open(tmp_path / "flipped.bin")(batch)
            except ModelFileError as error:
                assert str(tmp_path) in str(error)
            else:
                assert scores.num_rows == 3


def with_number(raw: bytes, name: str, value: int) -> bytes:
    values = list(HEAD.unpack_from(raw))  # and a few more behind those that have names
    values[NUMBERS.index(name)] = value
    return HEAD.pack(*values) + raw[HEAD.size :]


def with_sizes(raw: bytes, **changed: int) -> bytes:
    names = ["size", "words", "labels", "tokens", "pruned"]
    values = dict(zip(names, SIZES.unpack_from(raw, HEAD.size), strict=True)) | changed
    return raw[: HEAD.size] + SIZES.pack(*values.values()) + raw[HEAD.size + SIZES.size :]


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("magic", 793712315, "magic"),
        ("version", 13, "version 13"),
        ("version", -1, "version"),
        ("model", 1, "word vectors"),
        ("model", 2, "word vectors"),
        ("loss", 0, "loss number 0"),
        ("loss", 5, "loss number 5"),
        ("dim", 0, "dimension"),
        ("dim", -10, "dimension"),
        ("dim", 11, "matrix"),
        ("bucket", 0, "bucket"),
        ("bucket", -5, "bucket"),
        ("bucket", 5002, "matrix"),
        ("bucket", 2**31 - 1, "matrix"),
        ("word_ngrams", 2**31 - 1, "n-grams"),
        ("word_ngrams", -3, "n-grams"),
        ("maxn", 2**31 - 1, "n-grams"),
        ("maxn", -1, "n-grams"),
        ("minn", -1, "n-grams"),
    ],
)
def test_a_head_that_makes_no_sense(name: str, value: int, why: str, tmp_path: Path) -> None:
    assert why in refused(tmp_path / "model.bin", with_number(whole("softmax bigrams"), name, value))


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": 0},
        {"labels": -2, "size": 791},
        {"size": 0, "words": 0, "labels": 0},
        {"size": -1},
        {"words": 2**31 - 1, "size": -(2**31) + 1},
        {"words": 2**31 - 3, "size": 2**31 - 1},
        {"size": 2**31 - 1, "labels": 2**31 - 794},
        {"pruned": 2**62},
        {"pruned": 2**31},
        {"pruned": -2},
        {"pruned": 0},
        {"pruned": 7},
    ],
    ids=str,
)
def test_sizes_of_the_dictionary_that_do_not_add_up(changed: dict[str, int], tmp_path: Path) -> None:
    refused(tmp_path / "model.bin", with_sizes(whole("softmax bigrams"), **changed))


@pytest.mark.parametrize("rows", [2**62, 2**63 - 1, -1, 0, 5])
@pytest.mark.parametrize("columns", [10, 2**62, -10, 0])
def test_absurd_matrices(rows: int, columns: int, tmp_path: Path) -> None:
    model = read_model(model_file("softmax bigrams"))
    shape = struct.pack("<?qq", False, *model.embedding.shape)
    raw = whole("softmax bigrams")
    assert raw.count(shape) == 1
    refused(tmp_path / "model.bin", raw.replace(shape, struct.pack("<?qq", False, rows, columns)))


def test_absurd_quantized_matrices(tmp_path: Path) -> None:
    raw = whole("quantized softmax")
    model = read_model(model_file("quantized softmax"))
    rows, columns = model.embedding.shape
    shape = struct.pack("<??qqi", True, False, rows, columns, rows * 5)
    assert raw.count(shape) == 1
    for values in [(2**62, columns, rows * 5), (rows, columns, -1), (rows, columns, 2**31 - 1), (rows, 0, 0),
                   (-rows, columns, rows * 5), (0, columns, 0), (rows, 2**62, rows * 5)]:  # fmt: skip
        refused(tmp_path / "model.ftz", raw.replace(shape, struct.pack("<??qqi", True, False, *values)))
    quantizer = struct.pack("<iiii", columns, 5, 2, 2)
    assert raw.count(quantizer) == 1
    for changed in [(columns, 0, 2, 2), (columns, -5, 2, 2), (columns, 2, -2, 12), (2**31 - 1, 5, 2, 2), (0, 1, 0, 0),
                    (columns, 2**30, 2**30, 2), (columns, 6, 2, 0), (columns, 1, 2**31 - 1, columns)]:  # fmt: skip
        path = tmp_path / "model.ftz"
        path.write_bytes(raw.replace(quantizer, struct.pack("<iiii", *changed)))
        try:
            assert np.array_equal(read_model(path).embedding.shape, (rows, columns))
        except ModelFileError as error:
            assert str(path) in str(error)


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    model = read_model(model_file("ova bigrams"))
    for value in (np.nan, np.inf):
        for rows in (model.embedding, model.output):
            changed = rows.copy()
            changed[-1, 0] = value
            field = "embedding" if rows is model.embedding else "output"
            write_model(replace(model, **{field: changed}), tmp_path / "model.bin")
            assert "finite" in refused(tmp_path / "model.bin", (tmp_path / "model.bin").read_bytes())


def test_two_words_of_the_same_bytes(tmp_path: Path) -> None:
    model = read_model(model_file("softmax bigrams"))
    write_model(replace(model, words=[model.words[1], *model.words[1:]]), tmp_path / "model.bin")
    assert "same bytes" in refused(tmp_path / "model.bin", (tmp_path / "model.bin").read_bytes())


def test_more_bytes_than_the_model(tmp_path: Path) -> None:
    for name in WHOLE:
        assert "left over" in refused(tmp_path / "model.bin", whole(name) + b"\0")


def test_word_vectors_empty_files_and_what_is_no_model(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("the lamp and the boat\n" * 20, "utf-8")
    for kind in ("skipgram", "cbow"):
        path = tmp_path / f"{kind}.bin"
        trainer().train_unsupervised(
            str(lines), model=kind, dim=4, minCount=1, bucket=100, epoch=1, thread=1, verbose=0
        ).save_model(str(path))
        assert "word vectors" in refused(path, path.read_bytes())
    assert "empty" in refused(tmp_path / "empty.bin", b"")
    assert "magic" in refused(tmp_path / "text.bin", b"These are not the weights that you look for. " * 9)
    for missing in (tmp_path, tmp_path / "nothing.bin"):
        with pytest.raises(OSError, match=str(missing)):
            FastTextScorer.open(missing)


def test_the_language_model_cut_short(tmp_path: Path) -> None:
    raw, chosen = language_model().read_bytes(), random.Random(3)
    for cut in [chosen.randrange(len(raw)) for _ in range(60)]:
        assert read_or_refused(tmp_path / "lid.ftz", raw[:cut]) is None
