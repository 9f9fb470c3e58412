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


def fold_model(model: FastTextModel) -> FastTextModel:
    """The same classifier with one dimension for each label.

    Raises `ModelFileError` for a pruned model: a dense file cannot leave buckets out.
    """
    if model.pruned is not None:
        raise ModelFileError("a pruned model cannot be folded: its file would have to keep every bucket; fold the .bin")
    weights = np.asarray(model.output, np.float64).T
    folded = (np.asarray(model.embedding, np.float64) @ weights).astype(np.float32)
    n_labels = len(model.labels)
    return replace(model, embedding=folded, output=np.eye(n_labels, dtype=np.float32), dim=n_labels, quantized=False)


def fold_file(source: str | Path, target: str | Path) -> None:
    """Fold ``source`` into ``target``, which appears only when it is whole."""
    target = Path(target)
    unfinished = target.with_name(f".unfinished-{target.name}-{os.getpid()}")
    try:
        write_model(fold_model(read_model(source)), unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
