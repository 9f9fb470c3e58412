"""Real text from the files of this machine: manual pages, documentation, docstrings, web pages, and the shared corpus.

Knows files and how to get prose out of them; knows neither shards nor models.
"""

from __future__ import annotations

import ast
import gzip
import json
import math
import os
import random
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from resiliparse.extract.html2text import extract_plain_text

ROOTS = (Path("/usr/share"), Path("/usr/lib"), Path("/usr/local"), Path.home() / ".rustup", Path(sys.base_prefix))
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SHORTEST, LONGEST = 1_000, 8_000
"""Documents are cut at the first paragraph that ends beyond a length drawn between these, in characters."""
LONGEST_PARAGRAPH = 16_000
LARGEST_FILE = 2_000_000
_TEXT = re.compile(r"(\.(txt|md|rst|text|tex|pod)|/(README|NEWS|HISTORY|AUTHORS|copyright|changelog)[^/]*)$", re.I)
_MANUAL = re.compile(r"/man/.*\.\d[a-z]*(\.gz)?$")
_ROFF = re.compile(r"\\f(\(..|\[[^]]*\]|.)|\\[&,/|^%]|^[.']\\\".*$|^[.'][A-Za-z]{1,3} ?|\\s[-+]?\d", re.M)
_CHANGED = re.compile(r"\d+|\b[A-Z][a-z]{2,}\b")


class Text(NamedTuple):
    """A document: its kind (where it was found), the folder or package it comes from, and the text."""

    kind: str
    source: str
    text: str


def find_files() -> dict[str, list[Path]]:
    """Files that may hold text, by kind, in an order that is random but the same for the same files."""
    found: dict[str, list[Path]] = {"manual": [], "documentation": [], "docstring": [], "web": [], "corpus": []}
    for root in ROOTS:
        for folder, _, names in sorted(os.walk(root)):
            for name in sorted(names):
                if kind := _kind(f"{folder}/{name}"):
                    found[kind].append(Path(folder, name))
    found["corpus"] = sorted(CORPUS.glob("*.jsonl.gz"))
    for paths in found.values():
        random.Random(1).shuffle(paths)
    return found


def _kind(path: str) -> str | None:
    if _MANUAL.search(path):
        return "manual"
    if path.endswith(".py"):
        return "docstring"
    if path.endswith((".html", ".htm")):
        return "web"
    return "documentation" if _TEXT.search(path.removesuffix(".gz")) else None


def read_texts(files: dict[str, list[Path]], size: int) -> list[Text]:
    """At least ``size`` bytes of different documents, if there are so many: from all kinds alike while they last."""
    streams = {kind: _documents(kind, paths) for kind, paths in files.items()}
    taken = dict.fromkeys(streams, 0)
    texts: list[Text] = []
    seen: set[int] = set()
    total = 0
    while streams and total < size:
        kind = min(streams, key=lambda name: taken[name])
        if (text := next(streams[kind], None)) is None:
            del streams[kind]
        elif (key := hash(text.text)) not in seen:
            seen.add(key)
            texts.append(text)
            taken[kind] += (n := len(text.text.encode()))
            total += n
    return texts


def _documents(kind: str, paths: Sequence[Path]) -> Iterator[Text]:
    read = _READERS[kind]
    for path in paths:
        source = path.name if kind == "corpus" else path.parent.name
        try:
            if path.stat().st_size > LARGEST_FILE and kind != "corpus":
                continue
            for text in read(path):
                yield from (Text(kind, source, part) for part in cut(text, zlib.crc32(os.fsencode(path))))
        except (OSError, EOFError, zlib.error, ValueError, SyntaxError, RecursionError, MemoryError):
            continue  # not what its name says


def cut(text: str, seed: int) -> Iterator[str]:
    """Documents of mostly 1 to 8 thousand characters, cut between paragraphs; the rest, if short, is dropped."""
    chance = random.Random(seed)
    held: list[str] = []
    size, enough = 0, _length(chance)
    for paragraph in re.split(r"\n\s*\n", text.replace("\0", "")):
        if len(paragraph) > LONGEST_PARAGRAPH:
            continue
        held.append(paragraph.strip("\n"))
        size += len(paragraph)
        if size >= enough:
            yield "\n\n".join(held)
            held, size, enough = [], 0, _length(chance)
    if size >= SHORTEST // 2:
        yield "\n\n".join(held)


def _length(chance: random.Random) -> float:
    return SHORTEST * math.exp(math.log(LONGEST / SHORTEST) * chance.random())


def _plain(path: Path) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def _read_documentation(path: Path) -> Iterator[str]:
    yield _plain(path)


def _read_manual(path: Path) -> Iterator[str]:
    yield re.sub(r"\n{3,}", "\n\n", _ROFF.sub("", _plain(path).replace("\n.PP\n", "\n\n")).replace("\\-", "-"))


def _read_web(path: Path) -> Iterator[str]:
    yield extract_plain_text(_plain(path), main_content=True)


def _read_docstrings(path: Path) -> Iterator[str]:
    with warnings.catch_warnings(action="ignore"):
        tree = ast.parse(path.read_bytes())
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    yield "\n\n".join(ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds))


def _read_corpus(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


_READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    "manual": _read_manual,
    "documentation": _read_documentation,
    "docstring": _read_docstrings,
    "web": _read_web,
    "corpus": _read_corpus,
}


def repeated(texts: Sequence[Text], size: int) -> Iterator[Text]:
    """Copies of the texts with other numbers and names, about ``size`` bytes: for machines with too few texts."""
    if not texts:
        return
    for lap, text in ((lap, text) for lap in count() for text in texts):
        if size <= 0:
            return
        changed = _CHANGED.sub(partial(_other, lap), text.text)
        size -= len(changed.encode())
        yield text._replace(text=changed)


def _other(lap: int, match: re.Match[str]) -> str:
    word = match[0]
    number = zlib.crc32(f"{lap} {word}".encode())
    if word.isdigit():
        return str(number)[-len(word) :]
    return word[0] + "".join("aeionrstl"[number >> 3 * k & 7] for k in range(min(len(word) - 1, 10)))
