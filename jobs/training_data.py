"""From label records and folders of texts to examples: joined by digest, split into training and held-out.

Composes `labels` and `classifiers`; trains nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from classifiers.training import Example
from labels.background import read_background
from labels.codebook import NO_MODE
from labels.near_duplicates import nearly_among
from labels.records import LabelRecord, read_records, record_files, settled, text_digest, texts_by_digest
from labels.split import group_of, is_held_out
from pipeline.tasks import digest

MOST_ADVERSE_IN_BACKGROUND = 0.25
LARGE_COLLECTION = 100
"""A collection of more labelled texts than this counts for as many: one voice should not teach the most."""
WRITTEN = "written for this project"


@dataclass(frozen=True)
class LabelledText:
    """A record with its text; ``held_out`` is never trained on."""

    record: LabelRecord
    text: str

    @property
    def group(self) -> str:
        """What must not be split: the source, or for texts written for this project the pair or the passage."""
        record = self.record
        return group_of(record.source, record.sha256, synthetic=record.synthetic, pair=record.pair)

    @property
    def held_out(self) -> bool:
        """Whether it is kept for evaluation."""
        return is_held_out(self.group)

    def example(self) -> Example:
        """For the trainer."""
        holding = frozenset(name for name, holds in self.record.labels.items() if holds)
        mode = frozenset({self.record.mode} - {NO_MODE})
        collection = WRITTEN if self.record.synthetic else self.record.source
        return Example(self.text, holding | mode, self.group, collection)


@dataclass(frozen=True)
class TrainingData:
    """Labelled texts and background (source, text), not yet split; ``missing`` records had no text.

    ``files`` are the SHA-256 of the files that the records came from, by name. With ``all_held_out`` nothing is there
    to train on.
    """

    labelled: list[LabelledText]
    background: list[tuple[str, str]]
    missing: int
    files: dict[str, str] = field(default_factory=dict)
    all_held_out: bool = False

    @cached_property
    def training(self) -> list[Example]:
        """Examples to train on: labelled texts and background, without what is held out, or nearly so."""
        labelled = capped([one.example() for one in self.labelled if not self._is_held_out(one)])
        background = [Example(text, frozenset(), source) for source, text in self.background_of(held_out=False)]
        kept_away = [one.text for one in self.labelled if self._is_held_out(one)]
        kept_away += [text for _, text in self.background_of(held_out=True)]
        near = nearly_among([one.text for one in labelled + background], kept_away)
        return [one for one, refused in zip(labelled + background, near, strict=True) if not refused]

    def held_out(self, *, synthetic: bool | None = None) -> list[LabelledText]:
        """Evaluation documents: real ones, those written for this project, or both."""
        return [one for one in self.labelled if self._is_held_out(one) and synthetic in (None, one.record.synthetic)]

    def background_of(self, *, held_out: bool) -> list[tuple[str, str]]:
        """Background of held-out sources, or of the others."""
        return [one for one in self.background if (self.all_held_out or is_held_out(one[0])) == held_out]

    def _is_held_out(self, one: LabelledText) -> bool:
        return self.all_held_out or one.held_out


def capped(examples: Sequence[Example]) -> list[Example]:
    """The examples with weights by which a large collection counts for as much as one of 100 texts."""
    sizes = Counter(one.collection for one in examples if one.collection != WRITTEN)
    weights = {name: min(1.0, LARGE_COLLECTION / n) for name, n in sizes.items()}
    return [replace(one, weight=weights.get(str(one.collection), 1.0)) for one in examples]


def load_training_data(paths: Sequence[str], texts: Sequence[str], background: Sequence[str]) -> TrainingData:
    """Read records, find their texts in folders, and gather background from folders.

    Sources a quarter of whose labelled documents are adverse give no background.
    """
    records = settled([record for path in paths for record in read_records(path)])
    if not records:
        raise ValueError("no label records; name files or folders of them, or a --store")
    known: dict[str, str] = {}
    for folder in texts:
        known |= texts_by_digest(folder)
    joined = [(record, record.text if record.text is not None else known.get(record.sha256)) for record in records]
    labelled = [LabelledText(record, text) for record, text in joined if text is not None]
    suspect = _mostly_adverse(records)
    digests = {record.sha256 for record in records}
    found = [pair for folder in background for pair in read_background(folder, digests, suspect)]
    files = [file for path in paths for file in record_files(path)]
    digests_of = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return TrainingData(labelled, found, len(joined) - len(labelled), digests_of)


def frozen(place: str | None, folder: Path) -> list[str]:
    """The snapshot of a label store's settled labels, made in ``folder``, or nothing without a store."""
    if place is None:
        return []
    from jobs.label_options import opened  # here: training from files alone needs no database
    from jobs.snapshot import freeze

    with opened(place) as store:
        made = freeze(store, folder)
    click.echo(f"{made.records} settled labels of {place} frozen in {made.path}", err=True)
    for why, n in made.left_out.items():
        click.echo(f"  {n} left out: {why}", err=True)
    return [str(made.path)]


def _mostly_adverse(records: Iterable[LabelRecord]) -> set[str]:
    counts, adverse = Counter[str](), Counter[str]()
    for record in records:
        counts[record.source] += 1
        adverse[record.source] += record.adverse
    return {source for source in counts if adverse[source] > MOST_ADVERSE_IN_BACKGROUND * counts[source]}


def truth(items: Sequence[LabelledText], label: str) -> NDArray[np.bool_]:
    """Whether the label holds, dtype bool, shape (items,)."""
    return np.array([item.record.labels[label] for item in items], bool)


def digest_of(items: Iterable[LabelledText]) -> str:
    """SHA-256 over the sorted text digests and their labels: names a set of labelled documents."""
    return digest(sorted([item.record.sha256, sorted(item.record.labels.items())] for item in items))


def digest_of_background(texts: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the sorted sources and text digests of (source, text): names a set of ordinary texts."""
    return digest(sorted([source, text_digest(text)] for source, text in texts))
