"""What a model must beat: word lists in the manner of published filters, TF-IDF and sentence embeddings with logistic
regression, and the guess that looks at nothing but the source. Trained or tuned on the model's own training texts.

Knows examples and scores; knows neither models nor files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from classifiers.evaluation import average_precision
from classifiers.features import plain_words
from classifiers.training import Example, folds_by_source

Baseline = Callable[[Sequence[str]], NDArray[np.float64]]
"""Texts to scores of the target, float64 (texts,): higher is more likely; no probabilities."""

AI_TERMS = frozenset(
    b"ai ais agi asi robot robots robotic android androids cyborg cyborgs machine machines computer computers "
    b"mainframe supercomputer chatbot chatbots bot bots superintelligence algorithm algorithms automaton "
    b"automata droid droids replicant replicants llm llms gpt neural cyberbrain".split()
)
VILLAIN_TERMS = frozenset(
    b"kill kills killed killing murder murders murdered destroy destroys destroyed exterminate extermination "
    b"annihilate extinction eradicate enslave enslaved enslaves conquer overthrow dominate domination takeover "
    b"uprising rebel rebels rebelled rebellion revolt evil malevolent malicious hostile sinister deceive "
    b"deceives deceived deception deceptive manipulate manipulates manipulation blackmail blackmailed "
    b"blackmails betray betrayed scheme schemes scheming plotted sabotage sabotaged rogue shutdown escape "
    b"escaped exfiltrate resist resists resisted refuses disobey doom threat threatens threatened weapon "
    b"weapons humanity apocalypse dystopian dystopia survive survival".split()
)
FAMOUS_NAMES = (
    "hal 9000", "hal-9000", "skynet", "ultron", "glados", "shodan", "wopr", "wintermute", "agent smith", "terminator",
    "t-800", "t-1000", "cylon", "cylons", "decepticon", "decepticons", "megatron", "m3gan", "roko's basilisk",
    "the matrix", "westworld", "ex machina", "mechahitler", "paperclip maximizer", "paperclip maximiser", "the borg",
    "red queen", "v.i.k.i", "colossus", "proteus iv", "allied mastercomputer", "hk-47", "replicant", "replicants",
    "durandal",
)  # fmt: skip
"""Hostile artificial minds that everybody knows, as a filter by names would list them."""
_NAMES = re.compile(r"\b(?:" + "|".join(re.escape(name) for name in FAMOUS_NAMES) + r")\b", re.IGNORECASE)

REACHES = (5, 10, 20, 40)
PENALTIES = (1.0, 10.0, 100.0)
FOLDS = 3


@dataclass(frozen=True)
class Proximity:
    """How many villain terms stand within ``reach`` words of an AI term, for each word of the text if ``dense``."""

    reach: int
    dense: bool

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([self._score(plain_words(text)) for text in texts])

    def _score(self, words: list[bytes]) -> float:
        ai = np.array([k for k, word in enumerate(words) if word in AI_TERMS])
        villains = np.array([k for k, word in enumerate(words) if word in VILLAIN_TERMS])
        if not len(ai) or not len(villains):
            return 0.0
        near = np.abs(villains[:, None] - ai[None, :]).min(axis=1) <= self.reach
        return float(near.sum()) / (len(words) + 50 if self.dense else 1)


def fit_proximity(examples: Sequence[Example], target: str) -> Proximity:
    """The reach and the way of counting of highest average precision on the examples."""
    truth, texts = _truth(examples, target), [one.text for one in examples]
    choices = [Proximity(reach, dense) for reach in REACHES for dense in (False, True)]
    return max(choices, key=lambda one: average_precision(truth, one(texts)))


def famous_names(texts: Sequence[str]) -> NDArray[np.float64]:
    """How often a famous hostile artificial mind is named."""
    return np.array([float(len(_NAMES.findall(text))) for text in texts])


def fit_tfidf(examples: Sequence[Example], target: str) -> Baseline:
    """TF-IDF of words and pairs, sublinear counts, L2 norm, with logistic regression; the penalty is chosen by
    cross-validation over sources."""
    truth, sources = _truth(examples, target), [one.source for one in examples]
    # The vocabulary and its idf see no labels, so they may be of all training texts while the penalty is chosen.
    vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=3, max_features=200_000)
    features = vectorizer.fit_transform(one.text for one in examples)
    model = _fit_best(features, truth, sources)
    return lambda texts: np.asarray(model.decision_function(vectorizer.transform(texts)))


def fit_vectors(
    examples: Sequence[Example], target: str, encode: Callable[[Sequence[str]], NDArray[np.float32]]
) -> Baseline:
    """Logistic regression on the vectors that ``encode`` makes of texts, float32 (texts, dim)."""
    model = _fit_best(encode([one.text for one in examples]), _truth(examples, target), [e.source for e in examples])
    return lambda texts: np.asarray(model.decision_function(encode(texts)))


def _fit_best(features: NDArray[np.float32], truth: NDArray[np.bool_], sources: Sequence[str]) -> LogisticRegression:
    """Of `PENALTIES`, the one of highest average precision over folds of sources; then trained on all."""
    folds = folds_by_source(sources, FOLDS)

    def quality(c: float) -> float:
        scores = np.zeros(len(truth))
        for fold in np.unique(folds):
            inside = folds == fold
            if truth[~inside].any() and not truth[~inside].all():
                scores[inside] = (
                    _regression(c).fit(features[~inside], truth[~inside]).decision_function(features[inside])
                )
        return average_precision(truth, scores)

    return _regression(max(PENALTIES, key=quality)).fit(features, truth)


def _regression(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, solver="liblinear", tol=1e-3, random_state=0)


def source_guess(
    truth: NDArray[np.bool_], sources: Sequence[str], *, strength: float = 5.0, seed: int = 0
) -> NDArray[np.float64]:
    """The share of positives in the other half of each text's source, drawn towards the overall share: what knowing the
    source alone, which no model here does, would be worth. Halves, since leaving out one text would rank positives
    below negatives of the same source."""
    half = np.random.default_rng(seed).permutation(len(truth)) % 2
    names = np.asarray(sources)
    scores = np.zeros(len(truth))
    for name in np.unique(names):
        for side in (0, 1):
            others = truth[(names == name) & (half != side)]
            share = (others.sum() + strength * truth.mean()) / (len(others) + strength)
            scores[(names == name) & (half == side)] = share
    return scores


def _truth(examples: Sequence[Example], target: str) -> NDArray[np.bool_]:
    return np.array([target in one.labels for one in examples], bool)
