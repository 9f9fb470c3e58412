"""Stock fastText files (`.bin`, and quantized `.ftz`) as NumPy arrays, read from a memory map, and written.

Follows `FastText::loadModel`, `Dictionary::load`, `QMatrix::load` and `ProductQuantizer::load` of fastText 0.9.2
(file versions 11 and 12). Knows nothing of scoring. The fasttext package is not needed.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAGIC = 793712314
VERSIONS = (11, 12)
LOSSES = {1: "hs", 2: "ns", 3: "softmax", 4: "ova"}
SUPERVISED = 3
EOS = b"</s>"
LABEL_PREFIX = "__label__"
LONGEST_NGRAM = 1000
"""Larger n-gram options are taken for corruption: they would cost memory or time without end at scoring."""
_ARGUMENTS = "dim ws epoch min_count neg word_ngrams loss model bucket minn maxn lr_update_rate".split()  # noqa: SIM905


class ModelFileError(ValueError):
    """The file is not a fastText classifier that can be read; the message says why and what to do."""


@dataclass(frozen=True)
class FastTextModel:
    """A supervised fastText model.

    ``embedding`` is float32 of shape (words + bucket rows, dim); ``output`` float32 of shape (labels, dim).
    ``words`` and ``labels`` are raw bytes (labels with their prefix), in the order of their rows.
    ``pruned`` (uint32-like int32 pairs, shape (n, 2), bucket -> row after the words) is None in a model
    that keeps all its buckets. ``quantized`` says that ``embedding`` was decoded from codes.
    """

    words: list[bytes]
    labels: list[bytes]
    label_counts: NDArray[np.int64]
    embedding: NDArray[np.float32]
    output: NDArray[np.float32]
    dim: int
    word_ngrams: int
    bucket: int
    minn: int
    maxn: int
    loss: str
    pruned: NDArray[np.int32] | None = None
    quantized: bool = False
    word_counts: NDArray[np.int64] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def label_names(self) -> list[str]:
        """Labels as text, without ``__label__``."""
        return [name.decode("utf-8", "replace").removeprefix(LABEL_PREFIX) for name in self.labels]


class _Cursor:
    """Reads little-endian values from a map, and refuses to read past its end."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, 0

    def fail(self, why: str) -> ModelFileError:
        return ModelFileError(
            f"{self.path}: {why} (at byte {self.at} of {len(self.data)}); "
            "give a supervised fastText model, .bin or .ftz, that was copied whole"
        )

    def unpack(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize("<" + form)
        self.need(size)
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += size
        return values

    def need(self, size: int) -> None:
        if size < 0 or self.at + size > len(self.data):
            raise self.fail(f"truncated or corrupt: {size} bytes wanted")

    def array(self, dtype: str, count: int) -> NDArray[Any]:
        size = np.dtype(dtype).itemsize * count
        self.need(size)
        values = np.frombuffer(self.data, dtype, count, self.at)
        self.at += size
        return values

    def flag(self) -> bool:
        (value,) = self.unpack("B")
        if value > 1:
            raise self.fail(f"a yes/no byte holds {value}")
        return bool(value)


def read_model(path: str | Path) -> FastTextModel:
    """Read a model; dense matrices stay mapped to the file, quantized ones are decoded to float32.

    Raises `ModelFileError` for a file that is truncated, not fastText's, of another version, not a
    classifier, or whose sizes do not add up; `OSError` if it cannot be opened.
    """
    path = Path(path)
    with open(path, "rb") as file:
        if not path.stat().st_size:
            raise ModelFileError(f"{path}: the file is empty; give a supervised fastText model")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    cursor = _Cursor(path, data)
    arguments = _read_arguments(cursor)
    dictionary = _read_dictionary(cursor)
    embedding, quantized = _read_matrix(cursor, arguments["dim"], may_be_quantized=True)
    output, _ = _read_matrix(cursor, arguments["dim"], may_be_quantized=quantized)
    if cursor.at != len(data):
        raise cursor.fail("bytes are left over after the matrices")
    model = FastTextModel(
        **dictionary,
        embedding=embedding,
        output=output,
        quantized=quantized,
        dim=arguments["dim"],
        word_ngrams=arguments["word_ngrams"],
        bucket=arguments["bucket"],
        minn=arguments["minn"],
        maxn=arguments["maxn"],
        loss=LOSSES[arguments["loss"]],
        arguments=arguments,
    )
    _check_shapes(model, cursor)
    return model


def _read_arguments(cursor: _Cursor) -> dict[str, Any]:
    magic, version = cursor.unpack("ii")
    if magic != MAGIC:
        raise cursor.fail("not a fastText model (wrong magic number)")
    if version not in VERSIONS:
        raise cursor.fail(f"fastText file version {version} is unknown (known: 11 and 12)")
    arguments: dict[str, Any] = dict(zip(_ARGUMENTS, cursor.unpack("12i"), strict=True))
    (arguments["t"],) = cursor.unpack("d")
    if arguments["model"] != SUPERVISED:
        raise cursor.fail("word vectors, not a classifier")
    if arguments["loss"] not in LOSSES:
        raise cursor.fail(f"loss number {arguments['loss']} is unknown")
    if version == 11:  # older supervised models wrote a maxn that they did not use
        arguments["maxn"] = 0
    ngrams = arguments["word_ngrams"], arguments["minn"], arguments["maxn"]
    if min(ngrams) < 0 or max(ngrams) > LONGEST_NGRAM:
        raise cursor.fail(f"n-grams of {ngrams[0]} words, of {ngrams[1]} to {ngrams[2]} characters, make no sense")
    hashes = arguments["word_ngrams"] > 1 or arguments["maxn"] > 0
    if arguments["dim"] <= 0 or arguments["bucket"] < hashes:
        raise cursor.fail(f"dimension {arguments['dim']} and bucket count {arguments['bucket']} make no sense")
    return arguments


def _read_dictionary(cursor: _Cursor) -> dict[str, Any]:
    size, n_words, n_labels = cursor.unpack("iii")
    _, n_pruned = cursor.unpack("qq")
    if min(size, n_words, n_labels) < 0 or size != n_words + n_labels or n_pruned < -1:
        raise cursor.fail(f"{size} entries are not {n_words} words and {n_labels} labels")
    if n_labels == 0:
        raise cursor.fail("the model has no label")
    entries = [_read_entry(cursor) for _ in range(size)]
    if any(kind != (i >= n_words) for i, (_, _, kind) in enumerate(entries)):
        raise cursor.fail("words and labels are out of order in the dictionary")
    if len({name for name, _, _ in entries}) != size:
        raise cursor.fail("two entries of the dictionary have the same bytes")
    pruned = cursor.array("<i4", 2 * n_pruned).reshape(-1, 2) if n_pruned >= 0 else None
    counts = np.array([count for _, count, _ in entries], np.int64)
    return {
        "words": [name for name, _, _ in entries[:n_words]],
        "labels": [name for name, _, _ in entries[n_words:]],
        "word_counts": counts[:n_words],
        "label_counts": counts[n_words:],
        "pruned": pruned,
    }


def _read_entry(cursor: _Cursor) -> tuple[bytes, int, int]:
    end = cursor.data.find(b"\0", cursor.at)
    if end < 0:
        raise cursor.fail("truncated inside the dictionary")
    name = cursor.data[cursor.at : end]
    cursor.at = end + 1
    count, kind = cursor.unpack("qb")
    return name, count, kind


def _read_matrix(cursor: _Cursor, dim: int, *, may_be_quantized: bool) -> tuple[NDArray[np.float32], bool]:
    quantized = cursor.flag() and may_be_quantized
    if quantized:
        return _read_quantized(cursor, dim), True
    rows, columns = _read_shape(cursor, dim)
    return cursor.array("<f4", rows * columns).reshape(rows, columns), False


def _read_shape(cursor: _Cursor, dim: int) -> tuple[int, int]:
    rows, columns = cursor.unpack("qq")
    if rows < 0 or columns != dim:
        raise cursor.fail(f"a matrix of {rows} by {columns} in a model of dimension {dim}")
    return rows, columns


def _read_quantized(cursor: _Cursor, dim: int) -> NDArray[np.float32]:
    """Product-quantized rows, decoded: each row is its norm times the concatenated centroids."""
    has_norm = cursor.flag()
    rows, columns = _read_shape(cursor, dim)
    (code_size,) = cursor.unpack("i")
    codes = cursor.array("u1", code_size)
    parts = _read_quantizer(cursor, columns)
    if code_size != rows * len(parts):
        raise cursor.fail(f"{code_size} codes are not {rows} rows of {len(parts)}")
    codes = codes.reshape(rows, len(parts))
    decoded = np.concatenate([part[codes[:, i]] for i, part in enumerate(parts)], axis=1)
    if has_norm:
        norm_codes = cursor.array("u1", rows)
        with np.errstate(over="ignore"):  # numbers that are not finite are refused when tables are made
            decoded *= _read_quantizer(cursor, 1)[0][norm_codes]
    return np.ascontiguousarray(decoded, np.float32)


def _read_quantizer(cursor: _Cursor, columns: int) -> list[NDArray[np.float32]]:
    """Centroids of each sub-vector, shape (256, width)."""
    dim, n_parts, width, last_width = cursor.unpack("iiii")
    if dim != columns or n_parts <= 0 or (n_parts - 1) * width + last_width != dim or min(width, last_width) <= 0:
        raise cursor.fail(f"a quantizer of {n_parts} parts by {width} (last {last_width}) for {columns} columns")
    centroids = cursor.array("<f4", dim * 256)
    cut = (n_parts - 1) * 256 * width
    parts = list(centroids[:cut].reshape(n_parts - 1, 256, width)) if n_parts > 1 else []
    return [*parts, centroids[cut:].reshape(256, last_width)]


def _check_shapes(model: FastTextModel, cursor: _Cursor) -> None:
    buckets = model.bucket if model.pruned is None else len(model.pruned)
    rows = len(model.words) + buckets
    if model.pruned is not None and not model.quantized:
        raise cursor.fail("a pruned model that is not quantized")
    if model.embedding.shape != (rows, model.dim):
        raise cursor.fail(f"input matrix of {model.embedding.shape}, but the dictionary wants ({rows}, {model.dim})")
    if model.output.shape != (len(model.labels), model.dim):
        raise cursor.fail(f"output matrix of {model.output.shape} for {len(model.labels)} labels of {model.dim}")
    if model.pruned is not None and len(model.pruned):
        low, high = int(model.pruned[:, 1].min()), int(model.pruned[:, 1].max())
        if low < 0 or high >= len(model.pruned):
            raise cursor.fail("the pruning table points outside the matrix")


def write_model(model: FastTextModel, path: str | Path) -> None:
    """Write a dense model as a stock fastText file of version 12.

    Raises `ModelFileError` for a pruned model: a dense file cannot leave buckets out, and a row of zeros
    in their place would still count in the mean.
    """
    if model.pruned is not None:
        raise ModelFileError("a pruned model cannot be written as a dense fastText file; start from the unpruned .bin")
    with open(path, "wb") as file:
        _write_head(model, file)
        for matrix in (model.embedding, model.output):
            file.write(struct.pack("<?qq", False, *matrix.shape))
            file.write(np.ascontiguousarray(matrix, "<f4").data)


def _write_head(model: FastTextModel, file: IO[bytes]) -> None:
    losses = {name: number for number, name in LOSSES.items()}
    values = dict.fromkeys(_ARGUMENTS, 0) | model.arguments
    values |= {
        "dim": model.dim,
        "word_ngrams": model.word_ngrams,
        "loss": losses[model.loss],
        "model": SUPERVISED,
        "bucket": model.bucket,
        "minn": model.minn,
        "maxn": model.maxn,
    }
    file.write(struct.pack("<ii", MAGIC, VERSIONS[-1]))
    file.write(struct.pack("<12id", *(values[name] for name in _ARGUMENTS), values.get("t", 1e-4)))
    word_counts = model.word_counts if model.word_counts is not None else np.ones(len(model.words), np.int64)
    tokens = int(word_counts.sum()) + int(model.label_counts.sum())
    n_words, n_labels = len(model.words), len(model.labels)
    file.write(struct.pack("<iiiqq", n_words + n_labels, n_words, n_labels, tokens, -1))
    for kind, names, counts in ((0, model.words, word_counts), (1, model.labels, model.label_counts)):
        for name, count in zip(names, counts, strict=True):
            file.write(name + b"\0" + struct.pack("<qb", int(count), kind))
