"""The kernel gives fastText's own probabilities, on every kind of model and on texts of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from odd_texts import as_batch, huge_text, odd_texts
from small_models import MODELS, language_model, model_file, trainer

from classifiers.score import FastTextScorer
from pipeline.schema import NO_WORDS, label_columns
from pipeline.words import count_words

LONG = 100_000
TOLERANCE, LONG_TOLERANCE = 1e-5, 1e-4
OVA_TOLERANCE, OVA_TOLERANCE_999 = 1e-3, 1e-6
MOST_FLIPS = 5e-5
"""fastText's sigmoid for ova and ns is a table of steps of 1/32 in the logit: one at the edge of two steps, to the
last bits of fastText's float32 sums, may fall on either side, which moves the probability by up to 7.8e-3 where the
sigmoid is steep. So that few may lie beyond the tolerance, by one step of the table."""
FLOOR = 1e-5
"""fastText leaves out labels of hierarchical softmax that are less probable."""


def predicted(path: Path, texts: list[bytes]) -> NDArray[np.float64]:
    """fastText's probabilities (texts, labels), NaN where it gives none; a newline is a space to us."""
    model = trainer().load_model(str(path))
    names = {name: k for k, name in enumerate(model.get_labels(on_unicode_error="replace"))}
    out = np.full((len(texts), len(names)), np.nan)
    for row, text in enumerate(texts):
        for probability, name in model.f.predict(text.replace(b"\n", b" ") + b"\n", -1, 0.0, "replace"):
            out[row, names[name]] = probability
    return out


def scored(path: Path, texts: list[bytes]) -> tuple[NDArray[np.float64], list[str], list[int]]:
    """Our probabilities (texts, labels), NaN where there is none, statuses, and numbers of words."""
    scorer = FastTextScorer.open(path)
    got = scorer(as_batch(texts))
    columns = [got.column(name).to_numpy(zero_copy_only=False) for name in label_columns(scorer.labels)]
    return (
        np.stack(columns, axis=1).astype(np.float64),
        got.column("status").to_pylist(),
        got.column("words").to_pylist(),
    )


def assert_parity(path: Path, texts: list[bytes], loss: str, theirs: NDArray[np.float64] | None = None) -> None:
    """The bounds, and the same top label wherever the margin exceeds them; ``theirs`` if not of the texts as given."""
    theirs = predicted(path, texts) if theirs is None else theirs
    ours, statuses, _ = scored(path, texts)
    nothing = np.isnan(theirs).all(axis=1)
    assert [status == NO_WORDS for status in statuses] == nothing.tolist()
    assert np.isnan(ours[nothing]).all() and not np.isnan(ours[~nothing]).any()
    ours, theirs = ours[~nothing], theirs[~nothing]
    long = np.array([len(text.decode("utf-8", "replace")) > LONG for text in texts])[~nothing]
    assert loss == "hs" or not np.isnan(theirs).any()
    assert (ours[np.isnan(theirs)] <= 1.1 * FLOOR).all()
    differences = np.nan_to_num(np.abs(ours - theirs))
    print(_figures(differences[~long], differences[long]))  # `pytest -rP` shows it
    if loss in ("ova", "ns"):
        bound = np.full(len(ours), OVA_TOLERANCE)
        assert np.quantile(differences[~long], 0.999) <= OVA_TOLERANCE_999
        assert (differences[~long] > OVA_TOLERANCE).mean() <= MOST_FLIPS
        assert_only_flips(ours, theirs, differences > OVA_TOLERANCE)
    else:
        bound = np.where(long, LONG_TOLERANCE, TOLERANCE)
        beyond = differences.max(axis=1) > bound
        assert not beyond.any(), f"{differences[beyond].max():.2g} at {texts[int(beyond.argmax())][:99]!r}"
    ordered = np.sort(np.nan_to_num(theirs), axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > bound
    assert (ours.argmax(axis=1) == np.nan_to_num(theirs).argmax(axis=1))[clear].all()
    assert clear.mean() > 0.5 and ordered[:, -1].std() > 0.05  # the test would be blind otherwise


def _figures(*differences: NDArray[np.float64]) -> str:
    return "; ".join(
        f"{each.size} probabilities of {len(each)} {what} texts: {(each > OVA_TOLERANCE).sum()} differ by more than "
        f"{OVA_TOLERANCE}, at most {each.max():.2g}, 99.9th percentile {np.quantile(each, 0.999):.2g}"
        for what, each in zip(("short", "long"), differences, strict=True)
        if len(each)
    )


def assert_only_flips(ours: NDArray[np.float64], theirs: NDArray[np.float64], beyond: NDArray[np.bool_]) -> None:
    """The pairs in ``beyond`` are neighbours in fastText's table of the sigmoid."""
    table = 1 / (1 + np.exp(-np.linspace(-8, 8, 513))) + 1e-5
    steps = [np.abs(table - value[beyond][:, None]).argmin(axis=1) for value in (ours, theirs)]
    assert (np.abs(steps[0] - steps[1]) == 1).all()


def test_there_are_texts_enough() -> None:
    texts = odd_texts()
    assert len(texts) >= 5000 and len(set(texts)) > 4900
    assert max(map(len, texts)) > LONG and b"" in texts


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_are_those_of_fasttext(name: str) -> None:
    assert_parity(model_file(name), odd_texts(), MODELS[name].loss)


def test_a_model_that_others_trained() -> None:
    texts = odd_texts()[:3000] + odd_texts()[-1000:]
    assert_parity(language_model(), texts, "hs")


@pytest.mark.parametrize("name", ["softmax bigrams", "ova bigrams", "hs bigrams", "quantized softmax"])
def test_ten_megabytes(name: str) -> None:
    path, text = model_file(name), huge_text()
    assert len(text) > 10_000_000
    theirs, (ours, _, _) = predicted(path, [text]), scored(path, [text])
    assert np.abs(ours - theirs).max() <= (OVA_TOLERANCE if MODELS[name].loss == "ova" else LONG_TOLERANCE)


def test_words_are_what_stands_between_separators() -> None:
    _, _, words = scored(model_file("softmax bigrams"), odd_texts())
    assert words == [count_words(text.decode("utf-8", "replace")) for text in odd_texts()]


def test_the_oracle_is_asked_rightly() -> None:
    """fastText's public function gives what its inner one gives, which takes bytes and is faster."""
    path = model_file("softmax bigrams")
    model: Any = trainer().load_model(str(path))
    labels, probabilities = (column[0] for column in model.predict(["the lamp"], k=-1))  # of one text, not with numpy 2
    inner = predicted(path, [b"the lamp"])[0]
    order = [model.get_labels().index(label) for label in labels]
    assert np.allclose(inner[order], probabilities)
