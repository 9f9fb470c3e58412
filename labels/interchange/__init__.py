"""Items and labels in other tools' files: JSON Lines, CSV, Parquet, datasets folders, Label Studio, Argilla, Prodigy.

Each module reads and writes one form of `labels.interchange.tasks.Task`, and what it writes it reads back whole.
Knows neither a store nor a model.
"""
