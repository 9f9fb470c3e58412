"""A lexicon as one more column of a linear model: how often a text has words of a list, counted in the same pass.

A folded model adds up a row a word. In the lexicon's column the rows of its words hold one number and all other rows
another, so that its logit is the frequency of these words. No label teaches it anything: that is its use beside scores
that labels did teach. That a text has none of the words, which no sum of rows can say, may count for other labels.
Knows models and words; knows neither texts nor what a lexicon is for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from classifiers.fasttext_file import LABEL_PREFIX, FastTextModel, ModelFileError
from classifiers.settings import settings_of, with_lexicon_setting

AI_TERMS = "ai_terms"
"""Name of the column that counts `AI_WORDS`."""
AI_WORDS = tuple(
    b"ai ais agi artificial superintelligence superintelligences superintelligent llm llms gpt chatgpt openai "
    b"anthropic deepmind chatbot chatbots bot bots robot robots robotic robotics android androids cyborg cyborgs "
    b"droid droids automaton automatons automata replicant replicants supercomputer supercomputers mainframe "
    b"sentient skynet ultron".split()
)
"""Words that point to an artificial mind. Terms of two words would need hashed rows, which ordinary pairs share (with
120,000 of them a sixteenth of ordinary texts would seem to have some); "artificial" stands for "artificial
intelligence"."""
NONE = -6 + 1 / 64
"""Logit of a text without any of the words: the middle of a step of fastText's sigmoid, safe from rounding."""
SLOPE = 800.0
"""How much the logit grows by the share of a text's rows (words, pairs, prior) that are words of the list."""


def with_lexicon(
    model: FastTextModel, name: str, words: Collection[bytes], absent: Mapping[str, float] | None = None
) -> FastTextModel:
    """The model with a last column ``name``, whose logit is `NONE` + `SLOPE` times the share of rows that are
    ``words``. Words that the model does not know count for nothing; no other column changes. ``absent``, by label, is
    added to the logits of a text, or window, without any of the words.

    Raises `ModelFileError` for a model that is not folded, whose probabilities are no sigmoids, whose words are not
    plain, that has the name already, or that lacks a label of ``absent``.
    """
    n = len(model.labels)
    folded = model.dim == n and np.array_equal(model.output, np.eye(n, dtype=np.float32))
    if not folded or model.loss != "ova" or not settings_of(model).plain_words:
        raise ModelFileError("a lexicon needs a folded model with plain words and a sigmoid for each label (loss ova)")
    label = f"{LABEL_PREFIX}{name}".encode()
    if label in model.labels:
        raise ModelFileError(f"the model has a label {name!r} already")
    if unknown := set(absent or {}) - set(model.label_names):
        raise ModelFileError(f"the model has no label {min(unknown)!r}")
    column = np.full(len(model.embedding), NONE, np.float32)
    column[[row for row, word in enumerate(model.words) if word in words]] += np.float32(SLOPE)
    grown = replace(
        model,
        labels=[*model.labels, label],
        label_counts=np.append(model.label_counts, np.int64(1)),
        embedding=np.column_stack([model.embedding, column]),
        output=np.eye(n + 1, dtype=np.float32),
        dim=n + 1,
    )
    lost = np.array([(absent or {}).get(label, 0.0) for label in grown.label_names], np.float32)
    return with_lexicon_setting(grown, name, lost)
