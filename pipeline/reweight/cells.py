"""Tags summed into cells, the cross of score steps and categories, in two streaming passes over any number of rows.

All sums are whole numbers, so that neither the order of shards nor that of batches changes a bit. Where there are more
cells than allowed, the lower half of the categories joins the others, again and again: which ones depends on the tags
alone. Knows TAGS; nothing of goals or weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline import storage
from pipeline.prevalence.slices import SLICES
from pipeline.reweight.categories import BUCKETS, bucket_of, distinct, distinct_buckets, name_of
from pipeline.reweight.weights import Floats, Ints, score_steps

MOST_CELLS = 1_000_000
ROWS = 1 << 20
"""Rows of a batch: distinct values are looked up once in each."""
_TEXTS = frozenset({"host", "date", "lang", "source", "topic"})
_PART = 1 << 16
"""Parts of a word or a document that a probability is rounded to."""
_MOST = (1 << 62) // _PART
DOCUMENTS, WORDS = 0, 1
UNITS = {"documents": DOCUMENTS, "words": WORDS}


@dataclass(frozen=True)
class Scored:
    """A label that is counted: its column, the edges of its steps (see `ScoreFactor`), and, where documents hold it in
    part, the probability of scores (float64 to float64). Without one, those in step 1 hold it and no others."""

    label: str
    column: str
    edges: tuple[float, ...]
    probability: Callable[[Floats], Floats] | None = None


@dataclass(frozen=True)
class Measure:
    """What of a row is counted: labels, categories by keys of `SLICES`, how many of each, and in which unit they are
    ranked."""

    labels: tuple[Scored, ...]
    by: tuple[str, ...]
    top: int
    unit: str = "words"

    @property
    def columns(self) -> list[str]:
        """Columns of TAGS that are read."""
        scores = [one.column for one in self.labels]
        return list(dict.fromkeys(["words", "status", *scores, *(SLICES[by].column for by in self.by)]))


@dataclass
class Ranking:
    """First pass: what each bucket of each kind of category holds, in the unit; int64, shape (`BUCKETS`,)."""

    measure: Measure
    sums: dict[str, Ints] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sums = {by: np.zeros(BUCKETS, np.int64) for by in self.measure.by}

    def add(self, tags: pa.RecordBatch) -> None:
        """Count a batch."""
        mass = _units(tags)[:, UNITS[self.measure.unit]]
        for by, sums in self.sums.items():
            rows, buckets = distinct_buckets(tags, by)
            np.add.at(sums, buckets, np.bincount(rows, weights=mass, minlength=len(buckets)).astype(np.int64))

    def merge(self, other: Ranking) -> None:
        """Add what was counted elsewhere."""
        for by, sums in self.sums.items():
            sums += other.sums[by]

    def top(self) -> dict[str, Ints]:
        """The largest buckets of each kind, largest first; those that hold nothing are none."""
        found = {}
        for by, sums in self.sums.items():
            held = np.flatnonzero(sums)
            found[by] = held[np.lexsort((held, -sums[held]))[: self.measure.top]]
        return found


class Cells:
    """Second pass: sums of each cell that has documents.

    ``keys``: int64, shape (cells,), each cell's step and codes in one number. ``sums``: int64, shape (cells, columns):
    documents, words, and, for each label held in part, its documents and words in parts of 65,536.
    """

    def __init__(self, measure: Measure, top: dict[str, Ints], most: int = MOST_CELLS) -> None:
        self.measure, self.ranked, self.most, self.level = measure, top, most, 0
        self.sizes = [len(one.edges) + 1 for one in measure.labels] + [len(top[by]) + 1 for by in measure.by]
        if np.prod([float(size) for size in self.sizes]) >= 2.0**62:
            raise ValueError("too many labels and categories for one table; hold fewer marginals, or lower top")
        self._codes = {by: _code_table(top[by]) for by in measure.by}
        self._names: dict[str, dict[int, dict[str, int]]] = {by: {} for by in measure.by}
        self._columns = 2 + 2 * sum(one.probability is not None for one in measure.labels)
        self._parts = [(np.zeros(0, np.int64), np.zeros((0, self._columns), np.int64))]

    def add(self, tags: pa.RecordBatch) -> None:
        """Count a batch."""
        units = _units(tags)
        steps = [score_steps(tags, one.column, np.array(one.edges)) for one in self.measure.labels]
        codes = [self._coded(tags, by, units[:, UNITS[self.measure.unit]]) for by in self.measure.by]
        held = [units * _parts(tags, one, at)[:, None] for one, at in zip(self.measure.labels, steps, strict=True)
                if one.probability is not None]  # fmt: skip
        values = np.concatenate([units, *held], axis=1) if held else units
        self._parts.append(_summed(self._keys([*steps, *codes]), values))
        if sum(len(keys) for keys, _ in self._parts) > 2 * self.most + ROWS:
            self._compact()

    def merge(self, other: Cells) -> None:
        """Add what was counted elsewhere, for the same measure and categories."""
        self._raise(other.level)
        other._raise(self.level)
        self._parts += other._parts
        for by, buckets in other._names.items():
            for bucket, names in buckets.items():
                known = self._names[by].setdefault(bucket, {})
                for name, mass in names.items():
                    known[name] = known.get(name, 0) + mass
        self._compact()

    def _raise(self, level: int) -> None:
        """Make cells as coarse as that, if they are not."""
        while self.level < level:
            self._halve()

    def _coded(self, tags: pa.RecordBatch, by: str, mass: Ints) -> Ints:
        rows, values = distinct(tags, by)
        at = np.array([bucket_of(by, value) for value in values], np.int64)
        coded = self._codes[by][at] if len(at) else at
        sums = np.bincount(rows, weights=mass, minlength=len(values))
        for i in np.flatnonzero(coded < len(self.ranked[by])):
            names = self._names[by].setdefault(int(at[i]), {})
            name = name_of(by, values[i])
            names[name] = names.get(name, 0) + int(sums[i])
        return self._coarser(coded, len(self.ranked[by]))[rows]

    def _coarser(self, codes: Ints, last: int) -> Ints:
        """Codes at the current level: of each kind, only so many of the first ranks have a code of their own."""
        return np.where(codes < last >> self.level, codes, last)

    def _keys(self, codes: Sequence[Ints]) -> Ints:
        keys = np.zeros_like(codes[0]) if codes else np.zeros(0, np.int64)
        for size, code in zip(self.sizes, codes, strict=True):
            keys = keys * size + code
        return keys

    def _compact(self) -> None:
        keys, values = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        self._parts = [_summed(keys, values)]
        while len(self._parts[0][0]) > self.most and any(len(top) >> self.level for top in self.ranked.values()):
            self._halve()

    def _halve(self) -> None:
        """Let the lower half of the categories of each kind join the others."""
        self.level += 1
        labels, coarser = len(self.measure.labels), []
        for keys, values in self._parts:
            split = self._split(keys)
            codes = [self._coarser(split[i], self.sizes[i] - 1) for i in range(labels, len(split))]
            coarser.append(_summed(self._keys([*split[:labels], *codes]), values))
        self._parts = coarser

    def _split(self, keys: Ints) -> list[Ints]:
        """Steps and codes out of keys."""
        codes = []
        for size in reversed(self.sizes):
            keys, code = np.divmod(keys, size)
            codes.append(code)
        return codes[::-1]

    def finish(self) -> Table:
        """The cells as they are when all is counted."""
        self._compact()
        keys, sums = self._parts[0]
        if sums[:, :2].sum(axis=0, dtype=np.float64).max(initial=0.0) > _MOST:
            raise ValueError("the tags hold more words than sums of 64 bits can take; give them in two parts")
        split, labels = self._split(keys), len(self.measure.labels)
        kinds = {}
        for i, by in enumerate(self.measure.by, labels):
            kept = self.ranked[by][: len(self.ranked[by]) >> self.level]
            names = tuple(_heaviest(self._names[by].get(int(bucket), {})) for bucket in kept)
            codes = np.minimum(split[i], len(kept))
            kinds[by] = Kind(by, tuple(kept.tolist()), names, codes)
        return Table(self.measure, sums, tuple(split[:labels]), kinds, self.level)


@dataclass(frozen=True)
class Kind:
    """Categories of one kind: buckets and their names, largest first, and each cell's code, the last for all others."""

    by: str
    buckets: tuple[int, ...]
    names: tuple[str, ...]
    codes: Ints


@dataclass(frozen=True)
class Table:
    """The counted cells. ``steps``: for each label, each cell's step. ``level``: how often the number of categories was
    halved to have few enough cells."""

    measure: Measure
    sums: Ints
    steps: tuple[Ints, ...]
    kinds: dict[str, Kind]
    level: int = 0

    def mass(self, unit: str) -> Floats:
        """What each cell holds, float64, shape (cells,)."""
        return self.sums[:, UNITS[unit]].astype(np.float64)

    def step_of(self, label: str) -> Ints:
        """In which step of the label's scores each cell lies."""
        return self.steps[self._place(label)]

    def select(self, kept: NDArray[np.bool_]) -> Table:
        """Some of the cells."""
        kinds = {by: replace(kind, codes=kind.codes[kept]) for by, kind in self.kinds.items()}
        return replace(self, sums=self.sums[kept], steps=tuple(step[kept] for step in self.steps), kinds=kinds)

    def _place(self, label: str) -> int:
        return next(i for i, one in enumerate(self.measure.labels) if one.label == label)

    def held(self, label: str, unit: str) -> Floats:
        """What of that has the label, float64, shape (cells,)."""
        at = self._place(label)
        if self.measure.labels[at].probability is None:
            return np.asarray(self.mass(unit) * (self.steps[at] == 1))
        before = sum(one.probability is not None for one in self.measure.labels[:at])
        parts: Floats = self.sums[:, 2 + 2 * before + UNITS[unit]] / _PART
        return parts


def rank(files: Iterable[str], measure: Measure) -> Ranking:
    """First pass over tags files (URLs)."""
    ranking = Ranking(measure)
    if measure.by:
        for batch in batches(files, ["words", *(SLICES[by].column for by in measure.by)]):
            ranking.add(batch)
    return ranking


def tally(files: Iterable[str], measure: Measure, top: dict[str, Ints], most: int = MOST_CELLS) -> Cells:
    """Second pass; ``top`` are the largest buckets of each kind, of all files."""
    cells = Cells(measure, top, most)
    for batch in batches(files, measure.columns):
        cells.add(batch)
    return cells


def batches(files: Iterable[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Rows of tags files, texts as dictionaries. Raises `ValueError` naming a file that is none."""
    for file in files:
        with storage.open_input(file) as opened:
            try:
                parquet = pq.ParquetFile(opened, read_dictionary=[name for name in columns if name in _TEXTS])
                yield from parquet.iter_batches(ROWS, columns=list(dict.fromkeys(columns)))
            except pa.ArrowInvalid as error:
                raise ValueError(f"{file}: cannot be read as tags ({error}); scan its shard again") from error


def _units(tags: pa.RecordBatch) -> Ints:
    """Documents (1 each) and words of each row, int64, shape (rows, 2)."""
    words = tags.column("words").to_numpy().astype(np.int64)
    return np.stack([np.ones_like(words), words], axis=1)


def _parts(tags: pa.RecordBatch, one: Scored, steps: Ints) -> Ints:
    """The probability of each row in parts of 65,536; 0 without a score."""
    assert one.probability is not None
    scores = np.nan_to_num(np.array(tags.column(one.column).to_numpy(zero_copy_only=False), np.float64))
    return np.where(steps > 0, np.rint(_PART * one.probability(scores)), 0).astype(np.int64)


def _code_table(top: Ints) -> NDArray[np.int64]:
    """The code of each bucket: its rank, or the number of ranks."""
    table = np.full(BUCKETS, len(top), np.int64)
    table[top] = np.arange(len(top))
    return table


def _heaviest(names: dict[str, int]) -> str:
    return min(names, key=lambda name: (-names[name], name), default="")


def _summed(keys: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Each key once, in order, with the sum of its values."""
    if not len(keys):
        return keys, values
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[starts], np.add.reduceat(values[order], starts, axis=0)
