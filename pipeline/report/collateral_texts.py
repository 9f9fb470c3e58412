"""What a lexicon can tell of who loses: terms of groups and varieties of English in texts that go and that stay.

Texts are a random draw by a keyed hash from a few shards, read again. A lexicon sees words, not people: that a text has
one says neither who wrote it nor of whom it speaks well. Knows decisions and shards; nothing of pages.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from importlib import resources
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.accounting import Tally
from pipeline.prevalence.bounds import clopper_pearson
from pipeline.readers import read_documents
from pipeline.report.decided import Decided
from pipeline.report.folder import TagsFolder

Lexicon = Mapping[str, Mapping[str, Sequence[str]]]
SIDES = {"dropped": "weight = 0", "kept": "weight > 0"}
_NEXT_TO = r"[\w'’]"


def read_lexicon(path: str | None) -> Lexicon:
    """Terms by kind and name: ours, or those of a TOML file. Raises `ValueError` naming the file."""
    given = storage.read_bytes(path) if path else resources.files(__package__).joinpath("group_terms.toml").read_bytes()
    try:
        lexicon = tomllib.loads(given.decode())
        for names in lexicon.values():
            for terms in names.values():
                if not terms or not all(isinstance(term, str) and term.strip() for term in terms):
                    raise ValueError(f"terms are lists of texts, not {terms!r}")
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: no lexicon ({error}); see pipeline/report/group_terms.toml") from error
    return lexicon


def texts(decided: Decided, number: int, shards: int) -> tuple[dict[str, list[str]], list[str]]:
    """Up to ``number`` texts of dropped and as many of kept documents, from ``shards`` shards at most, and notes on
    shards that cannot be read again. The same decisions give the same texts."""
    files = sorted(decided.folder.files, key=lambda file: sha256(decided.folder.name_of(file).encode()).digest())
    chosen = ", ".join("'{}'".format(file.replace("'", "''")) for file in files[:shards])
    wanted: dict[str, dict[int, tuple[str, str]]] = {}
    for side, where in SIDES.items():
        for row in decided.rows(
            f"""SELECT file, row, id FROM decided WHERE {where} AND file IN ({chosen})
                ORDER BY md5(id || '/' || row), file LIMIT {number}"""
        ):
            wanted.setdefault(row["file"], {})[row["row"]] = (row["id"], side)
    found: dict[str, list[str]] = {side: [] for side in SIDES}
    notes = []
    for file, rows in sorted(wanted.items()):
        try:
            for side, text in _read(decided.folder, file, rows):
                found[side].append(text)
        except Exception as error:  # whatever a changed or lost shard makes a reader raise, the other figures stand
            notes.append(f"{decided.folder.shards[file]} cannot be read again ({type(error).__name__}: {error})")
    return found, notes


def _read(folder: TagsFolder, file: str, wanted: Mapping[int, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    rows, last = pa.array(sorted(wanted), pa.int64()), max(wanted)
    for batch in read_documents(folder.task_of(file), folder.options, Tally()):
        found = batch.filter(pc.is_in(batch.column("row"), rows)).select(["row", "id", "text"]).to_pylist()
        for document in found:
            name, side = wanted[document["row"]]
            if document["id"] != name:
                raise ValueError(f"row {document['row']} is another document now; scan the shard again")
            yield side, document["text"]
        if len(batch) and batch.column("row")[-1].as_py() >= last:
            return


def mentions(found: Mapping[str, Sequence[str]], lexicon: Lexicon) -> list[dict[str, Any]]:
    """For each entry of the lexicon the share of dropped and of kept texts that hold a term, with 95 % intervals
    (Clopper and Pearson 1934), those of the highest ratio first."""
    rows = []
    for kind, names in lexicon.items():
        for name, terms in names.items():
            pattern = re.compile(rf"(?<!{_NEXT_TO})(?:{'|'.join(map(re.escape, terms))})(?!{_NEXT_TO})", re.IGNORECASE)
            row: dict[str, Any] = {"kind": kind, "name": name}
            for side, of in found.items():
                held = sum(bool(pattern.search(text)) for text in of)
                low, high = clopper_pearson(held, len(of))
                share = held / len(of) if of else None
                row[side] = {"mentions": held, "texts": len(of), "share": share, "low": low, "high": high}
            rows.append(row)
    return sorted(rows, key=lambda row: (-_ratio(row), row["kind"], row["name"]))


def _ratio(row: Mapping[str, Any]) -> float:
    """How much more often dropped texts hold a term than kept ones, with half a text added to each."""
    dropped, kept = ((row[side]["mentions"] + 0.5) / (row[side]["texts"] + 1) for side in ("dropped", "kept"))
    return float(dropped / kept)


def perplexities(found: Mapping[str, Sequence[str]], log10: Callable[[str], float]) -> dict[str, float | None]:
    """Perplexity by word of the texts of each side, and of both; ``log10`` gives a text's log probability, its end
    counted, as KenLM's ``Model.score`` does."""
    totals: dict[str, float | None] = {}
    for side, of in {**found, "all": list(chain.from_iterable(found.values()))}.items():
        lines = [" ".join(text.split()) for text in of]
        words = sum(len(line.split()) + 1 for line in lines)
        totals[side] = math.pow(10, -sum(map(log10, lines)) / words) if words else None
    return totals
