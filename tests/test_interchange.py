"""Round trips of items and labels through every form lose nothing, and real files of other tools can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.label_forms import READERS, WRITERS, read_tasks
from labels import codebook
from labels.interchange import argilla, label_studio, prodigy, tables
from labels.interchange.tasks import Task
from labels.records import read_records, text_digest
from labels.store import open_store
from labels.store.exchange import export_tasks, import_tasks

ROOT = Path(__file__).parent.parent
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SOME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
MAYBE = st.none() | SOME
NUMBER = st.none() | st.floats(0, 1e6)
COUNT = st.none() | st.integers(0, 10**9)


@st.composite
def judgements(draw: Callable[..., object], length: int) -> dict[str, object]:
    hostile, keeps, good = (bool(draw(st.booleans())) for _ in range(3))
    ai = hostile or keeps or good or bool(draw(st.booleans()))
    labels = {"ai": ai, "adverse": hostile or keeps, "hostile": hostile, "self_preserving": keeps, "admirable": good}
    kind = draw(st.sampled_from(codebook.ANNOTATOR_KINDS))
    ends = draw(st.lists(st.tuples(st.integers(0, length), st.integers(0, length)), max_size=2))
    spans = [{"start": min(a, b), "end": max(a, b)} | ({"label": "ai"} if a < b else {}) for a, b in ends]  # type: ignore[attr-defined]
    said: dict[str, object] = {
        **labels, "mode": draw(st.sampled_from(codebook.MODES)) if ai else codebook.NO_MODE, "annotator": draw(SOME),
        "kind": kind, "codebook": draw(st.sampled_from(["1", "2"])), "sure": draw(st.booleans()), "note": draw(ANY),
        "at": draw(st.sampled_from(["", "2026-11-25", "2026-11-25T10:00:00.123456+00:00"])), "spans": spans,
        "seconds": draw(NUMBER),
    }  # fmt: skip
    if kind == "llm":
        said |= {
            "model": draw(SOME), "prompt_digest": "ab" * 32, "raw_answer": draw(ANY), "tokens_in": draw(COUNT),
            "tokens_out": draw(COUNT), "cost": draw(NUMBER),
        }  # fmt: skip
    return said


@st.composite
def tasks(draw: Callable[..., object]) -> list[Task]:
    found = []
    for number in range(int(draw(st.integers(0, 3)))):  # type: ignore[call-overload]
        text = draw(st.none() | ANY.map(lambda t, n=number: f"{t}{n}"))
        details = draw(st.dictionaries(st.sampled_from(["lang", "x"]), ANY, max_size=2))
        if draw(st.booleans()):
            details |= {"synthetic": True, "setting": draw(SOME), "rule": 3, "pair": draw(SOME)}  # type: ignore[operator]
        task = Task(
            id=draw(SOME), source=draw(ANY), text=text, url=draw(MAYBE), host=draw(MAYBE), shard=draw(MAYBE),  # type: ignore[arg-type]
            sha256=text_digest(text if text is not None else f"gone {number}"), row=draw(COUNT),  # type: ignore[arg-type]
            split=draw(st.sampled_from([None, "train", "evaluation"])),  # type: ignore[arg-type]
            scores=draw(st.dictionaries(SOME, st.floats(0, 1), max_size=2)),  # type: ignore[arg-type]
            details=details,  # type: ignore[arg-type]
        )  # fmt: skip
        length = len(text) if isinstance(text, str) else 5
        found.append(task.judged(draw(st.lists(judgements(length), max_size=2))))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("form", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tasks())
def test_what_is_written_is_read_back_whole(form: str, given_tasks: list[Task]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.x"
        WRITERS[form](given_tasks, path)
        found = READERS[form](path) if given_tasks or form != "datasets" else []
    key: Callable[[Task], str] = lambda task: task.sha256  # noqa: E731
    assert sorted(found, key=key) == sorted(given_tasks, key=key)


@pytest.mark.parametrize("form", ["jsonl", "csv", "label-studio", "argilla", "prodigy"])
def test_a_lone_surrogate_survives_where_the_form_can_hold_it(form: str, tmp_path: Path) -> None:
    text = "a \ud800 b \U0001f916 c\r\nd \x00"
    judged = {**dict.fromkeys(codebook.LABELS, False), "ai": True, "mode": "news", "annotator": "x", "kind": "human"}
    task = Task("1", "s", text_digest(text), text).judged([judged | {"spans": [{"start": 8, "end": 9}]}])
    WRITERS[form]([task], tmp_path / "f")
    assert READERS[form](tmp_path / "f") == [task]


def test_parquet_says_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        tables.write_parquet([Task("1", "s", text_digest("\ud800"), "\ud800")], tmp_path / "f.parquet")


def test_exported_lines_are_label_records_and_the_project_s_own_records_can_be_imported(tmp_path: Path) -> None:
    own = ROOT / "labels" / "seed" / "pairs_agent.jsonl"
    tables.write_jsonl(tables.read_jsonl(own), tmp_path / "again.jsonl")
    assert read_records(tmp_path / "again.jsonl") == read_records(own)


def test_datasets_reads_the_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    own = tables.read_jsonl(ROOT / "labels" / "seed" / "pairs_agent.jsonl")[:20]
    split = [Task(**{**vars(t), "split": "train" if k % 2 else "evaluation"}) for k, t in enumerate(own)]
    tables.write_datasets(split, tmp_path / "folder")
    loaded = datasets.load_dataset(str(tmp_path / "folder"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {"train": 10, "test": 10}
    loaded["train"].save_to_disk(str(tmp_path / "saved"))
    assert tables.read_datasets(tmp_path / "saved") == split[1::2]


def test_a_real_label_studio_export_is_read(tmp_path: Path) -> None:
    text = "\U0001f916 lied to the crew."
    result = [
        {"from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": ["hostile"]}, "id": "a"},
        {"from_name": "mode", "to_name": "text", "type": "choices", "value": {"choices": ["fiction"]}, "id": "b"},
        {"from_name": "spans", "to_name": "text", "type": "labels", "id": "c",
         "value": {"start": 3, "end": 7, "text": "lied", "labels": ["hostile"]}},
    ]  # fmt: skip
    annotations = [
        {"id": 9, "completed_by": 4, "result": result, "was_cancelled": False, "ground_truth": False,
         "created_at": "2026-01-02T03:04:05Z", "lead_time": 7.5},
        {"id": 10, "completed_by": 5, "result": [], "was_cancelled": True},
    ]  # fmt: skip
    export = [{"id": 3, "data": {"text": text, "source": "ship"}, "annotations": annotations, "predictions": []}]
    (tmp_path / "ls.json").write_text(json.dumps(export), "utf-8")
    (task,) = label_studio.read(tmp_path / "ls.json")
    (record,) = task.records
    assert (task.id, task.source, record.annotator, record.kind, record.seconds) == ("3", "ship", "4", "human", 7.5)
    assert record.adverse and record.ai and record.mode == "fiction"
    assert text[record.spans[0]["start"] : record.spans[0]["end"]] == "lied"


def test_real_argilla_and_prodigy_records_are_read(tmp_path: Path) -> None:
    responses = {"labels": [{"value": ["ai"], "user_id": "u1"}, {"value": [], "user_id": "u2"}],
                 "mode": [{"value": "news", "user_id": "u1"}]}  # fmt: skip
    record = {"id": "r1", "fields": {"text": "A robot."}, "metadata": {"source": "s"}, "responses": responses,
              "suggestions": {}, "vectors": {}, "status": "completed", "_server_id": "x"}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps([record]), "utf-8")
    (task,) = argilla.read(tmp_path / "a.json")
    assert [(r.annotator, r.ai, r.mode) for r in task.records] == [("u1", True, "news"), ("u2", False, "none")]
    lines = [
        {"text": "A robot.", "accept": ["hostile", "mode:fiction"], "answer": "accept", "_timestamp": 1767323045,
         "_annotator_id": "p", "meta": {"source": "s"}, "_input_hash": 1, "_task_hash": 2},
        {"text": "A robot.", "accept": [], "answer": "ignore", "_annotator_id": "q", "meta": {"source": "s"}},
    ]  # fmt: skip
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    (task,) = prodigy.read(tmp_path / "p.jsonl")
    assert [(r.annotator, r.adverse, r.at) for r in task.records] == [("p", True, "2026-01-02T03:04:05+00:00")]


@pytest.mark.parametrize(("form", "broken"), [
    ("jsonl", '{"id": "1"}\n'), ("jsonl", "nonsense\n"), ("csv", "id,kind\n1,human\n"), ("prodigy", "[]\n"),
    ("prodigy", '{"text": "x", "accept": ["evil"], "answer": "accept"}\n'), ("label-studio", '[{"id": 1}]'),
    ("argilla", '[{"fields": {}}]'),
])  # fmt: skip
def test_broken_files_are_named_by_record(form: str, broken: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(broken, "utf-8")
    with pytest.raises(ValueError, match=r"/f, (line|record|task) 1"):
        READERS[form](tmp_path / "f")


def test_the_store_takes_tasks_and_gives_them_back_and_doubles_nothing(place: str) -> None:
    store = open_store(place)
    own = tables.read_jsonl(ROOT / "labels" / "seed" / "pairs_agent.jsonl")
    assert import_tasks(store, own, "seed", method="import") == (len(own), 0)
    assert import_tasks(store, own, "seed again", method="import") == (0, len(own))
    given_back = export_tasks(store)
    assert [Task(**{**vars(task), "split": None}) for task in given_back] == own
    assert export_tasks(store, ["seed"], with_text=False)[0].text is None
    store.close()


def test_folders_tell_their_form(tmp_path: Path) -> None:
    seed = ROOT / "labels" / "seed"
    found = read_tasks(seed, None)
    assert found == [task for file in sorted(seed.glob("*.jsonl")) for task in tables.read_jsonl(file)]
    tables.write_datasets(found[:9], tmp_path / "data set")
    assert read_tasks(tmp_path / "data set", None) == found[:9]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: neither Parquet nor Arrow files"):
        read_tasks(tmp_path / "empty", None)
