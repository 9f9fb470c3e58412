"""Vectors of words from a sentence encoder on the local disk: words of like meaning get like vectors.

Training alone needs them: the model that it makes holds one weight a word and no vectors.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled.cache import cache_folder

BATCH = 512


@lru_cache(maxsize=1)
def open_encoder(folder: str | Path) -> Any:
    """The sentence-transformers model in a folder, on the CPU.

    Raises `OSError` without the ``encoder`` extra, or if the folder holds no such model: nothing is downloaded.
    """
    if not (Path(folder) / "modules.json").is_file():
        raise OSError(f"{folder}: no sentence-transformers model (no modules.json there); name its folder")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise OSError("an encoder needs sentence-transformers: pip install 'tropescan[encoder]'") from error
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def encode_words(words: Sequence[bytes], encoder: str | Path) -> dict[bytes, NDArray[np.float32]]:
    """A vector of unit length for each word, float32 (dim,), by a sentence-transformers model in folder ``encoder``.

    Kept in the cache folder by the encoder's digest: the next training needs only the words that are new. Raises
    `OSError` as `open_encoder` does.
    """
    open_encoder(encoder)
    stored = cache_folder() / "word-vectors" / f"{_digest(Path(encoder))}.npz"
    known = _stored(stored)
    missing = [word for word in dict.fromkeys(words) if word not in known]
    if missing:
        known |= _encode(missing, encoder)
        _store(known, stored)
    return {word: known[word] for word in words}


def _encode(words: Sequence[bytes], encoder: str | Path) -> dict[bytes, NDArray[np.float32]]:
    texts = [word.decode("utf-8", "replace") for word in words]
    vectors = open_encoder(encoder).encode(
        texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=len(texts) > BATCH
    )
    return dict(zip(words, np.asarray(vectors, np.float32), strict=True))


def _digest(encoder: Path) -> str:
    files = sorted(path for path in encoder.rglob("*") if path.suffix in (".json", ".safetensors", ".bin", ".txt"))
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]


def _stored(path: Path) -> dict[bytes, NDArray[np.float32]]:
    if not path.exists():
        return {}
    with np.load(path) as stored:
        words = bytes(stored["words"]).split(b"\n")
        return dict(zip(words, stored["vectors"], strict=True))


def _store(vectors: Mapping[bytes, NDArray[np.float32]], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}.npz")
    words = np.frombuffer(b"\n".join(vectors), np.uint8)
    try:
        np.savez(unfinished, words=words, vectors=np.stack(list(vectors.values())))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def frequent_english_words(n: int) -> list[bytes]:
    """The ``n`` most frequent English words by the wordfreq package (Speer 2022), those of ASCII letters only."""
    if n == 0:
        return []
    try:
        from wordfreq import top_n_list
    except ImportError as error:
        raise OSError("frequent words need wordfreq: pip install 'tropescan[encoder]'") from error
    return [word.encode() for word in top_n_list("en", n) if word.isascii() and word.isalpha()]
