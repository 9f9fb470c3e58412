"""The accounting of records: documents read = tagged + rejected by reason, for a shard and in sum.

Knows neither formats nor engines.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

EXAMPLES_PER_REASON = 20


@dataclass(frozen=True)
class Rejection:
    """One record that could not become a document, and where it stands.

    ``row`` is its position in the shard; ``offset`` its byte offset in the file as stored (for a compressed
    stream, of the compressed member or, where only that is known, of the decompressed text).
    """

    reason: str
    row: int
    offset: int | None = None
    detail: str = ""


@dataclass
class Tally:
    """What a reader met in one shard so far; written by the reader, read by the tagger.

    ``doubtful`` are documents out of a compressed frame that later proved broken: a frame's checksum stands at its end,
    and a flipped bit can decompress to other text.
    """

    read: int = 0
    other_records: int = 0
    input_bytes: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: list[Rejection] = field(default_factory=list)
    complete: bool = True
    doubtful: int = 0

    @property
    def accepted(self) -> int:
        """How many documents were read and not rejected."""
        return self.read - self.rejected.total()

    def accept(self) -> int:
        """Count a document; returns its row."""
        self.read += 1
        return self.read - 1

    def accept_many(self, n: int) -> int:
        """Count ``n`` documents; returns the row of the first."""
        self.read += n
        return self.read - n

    def reject(self, reason: str, offset: int | None = None, detail: str = "") -> None:
        """Count a record that is no document, by reason; the first few are kept as examples."""
        if self.rejected[reason] < EXAMPLES_PER_REASON:
            self.examples.append(Rejection(reason, self.read, offset, detail[:300]))
        self.rejected[reason] += 1
        self.read += 1

    def cut_short(self, reason: str, offset: int | None = None, detail: str = "") -> None:
        """The rest of the shard cannot be read: one rejection, and the shard is not complete."""
        self.reject(reason, offset, detail)
        self.complete = False

    def doubt(self, accepted_before: int) -> str:
        """The frame proved broken from which all documents came that were accepted since; says how many, or nothing."""
        documents = self.accepted - accepted_before
        self.doubtful += documents
        return f"; {documents} documents were read from it before, and may be garbled" if documents else ""


@dataclass(frozen=True)
class ShardReport:
    """What became of a shard. Adds up with ``+`` over shards. ``seconds`` is wall time in the worker.

    ``no_score`` and ``other_language`` are documents of that status; the latter are never ``flagged``. ``rescored`` are
    those that a second stage read; ``doubtful`` came from compressed frames that proved broken (`Tally`).
    """

    shards: int = 0
    incomplete_shards: int = 0
    failed_shards: int = 0
    read: int = 0
    tagged: int = 0
    no_score: int = 0
    doubtful: int = 0
    other_language: int = 0
    flagged: int = 0
    flagged_words: int = 0
    rescored: int = 0
    other_records: int = 0
    input_bytes: int = 0
    chars: int = 0
    bytes: int = 0
    words: int = 0
    seconds: float = 0.0
    rejected: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.read != self.tagged + sum(self.rejected.values()):
            raise ValueError(
                f"accounting broken: {self.read} read, but {self.tagged} tagged "
                f"and {sum(self.rejected.values())} rejected; this is a bug, please report it"
            )

    def __add__(self, other: ShardReport) -> ShardReport:
        numbers = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self) if f.name != "rejected"}
        both = Counter(self.rejected) + Counter(other.rejected)
        return ShardReport(**numbers, rejected=dict(sorted(both.items())))

    @property
    def clean(self) -> bool:
        """No record rejected, no shard cut short or failed."""
        return not (self.rejected or self.incomplete_shards or self.failed_shards)

    def counts(self) -> dict[str, int]:
        """Numbers for an engine's log, rejections by reason among them."""
        names = ("read", "tagged", "flagged", "words", "input_bytes")
        rejected = {f"rejected_{reason}": count for reason, count in self.rejected.items()}
        return {**{name: getattr(self, name) for name in names}, **rejected}

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)
