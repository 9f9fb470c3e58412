"""What a job works on, as frozen data: options of reading, and one task for each shard.

Knows neither how shards are read nor which engine takes the tasks.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

EXTRACTORS = ("resiliparse", "trafilatura")


@dataclass(frozen=True)
class ReadOptions:
    """How records become documents. Every field changes the output, so all stand in the fingerprint.

    ``*_column`` name a column, or a nested one with dots (``meta.url``); None guesses by usual names.
    ``max_document_bytes`` is of UTF-8 text (or of one HTML record); larger records are rejected.
    """

    text_column: str | None = None
    id_column: str | None = None
    url_column: str | None = None
    date_column: str | None = None
    source_column: str | None = None
    lang_column: str | None = None
    extractor: str = "resiliparse"
    main_content: bool = True
    max_document_bytes: int = 1_000_000_000

    def __post_init__(self) -> None:
        if self.extractor not in EXTRACTORS:
            raise ValueError(f"extractor {self.extractor!r} is unknown; choose one of {', '.join(EXTRACTORS)}")


@dataclass(frozen=True)
class ShardTask:
    """One shard to read: ``url`` (path or fsspec URL), ``name`` (unique in the job, relative, with ``/``),
    ``size`` in stored bytes (0 if the store does not say), ``identity`` (what changes when the content does)."""

    url: str
    name: str
    size: int
    identity: str


def digest(value: Any) -> str:
    """SHA-256, in hex, of a value of plain types or dataclasses as canonical JSON."""
    text = json.dumps(value, sort_keys=True, default=asdict, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
