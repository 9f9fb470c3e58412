"""The label store on SQLite and PostgreSQL: what is written stays, is written once, and is written when drawn."""

from __future__ import annotations

import multiprocessing
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError

from labels import codebook
from labels.records import text_digest
from labels.store import (
    Candidate,
    ModelAnswer,
    Store,
    StoreError,
    add_draw,
    database,
    designed_selections,
    next_item,
    open_store,
    record_label,
    skip,
    undo,
)  # fmt: skip
from labels.store.columns import ExactText
from labels.store.tables import Base, Item, Label, Lease, Selection

NONE = dict.fromkeys(codebook.LABELS, False)
ADVERSE = {**NONE, "ai": True, "adverse": True, "hostile": True}
ODD = "NUL \x00, SUB \x1a00, surrogate \ud800, emoji \U0001f916, \u202eRTL"


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    opened = open_store(place)
    yield opened
    opened.close()


def documents(n: int, **more: object) -> list[Candidate]:
    return [Candidate(f"d{i}", f"s{i % 7}", text=f"text number {i}", **more) for i in range(n)]  # type: ignore[arg-type]


def label_once(store: Store, annotator: str, draw: str, labels: dict[str, bool] = NONE) -> int | None:
    leased = next_item(store, annotator, draw)
    if leased is None:
        return None
    mode = "news" if labels["ai"] else "none"
    assert record_label(store, leased.item.id, annotator, "human", labels, mode, token=leased.token, draw=draw).new
    return leased.item.id


def states(store: Store) -> dict[int, str]:
    with store.reading() as session:
        return {row.item_id: row.state for row in session.execute(text("SELECT item_id, state FROM current_labels"))}


def test_text_comes_back_exactly(store: Store) -> None:
    add_draw(store, "a", "imported", [Candidate(ODD, ODD, text=ODD, url=ODD, details={"x": ODD})], method="by hand")
    leased = next_item(store, ODD, "a")
    assert leased is not None
    assert (leased.item.text, leased.item.url, leased.document, leased.item.details) == (ODD, ODD, ODD, {"x": ODD})
    assert leased.item.sha256 == text_digest(ODD)


@given(st.text(st.characters(exclude_categories=[])))
def test_every_text_can_be_stored(value: str) -> None:
    kind, dialect = ExactText(), create_engine("sqlite://").dialect
    stored = kind.process_bind_param(value, dialect)
    assert stored is not None and b"\x00" not in stored.encode("utf-8")
    assert kind.process_result_value(stored, dialect) == value


CHANGES = (
    "UPDATE labels SET adverse = NOT adverse, hostile = NOT hostile", "DELETE FROM labels",
    "UPDATE selections SET inclusion_probability = 1", "DELETE FROM selections",
    "UPDATE items SET split = 'train'", "DELETE FROM items", "UPDATE draws SET purpose = 'designed'",
    "DELETE FROM draws", "UPDATE actions SET note = 'x'", "DELETE FROM actions",
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_written_is_never_changed(store: Store, change: str) -> None:
    add_draw(store, "a", "designed", documents(3, inclusion_probability=0.5), method="simple random")
    label_once(store, "ann", "a", ADVERSE)
    leased = next_item(store, "ann", "a")
    assert leased is not None and skip(store, leased.item.id, "ann", token=leased.token, draw="a")
    with pytest.raises(DBAPIError, match="never changed or deleted"), store.writing() as session:
        session.execute(text(change))


def test_a_store_of_an_older_revision_is_brought_up_to_date(place: str) -> None:
    engine = open_store(place).engine
    with engine.begin() as connection:
        for view in ("current_labels", "effective_labels"):
            connection.execute(text(f"DROP VIEW {view}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        connection.execute(text("INSERT INTO draws (name, purpose, method, parameters, at, wanted, gold_every) "
                                "VALUES ('old', 'imported', 'by hand', '{}', '2026-01-01', 1, 0)"))  # fmt: skip
    store = open_store(place)
    assert states(store) == {} and next_item(store, "ann", "old") is None
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_every_revision_can_be_made_alone_and_an_unknown_one_is_refused(place: str) -> None:
    engine = open_store(place).engine
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="later version"):
        open_store(place)


def test_a_store_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="check the path"):
        open_store(tmp_path / "no" / "folder" / "x.sqlite")
    with pytest.raises(StoreError, match="mysql is not supported"):
        open_store("mysql://localhost/x")
    with pytest.raises(StoreError, match="check the path"):
        open_store(f"postgresql://nobody@/x?host={tmp_path}")


def test_a_draw_is_written_once_and_only_designed_ones_have_probabilities(store: Store) -> None:
    add_draw(store, "a", "acquired", documents(3), method="margin")
    with pytest.raises(StoreError, match="already"):
        add_draw(store, "a", "acquired", documents(3), method="margin")
    with pytest.raises(StoreError, match="no inclusion probability"):
        add_draw(store, "b", "designed", documents(3), method="simple random")
    with pytest.raises(StoreError, match="only a designed draw"):
        add_draw(store, "b", "acquired", documents(3, inclusion_probability=0.1), method="margin")
    with pytest.raises(StoreError, match="cannot enter an estimate"):
        designed_selections(store, ["a"])
    with pytest.raises(StoreError, match="there are: a"):
        designed_selections(store, ["b"])


def test_a_text_drawn_twice_is_one_item_with_each_draw_s_probability(store: Store) -> None:
    add_draw(store, "a", "acquired", documents(3), method="margin")
    add_draw(store, "b", "designed", documents(4, inclusion_probability=0.25, stratum="low"), method="simple random")
    found = designed_selections(store, ["b"])
    assert [(s.document, s.inclusion_probability, s.stratum) for s, _ in found] == [
        (f"d{i}", 0.25, "low") for i in range(4)
    ]
    assert len({item.id for _, item in found}) == 4
    label_once(store, "ann", "a")
    with store.reading() as session:
        assert Counter(session.scalars(select(Selection.done))) == {True: 2, False: 5}  # labelled for both draws


def test_an_item_comes_back_until_it_is_labelled_and_a_label_sent_twice_is_one(store: Store) -> None:
    add_draw(store, "a", "acquired", documents(2), method="margin")
    first, again = next_item(store, "ann", "a"), next_item(store, "ann", "a")
    assert first is not None and again is not None and again.token == first.token
    sent = [record_label(store, first.item.id, "ann", "human", NONE, "none", token=first.token, draw="a") for _ in "ab"]
    assert [one.new for one in sent] == [True, False] and sent[0].label.id == sent[1].label.id
    other_tab = record_label(store, first.item.id, "ann", "human", ADVERSE, "news", token="another", draw="a")
    assert not other_tab.new and not other_tab.label.adverse


def test_a_lease_runs_out_and_a_late_label_is_kept(place: str) -> None:
    now = [1000.0]
    store = open_store(place, clock=lambda: now[0])
    add_draw(store, "a", "acquired", documents(1), method="margin")
    slow = next_item(store, "slow", "a", seconds=60)
    assert slow is not None and next_item(store, "quick", "a") is None
    now[0] += 61
    quick = next_item(store, "quick", "a")
    assert quick is not None and quick.item.id == slow.item.id
    for who, leased in (("slow", slow), ("quick", quick)):
        assert record_label(store, leased.item.id, who, "human", NONE, "none", token=leased.token, draw="a").new
    assert states(store) == {1: "agreed"}


def test_each_item_gets_the_wanted_number_of_different_annotators(store: Store) -> None:
    add_draw(store, "a", "acquired", documents(4), method="margin", wanted=2)
    done = [(who, label_once(store, who, "a")) for _ in range(5) for who in ("x", "y", "z")]
    labelled = [(who, item) for who, item in done if item is not None]
    assert len(set(labelled)) == 8 and set(Counter(item for _, item in labelled).values()) == {2}


def test_skip_and_undo_are_appended_and_bring_the_item_back(store: Store) -> None:
    add_draw(store, "a", "acquired", documents(3), method="margin")
    leased = next_item(store, "ann", "a")
    assert leased is not None
    assert skip(store, leased.item.id, "ann", token=leased.token, draw="a", note="too long")
    assert not skip(store, leased.item.id, "ann", token=leased.token, draw="a")
    second = label_once(store, "ann", "a", ADVERSE)
    assert second not in (None, leased.item.id)
    for _ in "ab":
        back = undo(store, "ann", "a", token="u1")
        assert back is not None and back.item.id == second
    assert states(store) == {}
    assert label_once(store, "ann", "a") == second and states(store) == {second: "single"}
    undo(store, "ann", "a", token="u2")
    earlier = undo(store, "ann", "a", token="u3")
    assert earlier is not None and earlier.item.id == leased.item.id
    assert undo(store, "ann", "a", token="u4") is None
    with store.reading() as session:
        assert len(session.scalars(select(Label)).all()) == 2


def test_gold_items_come_every_nth_time_and_for_everyone(store: Store) -> None:
    blind = [Candidate(f"g{i}", "gold", text=f"gold {i}", gold=True) for i in range(2)]
    add_draw(store, "a", "acquired", [*documents(20), *blind], method="margin", gold_every=3)
    for who in ("x", "y"):
        seen = []
        for _ in range(8):
            leased = next_item(store, who, "a")
            assert leased is not None
            seen.append(leased.document[0])
            record_label(store, leased.item.id, who, "human", NONE, "none", token=leased.token, draw="a")
        assert "".join(seen) == "ddgddgdd"


def test_the_current_label_follows_the_codebook(store: Store) -> None:
    add_draw(store, "a", "imported", documents(1), method="by hand")
    with store.reading() as session:
        item = session.scalar(select(Item.id)) or 0

    def say(who: str, kind: str, labels: dict[str, bool]) -> tuple[str, bool]:
        record_label(store, item, who, kind, labels, "news" if labels["ai"] else "none", token=uuid.uuid4().hex)
        with store.reading() as session:
            row = session.execute(text("SELECT state, adverse FROM current_labels")).one()
            return row.state, bool(row.adverse)

    assert say("words", "rule", ADVERSE) == ("single", True)
    assert say("model", "llm", NONE) == ("single", False)
    assert say("model 2", "llm", NONE) == ("agreed", False)
    assert say("model 3", "llm", ADVERSE)[0] == "disputed"
    assert say("p1", "human", ADVERSE) == ("single", True)
    assert say("p2", "human", NONE)[0] == "disputed"
    assert say("judge", "adjudicated", NONE) == ("adjudicated", False)
    assert say("judge 2", "adjudicated", ADVERSE) == ("adjudicated", True)
    assert say("p3", "human", NONE) == ("adjudicated", True)


def test_what_a_language_model_said_is_kept(store: Store) -> None:
    add_draw(store, "a", "acquired", documents(1), method="margin")
    leased = next_item(store, "m", "a")
    assert leased is not None
    answer = ModelAnswer("m-1", "ab" * 32, '{"ai": false}' + ODD, 900, 12, 0.0031)
    record_label(store, leased.item.id, "m", "llm", NONE, "none", token=leased.token, draw="a", note=ODD, answer=answer)
    with store.reading() as session:
        label = session.scalars(select(Label)).one()
        assert (label.model, label.raw_answer, label.tokens_in, label.cost) == ("m-1", answer.raw_answer, 900, 0.0031)
        assert label.note == ODD and label.codebook_version == codebook.VERSION


def test_contradictions_are_refused_by_the_codebook_and_by_the_database(store: Store) -> None:
    add_draw(store, "a", "acquired", documents(1), method="margin")
    with pytest.raises(codebook.CodebookError):
        record_label(store, 1, "x", "human", {**NONE, "adverse": True}, "none", token="t")
    with pytest.raises(StoreError, match="no item 77"):
        record_label(store, 77, "x", "human", NONE, "none", token="t")
    columns = "item_id, annotator, kind, ai, adverse, hostile, self_preserving, admirable, mode, sure, at, "
    wrong = f"INSERT INTO labels ({columns} codebook_version, note, spans, token) VALUES (1, 'x', 'human', true, true, "
    with pytest.raises(DBAPIError), store.writing() as session:
        session.execute(text(wrong + "false, false, false, 'news', true, '', '1', '', '[]', 't')"))


def annotate(place: str, annotator: str, draw: str, stop_after: int) -> None:
    """What a process of the hammering test does: label until nothing is left, sending each label twice."""
    store = open_store(place)
    for _ in range(stop_after):
        leased = next_item(store, annotator, draw)
        if leased is None:
            return
        for _ in "ab":
            record_label(store, leased.item.id, annotator, "human", NONE, "none", token=leased.token, draw=draw)


def test_processes_that_hammer_one_store_lose_and_double_nothing(place: str) -> None:
    store = open_store(place)
    add_draw(store, "a", "acquired", documents(25), method="margin", wanted=2)
    names = [f"ann {k}" for k in range(4)] + ["ann 0"]  # one annotator twice: two tabs
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=annotate, args=(place, name, "a", 200)) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)
    with store.reading() as session:
        made = [(label.item_id, label.annotator) for label in session.scalars(select(Label))]
        assert len(made) == len(set(made)) == 50
        assert set(Counter(item for item, _ in made).values()) == {2}
        assert session.scalars(select(Selection).where(~Selection.done)).all() == []
        assert session.scalars(select(Lease)).all() == []


def test_several_processes_may_open_a_new_store_at_once(place: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=open_store, args=(place,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert states(open_store(place)) == {} and database.MIGRATIONS.is_dir()
