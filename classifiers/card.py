"""The model card: what a model is, what it was trained on, how good it is, and at which threshold it flags.

Stands beside the model as JSON (``model.json`` for ``model.bin``) and, for people, as Markdown.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from classifiers.calibration import Calibration
from pipeline.compiled.cache import cache_folder
from pipeline.schema import OTHER_LANGUAGE

DEFAULT_THRESHOLD = 0.5


class ModelCardError(ValueError):
    """The card beside a model cannot be used; the message says why."""


@dataclass(frozen=True)
class ModelCard:
    """``target`` is the label that flags, at ``threshold``; ``span_thresholds`` say which labels give evidence, and
    ``thresholds`` are others of the target, named by their purpose.

    ``digest`` is the SHA-256 of the model file. ``language`` is the one it was trained on, a BCP 47 primary subtag,
    "" if it claims none. ``calibration`` has, by label, the numbers of a
    `classifiers.calibration.Calibration`, for whoever makes figures of scores; the kernel does not apply it.
    ``operating_points`` say what each threshold does. They, ``data``, ``hyperparameters``, ``metrics``, ``baselines``
    and ``audit`` are for people.
    """

    name: str
    digest: str
    labels: tuple[str, ...]
    target: str
    threshold: float
    span_thresholds: dict[str, float]
    thresholds: dict[str, float] = field(default_factory=dict)
    codebook_version: str = ""
    language: str = "en"
    data: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, dict[str, float]] = field(default_factory=dict)
    operating_points: dict[str, Any] = field(default_factory=dict)
    baselines: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """What goes into the metadata of tags."""
        keys = (
            "name",
            "digest",
            "labels",
            "target",
            "threshold",
            "span_thresholds",
            "thresholds",
            "codebook_version",
            "language",
            "metrics",
            "calibration",
            "limits",
        )
        return {key: value for key, value in json.loads(json.dumps(asdict(self))).items() if key in keys}

    def calibration_of(self, label: str) -> Calibration | None:
        """The map from scores to probabilities of a label, if there is one."""
        return Calibration(**self.calibration[label]) if label in self.calibration else None


def default_model() -> Path:
    """The model that ships with tropescan; where our code is a zip, a copy with its card in the cache folder."""
    found = resources.files("classifiers.models") / "tropescan-v1.bin"
    return found if isinstance(found, Path) else _unpacked(found.name)


def _unpacked(name: str) -> Path:
    parts = {suffix: resources.files("classifiers.models") / f"{name[:-4]}{suffix}" for suffix in (".json", ".bin")}
    contents = {suffix: part.read_bytes() for suffix, part in parts.items()}
    folder = cache_folder() / "shipped" / hashlib.sha256(b"".join(contents.values())).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in contents.items():
        target = folder / f"{name[:-4]}{suffix}"
        if not target.exists():
            unfinished = target.with_name(f".{target.name}-{uuid.uuid4().hex[:12]}")
            unfinished.write_bytes(content)
            os.replace(unfinished, target)
    return folder / name


def card_path(model: str | Path) -> Path:
    """Where the card of a model file stands."""
    return Path(model).with_suffix(".json")


def card_of(model: str | Path, digest: str, labels: tuple[str, ...], target: str | None = None) -> ModelCard:
    """The card beside the model, or a plain one for a model without: first label (or ``adverse``) at 0.5.

    Raises `ModelCardError` for a card of another model, or a ``target`` that is no label of this one.
    """
    path = card_path(model)
    card = read_card(path) if path.exists() else None
    if card is not None and (card.digest != digest or card.labels != labels):
        raise ModelCardError(f"{path}: the card of another model than {model}; move it away or train again")
    if card is None:
        first = "adverse" if "adverse" in labels else labels[0]
        spans = dict.fromkeys(labels, DEFAULT_THRESHOLD)
        card = ModelCard(Path(model).name, digest, labels, first, DEFAULT_THRESHOLD, spans, language="")
    if target is not None and target not in labels:
        raise ModelCardError(f"{model} has no label {target!r}; it has {', '.join(labels)}")
    if target is not None and target != card.target:
        return ModelCard(**{**asdict(card), "labels": labels, "target": target, "threshold": DEFAULT_THRESHOLD})
    return card


def read_card(path: Path) -> ModelCard:
    """Read a card; raises `ModelCardError` naming the file if it is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        content["labels"], content["limits"] = tuple(content["labels"]), tuple(content.get("limits", ()))
        return ModelCard(**content)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelCardError(f"{path}: not a model card ({error}); move it away or train again") from error


def write_card(card: ModelCard, model: str | Path) -> None:
    """Write the card as JSON and as Markdown beside the model."""
    card_path(model).write_text(json.dumps(asdict(card), indent=1) + "\n", "utf-8")
    _markdown_path(model).write_text(to_markdown(card), "utf-8")


def _markdown_path(model: str | Path) -> Path:
    return Path(model).with_suffix(".md")


def check_card_place(model: str | Path) -> None:
    """Raises `ModelCardError` if a card written beside ``model`` would take the place of anything but a card."""
    if card_path(model).exists():
        read_card(card_path(model))
    elif _markdown_path(model).exists():
        raise ModelCardError(
            f"{_markdown_path(model)}: there is no model card in JSON beside it, so it is no card's text and would be "
            "lost; move it away or name another model file"
        )


def to_markdown(card: ModelCard) -> str:
    """The card for people."""
    language = f"; text of other languages is tagged `{OTHER_LANGUAGE}` and stays out of all figures"
    lines = [
        f"# {card.name}",
        "",
        f"SHA-256 `{card.digest}`, codebook {card.codebook_version or 'not given'}.",
        f"Labels: {', '.join(f'`{label}`' for label in card.labels)}.",
        f"It flags `{card.target}` from {card.threshold:.4g}.",
        f"Language: {f'`{card.language}`{language}' if card.language else 'not given'}.",
    ]
    sections = {
        "Data": card.data,
        "Hyperparameters": card.hyperparameters,
        "Metrics": card.metrics,
        "Baselines": card.baselines,
        "Thresholds": card.operating_points,
        "Calibration": card.calibration,
        "Shortcut audit": card.audit,
    }
    for title, part in sections.items():
        if part:
            lines += ["", f"## {title}", "", *_table(part)]
    if card.limits:
        lines += ["", "## What is weak", "", *(f"- {limit}" for limit in card.limits)]
    return "\n".join(lines) + "\n"


def _table(part: dict[str, Any]) -> list[str]:
    rows = [f"| {key} | {_cell(value)} |" for key, value in part.items()]
    return ["| what | value |", "| --- | --- |", *rows]


def _cell(value: Any) -> str:
    if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
        return f"{value['value']:.3f} (95 %: {value['low']:.3f} to {value['high']:.3f})"
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
