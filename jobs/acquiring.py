"""Active learning over a scan's tags: streams them once, keeps each strategy's best, and mixes these.

The formulas are `labels.acquisition`'s. What is chosen feeds training and never an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.tag_rows import Row, Tags, fetch_texts, source_of
from labels import acquisition, split
from labels.background import mentions_ai
from labels.near_duplicates import NearIndex, Signature, signature
from labels.records import text_digest
from labels.sampling import uniform_sql

STRATEGIES = ("margin", "entropy", "disagreement", "novelty", "hard-negative", "near-miss", "random")
POOL = 8
"""Candidates for each document wanted, before duplicates and caps take some out."""
HARD_NEGATIVE_POOL = 50
"""Of the highest scores few are of texts that name no artificial mind."""
_WORDS_ALONE = 1
"""Novelty goes by single words: of runs of five, nearly all pairs of texts share none."""


@dataclass(frozen=True)
class Wish:
    """What to acquire: ``shares`` of the strategies, ``caps`` on documents of one host and of one source."""

    n: int
    shares: Mapping[str, float]
    label: str
    threshold: float
    host_cap: int
    source_cap: int
    seed: int = 1


@dataclass(frozen=True)
class Known:
    """Texts that the store has: (id, source) of each document, exact digests, and signatures by runs of words and by
    single words."""

    documents: frozenset[tuple[str, str]]
    digests: frozenset[str]
    signatures: Sequence[Signature]
    words: Sequence[Signature]


@dataclass(frozen=True)
class Acquired:
    """A chosen row, its text, and the strategy that chose it."""

    row: Row
    text: str
    strategy: str


class _Best:
    """The rows of highest priority so far, of no more than ``per_source`` of a source; keeps ``size`` of them."""

    def __init__(self, size: int, per_source: int) -> None:
        self.size, self.per_source, self.rows = size, per_source, list[tuple[float, str, Row]]()

    def offer(self, priority: NDArray[np.float64], batch: pa.RecordBatch, tags: Tags) -> None:
        floor = self.rows[-1][0] if len(self.rows) >= self.size else -np.inf
        hopeful = np.flatnonzero((priority > floor) & np.isfinite(priority))
        hopeful = hopeful[np.argsort(-priority[hopeful], kind="stable")]
        taken, found = dict[str, int](), list[tuple[float, str, Row]]()
        for row, value in zip(batch.take(pa.array(hopeful)).to_pylist(), priority[hopeful], strict=True):
            source = source_of(tags, row)
            taken[source] = taken.get(source, 0) + 1
            if taken[source] <= self.per_source:
                found.append((float(value), source, row))
            if len(found) == self.size:
                break
        self.rows = self._thinned(sorted(self.rows + found, key=lambda one: (-one[0], one[2]["id"])))

    def _thinned(self, rows: list[tuple[float, str, Row]]) -> list[tuple[float, str, Row]]:
        taken, kept = dict[str, int](), list[tuple[float, str, Row]]()
        for one in rows:
            taken[one[1]] = taken.get(one[1], 0) + 1
            if taken[one[1]] <= self.per_source and len(kept) < self.size:
                kept.append(one)
        return kept


def acquire(tags: Tags, wish: Wish, known: Known, other: Tags | None = None) -> list[Acquired]:
    """Choose documents; texts that the store has, or nearly has, and held-out sources are left out.

    ``other`` are the tags of another model over the same shards. Raises `ValueError` if ``disagreement`` is wished
    for without them, or if they are not row for row of the same documents.
    """
    wanted = acquisition.quotas(wish.n, {name: share for name, share in wish.shares.items() if share > 0})
    if "disagreement" in wanted and other is None:
        raise ValueError("disagreement needs the tags of another model over the same shards; name them with --against")
    pools = _pools(tags, wish, wanted, known, other)
    rows = {(row["filename"], row["row"]): row for pool in pools.values() for row in pool}
    texts = fetch_texts(tags, rows.values())
    keys = list(rows)
    number = {key: i for i, key in enumerate(keys)}
    ranked = {
        name: _reranked(name, [number[row["filename"], row["row"]] for row in pool], keys, texts, known)
        for name, pool in pools.items()
    }
    hosts, sources = ([str(rows[k]["host"] or "") for k in keys], [source_of(tags, rows[k]) for k in keys])
    refused = _duplicates(known, [texts[k] for k in keys])
    chosen = acquisition.mix(ranked, wanted, (hosts, sources), (wish.host_cap, wish.source_cap), refused)
    return [Acquired(rows[keys[i]], texts[keys[i]], name) for i, name in chosen]


def _pools(tags: Tags, wish: Wish, wanted: Mapping[str, int], known: Known, other: Tags | None) -> dict[str, list[Row]]:
    best = {}
    for name, n in wanted.items():
        size = n * (HARD_NEGATIVE_POOL if name == "hard-negative" else POOL)
        best[name] = _Best(size, wish.source_cap if name == "near-miss" else size)
    for batch in _batches(tags, wish, other if "disagreement" in wanted else None):
        free = _free(tags, batch, known)
        for name, kept in best.items():
            kept.offer(np.where(free, _priority(name, batch, wish), -np.inf), batch, tags)
    return {name: [row for _, _, row in kept.rows] for name, kept in best.items()}


def _priority(name: str, batch: pa.RecordBatch, wish: Wish) -> NDArray[np.float64]:
    scores = _column(batch, wish.label)
    formulas: dict[str, Callable[[], NDArray[np.float64]]] = {
        "margin": lambda: acquisition.margin(scores, wish.threshold),
        "entropy": lambda: acquisition.entropy(scores),
        "disagreement": lambda: acquisition.disagreement(scores, _column(batch, "other_score")),
        "hard-negative": lambda: acquisition.top(scores),
        "near-miss": lambda: acquisition.near_miss(scores, wish.threshold),
        "novelty": lambda: -_column(batch, "key"),
        "random": lambda: -_column(batch, "key"),
    }
    return formulas[name]()


def _column(batch: pa.RecordBatch, name: str) -> NDArray[np.float64]:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), np.float64)


def _free(tags: Tags, batch: pa.RecordBatch, known: Known) -> NDArray[np.bool_]:
    """Training would refuse documents of held-out sources: labelling them for it would be wasted. Those of earlier
    rounds would fill the pools, for the same seed gives them the same keys."""
    rows = batch.select(["id", "source", "host", "filename"]).to_pylist()
    sources = [source_of(tags, row) for row in rows]
    held_out = {source: split.is_held_out(source) for source in set(sources)}
    new = ((row["id"], source) not in known.documents for row, source in zip(rows, sources, strict=True))
    return np.array([one and not held_out[source] for one, source in zip(new, sources, strict=True)], bool)


def _batches(tags: Tags, wish: Wish, other: Tags | None) -> Iterator[pa.RecordBatch]:
    tags.check_score(wish.label)
    key = f"{uniform_sql(wish.seed, 'id')} AS key"
    if other is None:
        yield from tags.batches(f"SELECT *, {key} FROM tags")
        return
    _check_same_documents(tags, other)
    pairs = ", ".join(f"({_sql(a)}, {_sql(b)})" for a, b in zip(tags.folder.files, other.folder.files, strict=True))
    others = ", ".join(_sql(file) for file in other.folder.files)
    score = other.check_score(wish.label)
    query = f"""
        SELECT t.*, {key.replace("|| id", "|| t.id")}, o."{score}" AS other_score FROM tags t
        JOIN (VALUES {pairs}) AS pair(ours, theirs) ON pair.ours = t.filename
        JOIN read_parquet([{others}], filename = true) o ON o.filename = pair.theirs AND o.row = t.row AND o.id = t.id
    """
    read = count_rows = 0
    for batch in tags.batches(query):
        read += len(batch)
        yield batch
    count_rows = int(tags.rows("SELECT count(*) AS n FROM tags")[0]["n"])
    if read != count_rows:
        raise ValueError(f"{other.folder.url}: {count_rows - read} documents differ from {tags.folder.url}; scan again")


def _check_same_documents(tags: Tags, other: Tags) -> None:
    ours, theirs = (sorted(map(one.folder.name_of, one.folder.files)) for one in (tags, other))
    if ours != theirs:
        raise ValueError(f"{other.folder.url}: not the tags of the same shards as {tags.folder.url}")
    if tags.digest == other.digest:
        raise ValueError(f"{other.folder.url}: tags of the same model; disagreement needs another one")


def _sql(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _reranked(
    name: str, pool: list[int], keys: Sequence[tuple[str, int]], texts: Mapping[tuple[str, int], str], known: Known
) -> list[int]:
    """What only the text tells: hard negatives speak of no artificial mind; the most novel goes first."""
    if name == "hard-negative":
        return [i for i in pool if not mentions_ai(texts[keys[i]])]
    if name == "novelty" and pool:
        marks = [signature(texts[keys[i]], _WORDS_ALONE) for i in pool]
        return [pool[k] for k in np.argsort(-acquisition.novelty(marks, known.words), kind="stable")]
    return pool


def _duplicates(known: Known, texts: Sequence[str]) -> Callable[[int], bool]:
    """Whether a text, or nearly the same, is in the store or was let pass before."""
    index, number = NearIndex(), count()
    digests = set(known.digests)
    for mark in known.signatures:
        index.add(next(number), mark)

    def refused(i: int) -> bool:
        digest, mark = text_digest(texts[i]), signature(texts[i])
        if digest in digests or index.near(mark):
            return True
        digests.add(digest)
        index.add(next(number), mark)
        return False

    return refused
