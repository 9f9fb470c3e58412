"""Parts of a round by command: blind checks mixed into draws, second readings, texts of imported pointers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from jobs.main import cli
from jobs.snapshot import freeze
from labels import codebook
from labels.records import LabelRecord, read_records, record_line, text_digest
from labels.split import is_held_out
from labels.store import (
    Candidate,
    Store,
    StoreError,
    add_draw,
    designed_selections,
    next_item,
    open_store,
    record_label,
)  # fmt: skip
from labels.store.figures import work
from labels.store.judgements import judgements
from labels.store.tables import Draw, Item, Selection

NONE = dict.fromkeys(codebook.LABELS, False)
ADVERSE = {**NONE, "ai": True, "adverse": True, "hostile": True}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["label", *arguments])


def record(number: int, kind: str, annotator: str, *, adverse: bool, **more: str | None) -> LabelRecord:
    text = text_of(number)
    holds = {**(ADVERSE if adverse else NONE)}
    mode = "news" if adverse else "none"
    given = {"source": f"s{number % 5}", **more}
    return LabelRecord(text_digest(text), f"d{number}", mode=mode, annotator=annotator, kind=kind, **given, **holds)  # type: ignore[arg-type]


def text_of(number: int) -> str:
    return f"document {number} " + " ".join(f"word{number}x{k}" for k in range(40))


def settled_items(tmp_path: Path, place: str, n: int = 20) -> None:
    """Import n adjudicated items (every fourth adverse) and as many that only one person has labelled."""
    records = [record(k, "adjudicated", "judge", adverse=k % 4 == 0) for k in range(n)]
    records += [record(100 + k, "human", "ann", adverse=False) for k in range(n)]
    file = tmp_path / "settled.jsonl"
    file.write_text("".join(record_line(one) + "\n" for one in records))
    (tmp_path / "texts").mkdir()
    numbers = [*range(n), *range(100, 100 + n)]
    lines = [json.dumps({"text": text_of(k)}) + "\n" for k in numbers]
    (tmp_path / "texts" / "a.jsonl").write_text("".join(lines))
    done = run("import", str(file), "--store", place, "--name", "known", "--texts", str(tmp_path / "texts"))
    assert done.exit_code == 0, done.output


def selections(store: Store, draw: str) -> list[tuple[Selection, Item]]:
    query = select(Selection, Item).join(Item, Item.id == Selection.item_id).join(Draw, Draw.id == Selection.draw_id)
    with store.reading() as session:
        rows = session.execute(query.where(Draw.name == draw).order_by(Selection.position))
        return [(selection, item) for selection, item in rows]


@pytest.mark.parametrize("command", ["draw", "acquire"])
def test_draws_take_blind_checks_and_estimates_leave_them_out(scanned: str, tmp_path: Path, command: str) -> None:
    place = str(tmp_path / "labels.sqlite")
    settled_items(tmp_path, place)
    done = run(command, scanned, "--store", place, "--name", "round", "--n", "12", "--gold", "6", "--gold-every", "3")
    assert done.exit_code == 0, done.output
    store = open_store(place)
    rows = selections(store, "round")
    gold = [item for selection, item in rows if selection.gold]
    assert len(gold) == 6 and {item.document for item in gold} <= {f"d{k}" for k in range(20)}
    assert sum(int(item.document[1:]) % 4 == 0 for item in gold) == 3  # half are adverse, though a quarter of all is
    if command == "draw":
        drawn = designed_selections(store, ["round"])
        assert len(drawn) == 12 and not {item.id for _, item in drawn} & {item.id for item in gold}
    seen = []
    for _ in range(9):
        leased = next_item(store, "bob", "round")
        assert leased is not None
        seen.append(leased.item.document in {item.document for item in gold})
        record_label(store, leased.item.id, "bob", "human", NONE, "none", token=leased.token, draw="round")
    assert seen == [False, False, True] * 3
    (bob,) = [one for one in work(store, "round") if one.annotator == "bob"]
    assert bob.gold == 3 and bob.gold_right in (1, 2)  # adverse ones and others come in turns


def test_blind_checks_must_be_settled_by_an_adjudicator(scanned: str, tmp_path: Path) -> None:
    place = str(tmp_path / "labels.sqlite")
    settled_items(tmp_path, place, n=3)
    done = run("draw", scanned, "--store", place, "--name", "round", "--n", "5", "--gold", "4")
    assert isinstance(done.exception, StoreError) and "3 items besides" in str(done.exception)
    assert [one.name for one in open_store(place).engine.connect().exec_driver_sql("SELECT name FROM draws")] == [
        "known"
    ]


def test_a_blind_check_has_no_inclusion_probability(tmp_path: Path) -> None:
    store = open_store(tmp_path / "labels.sqlite")
    gold = Candidate("g", "s", text="gold", gold=True, inclusion_probability=0.5)
    with pytest.raises(StoreError, match="blind check"):
        add_draw(store, "a", "designed", [gold], method="random")


def first_round(place: str, purpose: str, n: int = 12) -> Store:
    """A draw that ann has labelled whole."""
    store = open_store(place)
    chance = 0.25 if purpose == "designed" else None
    documents = [
        Candidate(
            f"d{k}", f"s{k % 3}", text=text_of(k), stratum="low", inclusion_probability=chance, scores={"adverse": 0.5}
        )
        for k in range(n)
    ]
    add_draw(store, "round", purpose, documents, method="x", model_digest="ab")
    label_all(store, "ann", "round", 2)
    return store


def label_all(store: Store, who: str, draw: str, adverse_every: int) -> int:
    n = 0
    while (leased := next_item(store, who, draw)) is not None:
        labels = ADVERSE if int(leased.document[1:]) % adverse_every == 0 else NONE
        mode = "news" if labels["ai"] else "none"
        record_label(store, leased.item.id, who, "human", labels, mode, token=leased.token, draw=draw)
        n += 1
    return n


@pytest.mark.parametrize("purpose", ["designed", "acquired"])
def test_part_of_a_draw_is_read_again_by_another(place: str, purpose: str) -> None:
    store = first_round(place, purpose)
    for name in ("second", "the same again"):
        done = run("second", "round", "--store", place, "--name", name, "--n", "6", "--seed", "3")
        assert done.exit_code == 0 and "6 of 12 documents" in done.output, done.output
    rows = selections(store, "second")
    assert [item.id for _, item in rows] == [item.id for _, item in selections(store, "the same again")]
    chances = {selection.inclusion_probability for selection, _ in rows}
    assert chances == ({0.125} if purpose == "designed" else {None})
    assert {(s.stratum, s.scores["adverse"]) for s, _ in rows} == {("low", 0.5)}
    assert next_item(store, "ann", "second") is None  # who has read them is not asked again
    assert label_all(store, "bob", "second", 3) == 6
    assert label_all(store, "eve", "second", 3) == 0  # two are enough
    found = judgements(store, "second")
    assert found.annotators == ["ann", "bob"] and found.values.shape[2] == 6
    if purpose == "acquired":
        with pytest.raises(StoreError, match="cannot enter an estimate"):
            designed_selections(store, ["second"])


def test_second_readings_of_a_review_or_of_too_much_are_refused(tmp_path: Path) -> None:
    place = str(tmp_path / "labels.sqlite")
    store = first_round(place, "acquired", n=3)
    add_draw(store, "review", "review", [Candidate("d0", "s0", text=text_of(0))], method="x")
    for draw, n, why in (("round", "4", "fewer than 4"), ("review", "1", "review already"), ("none", "1", "no draw")):
        done = run("second", draw, "--store", place, "--name", "again", "--n", n)
        assert isinstance(done.exception, StoreError) and why in str(done.exception)


def test_a_blind_export_says_nothing_of_labels_and_scores(tmp_path: Path) -> None:
    place = str(tmp_path / "labels.sqlite")
    first_round(place, "acquired", n=4)
    out = tmp_path / "out.jsonl"
    assert run("export", str(out), "--store", place, "--draw", "round", "--blind").exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["text"] for row in rows} == {text_of(k) for k in range(4)}
    assert not {key for row in rows for key in row} & {*codebook.LABELS, "mode", "annotator", "note", "scores"}
    both = run("export", str(tmp_path / "x.jsonl"), "--store", place, "--blind", "--labelled")
    assert both.exit_code == 2 and "give one of both" in both.output


@pytest.mark.parametrize("keep", ["text", "pointer"])
def test_imported_pointers_find_their_texts_and_near_duplicates(tmp_path: Path, keep: str) -> None:
    held = next(f"s{k}" for k in range(99) if is_held_out(f"s{k}"))
    free = next(f"s{k}" for k in range(99) if not is_held_out(f"s{k}"))
    texts = {held: text_of(1), free: text_of(1) + " and a word"}
    records = [
        LabelRecord(text_digest(text), source, source, annotator="a", kind="human", mode="none", **NONE)
        for source, text in texts.items()
    ]
    (tmp_path / "r.jsonl").write_text("".join(record_line(one) + "\n" for one in records))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "t.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts.values()))
    place = str(tmp_path / "labels.sqlite")
    more = ["--texts", str(tmp_path / "texts"), "--keep", keep]
    done = run("import", str(tmp_path / "r.jsonl"), "--store", place, "--name", "r", *more)
    assert done.exit_code == 0, done.output
    store = open_store(place)
    with store.reading() as session:
        items = {item.source: item for item in session.scalars(select(Item))}
    assert {source: item.split for source, item in items.items()} == {held: "evaluation", free: "neither"}
    assert {item.text for item in items.values()} == (set(texts.values()) if keep == "text" else {None})
    bare = run("import", str(tmp_path / "r.jsonl"), "--store", str(tmp_path / "bare.sqlite"), "--name", "r")
    assert bare.exit_code == 0 and "2 of the documents only point" in bare.output


def test_a_review_or_blind_check_makes_no_acquired_item_fit_for_evaluation(tmp_path: Path) -> None:
    held = next(f"s{k}" for k in range(99) if is_held_out(f"s{k}"))
    store = open_store(tmp_path / "labels.sqlite")
    item = Candidate("d0", held, text=text_of(0))
    add_draw(store, "round", "acquired", [item], method="x")
    label_all(store, "ann", "round", 2)
    add_draw(store, "review", "review", [item], method="x")
    add_draw(store, "audit", "designed", [Candidate("d0", held, sha256=item.digest, gold=True)], method="x")
    assert freeze(store, tmp_path).left_out == {"held out, but acquired": 1}
    add_draw(store, "fair", "designed", [Candidate("d0", held, sha256=item.digest, inclusion_probability=1.0)],
             method="x")  # fmt: skip
    assert freeze(store, tmp_path).left_out == {}


def test_files_about_the_same_documents_make_one_item_each_in_the_queue(tmp_path: Path) -> None:
    for name, who in (("a", "ann"), ("b", "bob")):
        records = [record(k, "human", who, adverse=False) for k in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(record_line(one) + "\n" for one in records))
    place = str(tmp_path / "labels.sqlite")
    done = run("import", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), "--store", place, "--name", "x")
    assert done.exit_code == 0 and "3 documents with 6 new labels" in done.output, done.output
    assert len(selections(open_store(place), "x")) == 3
    out = tmp_path / "bob.jsonl"
    assert run("export", str(out), "--store", place, "--annotator", "bob", "--labelled", "--pointers").exit_code == 0
    assert read_records(out) == read_records(tmp_path / "b.jsonl")
