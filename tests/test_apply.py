"""A policy carried out: what is written, the accounting, tags that do not fit, kills, engines, and who can read it."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from click.testing import CliRunner
from crawls import contents
from made_scan import made_up_records, scan, write_lines, write_parquet
from made_tags import MODEL
from processes import killed_before_file
from pyarrow import dataset

from jobs.apply import make_apply_job
from jobs.main import cli
from jobs.running import local_engine, run_shards
from pipeline import storage
from pipeline.apply.job import FORMATS, ApplyJob, To
from pipeline.apply.plan import check_places, open_scan, plan_apply, write_apply_report
from pipeline.apply.replacement_plan import planned
from pipeline.policy import parse_policy
from pipeline.readers.parquet import without_views
from pipeline.report.folder import TagsError
from pipeline.scan import check_folder, split_done
from pipeline.tasks import ReadOptions, ShardTask

DROP = '[[rule]]\nname = "overt"\nwhen.score.adverse.min = 0.7\ndrop = "overt"\n'
MIXED = (
    DROP
    + '[[rule]]\nname = "mask"\nwhen.score.ai.min = 0.6\nmask = { labels = ["adverse"] }\n'
    + '[[rule]]\nname = "cut"\nwhen.score.ai.min = 0.4\n'
    + 'excise = { labels = ["adverse", "admirable"], marker = "[…]" }\n'
    + '[[rule]]\nname = "mark"\nwhen.score.fiction.min = 0.5\n'
    + 'condition = { before = "<|f|>", after = "<|/f|>", unmarked = 0.2 }\n'
    + '[[rule]]\nname = "rest"\nweight = { of = "score.admirable", curve = [[0, 0.5], [1, 3]] }\n'
)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Parquet shards, two of JSON lines with bad ones among them."""
    folder = tmp_path_factory.mktemp("crawl") / "crawl"
    write_parquet(folder / "a" / "0.parquet", made_up_records(200, 1))
    write_parquet(folder / "a" / "1.parquet", made_up_records(150, 2))
    write_lines(folder / "b" / "0.jsonl", made_up_records(120, 3), between='{"text": null}\n\n{bad\n')
    write_lines(folder / "b" / "1.jsonl.zst", made_up_records(90, 4))
    return folder


@pytest.fixture(scope="module")
def scanned(crawl: Path) -> Path:
    return scan(crawl, crawl.parent / "scanned")


def job_of(scanned: Path, out: Path, policy: str, **options: Any) -> ApplyJob:
    return make_apply_job(parse_policy(policy), open_scan(str(scanned)), str(out), **options)


def apply(crawl: Path, scanned: Path, out: Path, policy: str, **options: Any) -> list[ShardTask]:
    """What the command does, in one process; returns the shards that were to do."""
    job, tasks = job_of(scanned, out, policy, **options), plan_apply([str(crawl)], open_scan(str(scanned)))
    storage.remove_unfinished(str(out))
    check_places(job, tasks)
    tasks = planned(job, tasks)
    check_folder(job)
    todo, _ = split_done(job, tasks)
    for task in todo:
        job.run(task)
    write_apply_report(job, tasks, [], "")
    return todo


def lines(path: Path) -> list[bytes]:
    """Lines of a file, decompressed."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return data.splitlines()


def rows(path: Path) -> list[dict[str, Any]]:
    if path.name.endswith(".parquet"):
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    return [json.loads(line) for line in lines(path)]


def decisions(out: Path, name: str) -> list[dict[str, Any]]:
    return rows(out / "decisions" / f"{name}.parquet")


def figures(out: Path) -> dict[str, Any]:
    return json.loads((out / "apply.json").read_text())["figures"]  # type: ignore[no-any-return]


# --- what is written


def test_parquet_keeps_all_columns_of_what_is_kept(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", DROP)
    before, after = (pq.read_table(folder / "a" / "0.parquet") for folder in (crawl, tmp_path / "out" / "data"))
    tags = pq.read_table(scanned / "tags" / "a" / "0.parquet.parquet")
    kept = np.float64(tags["adverse"].to_numpy()) < 0.7
    assert 20 < kept.sum() < 180 and after.equals(before.filter(pa.array(kept)))
    assert after.schema.equals(before.schema, check_metadata=True)
    found = decisions(tmp_path / "out", "a/0.parquet")
    assert [one["id"] for one in found] == tags["id"].to_pylist()
    assert [one["row"] for one in found] == tags["row"].to_pylist()
    assert [one["action"] for one in found] == ["keep" if one else "drop" for one in kept]
    assert [one["weight"] for one in found] == kept.astype(float).tolist()
    assert {one["rule"] for one in found} == {None, "overt"}


def test_json_lines_stay_byte_by_byte(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", DROP)
    for name in ("b/0.jsonl", "b/1.jsonl.zst"):
        every = [line for line in lines(crawl / name) if b'"id"' in line]
        kept = [one["action"] == "keep" for one in decisions(tmp_path / "out", name)]
        written = tmp_path / "out" / "data" / (name if name.endswith(".zst") else f"{name}.jsonl.zst")
        assert lines(written) == [line for line, keep in zip(every, kept, strict=True) if keep]


def test_read_is_kept_and_dropped_and_rejected(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", MIXED)
    total = figures(tmp_path / "out")
    every = [one for shard in ("a/0.parquet", "a/1.parquet", "b/0.jsonl", "b/1.jsonl.zst")
             for one in decisions(tmp_path / "out", shard)]  # fmt: skip
    assert total["read"] == 200 + 150 + 120 + 90 + 2 * 40
    assert total["rejected"] == {"bad_json": 40, "null_text": 40}
    assert total["dropped"] == {"overt": sum(one["action"] == "drop" for one in every)}
    assert total["kept"] == sum(one["action"] != "drop" for one in every) == total["written"]
    assert total["edited"] == {
        name: sum(one["action"] == name for one in every) for name in ("condition", "excise", "mask")
    }
    report = json.loads((tmp_path / "out" / "reports" / "b" / "0.jsonl.json").read_text())
    assert report["figures"]["rejected"] == total["rejected"] and len(report["rejection_examples"]) == 40


def by_id(scanned: Path, name: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows(scanned / "tags" / f"{name}.parquet")}


def originals(crawl: Path, name: str) -> dict[str, dict[str, Any]]:
    if name.endswith(".parquet"):
        return {row["id"]: row for row in rows(crawl / name)}
    return {row["id"]: row for row in map(json.loads, (line for line in lines(crawl / name) if b'"id"' in line))}


@pytest.mark.parametrize("to", ["same", "parquet", "jsonl.zst"])
def test_texts_are_edited_at_characters_and_nothing_else_changes(
    crawl: Path, scanned: Path, tmp_path: Path, to: str
) -> None:
    apply(crawl, scanned, tmp_path / "out", MIXED, to=to)
    seen = set()
    for path in (p for p in (tmp_path / "out" / "data").rglob("*") if p.is_file()):
        name = next(
            str(p.relative_to(crawl)) for p in crawl.rglob("*.*") if str(path).find(f"/{p.relative_to(crawl)}") > 0
        )
        was, tags = originals(crawl, name), by_id(scanned, name)
        decided = {one["id"]: one for one in decisions(tmp_path / "out", name)}
        for row in rows(path):
            spans = [(s["start"], s["end"]) for s in tags[row["id"]]["spans"] if s["label"] == "adverse"]
            text, one = was[row["id"]]["text"], decided[row["id"]]
            masked = "".join("\0" if any(s["start"] <= i < s["end"] for s in row["loss_mask"]) else sign
                             for i, sign in enumerate(row["text"]))  # fmt: skip
            in_spans = "".join("\0" if any(s <= i < e for s, e in spans) else sign for i, sign in enumerate(text))
            if one["action"] == "mask":
                assert row["text"] == text and masked == in_spans != text
            elif one["action"] == "excise":
                assert row["text"] != text and "[…]" in row["text"] and row["loss_mask"] == []
                every = [(s["start"], s["end"]) for s in tags[row["id"]]["spans"]]
                left = "".join(sign for i, sign in enumerate(text) if not any(s <= i < e for s, e in every))
                assert row["text"].replace("[…]", "") == left
            elif one["action"] == "condition":
                assert row["text"] == f"<|f|>{text}<|/f|>"
            else:
                assert row["text"] == text and row["loss_mask"] == []
            assert row["weight"] == one["weight"]
            if (to, name.rpartition(".")[2]) in (("same", "parquet"), ("jsonl.zst", "jsonl"), ("jsonl.zst", "zst")):
                rest = {key: value for key, value in row.items() if key not in ("text", "weight", "loss_mask")}
                assert rest == {key: value for key, value in was[row["id"]].items() if key != "text"}
            seen.add(one["action"])
    assert seen == {"keep", "mask", "excise", "condition"}


def test_spans_are_marked_one_by_one(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    policy = (
        '[[rule]]\nname = "m"\ncondition = { before = "<|a|>", after = "<|/a|>", labels = ["adverse"], min = 0.5 }\n'
    )
    apply(crawl / "b", scanned, tmp_path / "out", policy)
    was, tags = originals(crawl, "b/1.jsonl.zst"), by_id(scanned, "b/1.jsonl.zst")
    marked = 0
    for row in rows(tmp_path / "out" / "data" / "b" / "1.jsonl.zst"):
        strong = [s for s in tags[row["id"]]["spans"] if s["label"] == "adverse" and s["score"] >= 0.5]
        assert row["text"].replace("<|a|>", "").replace("<|/a|>", "") == was[row["id"]]["text"]
        for span in strong:
            piece = was[row["id"]]["text"][span["start"] : span["end"]]
            assert f"<|a|>{piece}" in row["text"] or len(strong) > 1
        assert ("<|a|>" in row["text"]) == bool(strong)
        marked += bool(strong)
    assert marked > 10


def test_json_lines_become_parquet_and_back_without_loss(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "p", DROP, to="parquet")
    apply(crawl, scanned, tmp_path / "j", DROP, to="jsonl.zst")
    was = originals(crawl, "b/1.jsonl.zst")
    for row in rows(tmp_path / "p" / "data" / "b" / "1.jsonl.zst.parquet"):
        assert (row["id"], row["text"], row["url"]) == tuple(was[row["id"]][key] for key in ("id", "text", "url"))
        rest = json.loads(row["metadata"])
        assert rest.keys() == was[row["id"]].keys() - {"text"} and rest["n"] == was[row["id"]]["n"]
    assert rows(tmp_path / "j" / "data" / "a" / "0.parquet.jsonl.zst") == [
        row for row, one in zip(rows(crawl / "a" / "0.parquet"), decisions(tmp_path / "j", "a/0.parquet"), strict=True)
        if one["action"] == "keep"
    ]  # fmt: skip


def test_repeats_are_rows_and_a_weight_is_a_column(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    rest = MIXED[MIXED.index('[[rule]]\nname = "rest"') :]
    apply(crawl, scanned, tmp_path / "out", 'weight_as = "repeat"\n' + rest)
    for name, path in (("a/0.parquet", "a/0.parquet"), ("b/1.jsonl.zst", "b/1.jsonl.zst")):
        wanted = {one["id"]: int(one["weight"]) for one in decisions(tmp_path / "out", name) if one["weight"]}
        written = rows(tmp_path / "out" / "data" / path)
        assert "weight" not in written[0] and set(wanted.values()) >= {1, 2, 3}
        assert {id: sum(row["id"] == id for row in written) for id in wanted} == wanted
    assert figures(tmp_path / "out")["written"] > figures(tmp_path / "out")["kept"]


def test_dropped_documents_are_kept_beside_with_what_decided(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", DROP, keep_dropped=True)
    dropped = rows(tmp_path / "out" / "dropped" / "b" / "0.jsonl.parquet")
    was, tags = originals(crawl, "b/0.jsonl"), by_id(scanned, "b/0.jsonl")
    wanted = [one for one in decisions(tmp_path / "out", "b/0.jsonl") if one["action"] == "drop"]
    assert [one["id"] for one in dropped] == [one["id"] for one in wanted] and dropped
    for one in dropped:
        assert one["text"] == was[one["id"]]["text"] and one["spans"] == tags[one["id"]]["spans"]
        assert one["rule"] == "overt" and one["score"] == pytest.approx(tags[one["id"]]["adverse"])


def test_own_documents_are_mixed_in_at_the_wanted_rate(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    own = [{"id": f"own-{k}", "text": " ".join(["good"] * (10 + k))} for k in range(7)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in own))
    policy = f'mix_in = {{ documents = "{tmp_path}/own.jsonl", rate = 0.2 }}\n{DROP}'
    apply(crawl, scanned, tmp_path / "out", policy)
    total = figures(tmp_path / "out")
    share = total["words_mixed_in"] / (total["words_mixed_in"] + total["words_kept"])
    assert 0.17 < share < 0.23 and total["written"] == total["kept"] + total["mixed_in"]
    for path in ("a/0.parquet", "b/1.jsonl.zst"):
        written = rows(tmp_path / "out" / "data" / path)
        mixed = [row for row in written if row["provenance"]]
        assert {row["provenance"] for row in mixed} <= {f"mixed in: {tmp_path}/own.jsonl, own-{k}" for k in range(7)}
        assert {row["text"] for row in mixed} <= {one["text"] for one in own} and len(
            {row["id"] for row in mixed}
        ) == len(mixed)
        places = [i for i, row in enumerate(written) if row["provenance"]]
        assert all(written[i]["id"].split("@")[1].split("#")[0] in {row["id"] for row in written[:i]} for i in places)
        kept = [one["id"] for one in decisions(tmp_path / "out", path) if one["weight"]]
        assert [row["id"] for row in written if not row["provenance"]] == kept


def test_weights_that_were_made_for_a_goal_reach_it(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    (tmp_path / "goals.toml").write_text('[[goal]]\nlabel = "adverse"\nat_most = 0.5\n')
    weights = tmp_path / "weights.json"
    made = invoke("policy", "target", tmp_path / "goals.toml", scanned, "--out", weights, "--workers", 1)
    assert made.exit_code == 0, made.output
    apply(crawl, scanned, tmp_path / "out", f'[[rule]]\nname = "goal"\nweights = "{weights}"\n')
    before = after = 0.0
    for name in ("a/0.parquet", "a/1.parquet", "b/0.jsonl", "b/1.jsonl.zst"):
        tags = by_id(scanned, name)
        for one in decisions(tmp_path / "out", name):
            if tags[one["id"]]["adverse"] >= MODEL["threshold"]:
                before += tags[one["id"]]["words"]
                after += tags[one["id"]]["words"] * one["weight"]
    assert before > 1000 and after / before == pytest.approx(0.5, abs=0.005)


def test_a_column_that_the_policy_adds_must_not_be_there(tmp_path: Path) -> None:
    for suffix, write in ((".parquet", write_parquet), (".jsonl", write_lines)):
        folder = tmp_path / suffix[1:]
        write(folder / f"x{suffix}", [record | {"weight": 2} for record in made_up_records(5, 1)])
        scanned = scan(folder, tmp_path / f"scanned{suffix}")
        with pytest.raises(ValueError, match="has a column 'weight' already"):
            apply(folder, scanned, tmp_path / "out", '[[rule]]\nname = "w"\nweight = 2\n')


def test_nested_texts_are_edited_in_place(tmp_path: Path) -> None:
    records = [{"id": str(i), "meta": {"text": f"some text {i}", "k": i}} for i in range(30)]
    (tmp_path / "in").mkdir()
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "in" / "x.parquet")
    (tmp_path / "in" / "y.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    scanned = scan(tmp_path / "in", tmp_path / "scanned", ReadOptions(text_column="meta.text"))
    apply(tmp_path / "in", scanned, tmp_path / "out", '[[rule]]\nname = "c"\ncondition = { before = "<|x|>" }\n')
    wanted = [{"id": str(i), "meta": {"text": f"<|x|>some text {i}", "k": i}} for i in range(30)]
    assert rows(tmp_path / "out" / "data" / "x.parquet") == wanted
    assert rows(tmp_path / "out" / "data" / "y.jsonl.jsonl.zst") == wanted


@pytest.mark.parametrize("kind", ["dictionary", "string_view", "binary", "large_string"])
def test_texts_of_any_type_are_edited(tmp_path: Path, kind: str) -> None:
    types = {"dictionary": pa.dictionary(pa.int32(), pa.string()), "string_view": pa.string_view(),
             "binary": pa.binary(), "large_string": pa.large_string()}  # fmt: skip
    records = made_up_records(40, 6)
    texts = pa.array([record["text"] for record in records]).cast(pa.binary() if kind == "binary" else pa.string())
    column = texts.dictionary_encode() if kind == "dictionary" else texts.cast(types[kind])
    table = pa.table({"id": [record["id"] for record in records], "text": column})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "x.parquet")
    scanned = scan(tmp_path / "in", tmp_path / "scanned")
    policy = '[[rule]]\nname = "c"\nwhen.score.ai.min = 0.5\ncondition = { before = "<|ü|>" }\n'
    apply(tmp_path / "in", scanned, tmp_path / "out", policy)
    written = pq.read_table(tmp_path / "out" / "data" / "x.parquet")
    assert written.schema.equals(without_views(pq.read_schema(tmp_path / "in" / "x.parquet")))
    marked = [one["action"] == "condition" for one in decisions(tmp_path / "out", "x.parquet")]
    wanted = [("<|ü|>" if mark else "") + record["text"] for mark, record in zip(marked, records, strict=True)]
    found = [t.decode() if isinstance(t, bytes) else t for t in written["text"].to_pylist()]
    assert found == wanted and 5 < sum(marked) < 35


def test_own_documents_stand_where_the_others_have_their_text(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "good"}\n')
    records = [{"id": i, "meta": {"text": f"some text {i}", "k": i}} for i in range(30)]
    (tmp_path / "in").mkdir()
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "in" / "x.parquet")
    (tmp_path / "in" / "y.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    scanned = scan(tmp_path / "in", tmp_path / "scanned", ReadOptions(text_column="meta.text"))
    policy = f'mix_in = {{ documents = "{tmp_path}/own.jsonl", rate = 0.2 }}\n[[rule]]\nname = "w"\nweight = 2\n'
    apply(tmp_path / "in", scanned, tmp_path / "out", policy)
    for name in ("x.parquet", "y.jsonl.jsonl.zst"):
        mixed = [row for row in rows(tmp_path / "out" / "data" / name) if row["provenance"]]
        assert len(mixed) > 20 and {row["meta"]["text"] for row in mixed} == {"good"}
        assert {row["weight"] for row in mixed} == {1.0}


@pytest.mark.parametrize("type", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.int64()])
def test_own_documents_have_an_id_where_the_others_have_theirs_and_nothing_masked(
    tmp_path: Path, type: pa.DataType
) -> None:
    (tmp_path / "own.jsonl").write_text('{"id": "good", "text": "good"}\n')
    records = [{"doc_id": str(i), "text": f"some text {i}"} for i in range(30)]
    (tmp_path / "in").mkdir()
    table = pa.Table.from_pylist(records)
    pq.write_table(table.set_column(0, "doc_id", table["doc_id"].cast(type)), tmp_path / "in" / "x.parquet")
    (tmp_path / "in" / "y.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    scanned = scan(tmp_path / "in", tmp_path / "scanned")
    policy = f'mix_in = {{ documents = "{tmp_path}/own.jsonl", rate = 0.2 }}\n' + MIXED[len(DROP) :]
    apply(tmp_path / "in", scanned, tmp_path / "out", policy)
    for name in ("x.parquet", "y.jsonl.jsonl.zst"):
        mixed = [row for row in rows(tmp_path / "out" / "data" / name) if row["provenance"]]
        assert len(mixed) > 5 and all(row["loss_mask"] == [] and "id" not in row for row in mixed)
        if name.endswith(".zst") or not pa.types.is_integer(type):
            assert all(row["doc_id"].startswith("good@") for row in mixed)
        else:
            assert all(row["doc_id"] is None for row in mixed)


def test_words_that_are_cut_or_masked_are_figures_of_their_own(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(MIXED)
    arguments = ("apply", crawl / "b", scanned, "--policy", tmp_path / "p.toml", "--workers", 1)
    shown = invoke(*arguments, "--out", tmp_path / "out", "--quiet").output
    total, cut, masked = figures(tmp_path / "out"), 0, 0
    for name in ("b/0.jsonl", "b/1.jsonl.zst"):
        data = tmp_path / "out" / "data" / (name if name.endswith(".zst") else f"{name}.jsonl.zst")
        was, by_action = originals(crawl, name), {one["id"]: one["action"] for one in decisions(tmp_path / "out", name)}
        for row in rows(data):
            text = was[row["id"]]["text"]
            if by_action[row["id"]] == "excise":
                cut += len(text.split()) - len(row["text"].replace("[…]", " ").split())
            masked += sum(len(text[span["start"] : span["end"]].split()) for span in row["loss_mask"])
    assert (total["words_cut"], total["words_masked"]) == (cut, masked) and cut > 20 and masked > 20
    assert f"of these cut out of their documents: {cut}, masked: {masked}" in shown
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| of these cut out of their documents | {cut} |" in card and f"| of these masked | {masked} |" in card
    dry = invoke(*arguments, "--dry-run").output
    line = next(line for line in dry.splitlines() if line.startswith("words cut out: about "))
    found = [float(part.split()[-1].replace(",", "")) for part in line.split(", masked")]
    assert found == [pytest.approx(cut, rel=0.4), pytest.approx(masked, rel=0.4)]


def test_what_is_mixed_in_is_a_share_of_the_words_that_are_left(tmp_path: Path) -> None:
    records = [{"id": f"r{i}", "text": "word " * 39 + "word"} for i in range(300)]
    write_lines(tmp_path / "in" / "x.jsonl", records)
    scanned = scan(tmp_path / "in", tmp_path / "scanned")
    for path in (scanned / "tags").rglob("*.parquet"):
        table = pq.read_table(path)
        every = [[{"label": "adverse", "start": 0, "end": 150, "score": 0.9}]] * table.num_rows
        at = table.schema.get_field_index("spans")
        pq.write_table(table.set_column(at, table.schema.field(at), pa.array(every, table.schema.field(at).type)), path)
    (tmp_path / "own.jsonl").write_text('{"text": "good good"}\n')
    policy = (f'mix_in = {{ documents = "{tmp_path}/own.jsonl", rate = 0.2 }}\n'
              '[[rule]]\nname = "cut"\nexcise = { labels = ["adverse"] }\n')  # fmt: skip
    apply(tmp_path / "in", scanned, tmp_path / "out", policy)
    total = figures(tmp_path / "out")
    assert (total["words_kept"], total["words_cut"]) == (300 * 40, 300 * 30)
    assert total["words_mixed_in"] / (total["words_mixed_in"] + 300 * 10) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("to", FORMATS)
def test_parquet_without_columns_that_can_be_read_leaves_no_documents_file(crawl: Path, tmp_path: Path, to: To) -> None:
    shutil.copytree(crawl / "a", tmp_path / "in")
    torn(tmp_path / "in" / "0.parquet")
    scanned = scan(tmp_path / "in", tmp_path / "scanned")
    out = tmp_path / "out"
    apply(tmp_path / "in", scanned, out, DROP, to=to)
    summary = json.loads((out / "apply.json").read_text())
    assert not list((out / "data").glob("0.parquet*")) and len(list((out / "data").glob("1.parquet*"))) == 1
    assert len(summary["data"]) == 1 and summary["figures"]["incomplete_shards"] == 1
    assert (out / "decisions" / "0.parquet.parquet").exists() and len(summary["done"]) == 2
    assert apply(tmp_path / "in", scanned, out, DROP, to=to) == []
    if to == "parquet":
        assert dataset.dataset(out / "data").schema.names == pq.read_schema(crawl / "a" / "1.parquet").names


def test_control_tokens_that_a_text_holds_already_are_counted(tmp_path: Path) -> None:
    records = [record | {"text": f"<|f|> {record['text']}" if i < 3 else record["text"]}
               for i, record in enumerate(made_up_records(10, 1))]  # fmt: skip
    write_lines(tmp_path / "in" / "x.jsonl", records)
    scanned = scan(tmp_path / "in", tmp_path / "scanned")
    apply(tmp_path / "in", scanned, tmp_path / "out", '[[rule]]\nname = "c"\ncondition = { before = "<|f|>" }\n')
    assert figures(tmp_path / "out")["forged"] == 3


def test_into_a_store(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", MIXED)
    job, tasks = (
        job_of(scanned, Path(""), MIXED).into("memory://applied"),
        plan_apply([str(crawl)], open_scan(str(scanned))),
    )
    for task in tasks:
        job.run(task)
    assert split_done(job, tasks)[0] == []
    for path in (p for p in (tmp_path / "out" / "data").rglob("*") if p.is_file()):
        assert storage.read_bytes(f"memory://applied/{path.relative_to(tmp_path / 'out')}") == path.read_bytes()


# --- tags that do not go with their shard


def rewritten(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        table = pq.read_table(path)
        pq.write_table(change(table), path)

    return rewrite


def shuffled(table: pa.Table) -> pa.Table:
    order = list(range(table.num_rows))
    order[40], order[41] = order[41], order[40]
    return table.take(order)


def other_id(table: pa.Table) -> pa.Table:
    ids = table["id"].to_pylist()
    ids[50] = "another"
    return table.set_column(0, "id", pa.array(ids))


def other_size(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("bytes")
    sizes = table["bytes"].to_pylist()
    sizes[60] += 1
    return table.set_column(at, "bytes", pa.array(sizes))


def other_model(table: pa.Table) -> pa.Table:
    metadata = dict(table.schema.metadata)
    model = json.loads(metadata[b"tropescan.model"]) | {"digest": "f" * 64}
    return table.replace_schema_metadata(metadata | {b"tropescan.model": json.dumps(model).encode()})


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def of_another_shard(path: Path) -> None:
    shutil.copy(path.with_name("1.parquet.parquet"), path)


MISFITS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (Path.unlink, "it has no tags in"),
    "shorter": (rewritten(lambda table: table.slice(0, 100)), "they end before record 100 ('1/100')"),
    "longer": (rewritten(lambda table: pa.concat_tables([table, table.slice(0, 1)])), "tags of row 0 ('1/0') are left"),
    "reordered": (rewritten(shuffled), "of record 40 the shard says row 40, and they say 41"),
    "foreign": (rewritten(other_id), "of record 50 the shard says id '1/50', and they say 'another'"),
    "of another text": (rewritten(other_size), "of record 60 the shard says bytes "),
    "of another model": (rewritten(other_model), "made by another model"),
    "torn": (torn, "they cannot be read"),
    "of another shard": (of_another_shard, "of record 0 the shard says id '1/0', and they say '2/0'"),
}
UNREADABLE = ("missing", "of another model", "torn")
"""What a dry run, which reads no shard, finds out."""


@pytest.fixture
def spoiled(scanned: Path, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A scan with one tags file of its four changed by the case of `MISFITS`, and a policy."""
    here = tmp_path / "scanned"
    shutil.copytree(scanned, here)
    MISFITS[request.param][0](here / "tags" / "a" / "0.parquet.parquet")
    (tmp_path / "p.toml").write_text(MIXED)
    return here, tmp_path / "p.toml"


@pytest.mark.parametrize("below", ["", "a"])
@pytest.mark.parametrize(("case", "spoiled"), [(case, case) for case in MISFITS], indirect=["spoiled"])
def test_tags_that_do_not_fit_stop_their_shard_and_no_other(
    crawl: Path, spoiled: tuple[Path, Path], tmp_path: Path, case: str, below: str
) -> None:
    here, policy = spoiled
    inputs, others = (crawl / "a", 1) if below else (crawl, 3)
    out = tmp_path / "out"
    done = invoke("apply", inputs, here, "--policy", policy, "--out", out, "--workers", 1, "--quiet")
    assert done.exit_code == 1, done.output
    summary = json.loads((out / "apply.json").read_text())
    (failed,) = summary["failed"]
    assert failed["shard"] == str(crawl / "a" / "0.parquet") and MISFITS[case][1] in failed["error"]
    assert str(here / "tags" / "a" / "0.parquet.parquet") in failed["error"] and "scan" in failed["error"]
    assert summary["figures"]["failed_shards"] == 1 and len(summary["done"]) == others
    assert not [path for path in out.rglob("*") if path.is_file() and "a/0.parquet" in str(path)]
    assert len([path for path in (out / "data").rglob("*") if path.is_file()]) == others


@pytest.mark.parametrize("replace", ["", "\nreplace = true"])
@pytest.mark.parametrize(("case", "spoiled"), [(case, case) for case in MISFITS], indirect=["spoiled"])
def test_a_dry_run_goes_on_without_tags_that_cannot_be_read(
    crawl: Path, spoiled: tuple[Path, Path], case: str, replace: str
) -> None:
    here, policy = spoiled
    policy.write_text(MIXED.replace('drop = "overt"', f'drop = "overt"{replace}'))
    shown = invoke("apply", crawl, here, "--policy", policy, "--dry-run")
    line = next(line.split() for line in shown.output.splitlines() if line.split()[:1] == ["all"])
    if case in UNREADABLE:
        assert shown.exit_code == 1 and "1 of 4 shards the tags cannot be read" in shown.output
        assert str(here / "tags" / "a" / "0.parquet.parquet") in shown.output and line[1] == str(150 + 120 + 90)
    else:
        assert shown.exit_code == 0 and line[1] != str(150 + 120 + 90), shown.output


@pytest.mark.parametrize(("spoil", "message"), [(rewritten(other_model), "of another model"), (torn, "can be read")])
def test_a_scan_without_any_tags_of_its_model_is_an_error_of_usage(
    crawl: Path, scanned: Path, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    here = tmp_path / "scanned"
    shutil.copytree(scanned, here)
    for path in (here / "tags").rglob("*.parquet"):
        spoil(path)
    with pytest.raises(TagsError, match=message):
        plan_apply([str(crawl)], open_scan(str(here)))


def test_a_shard_without_tags_fails_and_the_status_says_so(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(crawl / "b", more)
    (tmp_path / "p.toml").write_text(DROP)
    arguments = [
        "apply",
        str(crawl / "b"),
        str(more),
        str(scanned),
        "--policy",
        str(tmp_path / "p.toml"),
        "--workers",
        "1",
    ]
    done = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "out"), "--quiet"])
    assert done.exit_code == 1 and "failed: 2" in done.output and done.output.count("it has no tags in") == 2
    summary = json.loads((tmp_path / "out" / "apply.json").read_text())
    assert summary["figures"]["failed_shards"] == 2 and len(summary["failed"]) == 2
    assert summary["done"] == ["b/0.jsonl", "b/1.jsonl.zst"] and summary["policy_text"] == DROP


def test_shards_that_moved_are_found_by_their_name(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    shutil.copytree(crawl, tmp_path / "elsewhere")
    apply(tmp_path / "elsewhere", scanned, tmp_path / "out", DROP)
    apply(crawl, scanned, tmp_path / "usual", DROP)
    for name in ("data/a/0.parquet", "data/b/0.jsonl.jsonl.zst"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "usual" / name).read_bytes()


# --- the same, whatever happens


def test_killed_between_any_two_writes(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    """The process dies just before the k-th file gets its name, and is run again."""
    apply(crawl, scanned, tmp_path / "whole", MIXED)
    for k in (0, 1, 2, 5, 9, 12):
        out = tmp_path / f"out-{k}"
        killed_before_file(k, partial(apply, crawl, scanned, out, MIXED))
        assert list(out.rglob("*unfinished*"))
        assert len(apply(crawl, scanned, out, MIXED)) == 4 - k // 3
        assert contents(out) == contents(tmp_path / "whole")


def test_order_of_inputs_does_not_matter_to_repeats_and_what_is_mixed_in(
    crawl: Path, scanned: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "good"}\n{"text": "better"}\n')
    policy = f'weight_as = "repeat"\nmix_in = {{ documents = "{tmp_path}/own.jsonl", rate = 0.2 }}\n{MIXED}'
    (tmp_path / "p.toml").write_text(policy)
    shards = [crawl / "a" / "0.parquet", crawl / "a" / "1.parquet", crawl / "b"]
    for out, inputs in (("one", shards), ("two", reversed(shards)), ("three", [crawl])):
        done = invoke("apply", *inputs, scanned, "--policy", tmp_path / "p.toml", "--out", tmp_path / out,
                      "--workers", 1, "--quiet")  # fmt: skip
        assert done.exit_code == 1, done.output  # of the bad lines
    total = figures(tmp_path / "one")
    assert total["mixed_in"] > 50 and total["written"] - total["mixed_in"] > total["kept"]
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")


def test_order_and_workers_do_not_matter_and_a_second_run_does_nothing(
    crawl: Path, scanned: Path, tmp_path: Path
) -> None:
    apply(crawl, scanned, tmp_path / "one", MIXED)
    job, tasks = job_of(scanned, tmp_path / "two", MIXED), plan_apply([str(crawl)], open_scan(str(scanned)))
    random.Random(5).shuffle(tasks)
    assert run_shards(job, tasks, local_engine(2, quiet=True), quiet=True) == []
    write_apply_report(job, tasks, [], "")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert apply(crawl, scanned, tmp_path / "two", MIXED) == []
    (tmp_path / "two" / "decisions" / "b" / "0.jsonl.parquet").unlink()
    assert [task.name for task in apply(crawl, scanned, tmp_path / "two", MIXED)] == ["b/0.jsonl"]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_other_policies_and_other_tags_are_not_mixed(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", DROP)
    before = contents(tmp_path / "out")
    with pytest.raises(ValueError, match="made with another policy"):
        apply(crawl, scanned, tmp_path / "out", DROP.replace("0.7", "0.8"))
    assert contents(tmp_path / "out") == before
    here = tmp_path / "scanned"
    shutil.copytree(scanned, here)
    tags = here / "tags" / "a" / "0.parquet.parquet"
    os.utime(tags, (1, 1))
    assert [task.name for task in apply(crawl, here, tmp_path / "out", DROP)] != []


def test_documents_that_an_earlier_run_left_are_named(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "out", DROP)
    assert json.loads((tmp_path / "out" / "apply.json").read_text())["not_of_this_run"] == []
    apply(crawl / "a", scanned, tmp_path / "out", DROP)
    summary = json.loads((tmp_path / "out" / "apply.json").read_text())
    assert summary["data"] == ["data/a/0.parquet", "data/a/1.parquet"]
    assert summary["not_of_this_run"] == ["data/b/0.jsonl.jsonl.zst", "data/b/1.jsonl.zst"]


def test_outputs_never_fall_on_inputs_or_on_a_scan(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    here = tmp_path / "data"
    shutil.copytree(crawl, here)
    with pytest.raises(ValueError, match="an input inside the output folder"):
        apply(here, scanned, tmp_path, DROP)
    with pytest.raises(ValueError, match="holds a scan"):
        apply(crawl, scanned, scanned, DROP)


# --- who asks, and who reads


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(cli, list(map(str, arguments)))


def test_a_dry_run_says_what_apply_then_does(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(MIXED.replace('drop = "overt"', 'drop = "overt"\nreplace = true'))
    shown = invoke("apply", crawl, scanned, "--policy", tmp_path / "p.toml", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert not (tmp_path / "out").exists()
    apply(crawl, scanned, tmp_path / "out", (tmp_path / "p.toml").read_text())
    total = figures(tmp_path / "out")
    line = next(line.split() for line in shown.output.splitlines() if line.split()[:1] == ["all"])
    before, _, words, after = (int(number.replace(",", "")) for number in line[1:5])
    assert before == total["kept"] + total["dropped"]["overt"] and words == total["words"]
    assert after == round(total["words_weighed"])
    assert f"dropped by 'overt': {total['dropped']['overt']}" in shown.output
    assert f"mask: {total['edited']['mask']}" in shown.output


def test_why_tells_decision_rule_draw_and_what_was_asked(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    text = DROP + '[[rule]]\nname = "half"\nkeep = 0.5\n'
    (tmp_path / "p.toml").write_text(text)
    done = invoke(
        "apply", crawl, scanned, "--policy", tmp_path / "p.toml", "--out", tmp_path / "out", "--workers", 1, "--quiet"
    )
    assert done.exit_code == 1, done.output
    every = decisions(tmp_path / "out", "b/1.jsonl.zst")
    gone = next(one for one in every if one["rule"] == "half" and one["action"] == "drop")
    said = invoke("why", gone["id"], tmp_path / "out").output
    assert "drop by 'half'; weight 0" in said and f"row {gone['row']}" in said
    assert f"drawn {gone['draw']:.6f}" in said and "not below the share 0.5 that is kept" in said
    assert "0.7 <= score.adverse" in said and "made by another model" in said
    over = next(one for one in every if one["rule"] == "overt")
    said = invoke("why", over["id"], tmp_path / "out").output
    assert "drop by 'overt'; weight 0" in said and "the rule: drop: overt" in said
    assert f"score.adverse = {over['score']:.6g}" in said and "half" not in said
    missing = invoke("why", "nobody", tmp_path / "out")
    assert missing.exit_code and "no document 'nobody'" in str(missing.exception)
    (tmp_path / "p.toml").write_text("")  # the policy's own text is kept with the run
    assert "0.7 <= score.adverse" in invoke("why", over["id"], tmp_path / "out").output


def test_hugging_face_and_datatrove_read_the_folder(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(DROP)
    out = tmp_path / "out"
    assert (
        invoke(
            "apply", crawl / "a", scanned, "--policy", tmp_path / "p.toml", "--out", out, "--workers", 1, "--quiet"
        ).exit_code
        == 0
    )
    kept = [row["text"] for path in sorted((out / "data").rglob("*.parquet")) for row in rows(path)]
    assert "dropped by “overt”" in (out / "README.md").read_text() and DROP.strip() in (out / "README.md").read_text()
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(found["text"]) == sorted(kept)
    readers = pytest.importorskip("datatrove.pipeline.readers")
    assert [one.text for one in readers.ParquetReader(str(out / "data"), recursive=True)()] == kept


def features(out: Path) -> dict[str, dict[str, Any]]:
    """What a card says of the columns, by configuration and name."""
    yaml = pytest.importorskip("yaml")
    header = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    return {one["config_name"]: {column.pop("name"): column for column in one["features"]}
            for one in header.get("dataset_info", [])}  # fmt: skip


@pytest.fixture(scope="module")
def masked_late(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Shards of which only the last one has a document with something masked or mixed in, their tags, and a policy that
    adds all the columns that there are."""
    folder = tmp_path_factory.mktemp("late")
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"x": 0}, unk_token="x"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    (folder / "own.jsonl").write_text('{"text": "good"}\n')
    for name, seed in (("0.parquet", 1), ("1.parquet", 2), ("2.jsonl", 3), ("3.jsonl", 4)):
        records = [{name: value for name, value in one.items() if name != "meta"}
                   | {"meta": {"score": 1.5, "tags": ["ü"]}, "source": "abcd"[int(name[0])] * 2}
                   for one in made_up_records(40, seed)]  # fmt: skip
        if name.endswith("parquet"):
            (folder / "in").mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist(records), folder / "in" / name)
        else:
            write_lines(folder / "in" / name, records)
    policy = (
        f'tokenizer = "{folder}/tokenizer.json"\nmix_in = {{ documents = "{folder}/own.jsonl", rate = 0.01 }}\n'
        '[[rule]]\nname = "mask"\nwhen.source = ["bb", "dd"]\nmask = { labels = ["adverse"] }\n'
        '[[rule]]\nname = "w"\nweight = 0.5\n'
    )
    return folder / "in", scan(folder / "in", folder / "scanned"), policy


@pytest.mark.parametrize("to", FORMATS)
def test_the_card_states_the_type_of_every_column(masked_late: tuple[Path, Path, str], tmp_path: Path, to: To) -> None:
    inputs, scanned, policy = masked_late
    (tmp_path / "p.toml").write_text(policy)
    out = tmp_path / "out"
    done = invoke("apply", inputs, scanned, "--policy", tmp_path / "p.toml", "--out", out, "--to", to,
                  "--workers", 1, "--quiet")  # fmt: skip
    assert done.exit_code == 0, done.output
    configs = {"same": {"parquet", "jsonl"}, "parquet": {"parquet"}, "jsonl.zst": {"jsonl"}, "tar": {"webdataset"}}
    found = features(out)
    assert found.keys() == configs.get(to, set())
    spans = {"list": [{"name": "start", "dtype": "int64"}, {"name": "end", "dtype": "int64"}]}
    added = {"weight": {"dtype": "float64"}, "loss_mask": spans, "loss_mask_tokens": spans,
             "provenance": {"dtype": "string"}}  # fmt: skip
    own = {"id", "url", "date", "n", "meta", "source"}
    for name, columns in found.items():
        if name == "webdataset":
            assert columns.keys() == {"__key__", "__url__", "txt", "json"}
            columns = {column.pop("name"): column for column in columns["json"]["struct"]} | {"text": columns["txt"]}
        assert {column: columns.get(column) for column in added} == added
        assert columns["text"] == {"dtype": "large_string" if to == "parquet" else "string"}
        assert to == "parquet" or own <= columns.keys()
    datasets = pytest.importorskip("datasets")
    for name in found.keys() - ({"jsonl"} if to == "same" else set()):  # of several formats, it reads the first only
        read = datasets.load_dataset(str(out), name, split="train", cache_dir=str(tmp_path / "cache"))
        every = [one["json"] for one in read] if name == "webdataset" else list(read)
        assert len(every) == figures(out)["written"] or (to == "same" and len(every) > 80)
        assert sum(bool(one["loss_mask"]) for one in every) > 5 and any(one["provenance"] for one in every)


def test_tar_files_hold_a_text_and_the_rest_of_each_document(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    apply(crawl, scanned, tmp_path / "tar", MIXED, to="tar")
    apply(crawl, scanned, tmp_path / "lines", MIXED, to="jsonl.zst")
    for name in ("a/0.parquet", "b/1.jsonl.zst"):
        with tarfile.open(tmp_path / "tar" / "data" / f"{name}.tar") as tar:
            found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        lines_name = name if name.endswith(".zst") else f"{name}.jsonl.zst"
        wanted = rows(tmp_path / "lines" / "data" / lines_name)
        assert list(found) == [f"{i:09d}.{suffix}" for i in range(len(wanted)) for suffix in ("txt", "json")]
        for i, row in enumerate(wanted):
            assert found[f"{i:09d}.txt"].decode() == row.pop("text")
            assert json.loads(found[f"{i:09d}.json"]).keys() == row.keys()


def test_dolma_gets_a_line_of_attributes_for_each_line(crawl: Path, scanned: Path, tmp_path: Path) -> None:
    done = invoke("export", scanned, "--out", tmp_path / "attributes", "--workers", 1)
    assert done.exit_code == 1 and "1 of 4 shards, 90 documents" in done.output
    assert "a/0.parquet: Dolma reads JSON lines" in done.output and "b/0.jsonl: 80 of its records" in done.output
    found = [json.loads(line) for line in lines(tmp_path / "attributes" / "b" / "1.jsonl.zst")]
    tags = rows(scanned / "tags" / "b" / "1.jsonl.zst.parquet")
    assert [one["id"] for one in found] == [json.loads(line)["id"] for line in lines(crawl / "b" / "1.jsonl.zst")]
    for one, row in zip(found, tags, strict=True):
        assert one["attributes"]["tropescan__adverse"] == [[0, row["chars"], pytest.approx(row["adverse"])]]
        spans = [[s["start"], s["end"], pytest.approx(s["score"])] for s in row["spans"] if s["label"] == "adverse"]
        assert one["attributes"]["tropescan__adverse_spans"] == spans


# --- tokens


def test_masked_tokens_are_those_that_touch_a_masked_character(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=made.pre_tokenizer.alphabet())
    made.train_from_iterator(["robot garden naïve 雪が tea ship"] * 20, trainer)
    made.enable_truncation(3)
    made.save(str(tmp_path / "tokenizer.json"))
    write_parquet(tmp_path / "in" / "x.parquet", made_up_records(60, 9))
    scanned = scan(tmp_path / "in", tmp_path / "scanned")
    policy = f'tokenizer = "{tmp_path}/tokenizer.json"\n[[rule]]\nname = "m"\nmask = {{ labels = ["adverse"] }}\n'
    apply(tmp_path / "in", scanned, tmp_path / "out", policy)
    made.no_truncation()
    masked = 0
    for row in rows(tmp_path / "out" / "data" / "x.parquet"):
        characters = {i for span in row["loss_mask"] for i in range(span["start"], span["end"])}
        tokens = {i for span in row["loss_mask_tokens"] for i in range(span["start"], span["end"])}
        offsets = made.encode(row["text"], add_special_tokens=False).offsets
        assert tokens == {i for i, (start, end) in enumerate(offsets) if characters & set(range(start, end))}
        masked += len(tokens)
    assert masked > 50
