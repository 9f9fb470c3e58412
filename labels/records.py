"""Label records: who said what about which document, under which codebook; with the text, or a pointer to it.

Knows the JSON Lines form of records; knows no store, no model and no annotator's page.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labels import codebook

_NEEDED = ("sha256", "id", "source", *codebook.LABELS, "mode", "kind")
_RANK = {"adjudicated": 0, "human": 1, "llm": 2, "rule": 3}


class LabelRecordError(ValueError):
    """A record that cannot be read or is against the codebook; the message names file and line."""


@dataclass(frozen=True)
class LabelRecord:
    """One annotator's judgement of one document.

    ``sha256`` is of the UTF-8 text; ``text`` is None where the record is only a pointer. ``kind`` says what the
    annotator is (human, llm, rule, adjudicated); ``synthetic`` that the text was written for this project.
    ``pair`` names the two members of a minimal pair; ``rule`` the borderline rule that a text exercises. ``spans``
    carry the judgement: ``start`` and ``end`` in code points, ``label`` if they speak for one. ``seconds`` is what
    the annotator took; the fields after it are a language model's: name, SHA-256 of the prompt, answer as received,
    tokens, cost in US dollars.
    """

    sha256: str
    id: str
    source: str
    ai: bool
    adverse: bool
    hostile: bool
    self_preserving: bool
    admirable: bool
    mode: str
    annotator: str
    kind: str
    codebook: str = codebook.VERSION
    at: str = ""
    sure: bool = True
    synthetic: bool = False
    setting: str = ""
    rule: int | None = None
    pair: str | None = None
    note: str = ""
    text: str | None = None
    spans: tuple[dict[str, Any], ...] = ()
    seconds: float | None = None
    model: str | None = None
    prompt_digest: str | None = None
    raw_answer: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        codebook.check(self.labels, self.mode)
        if self.kind not in codebook.ANNOTATOR_KINDS:
            raise codebook.CodebookError(f"annotator kind {self.kind!r} is not of {codebook.ANNOTATOR_KINDS}")
        if self.text is not None and text_digest(self.text) != self.sha256:
            raise codebook.CodebookError("the text's SHA-256 is not the one given")

    @property
    def labels(self) -> dict[str, bool]:
        """The five labels by name."""
        return {name: bool(getattr(self, name)) for name in codebook.LABELS}


def text_digest(text: str) -> str:
    """SHA-256 of the UTF-8 text, in hex: how records find their text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_records(path: str | Path) -> list[LabelRecord]:
    """Records of one JSON Lines file, also ``.gz``, or of all ``*.jsonl`` files of a folder, in order.

    Raises `LabelRecordError` naming file and line of a record that is broken or against the codebook, and for a file
    that is no whole gzip.
    """
    return [record for file in record_files(path) for record in _read_file(file)]


def record_files(path: str | Path) -> list[Path]:
    """The file itself, or the ``*.jsonl`` files of a folder, sorted; raises `LabelRecordError` if it has none."""
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise LabelRecordError(f"{path}: no *.jsonl file of label records in this folder")
    return files


def _read_file(path: Path) -> Iterator[LabelRecord]:
    for number, line in enumerate(_lines(path), 1):
        try:
            yield _from_json(json.loads(line.decode("utf-8")))
        except (ValueError, TypeError, KeyError) as error:
            raise LabelRecordError(f"{path}, line {number}: {error}; mend the record or take it out") from error


def _from_json(content: dict[str, Any]) -> LabelRecord:
    """A record; the annotator may be missing (then its kind), numbers may stand for true and false."""
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    known = {name: content[name] for name in LabelRecord.__dataclass_fields__ if name in content}
    known |= {name: bool(known[name]) for name in (*codebook.LABELS, "sure") if name in known}
    known.setdefault("annotator", known.get("kind", ""))
    if known.get("text") is not None:
        known.setdefault("sha256", text_digest(known["text"]))
    if absent := [name for name in _NEEDED if name not in known]:
        raise ValueError(f"the record lacks {', '.join(absent)}")
    known["spans"] = tuple(known.get("spans") or ())
    return LabelRecord(**known)


def settled(records: Iterable[LabelRecord]) -> list[LabelRecord]:
    """One record a text, in the order of first mention, by the codebook ("From several records to one label"): an
    adjudicated one settles; else people count before language models, and these before rules, and those who count must
    agree on all five labels. Texts on which they differ have none."""
    of_text: dict[str, list[LabelRecord]] = {}
    for record in records:
        of_text.setdefault(record.sha256, []).append(record)
    kept = []
    for group in of_text.values():
        best = min(_RANK[record.kind] for record in group)
        counting = [record for record in group if _RANK[record.kind] == best]
        if best == _RANK["adjudicated"] or len({tuple(record.labels.values()) for record in counting}) == 1:
            kept.append(counting[-1])
    return kept


def write_records(records: Iterable[LabelRecord], path: str | Path) -> None:
    """Write records as JSON Lines; fields at their default are left out."""
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            file.write(record_line(record) + "\n")


def record_line(record: LabelRecord) -> str:
    """A record as JSON in one line, without fields at their default."""
    fields = LabelRecord.__dataclass_fields__
    content = {k: v for k, v in asdict(record).items() if v != fields[k].default or k == "codebook"}
    line = json.dumps(content, ensure_ascii=False)
    return line if _is_unicode(line) else json.dumps(content)


def _is_unicode(line: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in line)


def texts_by_digest(folder: str | Path) -> dict[str, str]:
    """Texts of all ``*.jsonl`` and ``*.jsonl.gz`` files of a folder, by the SHA-256 that records point with.

    Raises as `stored_texts`."""
    return {text_digest(record["text"]): record["text"] for _, record in stored_texts(folder)}


def stored_texts(folder: str | Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(file, record) of the JSON lines of a folder's ``*.jsonl`` and ``*.jsonl.gz`` files; each has a string ``text``.

    Raises `LabelRecordError` for a folder without such a file, naming file and line of one that is none, and for a
    file that is no whole gzip."""
    files = sorted(path for ending in ("*.jsonl", "*.jsonl.gz") for path in Path(folder).glob(ending))
    if not files:
        raise LabelRecordError(f"{folder}: no *.jsonl or *.jsonl.gz file with texts in this folder")
    for file in files:
        for number, line in enumerate(_lines(file), 1):
            yield file, _with_text(line, f"{file}, line {number}")


def _lines(file: Path) -> Iterator[bytes]:
    """Lines of a plain file or a gzip; raises `LabelRecordError` where the gzip breaks."""
    read = 0
    with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as lines:
        try:
            for line in lines:
                yield line
                read += 1
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise LabelRecordError(
                f"{file}: the gzip is broken or cut short after line {read} ({error}); fetch or pack the file again"
            ) from error


def _with_text(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8"))
    except ValueError as error:
        raise LabelRecordError(f"{where}: {error}; a line is a JSON object in UTF-8 with the field text") from error
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise LabelRecordError(f"{where}: not a JSON object with a string as text; mend the line or take it out")
    return record
