"""The topic of documents by any fastText model of topics, from the whole text.

Knows the columns of TAGS that it fills; nothing of what a topic means: the model's labels are the topics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from classifiers.best_label import BestLabelModel
from classifiers.prepare import prepare
from pipeline.schema import TAG_TOPIC


@dataclass(frozen=True)
class TopicModel(BestLabelModel):
    """Texts in, topics out: the label of the highest score, however low that is."""

    def describe(self) -> dict[str, Any]:
        """As `BestLabelModel.describe`, with the topics that there are."""
        return {**super().describe(), "labels": list(prepare(self.path, self.digest).labels)}

    def __call__(self, texts: pa.Array) -> pa.RecordBatch:
        """``topic`` and ``topic_score`` (the topic's probability as fastText gives it) of each text (string or
        large_string, no nulls); null where it has no word, or none that the model knows."""
        places, scores = self.best(texts)
        none = places < 0
        columns = [self._names(places, none), pa.array(scores.astype(np.float32), mask=none)]
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(TAG_TOPIC))
