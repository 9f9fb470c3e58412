"""Settings that a model file may carry, so that every copy of it is scored alike: plain words, a prior, labels that
depend on another, and columns that are lexicons.

They stand in the dictionary as words with a space inside. No text can contain such a word, so the file stays a stock
one: fastText loads it, never meets the word, and gives the probabilities of text that was made plain before, of no
prior, and of labels on their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifiers.fasttext_file import FastTextModel, ModelFileError

PLAIN_WORDS = b"tropescan plain-words"
GIVEN = b"tropescan given "
"""Before the name of a label, a colon and the labels, with spaces between, that hold only where it does."""
LEXICON = b"tropescan lexicon "
"""Before the name of a label that is none: its column counts the words of a list."""
_OURS = b"tropescan "


@dataclass(frozen=True)
class Settings:
    """How the texts of a model are read, and what its sums begin with.

    ``plain_words``: ASCII capitals count as small letters, and words end at ASCII punctuation, at control bytes, and at
    the characters U+0080 to U+00BF and U+2000 to U+2FFF (quotes, dashes, bullets, arrows). The logits of N rows
    are (their sum + ``prior_weight`` * ``prior``) / (N + ``prior_weight``), with ``prior`` float32 (dim,): short
    texts say little, and stay near the prior (an m-estimate: Cestnik, "Estimating probabilities", ECAI 1990).
    ``given`` int32 (labels,): the label by whose probability a label's own is multiplied, -1 for none. ``lexicons``
    names the last labels of the file that are no labels, but count the words of a list (`classifiers.lexicon`);
    ``absent`` float32 (lexicons, dim) is added to the logits of a text, or window, without any word of it, which has
    the logit of the prior there.
    """

    plain_words: bool
    prior_weight: int
    prior: NDArray[np.float32]
    given: NDArray[np.int32]
    lexicons: tuple[str, ...]
    absent: NDArray[np.float32]


def settings_of(model: FastTextModel) -> Settings:
    """The settings in the model's dictionary; those of fastText itself where there are none.

    The word's count is the prior's weight, and its row the prior; a lexicon's row is what its absence adds. Raises
    `ModelFileError` for settings that make no sense, that do not go with the model, or that only a later version knows.
    """
    ours = [word for word in model.words if word.startswith(_OURS)]
    if unknown := [word for word in ours if word != PLAIN_WORDS and not word.startswith((GIVEN, LEXICON))]:
        raise ModelFileError(f"the model has the setting {unknown[0]!r}, which this version does not know; update")
    given = _given(model.label_names, [word for word in ours if word.startswith(GIVEN)])
    lexicons = _lexicons(model.label_names, [word for word in ours if word.startswith(LEXICON)])
    absent = np.array([model.embedding[model.words.index(LEXICON + name.encode())] for name in lexicons], np.float32)
    if PLAIN_WORDS not in model.words:
        if lexicons:
            raise ModelFileError(f"the lexicons {', '.join(lexicons)} need plain words")
        return Settings(False, 0, np.zeros(model.dim, np.float32), given, (), np.zeros((0, model.dim), np.float32))
    row = model.words.index(PLAIN_WORDS)
    weight = 1 if model.word_counts is None else int(model.word_counts[row])
    if model.maxn > 0:
        raise ModelFileError("plain words do not go with subwords; train the model with maxn 0")
    if weight < 0:
        raise ModelFileError(f"the prior's weight, the count of {PLAIN_WORDS.decode()!r}, is {weight}; 0 is the least")
    return Settings(True, weight, model.embedding[row], given, lexicons, absent.reshape(-1, model.dim))


def labels_of(model: FastTextModel) -> tuple[str, ...]:
    """The labels of a file, in order, without its lexicons. Raises `ModelFileError` where `settings_of` would."""
    return tuple(model.label_names[: len(model.labels) - len(settings_of(model).lexicons)])


def _lexicons(labels: Sequence[str], words: Sequence[bytes]) -> tuple[str, ...]:
    names = tuple(word.removeprefix(LEXICON).decode("utf-8", "replace") for word in words)
    if names and (len(names) >= len(labels) or names != tuple(labels[-len(names) :])):
        raise ModelFileError(f"the lexicons {', '.join(names)} are not the last labels of the model")
    return names


def _given(labels: Sequence[str], words: Iterable[bytes]) -> NDArray[np.int32]:
    given = np.full(len(labels), -1, np.int32)
    for word in words:
        condition, _, dependent = word.removeprefix(GIVEN).decode("utf-8", "replace").partition(": ")
        for label in dependent.split(" "):
            if label not in labels or condition not in labels or label == condition:
                raise ModelFileError(f"the setting {word!r} names what is no label of the model")
            given[labels.index(label)] = labels.index(condition)
    if any(given[k] >= 0 and given[given[k]] >= 0 for k in range(len(given))):
        raise ModelFileError("a label depends on one that depends on a third; one step is all that is scored")
    return given


def with_plain_words(model: FastTextModel, prior_weight: int, prior: NDArray[np.float32]) -> FastTextModel:
    """The model with plain words and a prior (float32, shape (dim,)); weight 0 leaves the prior without effect.

    Raises `ModelFileError` where `settings_of` would, and where the model has them already.
    """
    if PLAIN_WORDS in model.words:
        raise ModelFileError("the model has plain words already")
    return _with_word(model, PLAIN_WORDS, prior_weight, prior)


def with_given(model: FastTextModel, given: Mapping[str, str]) -> FastTextModel:
    """The model in which each label of ``given`` holds only where the label that it names does: its probability is the
    product of both. Raises `ModelFileError` where `settings_of` would."""
    for condition in sorted(set(given.values())):
        dependent = " ".join(sorted(label for label, other in given.items() if other == condition))
        word = GIVEN + f"{condition}: {dependent}".encode()
        model = _with_word(model, word, 0, np.zeros(model.dim, np.float32))
    return model


def with_lexicon_setting(model: FastTextModel, name: str, absent: NDArray[np.float32]) -> FastTextModel:
    """The model with its last label, ``name``, called a lexicon, whose absence adds ``absent`` (dim,). Raises
    `ModelFileError` where `settings_of` would."""
    return _with_word(model, LEXICON + name.encode(), 0, absent)


def _with_word(model: FastTextModel, word: bytes, count: int, row: NDArray[np.float32]) -> FastTextModel:
    n_words = len(model.words)
    counts = np.ones(n_words, np.int64) if model.word_counts is None else model.word_counts
    changed = replace(
        model,
        words=[*model.words, word],
        word_counts=np.append(counts, np.int64(count)),
        embedding=np.insert(model.embedding, n_words, row, axis=0),
    )
    settings_of(changed)
    return changed
