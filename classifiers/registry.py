"""The registry: a folder (local, or an fsspec URL) of promoted models with their lineage; nothing in it is replaced.

``models/DIGEST.bin`` with its card; ``promotions/NUMBER.json`` says who promoted what, why, from which parent, on what
figures. The latest promotion is the one with the highest number. Knows cards and files; knows no labels.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs

from classifiers.card import ModelCard, card_path, read_card
from pipeline.compiled.cache import cache_folder

LATEST = "latest"
_LEAST_DIGITS = 8


class RegistryError(ValueError):
    """The registry lacks what is asked for, or will not replace what it has; the message says what to do."""


@dataclass(frozen=True)
class Promotion:
    """One promotion. ``parent`` is the digest of the model that was the latest before, None for the first.

    ``figures`` are those it was promoted on, ``data`` what it was trained on, as its card says.
    """

    number: int
    digest: str
    parent: str | None
    by: str
    why: str
    at: str
    figures: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


def promotions(registry: str) -> list[Promotion]:
    """All promotions, the oldest first; none for a new folder. Raises `RegistryError` for a file that is none."""
    fs, root = _open(registry)
    found = []
    for path in sorted(fs.glob(f"{root}/promotions/*.json")):
        try:
            found.append(Promotion(**json.loads(fs.cat_file(path))))
        except (ValueError, TypeError) as error:
            raise RegistryError(f"{path}: not a promotion ({error}); put back the file from a copy") from error
    return found


def promote(registry: str, model: str | Path, *, by: str, why: str, figures: dict[str, Any] | None = None) -> Promotion:
    """Copy a model with its card into the registry and make it the latest.

    ``figures`` are those of a comparison; without them the card's. Raises `RegistryError` if it is the latest already,
    has no card, or another was promoted at the same moment.
    """
    content, card = Path(model).read_bytes(), _card(Path(model))
    digest = hashlib.sha256(content).hexdigest()
    if card.digest != digest:
        raise RegistryError(f"{card_path(model)}: the card of another model than {model}; train again")
    before = promotions(registry)
    if before and before[-1].digest == digest:
        raise RegistryError(f"{digest[:12]} is the latest model of {registry} already (promotion {before[-1].number})")
    parent = before[-1].digest if before else None
    number = before[-1].number + 1 if before else 1
    made = Promotion(
        number, digest, parent, by, why, datetime.now(UTC).isoformat(timespec="seconds"),
        card.metrics if figures is None else figures, card.data,
    )  # fmt: skip
    for suffix in (".json", ".md"):
        beside = Path(model).with_suffix(suffix)
        if beside.exists():
            _write_once(registry, f"models/{digest}{suffix}", beside.read_bytes(), same_is_fine=True)
    _write_once(registry, f"models/{digest}.bin", content, same_is_fine=True)
    _write_once(registry, f"promotions/{number:06}.json", json.dumps(asdict(made), indent=1).encode() + b"\n")
    return made


def find(registry: str, reference: str) -> Path:
    """A local file of the model with this digest (its first 8 digits or more), or of the latest one, with its card.

    A remote registry's models are fetched once, checked, and kept in the cache folder. Raises `RegistryError`.
    """
    fs, root = _open(registry)
    digest = _digest(registry, reference)
    if _is_local(fs):
        folder = Path(root) / "models"
    else:
        folder = cache_folder() / "registry"
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in (".json", ".bin"):
            if not (folder / f"{digest}{suffix}").exists():
                _fetch(fs, f"{root}/models/{digest}{suffix}", folder / f"{digest}{suffix}")
    path = folder / f"{digest}.bin"
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise RegistryError(f"{path}: its content is not that of its name; delete it and promote or fetch it again")
    return path


def _digest(registry: str, reference: str) -> str:
    known = promotions(registry)
    if not known:
        raise RegistryError(f"{registry}: no model was promoted there; see 'tropescan promote'")
    if reference == LATEST:
        return known[-1].digest
    fitting = sorted({one.digest for one in known if one.digest.startswith(reference)})
    if len(reference) < _LEAST_DIGITS or len(fitting) != 1:
        raise RegistryError(
            f"{registry}: {reference!r} names {len(fitting)} models; give 'latest', or at least {_LEAST_DIGITS} digits "
            f"of a digest: {', '.join(one.digest[:12] for one in known)}"
        )
    return fitting[0]


def _fetch(fs: Any, source: str, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.write_bytes(fs.cat_file(source))
    unfinished.replace(target)


def _card(model: Path) -> ModelCard:
    if not card_path(model).exists():
        raise RegistryError(f"{model}: no card beside it; only models with a card have a lineage")
    return read_card(card_path(model))


def _open(registry: str) -> tuple[Any, str]:
    fs, root = url_to_fs(registry)
    return fs, root.rstrip("/")


def _write_once(registry: str, name: str, content: bytes, *, same_is_fine: bool = False) -> None:
    """Write a file that is not there. Of two at once one is refused, where the store is local; others cannot tell."""
    fs, root = _open(registry)
    path = f"{root}/{name}"
    if fs.exists(path):
        if same_is_fine and fs.cat_file(path) == content:
            return
        raise RegistryError(f"{path} exists, with other content; nothing in a registry is replaced")
    fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    if not _is_local(fs):
        fs.pipe_file(path, content)
        return
    unfinished = f"{path}.{uuid.uuid4().hex[:12]}.part"
    Path(unfinished).write_bytes(content)
    try:
        os.link(unfinished, path)  # unlike a rename it never replaces, and the file is whole when it gets its name
    except FileExistsError as error:
        raise RegistryError(f"{path} was written by another at the same moment; look, and promote again") from error
    finally:
        os.unlink(unfinished)


def _is_local(fs: Any) -> bool:
    return "file" in fs.protocol
