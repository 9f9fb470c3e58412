"""Vectors of words from a sentence encoder on the local disk: words of like meaning get like vectors.

Training alone needs them: the model that it makes holds one weight a word and no vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BATCH = 512


def encode_words(words: Sequence[bytes], encoder: str | Path) -> dict[bytes, NDArray[np.float32]]:
    """A vector of unit length for each word, float32 (dim,), by a sentence-transformers model in folder ``encoder``.

    Raises `OSError` without the ``encoder`` extra, or if the folder holds no such model: nothing is downloaded.
    """
    if not (Path(encoder) / "modules.json").is_file():
        raise OSError(f"{encoder}: no sentence-transformers model (no modules.json there); name its folder")
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise OSError("word vectors need sentence-transformers: pip install 'tropescan[encoder]'") from error
    model = SentenceTransformer(str(encoder), device="cpu", local_files_only=True)
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
