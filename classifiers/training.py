"""Trains a fastText classifier from labelled texts, reproducibly, and folds it.

Knows texts, labels and the fasttext package; knows neither where the labels come from nor how people made them.
"""

from __future__ import annotations

import ctypes
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from classifiers.fasttext_file import LABEL_PREFIX, FastTextModel, read_model
from classifiers.fold import fold_model

BACKGROUND = "background"
"""Label of texts with no other: fastText leaves out examples without labels."""
_MALLOC_PERTURB = -6  # M_PERTURB of malloc.h


@dataclass(frozen=True)
class Example:
    """A text with the labels that hold; ``source`` says where it comes from, for splits that keep it together.

    ``collection`` is what it has in common with texts of other sources (all that was written for this project, say);
    the source where it is None. ``weight`` is what it counts for; fastText's own trainer takes no weights.
    """

    text: str
    labels: frozenset[str]
    source: str
    collection: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Hyperparameters:
    """Options of fastText's trainer, one thread always: more give another model at each run.

    ``minn`` and ``maxn``: lengths of subwords, in characters; none at 0."""

    dim: int = 64
    epoch: int = 25
    lr: float = 0.5
    word_ngrams: int = 2
    min_count: int = 2
    bucket: int = 200_000
    loss: str = "ova"
    seed: int = 1
    minn: int = 0
    maxn: int = 0


Trainer = Callable[[Sequence[Example]], FastTextModel]
"""Examples in, a folded model out."""


def train_fasttext(examples: Sequence[Example], chosen: Hyperparameters | None = None) -> FastTextModel:
    """Train with the fasttext package and fold: one dimension for each label.

    Same examples in any order and same options give the same model. Raises `OSError` without the ``train`` extra,
    `ValueError` if the numbers ran away.
    """
    chosen = chosen or Hyperparameters()
    try:
        import fasttext
    except ImportError as error:
        raise OSError("training needs the fasttext package: pip install 'tropescan[train]'") from error
    fasttext.FastText.eprint = lambda *_: None
    with tempfile.TemporaryDirectory() as folder:
        lines, raw = Path(folder) / "examples.txt", Path(folder) / "raw.bin"
        lines.write_text("".join(_lines(examples, chosen.seed)), "utf-8", "replace")
        options = {k: v for k, v in asdict(chosen).items() if k not in ("word_ngrams", "min_count")}
        options |= {"wordNgrams": chosen.word_ngrams, "minCount": chosen.min_count, "thread": 1, "verbose": 0}
        try:
            with zeroed_memory():
                fasttext.train_supervised(str(lines), **options).save_model(str(raw))
        except RuntimeError as error:  # fastText's "Encountered NaN."
            raise ValueError(f"fastText gave up ({error}); use a lower --lr or fewer --epochs") from error
        return fold_model(read_model(raw))


def scaled(model: FastTextModel, scales: Mapping[str, float]) -> FastTextModel:
    """A folded model with the logits of each label multiplied by its factor (see `fit_scale`), its prior's too."""
    factors = np.array([scales.get(name, 1.0) for name in model.label_names], np.float32)
    return replace(model, embedding=model.embedding * factors)


def fit_scale(logits: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The factor that makes unseen logits calibrated: least log loss (Guo et al. 2017, section 4.2).

    A model trained to the end is far too sure of itself; scaling keeps the order of documents.
    """
    if not truth.any() or truth.all():
        return 1.0
    signed = np.where(truth, logits, -logits)
    best = minimize_scalar(lambda a: np.logaddexp(0, -np.exp(a) * signed).mean(), bounds=(-5, 3), method="bounded")
    return float(np.exp(best.x))


@contextmanager
def zeroed_memory() -> Iterator[None]:
    """Have the C library zero every block of memory that it hands out.

    With one thread fastText 0.9.2 initialises only the first tenth of the input matrix (`DenseMatrix::uniform`)
    and leaves in the rest what the memory held: models then differ from run to run, or fail with NaN.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        yield
        return
    set_option(_MALLOC_PERTURB, 255)  # new memory is filled with the complement of this byte
    try:
        yield
    finally:
        set_option(_MALLOC_PERTURB, 0)


def _lines(examples: Iterable[Example], seed: int) -> list[str]:
    """fastText's training lines, in an order that depends on their content alone."""
    lines = sorted(_line(example) for example in examples)
    random.Random(seed).shuffle(lines)
    return lines


def _line(example: Example) -> str:
    names = sorted(example.labels) or [BACKGROUND]
    words = [word for word in example.text.split() if not word.startswith(LABEL_PREFIX)]
    return " ".join([*(LABEL_PREFIX + name for name in names), *words]) + "\n"


def folds_by_source(sources: Sequence[str], n_folds: int) -> NDArray[np.int64]:
    """A fold number for each example; a source lies in one fold, and folds are about equally large."""
    names, counts = np.unique(np.asarray(sources), return_counts=True)
    order = sorted(range(len(names)), key=lambda k: (-counts[k], names[k]))
    sizes, fold_of = np.zeros(n_folds), {}
    for k in order:
        smallest = int(np.argmin(sizes))
        fold_of[names[k]] = smallest
        sizes[smallest] += counts[k]
    return np.array([fold_of[source] for source in sources])
