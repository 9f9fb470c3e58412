"""Folds a model: embedding and output matrix become one matrix, written as a stock fastText file.

A supervised fastText model is linear up to its loss, so ``E @ W.T`` with the identity as output matrix gives the
same probabilities from a fraction of the size.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from classifiers.fasttext_file import FastTextModel, ModelFileError, read_model, write_model

_ROWS_AT_ONCE = 1 << 16


def fold_model(model: FastTextModel) -> FastTextModel:
    """The same classifier with one dimension for each label.

    Raises `ModelFileError` for a pruned model: a dense file cannot leave buckets out, and a row of zeros in their
    place would still count in the mean.
    """
    if model.pruned is not None:
        raise ModelFileError(
            "a pruned model (quantized with -cutoff) cannot be folded, since a fastText file that is not quantized "
            "has a row for every bucket; fold the .bin that it was made from"
        )
    n_labels = len(model.labels)
    weights = np.asarray(model.output, np.float64).T
    folded = np.empty((len(model.embedding), n_labels), np.float32)
    for start in range(0, len(folded), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        folded[rows] = np.asarray(model.embedding[rows], np.float64) @ weights
    return replace(model, embedding=folded, output=np.eye(n_labels, dtype=np.float32), dim=n_labels, quantized=False)


def fold_file(source: str | Path, target: str | Path) -> None:
    """Fold ``source`` into ``target``, which appears only when it is whole.

    Raises `ModelFileError` for a file that is no model or a pruned one, `OSError` where it cannot be written.
    """
    source, target = Path(source), Path(target)
    model = read_model(source)
    try:
        folded = fold_model(model)
    except ModelFileError as error:
        raise ModelFileError(f"{source}: {error}") from error
    unfinished = target.with_name(f".unfinished-{target.name}-{os.getpid()}")
    try:
        write_model(folded, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
