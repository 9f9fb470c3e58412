"""Labels that are probably wrong: confident learning over what a model that has not seen the text says of it.

Northcutt, Jiang and Chuang 2021, by the cleanlab package. Knows texts and labels; knows no store, and not tropescan's
own models: a plain logistic regression, fitted without the text's source, gives the opinion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

FOLDS = 5
LEAST = 10
"""Texts that must hold the label, and that must not; fewer teach a model nothing."""


def unseen_probabilities(
    texts: Sequence[str], truth: NDArray[np.bool_], sources: Sequence[str], folds: int = FOLDS
) -> NDArray[np.float64]:
    """The label's probability for each text, float64, by models that saw nothing of its source.

    Raises `ValueError` if there are too few texts or sources to learn from.
    """
    if min(truth.sum(), (~truth).sum()) < LEAST or len(set(sources)) < folds:
        raise ValueError(
            f"{int(truth.sum())} texts hold the label and {int((~truth).sum())} do not, of {len(set(sources))} "
            f"sources; doubt needs {LEAST} of each and {folds} sources"
        )
    features = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, max_features=200_000)
    model = make_pipeline(features, LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000))
    cross = GroupKFold(folds, shuffle=True, random_state=0)
    found = cross_val_predict(model, list(texts), truth, groups=list(sources), cv=cross, method="predict_proba")
    return np.asarray(found[:, 1], np.float64)


def doubtful(truth: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> list[int]:
    """Indices of labels that are probably wrong, the most doubtful first."""
    both = np.stack([1 - probabilities, probabilities], axis=1)
    ranked = find_label_issues(
        truth.astype(int), both, return_indices_ranked_by="self_confidence", filter_by="prune_by_class", n_jobs=1
    )
    return [int(k) for k in ranked]
