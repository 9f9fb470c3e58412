"""What an audit draws a document by, stores it by, and finds it again by. Knows tags; nothing of draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from pipeline import storage

Key = Literal["id", "row"]
_SUFFIX = ".parquet"


@dataclass(frozen=True)
class Names:
    """A document's id; or with ``tags``, the URL of the folder of the tags files, its shard and row there ("a/b#17"),
    which no other document has. The one stays what it is when shards are cut anew, the other where ids repeat."""

    tags: str | None = None

    @property
    def column(self) -> str:
        """What a batch of tags must have."""
        return "row" if self.tags else "id"

    def of(self, batch: pa.RecordBatch, file: str) -> list[str]:
        """Of the documents of a batch of a tags file, in order."""
        values: list[str] = batch.column(self.column).to_pylist()
        if self.tags is None:
            return values
        shard = self.shard_of(file)
        return [f"{shard}#{row}" for row in values]

    def shard_of(self, file: str) -> str:
        """The name of a tags file's shard below ``tags``, "" without them."""
        return storage.below(self.tags, file).removesuffix(_SUFFIX) if self.tags else ""
