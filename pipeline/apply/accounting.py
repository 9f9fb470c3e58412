"""The accounting of documents: read = kept + dropped by rule + rejected, for a shard and in sum."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

_BY_NAME = ("dropped", "edited", "rejected")


@dataclass(frozen=True)
class ApplyReport:
    """What became of a shard's documents. Adds up with ``+`` over shards. ``seconds`` is wall time in the worker.

    ``dropped`` counts by rule, ``edited`` by action, ``rejected`` by reason. ``written`` are rows of the output,
    repeats and the documents ``mixed_in`` among them. Words are those of the tags: of all documents that have tags, of
    those kept, and of those kept times their weights (``words_weighed``). Of the words kept, ``words_cut`` were cut out
    of their documents, and ``words_masked`` are no target of training. ``replaced`` documents were dropped and have
    another one of the corpus in their place, which need not be in the same shard: ``words_replacing`` are those of
    documents that count once more, for others anywhere. ``unreplaced`` were to be replaced, and have none like them in
    the whole corpus. ``forged`` were kept, and held a control token of the policy before it put any in.
    """

    shards: int = 0
    incomplete_shards: int = 0
    failed_shards: int = 0
    read: int = 0
    kept: int = 0
    written: int = 0
    mixed_in: int = 0
    replaced: int = 0
    unreplaced: int = 0
    forged: int = 0
    words: int = 0
    words_kept: int = 0
    words_weighed: float = 0.0
    words_cut: int = 0
    words_masked: int = 0
    words_mixed_in: int = 0
    words_replaced: int = 0
    words_replacing: int = 0
    words_unreplaced: int = 0
    other_records: int = 0
    input_bytes: int = 0
    seconds: float = 0.0
    dropped: dict[str, int] = field(default_factory=dict)
    edited: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        gone, rejected = sum(self.dropped.values()), sum(self.rejected.values())
        if self.read != self.kept + gone + rejected:
            raise ValueError(
                f"accounting broken: {self.read} read, but {self.kept} kept, {gone} dropped and {rejected} rejected; "
                "this is a bug, please report it"
            )

    def __add__(self, other: ApplyReport) -> ApplyReport:
        numbers = [f.name for f in fields(self) if f.name not in _BY_NAME]
        both: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in numbers}
        for name in _BY_NAME:
            both[name] = dict(sorted((Counter(getattr(self, name)) + Counter(getattr(other, name))).items()))
        return ApplyReport(**both)

    @property
    def clean(self) -> bool:
        """No record rejected, no shard cut short or failed."""
        return not (self.rejected or self.incomplete_shards or self.failed_shards)

    def counts(self) -> dict[str, int]:
        """Numbers for an engine's log."""
        dropped, rejected = sum(self.dropped.values()), sum(self.rejected.values())
        return {"read": self.read, "kept": self.kept, "dropped": dropped, "rejected": rejected, "written": self.written}

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)
