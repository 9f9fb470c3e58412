"""Second stages of random weights, small and without any library of deep learning, for the tests of rescoring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from classifiers.rescorer_file import Reading, RescorerContent, write_rescorer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = (*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS), "robot", "crew", "the")


def tokenizer_json(pieces: tuple[str, ...] = PIECES) -> str:
    """A BERT tokenizer as ``tokenizer.json`` describes it."""
    special = [
        {"id": k, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True} for k, name in enumerate(SPECIAL)
    ]  # fmt: skip
    ends = {name: {"id": name, "ids": [SPECIAL.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
              {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]  # fmt: skip
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": ends},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {name: k for k, name in enumerate(pieces)}},
    })  # fmt: skip


def small_content(
    labels: tuple[str, ...] = ("adverse",), *, seed: int = 0, width: int = 8, layers: int = 2
) -> RescorerContent:
    """A second stage of random weights: ``adverse`` first, as it is by its score that passages are chosen."""
    random = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return random.normal(0, 0.5, shape).astype(np.float32)

    def norm() -> np.ndarray:
        return np.stack([1 + some(width) / 4, some(width)])

    weights = {"words": some(len(PIECES), width), "positions": some(32, width), "norm": norm()}
    for k in range(layers):
        layer = {
            "attention": some(width, 3 * width), "attention_bias": some(3 * width), "mixing": some(width, width),
            "mixing_bias": some(width), "mixing_norm": norm(), "widening": some(width, 3 * width),
            "widening_bias": some(3 * width), "narrowing": some(3 * width, width), "narrowing_bias": some(width),
            "narrowing_norm": norm(),
        }  # fmt: skip
        weights |= {f"layer.{k}.{name}": values for name, values in layer.items()}
    weights |= {"heads": some(width, len(labels)), "heads_bias": some(len(labels))}
    reading = Reading(labels[0], words=20, passages=2, pieces=32)
    mix = tuple((0.5, 1.0, -0.25) for _ in labels)
    return RescorerContent(labels, reading, mix, "", 2, layers, tokenizer_json(), weights)


def rescorer_file(folder: Path, seed: int = 0, labels: tuple[str, ...] = ("adverse",)) -> Path:
    """The same as a file in ``folder``."""
    path = folder / f"rescorer-{seed}.npz"
    write_rescorer(small_content(labels, seed=seed), path)
    return path
