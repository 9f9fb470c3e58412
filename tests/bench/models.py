"""The classifiers of the benchmark: as people train them (dimension 100, bigrams, 2 million buckets), on its own text.

What they tell apart is where a text was found; only their size and shape matter here.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import fasttext

from classifiers.card import ModelCard, write_card
from classifiers.prepare import model_digest
from tests.bench.corpus import Corpus

OPTIONS = {"dim": 100, "wordNgrams": 2, "bucket": 2_000_000, "epoch": 1, "lr": 0.3, "thread": 2, "verbose": 0}
TRAINING_SHARDS = 3


def train_model(corpus: Corpus, folder: Path, labels: int) -> Path:
    """A model with so many labels, from the cache in ``folder`` if it is there."""
    path = folder / f"labels-{labels}.bin"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "training.txt"
    with open(lines, "w", encoding="utf-8") as file:
        for i in range(TRAINING_SHARDS):
            for record in corpus.texts(i).select(["text", "url"]).to_pylist():
                file.write(f"__label__{_label(record['url'], labels)} {' '.join(record['text'].split())}\n")
    fasttext.FastText.eprint = lambda *_: None
    model = fasttext.train_supervised(str(lines), **OPTIONS)
    model.save_model(str(path))
    lines.unlink()
    write_card(_card(path, tuple(name.removeprefix("__label__") for name in model.labels)), path)
    return path


def _card(path: Path, labels: tuple[str, ...]) -> ModelCard:
    """One label flags and gives spans, as with models that people use: the first by name."""
    target = min(labels)
    return ModelCard(path.name, model_digest(path), labels, target, 0.5, {target: 0.5})


def _label(url: str, labels: int) -> str:
    """Two labels are docstrings and all else; of more, the folder that a text comes from decides."""
    folder = url.rpartition("/")[0]
    if labels == 2:
        return "docstring" if folder.startswith("https://docstring.") else "other"
    return f"part{zlib.crc32(folder.encode()) % labels}"
