"""The obvious jobs that our engines are measured against, each a script: ``python -m tests.bench.engine_peers KIND …``.

``spark``: a pandas UDF that loads fastText and calls predict. ``datatrove``: its reader, fastText filter and writer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pandas as pd  # here, as Spark looks up the hints of a UDF among a module's names

from tests.bench.peers import KEPT_FROM, load_fasttext


def spark(shards: str, out: str, model: str, label: str, workers: str) -> None:
    """Scores of all rows of Parquet shards, beside their ids, as Parquet."""
    from pyspark.sql.functions import pandas_udf
    from pyspark.sql.types import FloatType

    from jobs.spark_session import spark_session

    @pandas_udf(FloatType())  # type: ignore[call-overload, untyped-decorator]
    def score(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        loaded = load_fasttext(model)
        for texts in batches:
            yield pd.Series([_probability(loaded, text, label) for text in texts], dtype="float32")

    with spark_session("pandas UDF", master=f"local[{workers}]", settings=SETTINGS) as session:
        pages = session.read.parquet(f"file://{shards}")
        pages.select("id", score("text").alias("score")).write.mode("overwrite").parquet(f"file://{out}")


SETTINGS = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


def _probability(loaded: object, text: str, label: str) -> float:
    labels, scores = loaded.predict(text.replace("\n", " "), k=-1)  # type: ignore[attr-defined]
    return float(dict(zip(labels, scores, strict=True)).get(f"__label__{label}", 0.0))


def datatrove(shards: str, out: str, model: str, label: str, workers: str) -> None:
    """Documents of Parquet shards that have the label, as Parquet; a task for each shard."""
    import os

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import FastTextClassifierFilter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.logging import logger

    logger.remove()
    steps = [ParquetReader(shards), FastTextClassifierFilter(model, keep_labels=[(label, KEPT_FROM)])]
    LocalPipelineExecutor(
        [*steps, ParquetWriter(f"{out}/kept")], tasks=len(os.listdir(shards)), workers=int(workers),
        logging_dir=f"{out}/logs",
    ).run()  # fmt: skip


if __name__ == "__main__":
    {"spark": spark, "datatrove": datatrove}[sys.argv[1]](*sys.argv[2:])
