"""Two settings that a model file may carry, so that every copy of it is scored alike: plain words, and a prior.

They stand in the dictionary as one word with a space inside. No text can contain it, so the file stays a stock one:
fastText loads it, never meets the word, and gives the probabilities of text that was made plain before and of no prior.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifiers.fasttext_file import FastTextModel, ModelFileError

PLAIN_WORDS = b"tropescan plain-words"
_OURS = b"tropescan "


@dataclass(frozen=True)
class Settings:
    """How the texts of a model are read, and what its sums begin with.

    ``plain_words``: ASCII capitals count as small letters, and words end at ASCII punctuation, at control bytes, and at
    the characters U+0080 to U+00BF and U+2000 to U+2FFF (quotes, dashes, bullets, arrows). The logits of N rows
    are (their sum + ``prior_weight`` * ``prior``) / (N + ``prior_weight``), with ``prior`` float32 (dim,): short
    texts say little, and stay near the prior (an m-estimate: Cestnik, "Estimating probabilities", ECAI 1990).
    """

    plain_words: bool
    prior_weight: int
    prior: NDArray[np.float32]


def settings_of(model: FastTextModel) -> Settings:
    """The settings in the model's dictionary; those of fastText itself where there are none.

    The word's count is the prior's weight, and its row the prior. Raises `ModelFileError` for settings that make no
    sense, that do not go with the model, or that only a later version knows.
    """
    if unknown := [word for word in model.words if word.startswith(_OURS) and word != PLAIN_WORDS]:
        raise ModelFileError(f"the model has the setting {unknown[0]!r}, which this version does not know; update")
    if PLAIN_WORDS not in model.words:
        return Settings(False, 0, np.zeros(model.dim, np.float32))
    row = model.words.index(PLAIN_WORDS)
    weight = 1 if model.word_counts is None else int(model.word_counts[row])
    if model.maxn > 0:
        raise ModelFileError("plain words do not go with subwords; train the model with maxn 0")
    if weight < 0:
        raise ModelFileError(f"the prior's weight, the count of {PLAIN_WORDS.decode()!r}, is {weight}; 0 is the least")
    return Settings(True, weight, model.embedding[row])


def with_plain_words(model: FastTextModel, prior_weight: int, prior: NDArray[np.float32]) -> FastTextModel:
    """The model with plain words and a prior (float32, shape (dim,)); weight 0 leaves the prior without effect.

    Raises `ModelFileError` where `settings_of` would, and where the model has them already.
    """
    if PLAIN_WORDS in model.words:
        raise ModelFileError("the model has plain words already")
    n_words = len(model.words)
    counts = np.ones(n_words, np.int64) if model.word_counts is None else model.word_counts
    changed = replace(
        model,
        words=[*model.words, PLAIN_WORDS],
        word_counts=np.append(counts, np.int64(prior_weight)),
        embedding=np.insert(model.embedding, n_words, prior, axis=0),
    )
    settings_of(changed)
    return changed
