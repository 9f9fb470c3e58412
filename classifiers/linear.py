"""Trains the classifier as a convex problem: logistic regression on frequencies of words and pairs, folded into a
stock fastText file that the kernel scores like any other.

Knows texts, labels and, if given, vectors of words; knows neither where labels come from nor codebooks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from classifiers.fasttext_file import LABEL_PREFIX, FastTextModel
from classifiers.features import FeatureSpace, frequent_words
from classifiers.lexicon import with_lexicon
from classifiers.settings import with_given, with_plain_words
from classifiers.training import Example

Vectors = Mapping[bytes, NDArray[np.float32]]
"""A vector for each word, all of one length: words of like meaning then get like weights."""


@dataclass(frozen=True)
class LinearOptions:
    """Options of `train_linear`.

    ``c`` is the inverse strength of the L2 penalty; ``min_count`` in texts; ``prior_weight`` the κ of
    `classifiers.settings.Settings`. ``vector_scale``: size of the part of a text's features that its words' vectors
    make, beside 1 for its words and pairs. ``collection_scale``: size of a column for each collection, which explains
    what holds of all its texts and is then left out (a fixed effect: Mundlak, "On the pooling of time series and cross
    section data", Econometrica 1978). ``others_weight``: weight of texts that lack the label on which another depends,
    when the dependent one is trained. ``contrast``: columns are scaled by this power of the log ratio of how often
    they stand in texts with the label and without (naive Bayes features: Wang and Manning, "Baselines and bigrams",
    ACL 2012, section 2.3); 0 leaves them alike. ``absent`` is added to the logit of a label on which others depend,
    in a text without any word of a lexicon.
    """

    c: float = 20.0
    min_count: int = 2
    bucket: int = 120_000
    prior_weight: int = 200
    vector_scale: float = 0.7
    collection_scale: float = 0.3
    others_weight: float = 0.2
    contrast: float = 0.4
    absent: float = -1.0


@dataclass(frozen=True)
class Design:
    """Columns and their scaling: what training needs of texts, made once for all labels.

    ``rows`` is float32 CSR of frequencies by inverse document frequency; ``meanings`` float32 (texts, dim) the mean
    vector of a text's words, centred, or of no columns. A column's weight times ``scale``, and a meaning's times
    ``vectors``, go back to the word's row.
    """

    space: FeatureSpace
    rows: sparse.csr_matrix
    scale: NDArray[np.float64]
    meanings: NDArray[np.float32]
    vectors: NDArray[np.float64]
    centre: NDArray[np.float64]


def make_design(
    texts: Sequence[str], words: Sequence[bytes], vectors: Vectors | None, options: LinearOptions
) -> Design:
    """The design matrix of texts over a vocabulary and ``options.bucket`` hashed pairs."""
    space = FeatureSpace(tuple(words), options.bucket)
    counts = space.counts(texts)
    texts_with = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log((1 + len(texts)) / (1 + texts_with)) + 1
    lengths = np.asarray(counts.sum(axis=1)).ravel() + options.prior_weight
    frequencies = sparse.diags(1 / lengths) @ counts
    rows = frequencies @ sparse.diags(idf)
    size = _root_mean_square(rows.multiply(rows).sum(axis=1))
    table = _vector_table(words, vectors, idf)
    meanings = frequencies[:, : len(words)] @ table
    centre = meanings.mean(axis=0)
    meaning_size = _root_mean_square(((meanings - centre) ** 2).sum(axis=1)) / options.vector_scale
    return Design(
        space=space,
        rows=(rows / size).tocsr().astype(np.float32),
        scale=idf / size,
        meanings=((meanings - centre) / meaning_size).astype(np.float32),
        vectors=table / meaning_size,
        centre=centre / meaning_size,
    )


def _root_mean_square(squares: Any) -> float:
    return float(np.sqrt(np.asarray(squares).mean())) or 1.0 if np.size(squares) else 1.0


def _vector_table(words: Sequence[bytes], vectors: Vectors | None, idf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors of the words by their inverse document frequency, (words, dim); zero for words without one."""
    if not vectors:
        return np.zeros((len(words), 0))
    table = np.zeros((len(words), len(next(iter(vectors.values())))))
    for row, word in enumerate(words):
        if word in vectors:
            table[row] = vectors[word]
    return table * idf[: len(words), None]


@dataclass(frozen=True)
class Weights:
    """A label's logit of a text of N rows: ``bias`` + sum of ``rows`` / (N + prior weight)."""

    rows: NDArray[np.float64]
    bias: float


def fit_label(
    design: Design, truth: NDArray[np.bool_], collections: Sequence[str], weights: NDArray[np.float64],
    options: LinearOptions, *, with_vectors: bool,
) -> Weights:  # fmt: skip
    """Weights of one label. ``truth`` and ``weights`` have a value for each text."""
    if truth.all() or not truth.any():
        raise ValueError("a label that holds of all texts, or of none, cannot be learned")
    meanings = design.meanings if with_vectors else design.meanings[:, :0]
    effects = options.collection_scale * _indicators(collections)
    contrast = _contrast(design.rows, truth, weights, options.contrast)
    rows = (design.rows @ sparse.diags(contrast)).astype(np.float32)
    features = sparse.hstack([rows, sparse.csr_matrix(meanings), effects]).tocsr()
    model = LogisticRegression(C=options.c, solver="liblinear", tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, truth, sample_weight=weights)
    n = design.rows.shape[1]
    found, meaning = model.coef_[0][:n] * contrast * design.scale, model.coef_[0][n : n + meanings.shape[1]]
    bias = float(model.intercept_[0])
    if with_vectors:
        found[: len(design.space.words)] += design.vectors @ meaning
        bias -= float(design.centre @ meaning)
    return Weights(found, bias)


def _contrast(
    rows: sparse.csr_matrix, truth: NDArray[np.bool_], weights: NDArray[np.float64], power: float
) -> NDArray[np.float64]:
    """A factor for each column that leaves the rows' mean square as it was; counts are of texts, one added."""
    held = sparse.csr_matrix((np.ones_like(rows.data), rows.indices, rows.indptr), shape=rows.shape)
    shares = [(held.T @ part + 1) / (part.sum() + 2) for part in (weights * truth, weights * ~truth)]
    factor = np.abs(np.log(shares[0] / shares[1])) ** power
    squares = rows.multiply(rows)
    after = (squares @ factor**2).sum()
    return factor * np.sqrt(squares.sum() / after) if after else np.ones_like(factor)


def _indicators(names: Sequence[str]) -> sparse.csr_matrix:
    _, column = np.unique(np.asarray(names), return_inverse=True)
    return sparse.csr_matrix((np.ones(len(column), np.float32), (np.arange(len(column)), column)))


def train_linear(
    examples: Sequence[Example],
    options: LinearOptions | None = None,
    *,
    given: Mapping[str, str] | None = None,
    vectors: Vectors | None = None,
    further_words: Sequence[bytes] = (),
    lexicons: Mapping[str, Sequence[bytes]] | None = None,
) -> FastTextModel:
    """A model with a label for each that holds of some example, no other, and a column for each of the ``lexicons``.

    ``given`` names, for a label that implies another, the other one: the first is trained mostly where the second
    holds, and its score is the product of both. ``further_words`` with a vector join the vocabulary though no
    example has them, and words of ``lexicons`` in any case. Same examples, in any order, and same options give the
    same model. Raises `ValueError` where there is nothing to learn.
    """
    options, given = options or LinearOptions(), dict(given or {})
    examples = sorted(examples, key=lambda one: (one.source, one.text))
    words = vocabulary([one.text for one in examples], options, vectors, further_words)
    lexicons = dict(lexicons or {})
    words += sorted({word for its in lexicons.values() for word in its} - set(words))
    design = make_design([one.text for one in examples], words, vectors, options)
    labels = sorted({name for one in examples for name in one.labels})
    collections = [one.collection or one.source for one in examples]
    fitted = []
    for label in labels:
        truth = np.array([label in one.labels for one in examples])
        weights = np.array([one.weight for one in examples])
        if label in given:
            weights = np.where(
                [given[label] in one.labels for one in examples], weights, options.others_weight * weights
            )
        fitted.append(fit_label(design, truth, collections, weights, options, with_vectors=label in given))
    counts = np.array([sum(label in one.labels for one in examples) for label in labels], np.int64)
    given = {label: condition for label, condition in given.items() if label in labels}
    model = _as_model(design.space, labels, counts, fitted, options, given)
    for name, its in lexicons.items():
        model = with_lexicon(model, name, its, dict.fromkeys(given.values(), options.absent))
    return model


def vocabulary(
    texts: Sequence[str], options: LinearOptions, vectors: Vectors | None, further: Sequence[bytes]
) -> list[bytes]:
    """Words of at least ``options.min_count`` texts, then those of ``further`` that have a vector."""
    words = frequent_words(texts, options.min_count)
    known = set(words)
    return words + [word for word in dict.fromkeys(further) if word not in known and word in (vectors or {})]


def _as_model(
    space: FeatureSpace, labels: Sequence[str], counts: NDArray[np.int64], fitted: Sequence[Weights],
    options: LinearOptions, given: Mapping[str, str],
) -> FastTextModel:  # fmt: skip
    """The bias stands in every row and in the prior, so that any mean of them has it once."""
    bias = np.array([one.bias for one in fitted])
    rows = np.stack([one.rows for one in fitted], axis=1) + bias
    names = [f"{LABEL_PREFIX}{label}".encode() for label in labels]
    model = FastTextModel(
        words=list(space.words),
        labels=names,
        label_counts=counts,
        embedding=rows.astype(np.float32),
        output=np.eye(len(labels), dtype=np.float32),
        dim=len(labels),
        word_ngrams=2,
        bucket=space.bucket,
        minn=0,
        maxn=0,
        loss="ova",
    )
    return with_given(with_plain_words(model, options.prior_weight, bias.astype(np.float32)), given)
