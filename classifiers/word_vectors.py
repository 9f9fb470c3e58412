"""Vectors of words from a sentence encoder on the local disk: words of like meaning get like vectors.

Training alone needs them: the model that it makes holds one weight a word and no vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    Raises `OSError` as `open_encoder` does.
    """
    model = open_encoder(encoder)
    texts = [word.decode("utf-8", "replace") for word in words]
    vectors = model.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=len(texts) > BATCH)
    return dict(zip(words, np.asarray(vectors, np.float32), strict=True))


def frequent_english_words(n: int) -> list[bytes]:
    """The ``n`` most frequent English words by the wordfreq package (Speer 2022), those of ASCII letters only."""
    if n == 0:
        return []
    try:
        from wordfreq import top_n_list
    except ImportError as error:
        raise OSError("frequent words need wordfreq: pip install 'tropescan[encoder]'") from error
    return [word.encode() for word in top_n_list("en", n) if word.isascii() and word.isalpha()]
