"""Trains a second stage: the lowest layers of a sentence encoder, the topmost of them fitted to labels.

Knows texts, labels and PyTorch; knows neither label records nor how passages are chosen. The lower layers stay as they
are, so each passage goes through them once; an epoch then costs a fraction of one through the whole encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.transformer import Array, pooled

NEEDS = "training a second stage needs PyTorch and transformers: pip install 'tropescan[encoder]'"
AT_ONCE = 32
HEADS_FASTER = 5.0
"""Times the rate of the layers, since heads start from nothing."""
WARM_UP, LAST_RATE = 0.06, 0.02
SMOOTHING = 0.02
"""Of labels, a few of which are wrong (Szegedy et al. 2016, section 7)."""


@dataclass(frozen=True)
class RescorerOptions:
    """``layers`` of the encoder are kept, the topmost ``trained`` of them are fitted; ``batch`` is in documents.

    ``half`` multiplies matrices of fitted layers in bfloat16 while training (Kalamkar et al. 2019), which is more than
    twice as fast where the processor has instructions for it, and slower where it has not."""

    layers: int = 6
    trained: int = 3
    epochs: int = 3
    rate: float = 1e-4
    batch: int = 16
    decay: float = 0.01
    dropout: float = 0.1
    half: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Task:
    """What to learn: word pieces of each document's passages, ``truth`` bool (documents, labels), what each document
    weighs, (documents,), and what each label's loss does, (labels,)."""

    passages: Sequence[Sequence[Sequence[int]]]
    truth: NDArray[np.bool_]
    weights: NDArray[np.float64]
    label_weights: NDArray[np.float64]


class Fitted:
    """An encoder's lowest layers with heads, in PyTorch: scores passages, and gives its weights away."""

    def __init__(self, encoder: str | Path, n_labels: int, options: RescorerOptions) -> None:
        self.torch, loaded = _open(encoder)
        self.torch.manual_seed(options.seed)
        kept = loaded.encoder.layer
        if not 0 < options.trained <= options.layers <= len(kept):
            raise ValueError(f"the encoder has {len(kept)} layers; keep at most these, and train one to all of them")
        self.options, self.embeddings = options, loaded.embeddings
        self.frozen = kept[: options.layers - options.trained]
        self.layers = kept[options.layers - options.trained : options.layers]
        self.heads = self.torch.nn.Linear(loaded.config.hidden_size, n_labels)
        self.torch.nn.init.normal_(self.heads.weight, std=0.02)
        self.attention_heads = int(loaded.config.num_attention_heads)
        self.frozen.eval()

    def states(self, passages: Sequence[Sequence[int]], said: Callable[[int], None]) -> list[NDArray[np.float16]]:
        """What the layers that stay make of each passage, float16 (pieces, dim); ``said`` hears how many are done."""
        found: dict[int, NDArray[np.float16]] = {}
        order = sorted(range(len(passages)), key=lambda k: len(passages[k]))  # little padding
        with self.torch.inference_mode():
            for start in range(0, len(order), AT_ONCE):
                rows = order[start : start + AT_ONCE]
                ids, mask = _padded([np.asarray(passages[k], np.int64)[:, None] for k in rows])
                states = self._run(self.frozen, self.embeddings(self.torch.from_numpy(ids[:, :, 0])), mask)
                for k, values in zip(rows, states.numpy(), strict=True):
                    found[k] = values[: len(passages[k])].astype(np.float16)
                said(len(rows))
        return [found[k] for k in range(len(passages))]

    def logits(self, states: Sequence[NDArray[np.float16]], drop: float = 0.0) -> Any:
        """Of passages, a tensor (passages, labels), for training or not."""
        values, mask = _padded([one.astype(np.float32) for one in states])
        found = self._run(self.layers, self.torch.from_numpy(values), mask)
        seen = self.torch.from_numpy(mask)[:, :, None]
        means = (found * seen).sum(1) / seen.sum(1)
        return self.heads(self.torch.nn.functional.dropout(means, drop, training=drop > 0))

    def document_logits(self, documents: Sequence[Sequence[Sequence[int]]]) -> Array:
        """Of documents as word pieces of their passages, float32 (documents, labels), without dropout."""
        states = iter(self.states([one for its in documents for one in its], lambda n: None))
        with self.torch.inference_mode():
            return np.stack([pooled(self.logits([next(states) for _ in its]).numpy()) for its in documents])

    def _run(self, layers: Any, states: Any, mask: Array) -> Any:
        unseen = (1 - self.torch.from_numpy(mask))[:, None, None, :] * -1e9
        for layer in layers:
            found = layer(states, unseen)
            states = found[0] if isinstance(found, tuple) else found
        return states

    def weights(self, pieces: int) -> dict[str, Array]:
        """All weights under the names of `classifiers.transformer`, for passages of at most so many pieces."""
        found = self.embeddings
        segment = found.token_type_embeddings.weight[0]
        named = {
            "words": found.word_embeddings.weight,
            "positions": found.position_embeddings.weight[:pieces] + segment,
            "norm": self.torch.stack([found.LayerNorm.weight, found.LayerNorm.bias]),
            "heads": self.heads.weight.T,
            "heads_bias": self.heads.bias,
        }
        for k, layer in enumerate([*self.frozen, *self.layers]):
            named |= {f"layer.{k}.{name}": tensor for name, tensor in self._of_layer(layer).items()}
        return {name: tensor.detach().numpy().copy() for name, tensor in named.items()}

    def _of_layer(self, layer: Any) -> dict[str, Any]:
        inner, mixing = layer.attention.self, layer.attention.output
        projections = (inner.query, inner.key, inner.value)
        return {
            "attention": self.torch.cat([one.weight for one in projections]).T,
            "attention_bias": self.torch.cat([one.bias for one in projections]),
            "mixing": mixing.dense.weight.T,
            "mixing_bias": mixing.dense.bias,
            "mixing_norm": self.torch.stack([mixing.LayerNorm.weight, mixing.LayerNorm.bias]),
            "widening": layer.intermediate.dense.weight.T,
            "widening_bias": layer.intermediate.dense.bias,
            "narrowing": layer.output.dense.weight.T,
            "narrowing_bias": layer.output.dense.bias,
            "narrowing_norm": self.torch.stack([layer.output.LayerNorm.weight, layer.output.LayerNorm.bias]),
        }


def _open(encoder: str | Path) -> tuple[Any, Any]:
    try:
        import torch
        from transformers import AutoModel
    except ImportError as error:
        raise OSError(f"{NEEDS} ({error})") from error
    torch.set_num_threads(1)  # sums over several threads depend on their number
    loaded = AutoModel.from_pretrained(str(encoder), local_files_only=True, attn_implementation="eager")
    if loaded.config.model_type != "bert" or loaded.config.hidden_act != "gelu":
        raise OSError(f"{encoder}: a {loaded.config.model_type} model; a second stage takes BERT encoders with GELU")
    return torch, loaded


def _padded(rows: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], Array]:
    """Arrays (pieces, dim) as one (rows, most pieces, dim), with a mask (rows, most pieces) of 1 where there is one."""
    longest = max(len(row) for row in rows)
    values = np.zeros((len(rows), longest, rows[0].shape[1]), rows[0].dtype)
    mask = np.zeros((len(rows), longest), np.float32)
    for k, row in enumerate(rows):
        values[k, : len(row)], mask[k, : len(row)] = row, 1
    return values, mask


def fit_rescorer(
    encoder: str | Path, task: Task, options: RescorerOptions, said: Callable[[str, int, int], None] = lambda *_: None
) -> Fitted:
    """The encoder fitted to the task; ``said`` hears what is being done, how far it is and of how much.

    A document's logit is `classifiers.transformer.pooled` over its passages; the loss is cross-entropy, label by label.
    Same task and options give the same weights on the same machine. Raises `OSError` without the ``encoder`` extra.
    """
    model = Fitted(encoder, task.truth.shape[1], options)
    owners = np.repeat(np.arange(len(task.passages)), [len(its) for its in task.passages])
    flat = [passage for its in task.passages for passage in its]
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        said("passages through the lower layers", done, len(flat))

    states = model.states(flat, count)
    rows = [np.flatnonzero(owners == k) for k in range(len(task.passages))]
    steps = list(_batches([sum(len(states[j]) for j in its) for its in rows], options))
    optimizer = model.torch.optim.AdamW(
        [{"params": model.layers.parameters()}, {"params": model.heads.parameters()}], weight_decay=options.decay
    )
    for step, documents in enumerate(steps):
        rate = options.rate * min(1, (step + 1) / (WARM_UP * len(steps))) * max(LAST_RATE, 1 - step / len(steps))
        for group, times in zip(optimizer.param_groups, (1.0, HEADS_FASTER), strict=True):
            group["lr"] = rate * times
        loss = _loss(model, task, documents, [[states[j] for j in rows[k]] for k in documents])
        optimizer.zero_grad()
        loss.backward()
        model.torch.nn.utils.clip_grad_norm_([*model.layers.parameters(), *model.heads.parameters()], 1.0)
        optimizer.step()
        said("batches", step + 1, len(steps))
    model.layers.eval()
    return model


def _batches(sizes: Sequence[int], options: RescorerOptions) -> Iterator[list[int]]:
    """Documents of every epoch in random batches of about equal length, so that little is padded."""
    random = np.random.default_rng(options.seed)
    for _ in range(options.epochs):
        order = random.permutation(len(sizes))
        found = []
        for start in range(0, len(order), 12 * options.batch):
            part = sorted(order[start : start + 12 * options.batch].tolist(), key=lambda k: sizes[k])
            found += [part[k : k + options.batch] for k in range(0, len(part), options.batch)]
        yield from (found[k] for k in random.permutation(len(found)))


def _loss(model: Fitted, task: Task, documents: Sequence[int], states: Sequence[Sequence[NDArray[np.float16]]]) -> Any:
    torch = model.torch
    model.layers.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=model.options.half):
        logits = model.logits([one for its in states for one in its], model.options.dropout).float()
    parts = torch.split(logits, [len(its) for its in states])
    whole = torch.stack([torch.logsumexp(part, 0) - float(np.log(len(part))) for part in parts])
    truth = torch.from_numpy(task.truth[documents].astype(np.float32)) * (1 - SMOOTHING) + SMOOTHING / 2
    losses = torch.nn.functional.binary_cross_entropy_with_logits(whole, truth, reduction="none")
    weights = torch.from_numpy(np.outer(task.weights[documents], task.label_weights).astype(np.float32))
    return (losses * weights).sum() / weights.sum()
