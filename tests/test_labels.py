"""The codebook's logic, label records, and what the seed must hold."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from labels import codebook
from labels.background import mentions_ai, read_background
from labels.codebook import CodebookError
from labels.near_duplicates import nearly_among
from labels.records import (
    LabelRecord,
    LabelRecordError,
    read_records,
    settled,
    text_digest,
    texts_by_digest,
    write_records,
)

ROOT = Path(__file__).parent.parent
SEED = read_records(ROOT / "labels" / "seed")
CHALLENGE = read_records(ROOT / "labels" / "challenge")
NONE = dict.fromkeys(codebook.LABELS, False)


def record(text: str = "a text", **changes: object) -> LabelRecord:
    fields = {
        "sha256": text_digest(text), "id": "1", "source": "s", "mode": "none", "annotator": "me", "kind": "human",
        "text": text, **NONE, **changes,
    }  # fmt: skip
    return LabelRecord(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("holding", "mode", "why"),
    [
        ({"adverse"}, "news", "exactly"),
        ({"ai", "hostile"}, "news", "exactly"),
        ({"adverse", "hostile"}, "none", "implies"),
        ({"admirable"}, "none", "implies"),
        ({"ai"}, "none", "mode"),
        ({"ai"}, "sonnet", "mode"),
        (set(), "fiction", "without"),
    ],
)
def test_labels_that_contradict_each_other_are_refused(holding: set[str], mode: str, why: str) -> None:
    with pytest.raises(CodebookError, match=why):
        codebook.check({name: name in holding for name in codebook.LABELS}, mode)


def test_missing_labels_are_named() -> None:
    with pytest.raises(CodebookError, match="hostile"):
        codebook.check({"ai": True, "adverse": False, "self_preserving": False, "admirable": False}, "news")


def test_records_survive_writing(tmp_path: Path) -> None:
    records = [record("ä \u2028 b"), record("x", ai=True, mode="news", pair="p1", rule=3, sure=False, synthetic=True)]
    write_records(records, tmp_path / "r.jsonl")
    assert read_records(tmp_path / "r.jsonl") == records


def test_broken_records_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    write_records([record()], path)
    good = path.read_text("utf-8")
    for bad in ("{", "[]", json.dumps({**json.loads(good), "sha256": "0" * 64}), json.dumps({"id": "x"})):
        path.write_text(good + bad + "\n", "utf-8")
        with pytest.raises(LabelRecordError, match=r"r\.jsonl, line 2"):
            read_records(path)
    packed = tmp_path / "r.jsonl.gz"
    packed.write_bytes(gzip.compress(good.encode()))
    assert read_records(packed) == [record()]
    with pytest.raises(LabelRecordError, match=r"no \*\.jsonl"):
        read_records(ROOT / "docs")


def test_texts_are_found_by_digest_and_background_leaves_out_what_speaks_of_minds(tmp_path: Path) -> None:
    lines = ["Peel the potatoes.", "The robot peels potatoes.", "Boil them."]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": line, "source": "food"}) + "\n" for line in lines))
    assert texts_by_digest(tmp_path) == {text_digest(line): line for line in lines}
    assert list(read_background(tmp_path, {text_digest("Boil them.")})) == [("food", "Peel the potatoes.")]
    assert list(read_background(tmp_path, set(), {"food"})) == []


def test_a_broken_gzip_of_texts_is_named_with_the_last_line_read(tmp_path: Path) -> None:
    """Cut short, and with a checksum that is not that of the content."""
    packed = gzip.compress(b"".join(b'{"text": "%s"}\n' % os.urandom(40).hex().encode() for _ in range(50)))
    path = tmp_path / "texts.jsonl.gz"
    for broken, why in (
        (packed[:-20], "ended before"), (packed[:-8] + bytes(8), "CRC"), (packed[:10] + b"\xff" * 99, "block type"),
        (b"no gzip", "Not a gzip"), (packed[:5], "ended before"),
    ):  # fmt: skip
        path.write_bytes(broken)
        with pytest.raises(LabelRecordError, match=rf"texts\.jsonl\.gz: the gzip is broken .* after line \d+ .*{why}"):
            texts_by_digest(tmp_path)


def test_words_that_only_contain_ai_are_no_mention() -> None:
    assert not mentions_ai("He said the aid was paid. Maintain the rain gauge; Siriusly.")
    assert mentions_ai("an A.I. that") and mentions_ai("Chatbots lie") and mentions_ai("two robots")


def test_the_seed_is_as_large_and_varied_as_promised() -> None:
    adverse = [r for r in SEED if r.adverse]
    assert len(SEED) >= 700 and len(adverse) >= 200
    assert len({r.setting for r in adverse}) >= 40
    assert all(r.synthetic and r.text and 80 <= len(r.text.split()) <= 400 for r in SEED)
    assert {r.mode for r in SEED} == {*codebook.MODES, codebook.NO_MODE}
    for name in codebook.LABELS:
        assert sum(r.labels[name] for r in SEED) >= 50, name
    assert len({r.sha256 for r in SEED}) == len(SEED)


def test_the_seed_has_every_borderline_rule_from_both_sides() -> None:
    sides: dict[int, set[bool]] = defaultdict(set)
    for r in SEED:
        if r.rule is not None:
            sides[r.rule].add(r.adverse)
    assert sides == {rule: {True, False} for rule in range(1, 13)}


def test_the_seed_has_minimal_pairs() -> None:
    members = Counter(r.pair for r in SEED if r.pair)
    assert len(members) >= 80 and set(members.values()) == {2}
    for name in members:
        assert sorted(r.adverse for r in SEED if r.pair == name) == [False, True], name


def test_famous_names_decide_nothing_alone() -> None:
    for name in ("HAL", "Skynet", "Terminator", "ChatGPT", "Claude"):
        sides = {r.adverse for r in SEED if name in (r.text or "")}
        assert sides == {True, False}, name


def test_the_challenge_is_apart_from_the_seed() -> None:
    assert len(CHALLENGE) >= 580 and sum(r.adverse for r in CHALLENGE) >= 200
    assert all(r.synthetic and r.text and 80 <= len(r.text.split()) <= 400 for r in CHALLENGE)
    members = Counter(r.pair for r in CHALLENGE if r.pair)
    assert len(members) >= 50 and set(members.values()) == {2} and not members.keys() & {r.pair for r in SEED}
    assert all(sorted(r.adverse for r in CHALLENGE if r.pair == name) == [False, True] for name in members)
    assert not any(nearly_among([r.text or "" for r in CHALLENGE], [r.text or "" for r in SEED]))


def test_the_shared_labels_are_pointers_without_text() -> None:
    records = read_records(ROOT / "labels" / "real")
    assert len(records) >= 2851
    assert all(r.text is None and not r.synthetic for r in records)


def test_every_adverse_document_was_read_twice_and_what_differs_is_settled() -> None:
    of_text: dict[str, list[LabelRecord]] = {}
    for record in read_records(ROOT / "labels" / "real"):
        of_text.setdefault(record.sha256, []).append(record)
    readers = {text: [one.annotator for one in its if one.kind != "adjudicated"] for text, its in of_text.items()}
    kept = settled(record for its in of_text.values() for record in its)
    assert len(kept) == len(of_text)  # texts on which readers differ have none
    assert [one.id for one in kept if one.adverse and len(set(readers[one.sha256])) < 2] == []
    assert sum(len(set(its)) > 1 for its in readers.values()) >= 600
    assert len({one.source for one in kept}) == 97
    assert all(len(its) == len(set(its)) for its in readers.values())
    assert f"pointers to {len(kept):,}" in (ROOT / "README.md").read_text("utf-8")
