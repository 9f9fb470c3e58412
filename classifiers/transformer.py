"""A small BERT encoder in NumPy: word pieces in, a vector for each of a passage's heads out; no deep-learning library.

Knows arrays; knows neither files nor texts. Each passage is computed by itself, without padding and in 32 bits, so that
its logits do not depend on what else is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
EPSILON = 1e-12
"""Of layer normalisation, as BERT's checkpoints have it."""
_ERFC = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


@dataclass(frozen=True)
class Layer:
    """Weights of one layer (Vaswani et al. 2017, section 3.1; Devlin et al. 2019), matrices (in, out), of width d:
    ``attention`` (d, 3 d) of queries, keys and values side by side, ``mixing`` (d, d), ``widening`` (d, m) and
    ``narrowing`` (m, d); each with its bias; both norms (2, d), scale and shift."""

    attention: Array
    attention_bias: Array
    mixing: Array
    mixing_bias: Array
    mixing_norm: Array
    widening: Array
    widening_bias: Array
    narrowing: Array
    narrowing_bias: Array
    narrowing_norm: Array


@dataclass(frozen=True)
class Transformer:
    """``words`` (pieces, d) and ``positions`` (most, d), in which the only kind of segment is added in, their ``norm``,
    the ``layers``, and a linear layer of ``heads`` (d, labels) with its bias on the mean of all pieces."""

    attention_heads: int
    words: Array
    positions: Array
    norm: Array
    layers: Sequence[Layer]
    heads: Array
    heads_bias: Array

    def logits(self, pieces: Sequence[int]) -> Array:
        """Logits of one passage, float32 (labels,); of its first pieces where there are more than positions."""
        kept = np.asarray(pieces[: len(self.positions)], np.int64)
        states = _normalised(self.words[kept] + self.positions[: len(kept)], self.norm)
        for layer in self.layers:
            states = _apply(layer, states, self.attention_heads)
        return np.asarray(states.mean(axis=0) @ self.heads + self.heads_bias, np.float32)


def _apply(layer: Layer, states: Array, heads: int) -> Array:
    attended = _attend(_linear(states, layer.attention, layer.attention_bias), heads)
    mixed = _linear(attended, layer.mixing, layer.mixing_bias)
    mixed += states
    states = _normalised(mixed, layer.mixing_norm)
    wide = _linear(states, layer.widening, layer.widening_bias)
    gelu(wide)
    narrow = _linear(wide, layer.narrowing, layer.narrowing_bias)
    narrow += states
    return _normalised(narrow, layer.narrowing_norm)


def _linear(states: Array, weights: Array, bias: Array) -> Array:
    found = states @ weights
    found += bias
    return found


def gelu(x: Array) -> None:
    """Put in place of ``x`` its product with the normal distribution function of it (Hendrycks and Gimpel 2016), right
    to about 1e-6.

    The error function is the rational approximation 7.1.26 of Abramowitz and Stegun (1964): in arrays of 32 bits it
    takes a fifth of the time that SciPy's takes.
    """
    size = np.abs(x)
    t = size * np.float32(0.3275911 * 0.5**0.5)
    t += 1
    np.divide(1, t, out=t)
    tail = t * np.float32(0.5 * _ERFC[0])
    for coefficient in _ERFC[1:]:
        tail += np.float32(0.5 * coefficient)
        tail *= t
    tail *= size
    size *= size
    size *= np.float32(-0.5)
    tail *= np.exp(size, out=size)  # x, without its sign, times what the normal distribution has beyond it
    np.maximum(x, 0, out=x)
    x -= tail


def _attend(projected: Array, heads: int) -> Array:
    """Scaled dot-product attention, (pieces, 3 d) to (pieces, d)."""
    n, width = len(projected), projected.shape[1] // 3
    queries, keys, values = projected.reshape(n, 3, heads, width // heads).transpose(1, 2, 0, 3)
    scores = queries @ keys.transpose(0, 2, 1)
    scores *= np.float32((width / heads) ** -0.5)
    scores -= scores.max(axis=2, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=2, keepdims=True)
    return np.asarray((scores @ values).transpose(1, 0, 2).reshape(n, width), np.float32)


def _normalised(states: Array, norm: Array) -> Array:
    centred: Array = states - states.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(EPSILON))
    centred /= deviation
    centred *= norm[0]
    centred += norm[1]
    return centred


def pooled(logits: Array) -> Array:
    """Of the logits of a document's passages, (passages, labels), the document's: the log of the mean of exponentials.

    It lies between mean and maximum, and every passage gets a gradient (Pinheiro and Collobert 2015, section 3.2, for
    images of which only a label of the whole is known).
    """
    top = logits.max(axis=0)
    return np.asarray(top + np.log(np.exp(logits - top).mean(axis=0)), np.float32)


def layers_of(weights: Mapping[str, Array], n: int) -> list[Layer]:
    """The ``n`` layers whose fields stand under ``layer.K.FIELD``."""
    fields = Layer.__dataclass_fields__
    return [Layer(**{name: weights[f"layer.{k}.{name}"] for name in fields}) for k in range(n)]
