"""From a fastText model to the kernel's tables, kept on disk by digest and mapped by every process that scores.

Knows the layout of the tables and fastText's arithmetic; knows nothing of documents.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.fasttext_file import EOS, LABEL_PREFIX, FastTextModel, ModelFileError, read_model
from classifiers.kernel.hashing import new_parts, word_keys
from classifiers.kernel.lookup import find_pilots, key_groups
from classifiers.kernel.sums import sum_subwords_of_words
from classifiers.kernel.tables import Tables
from classifiers.kernel.windows import SIGMOID, SIGMOID_LIMIT, SIGMOID_STEPS, SOFTMAX, TREE, Head
from classifiers.settings import labels_of, settings_of
from pipeline.compiled.cache import cache_folder, locked, sources_digest
from pipeline.compiled.compiling import compiled

_ROWS_AT_ONCE = 1 << 16
_KEYS_PER_GROUP = 3.5
_LOAD = 0.9
_HEAD_ARRAYS = ("projection", "sigmoid", "nodes", "turns", "depths", "prior", "given", "absent", "nothing")


@dataclass(frozen=True)
class PreparedModel:
    """Tables and head of a model, its labels in the order of the scores, and behind them its lexicons."""

    tables: Tables
    head: Head
    labels: list[str]
    lexicons: list[str]

    def logits(self, totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Logits (n, labels) of sums of rows (n, width) and how many rows they are, none 0: the kernel's arithmetic,
        without what the absence of a lexicon's words adds."""
        head = self.head
        of_text = totals @ head.projection.T if head.projection.size else totals[:, : head.n_labels]
        logits: NDArray[np.float64] = (of_text + head.prior) / (counts + head.prior_weight)[:, None]
        return logits

    def logits_of_texts(self, totals: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """As `logits`, of sums over whole texts or windows, with what the absence of a lexicon's words adds."""
        logits = self.logits(totals, counts)
        return logits + self.without_words(logits).astype(np.float64) @ self.head.absent

    def without_words(self, logits: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Of which lexicons a text or window has no word, (n, lexicons), by its `logits`."""
        return np.asarray(logits[:, len(self.labels) :] <= self.head.nothing)


def model_digest(path: str | Path) -> str:
    """SHA-256 of the model file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prepare(path: str | Path, digest: str | None = None) -> PreparedModel:
    """Tables of the model at ``path``, from the cache if they are there; made and stored otherwise.

    Raises `ModelFileError` if the file is no model that can be scored.
    """
    digest = digest or model_digest(path)
    folder = cache_folder() / "models" / f"{digest[:32]}-{_made_by()}"
    if not (folder / "head.json").exists():
        with locked(folder.parent, digest[:32]):
            if not (folder / "head.json").exists():
                _read_and_store(path, digest, folder)
    return _load(folder)


@cache
def _made_by() -> str:
    """What names tables beside the model they are of: the sources that make and read them."""
    return sources_digest("classifiers.kernel", "classifiers.fasttext_file", __name__, "classifiers.settings")[:16]


def _read_and_store(path: str | Path, digest: str, folder: Path) -> None:
    if model_digest(path) != digest:
        raise ModelFileError(f"{path}: the file is another than when the job began; begin it anew")
    model = read_model(path)
    try:
        _store(model, folder)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error


def _store(model: FastTextModel, folder: Path) -> None:
    """Write the tables into a new folder, which gets its name last. The caller holds the model's lock."""
    for leftover in folder.parent.glob(f".unfinished-{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".unfinished-{folder.name}-", dir=folder.parent))
    try:
        build_tables(model, unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def is_folded(model: FastTextModel) -> bool:
    """Whether a row holds one number a label; with more labels than dimensions, embeddings are the smaller table."""
    return len(model.labels) <= model.dim


def folded_rows(model: FastTextModel, rows: slice) -> NDArray[np.float32]:
    """Rows of ``E @ W.T`` (or of E, where that is smaller): what each word or bucket adds to the sums."""
    part = np.asarray(model.embedding[rows], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if is_folded(model):
            part = part @ np.asarray(model.output, np.float64).T
        return _finite(part.astype(np.float32))


def _finite(weights: NDArray[Any]) -> NDArray[Any]:
    """The weights as they are. fastText too fails on a text that meets such a row ("Encountered NaN")."""
    if not np.isfinite(weights).all():
        raise ModelFileError("there are weights that are not finite numbers; train the model again, with a lower rate")
    return weights


def build_tables(model: FastTextModel, folder: Path) -> None:
    """Write the arrays of `Tables` and `Head` as ``.npy`` files, and ``head.json`` last."""
    settings = settings_of(model)
    columns = len(model.labels) if is_folded(model) else model.dim
    width = columns + columns % 2
    n_words = len(model.words)
    _write_buckets(model, folder, width)
    keys, edges, pool = _word_bytes(model.words)
    pilots, slots, n_slots = _place(keys)
    stride = 1 + width // 2
    records = np.zeros((n_slots + 1, stride), np.uint64)
    records[slots, 0] = keys
    values = records.view(np.float32)
    for start in range(0, n_words, _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, n_words))
        values[slots[rows], 2 : 2 + columns] = folded_rows(model, rows)
    features = np.zeros(n_slots + 1 if model.maxn > 0 else 0, np.int32)
    odd = [name for name in model.labels if not name.startswith(LABEL_PREFIX.encode())]
    numbers = {
        "shift": 64 - int(math.log2(len(pilots))),
        "n_slots": n_slots,
        "stride": stride,
        "width": width,
        "bucket": max(1, model.bucket),
        "none": model.embedding.shape[0] - n_words,
        "orders": max(0, model.word_ngrams - 1),
        "minn": model.minn,
        "maxn": model.maxn,
        "plain_words": settings.plain_words,
    }
    arrays: dict[str, NDArray[Any]] = {
        "pilots": pilots,
        "records": records.ravel(),
        "features": features,
        "bucket_rows": _bucket_rows(model),
        "odd_labels": _word_bytes(odd)[0],
    }
    if model.maxn > 0:
        tables = _tables(arrays | {"buckets": np.load(folder / "buckets.npy", mmap_mode="r")}, numbers)
        _add_subwords_of_words(model, tables, pool, edges, slots, arrays["records"], features)
    for name, array in (arrays | _head_arrays(model)).items():
        np.save(folder / f"{name}.npy", array)
    head = {
        "labels": list(labels_of(model)),
        "lexicons": list(settings.lexicons),
        "kind": _kind(model),
        "prior_weight": float(settings.prior_weight),
        "numbers": numbers,
    }
    (folder / "head.json").write_text(json.dumps(head))


def _write_buckets(model: FastTextModel, folder: Path, width: int) -> None:
    """Rows of the buckets, and one of zeros. Written, not mapped: a full disk is then an error and not a signal."""
    n_words, n_rows = len(model.words), model.embedding.shape[0]
    shape = ((n_rows - n_words + 1) * width,)
    with open(folder / "buckets.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for start in range(n_words, n_rows, _ROWS_AT_ONCE):
            rows = folded_rows(model, slice(start, min(start + _ROWS_AT_ONCE, n_rows)))
            padded = np.zeros((len(rows), width), np.float32)
            padded[:, : rows.shape[1]] = rows
            file.write(padded.data)
        file.write(bytes(4 * width))


def _word_bytes(words: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint8]]:
    """The words' keys (n,), edges (2n,) and bytes, padded so that 8 can be read at each."""
    pool = np.frombuffer(b"".join(words) + bytes(64), np.uint8)
    stops = np.cumsum([len(word) for word in words], dtype=np.int64)
    edges = np.zeros(2 * len(words), np.int64)
    edges[1::2], edges[2::2] = stops, stops[:-1]
    n = len(words)
    keys, lengths, hashes = np.zeros(n, np.uint64), np.zeros(n, np.int32), np.zeros(n, np.uint32)
    _word_keys(pool, len(pool), edges, keys, lengths, hashes, np.zeros(n + 1, np.int64), new_parts(n))
    return keys, edges, pool


def _place(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint16], NDArray[np.int64], int]:
    """Pilots, the slot of each key, and the number of slots; more room is given until all keys fit."""
    if len(np.unique(keys)) != len(keys):
        raise ModelFileError("two words of the model have the same 64-bit key; please report this with the model")
    bits = max(1, math.ceil(math.log2(max(2.0, len(keys) / _KEYS_PER_GROUP))))
    groups = np.zeros(len(keys), np.int64)
    _key_groups(keys, np.uint64(64 - bits), groups)
    sizes = np.bincount(groups, minlength=1 << bits)
    begin = np.concatenate([[0], np.cumsum(sizes)])
    members, order = np.argsort(groups, kind="stable"), np.argsort(-sizes, kind="stable")
    for load in (_LOAD, 0.7, 0.5, 0.3):
        n_slots = int(len(keys) / load) + 16
        pilots, slots = np.zeros(1 << bits, np.uint16), np.zeros(len(keys), np.int64)
        used = np.zeros(n_slots, np.bool_)
        if _find_pilots(keys, members, begin, order, np.uint64(n_slots), used, pilots, slots):
            return pilots, slots, n_slots
    raise ModelFileError("no perfect hash was found for the model's words; please report this with the model")


def _bucket_rows(model: FastTextModel) -> NDArray[np.int32]:
    """Row of each bucket in a pruned model, -1 for none; of size 0 in other models."""
    if model.pruned is None:
        return np.zeros(0, np.int32)
    rows = np.full(max(1, model.bucket), -1, np.int32)
    inside = (model.pruned[:, 0] >= 0) & (model.pruned[:, 0] < model.bucket)
    rows[model.pruned[inside, 0]] = model.pruned[inside, 1]
    return rows


_sum_subwords_of_words = compiled(sum_subwords_of_words)
_word_keys = compiled(word_keys)
_key_groups = compiled(key_groups)
_find_pilots = compiled(find_pilots)


def _add_subwords_of_words(
    model: FastTextModel, tables: Tables, pool: Any, edges: Any, slots: Any, records: Any, features: Any
) -> None:
    """A known word's row takes in its subwords, and its feature count with them (`</s>` has none)."""
    n, width = len(model.words), int(tables.width)
    sums, counts = np.zeros((n, width)), np.zeros(n, np.int64)
    unknown = np.full(n, tables.n_slots, np.uint64)  # so that only the subwords are added
    no_ngrams = np.full((max(1, tables.orders), n), tables.none, np.uint64)
    _sum_subwords_of_words(tables, pool, edges, np.zeros(n, np.uint64), unknown, no_ngrams, sums, counts)
    if EOS in model.words:
        sums[model.words.index(EOS)], counts[model.words.index(EOS)] = 0, 0
    rows = records.view(np.float32).reshape(-1, 2 * int(tables.stride))
    rows[slots, 2 : 2 + width] = rows[slots, 2 : 2 + width].astype(np.float64) + sums
    features[slots] = counts + 1


def _kind(model: FastTextModel) -> int:
    return {"softmax": SOFTMAX, "ova": SIGMOID, "ns": SIGMOID, "hs": TREE}[model.loss]


def _head_arrays(model: FastTextModel) -> dict[str, NDArray[Any]]:
    x = np.arange(SIGMOID_STEPS + 1, dtype=np.float32) * 2 * SIGMOID_LIMIT / SIGMOID_STEPS - SIGMOID_LIMIT
    width = model.dim + model.dim % 2
    projection = np.zeros((0 if is_folded(model) else len(model.labels), width))
    if not is_folded(model):
        projection[:, : model.dim] = _finite(model.output)
    nodes, turns, depths = huffman_paths(model.label_counts) if model.loss == "hs" else _no_paths()
    return {
        "projection": projection,
        "sigmoid": (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32),
        "nodes": nodes,
        "turns": turns,
        "depths": depths,
        "prior": _prior(model),
        "given": settings_of(model).given,
        **_absence(model),
    }


def _absence(model: FastTextModel) -> dict[str, NDArray[Any]]:
    """What a lexicon adds where none of its words stands, (lexicons, labels), and its logit there, (lexicons,)."""
    settings, n = settings_of(model), len(model.labels)
    if not settings.lexicons:
        return {"absent": np.zeros((0, n)), "nothing": np.zeros(0)}
    nothing = settings.prior[n - len(settings.lexicons) : n].astype(np.float64)
    return {"absent": _finite(settings.absent[:, :n].astype(np.float64)), "nothing": nothing}


def _prior(model: FastTextModel) -> NDArray[np.float64]:
    """What every sum of logits begins with (labels,)."""
    settings = settings_of(model)
    with np.errstate(over="ignore", invalid="ignore"):
        prior = settings.prior_weight * (np.asarray(model.output, np.float64) @ settings.prior.astype(np.float64))
    return _finite(prior)


def _no_paths() -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    return np.zeros((0, 0), np.int32), np.zeros((0, 0), np.int32), np.zeros(0, np.int32)


def huffman_paths(counts: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Each label's path from the root: inner nodes (by row of the output matrix), turns (1 right), depth.

    Built from label counts in descending order as `HierarchicalSoftmaxLoss::buildTree` does.
    """
    n = len(counts)
    weight = [*map(int, counts), *([10**15] * (n - 1))]
    parent, right = [-1] * (2 * n - 1), [False] * (2 * n - 1)
    leaf, node = n - 1, n
    for i in range(n, 2 * n - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weight[leaf] < weight[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        weight[i] = weight[pair[0]] + weight[pair[1]]
        parent[pair[0]] = parent[pair[1]] = i
        right[pair[1]] = True
    paths = [_path(label, parent, right, n) for label in range(n)]
    depth = max(1, max(len(path) for path in paths))
    nodes, turns = np.zeros((n, depth), np.int32), np.zeros((n, depth), np.int32)
    for label, path in enumerate(paths):
        nodes[label, : len(path)] = [step[0] for step in path]
        turns[label, : len(path)] = [step[1] for step in path]
    return nodes, turns, np.array([len(path) for path in paths], np.int32)


def _path(label: int, parent: list[int], right: list[bool], n: int) -> list[tuple[int, int]]:
    path = []
    while parent[label] != -1:
        path.append((parent[label] - n, int(right[label])))
        label = parent[label]
    return path[::-1]


def _tables(arrays: dict[str, NDArray[Any]], numbers: dict[str, int]) -> Tables:
    bucket = numbers["bucket"]
    frozen = {name: _read_only(array) for name, array in arrays.items()}
    return Tables(
        pilots=frozen["pilots"],
        shift=np.uint64(numbers["shift"]),
        n_slots=np.uint64(numbers["n_slots"]),
        records=frozen["records"],
        stride=np.uint64(numbers["stride"]),
        values=frozen["records"].view(np.float32),
        features=frozen["features"],
        buckets=frozen["buckets"],
        width=np.uint64(numbers["width"]),
        bucket=np.uint64(bucket),
        reciprocal=np.uint64(min(2**64 // bucket, 2**64 - 1)),
        bucket_rows=frozen["bucket_rows"],
        none=np.uint64(numbers["none"]),
        orders=numbers["orders"],
        minn=numbers["minn"],
        maxn=numbers["maxn"],
        odd_labels=frozen["odd_labels"],
        plain_words=bool(numbers["plain_words"]),
    )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A plain read-only view: one type for the compiled code, whether mapped or in memory."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _load(folder: Path) -> PreparedModel:
    head = json.loads((folder / "head.json").read_text())
    arrays = {file.stem: _map(file) for file in folder.glob("*.npy")}
    parts = {name: _read_only(arrays.pop(name)) for name in _HEAD_ARRAYS}
    return PreparedModel(
        tables=_tables(arrays, head["numbers"]),
        head=Head(
            kind=head["kind"],
            n_labels=len(head["labels"]) + len(head["lexicons"]),
            prior_weight=head["prior_weight"],
            **parts,
        ),
        labels=head["labels"],
        lexicons=head["lexicons"],
    )


def _map(file: Path) -> NDArray[Any]:
    mapped = np.load(file, mmap_mode="r") if file.stat().st_size > 4096 else np.load(file)
    return np.asarray(mapped)
