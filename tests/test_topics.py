"""Topics: fastText's own, in the tags only where a model of them was given; figures by topic that a hand can check."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from commands import done, run
from made_tags import MODEL as MADE_UP
from made_tags import tags as made_tags
from odd_texts import odd_texts
from small_models import MODELS, model_file, topic_model
from test_collateral import write_decisions
from test_parity import OVA_TOLERANCE, TOLERANCE, predicted
from test_policy import policy, rule
from test_report import MODEL, Elements
from test_report_audit import ROWS, audited, write_crawl

from classifiers.card import default_model
from classifiers.topic import TopicModel
from jobs.scan import make_job
from pipeline.policy import PolicyError, decide
from pipeline.report.collateral import CollateralOptions, collateral
from pipeline.report.collateral_page import render_collateral
from pipeline.report.collect import collect
from pipeline.report.compare import compare
from pipeline.report.compare_page import render_comparison
from pipeline.report.folder import TagsFolder
from pipeline.report.page import render
from pipeline.report.queries import stored_columns
from pipeline.reweight.weights import load_weights
from pipeline.scan import StaleOutputError
from pipeline.schema import lexicons_of, tags_schema
from pipeline.tasks import ReadOptions
from tests.tag_folders import TOPICS, WITH_TOPICS, batch, rows, write_folder

TOPIC_MODEL = {"name": "topics.ftz", "digest": "cd" * 32, "labels": ["Health", "Politics", "Travel & Places"]}
PAGES = [
    json.loads(line) for line in (Path(__file__).parent / "minicrawl" / "pages.jsonl").read_text("utf-8").splitlines()
]


# --- in the tags


def assert_fasttexts_own(
    path: Path, texts: list[str], topics: list[str | None], scores: list[float | None], loss: str = "softmax"
) -> None:
    """The label of fastText's highest probability wherever no other comes within the tolerance, and its score."""
    tolerance = OVA_TOLERANCE if loss == "ova" else TOLERANCE
    theirs = predicted(path, [text.encode("utf-8", "replace") for text in texts])
    names = TopicModel.open(path).describe()["labels"]
    decided = 0
    for text, topic, score, row in zip(texts, topics, scores, theirs, strict=True):
        if not text.strip(" \n\r\t\v\f\0"):
            assert topic is None and score is None
            continue
        assert (topic is None) == (score is None) == np.isnan(row).all()
        if topic is None or score is None:
            continue
        best, second = sorted(np.nan_to_num(row))[-1:-3:-1]
        assert score == pytest.approx(best, abs=tolerance)
        if best - second > 2 * tolerance:
            assert topic == names[int(np.nanargmax(row))]
            decided += 1
    assert decided > 0.8 * len([text for text in texts if text.strip()])


def test_topics_in_tags_are_fasttexts_own(tmp_path: Path) -> None:
    """Of pages in a dozen languages, in two batches' worth of shards; the language decides nothing."""
    (tmp_path / "in").mkdir()
    texts = [page["text"] for page in PAGES] + ["", " \n\0 ", "\u4e00"]
    lines = [json.dumps({"id": str(i), "text": text, "lang": "de" if i % 3 else "en"}) for i, text in enumerate(texts)]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    words = ("scan", tmp_path / "in", "--out", tmp_path / "out", "--quiet", "--workers", 1)
    assert run(*words, "--topics", topic_model()).exit_code in (0, 1)
    tags = pq.read_table(tmp_path / "out" / "tags" / "a.jsonl.parquet")
    found = {row["id"]: row for row in tags.to_pylist()}
    read = [i for i in range(len(texts)) if str(i) in found]
    assert len(read) >= len(PAGES) and {row["status"] for row in found.values()} >= {"ok", "other_language"}
    assert_fasttexts_own(
        topic_model(), [texts[i] for i in read], [found[str(i)]["topic"] for i in read],
        [found[str(i)]["topic_score"] for i in read],
    )  # fmt: skip
    assert sum(found[str(i)]["topic"] == page["host"] for i, page in enumerate(PAGES)) > 0.9 * len(PAGES)
    described = json.loads(tags.schema.metadata[b"tropescan.model"])["topic_model"]
    scan = json.loads((tmp_path / "out" / "scan.json").read_text("utf-8"))
    assert described == scan["model"]["topic_model"] == TopicModel.open(topic_model()).describe()
    assert described["name"] == topic_model().name and "chess.pellworm.test" in described["labels"]


@pytest.mark.parametrize(
    "name", ["softmax 5-grams, more labels than dimensions", "ova subwords from 1", "hs bigrams", "quantized softmax"]
)
def test_every_loss_gives_fasttexts_topic(name: str) -> None:
    texts = [raw.decode("utf-8", "replace") for raw in odd_texts()][::7]
    found = TopicModel.open(model_file(name))(pa.array(texts, pa.large_string()))
    topics, scores = found["topic"].to_pylist(), found["topic_score"].to_pylist()
    assert_fasttexts_own(model_file(name), texts, topics, scores, MODELS[name].loss)


def scan_one(tmp_path: Path, *options: object) -> Result:
    shard = tmp_path / "in" / "a.jsonl"
    shard.parent.mkdir(exist_ok=True)
    if not shard.exists():  # a shard that was written anew would be another one
        shard.write_text('{"id": "1", "text": "the castle on the hill"}\n', "utf-8")
    return run("scan", shard, "--out", tmp_path / "out", "--quiet", "--workers", 1, *options)


def test_without_a_model_of_topics_tags_have_none(tmp_path: Path) -> None:
    assert scan_one(tmp_path).exit_code == 0
    tags = pq.read_table(tmp_path / "out" / "tags" / "a.jsonl.parquet")
    model = json.loads(tags.schema.metadata[b"tropescan.model"])
    assert tags.schema.remove_metadata() == tags_schema(model["labels"], lexicons=lexicons_of(model))
    assert "topic_model" not in model
    report = collect(str(tmp_path / "out"))
    page = render(report | {"scan": report["scan"] | {"command": None}})  # the command of these tests may name them
    assert report["topics"] is None and not re.search('[tT]opics?[<" ]', page)


def test_a_scan_goes_on_with_the_same_model_of_topics_alone(tmp_path: Path) -> None:
    assert scan_one(tmp_path, "--topics", topic_model()).exit_code == 0
    moved = tmp_path / topic_model().name
    shutil.copyfile(topic_model(), moved)
    before = (tmp_path / "out" / "tags" / "a.jsonl.parquet").stat().st_mtime_ns
    assert scan_one(tmp_path, "--topics", moved).exit_code == 0
    assert (tmp_path / "out" / "tags" / "a.jsonl.parquet").stat().st_mtime_ns == before
    for other in (("--topics", topic_model(4)), ()):
        refused = scan_one(tmp_path, *other)
        assert isinstance(refused.exception, StaleOutputError) and "another model" in str(refused.exception)


def test_what_is_no_model_of_topics_is_refused(tmp_path: Path) -> None:
    (tmp_path / "topics.bin").write_bytes(b"no model")
    refused = scan_one(tmp_path, "--topics", tmp_path / "topics.bin")
    assert refused.exit_code != 0 and "topics.bin" in str(refused.exception)
    with pytest.raises(ValueError, match="a label 'topic', which is a column of topics; scan without --topics"):
        tags_schema(["adverse", "topic"], topics=True)
    assert tags_schema(["topic"]).names.count("topic") == 1


def test_the_shipped_model_can_be_a_model_of_topics_beside_itself() -> None:
    job = make_job("out", None, window=128, stride=64, label=None, threshold=None, span_threshold=None, strict=False,
                   options=ReadOptions(), topics=default_model())  # fmt: skip
    assert job.model["topic_model"]["labels"] == job.labels and job.topics is not None


# --- by topic: of 400 documents 80 score 0.9, all 50 of health and 30 of 250 of politics; of the latter 20 are adverse


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("topics"), model=MODEL | {"topic_model": TOPIC_MODEL})


@pytest.fixture(scope="module")
def estimate(scanned: Path) -> Path:
    """Of an audit that read everything, so that its figures are exact."""
    return audited(scanned, scanned.parent, budget=ROWS)


def test_the_report_has_flag_rates_and_costs_by_topic(scanned: Path) -> None:
    found = collect(str(scanned))["topics"]
    rates = {row["name"]: (row["flagged"], row["documents"], row["flagged_words"]) for row in found["rows"]}
    assert rates == {
        "Health": (50, 50, 5000), "Politics": (30, 250, 3000), "Travel & Places": (0, 50, 0), None: (0, 50, 0),
    }  # fmt: skip
    assert found["distinct_names"] == 3 and found["documents"] == 350
    assert found["thresholds"] == [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
    lost = {(row["name"], row["threshold"]): (row["documents_lost"], row["words_lost"]) for row in found["costs"]}
    assert lost[("Politics", 0.05)] == (250, 25_000) and lost[("Politics", 0.75)] == (30, 3000)
    assert lost[("Health", 0.25)] == (50, 5000) and lost[("Travel & Places", 0.25)] == (0, 0)
    assert lost[("Health", 0.9)] == (0, 0)  # 0.9 in float32 lies below 0.9
    assert len(lost) == 3 * 7


def test_the_page_shows_them_and_its_csv_holds_them(scanned: Path) -> None:
    page = render(collect(str(scanned)))
    assert '<h2 id="topics">By topic</h2>' in page and "Travel &amp; Places" in page and "topics.ftz" in page
    assert '<a href="#topics">Topics</a>' in page and 'download="filter-by-topic.csv"' in page
    Elements(page)


def test_the_audit_estimates_by_topic_and_the_page_and_comparison_have_it(scanned: Path, estimate: Path) -> None:
    audit = json.loads(estimate.read_text("utf-8"))
    figures = {row["slice"]: row for row in audit["slices"]["topic"]}
    own = {name: row["prevalence"]["adverse"]["documents"] for name, row in figures.items()}
    shares = {name: one["value"] for name, one in own.items() if one["value"] is not None}
    assert shares["Health"] == pytest.approx(1.0) and shares["Politics"] == pytest.approx(20 / 250)
    assert own["Travel & Places"]["high"] == 0 and figures["(none)"]["documents"] == 50
    assert figures["Politics"]["flagged"] == {"documents": 30, "words": 3000, "bytes": 15_000}
    assert figures["Politics"]["wrong"]["value"] == pytest.approx(20 / 30)
    out = scanned.parent / "report.json"
    done("report", scanned, "--audit", estimate, "--json", out, "--out", scanned.parent / "page.html")
    assert '<h2 id="by-topic">Prevalence by topic</h2>' in (scanned.parent / "page.html").read_text("utf-8")
    report: dict[str, Any] = json.loads(out.read_text("utf-8"))
    second = report | {"audit": report["audit"] | {"plan": report["audit"]["plan"] | {"seed": 9}}}
    compared = compare(report, second)
    assert [row["difference"]["value"] for row in compared["slices"]["topic"] if row["slice"] == "Politics"] == [0]
    assert not [note for note in compared["notes"] if "Topics" in note]
    assert [(row["topic"], row["first"], row["difference"]) for row in compared["topics"]] == [
        ("Health", 1.0, 0.0), ("Politics", 30 / 250, 0.0), ("Travel & Places", 0.0, 0.0),
    ]  # fmt: skip
    assert "flagged-by-topic.csv" in render_comparison(compared)
    assert not compare(report, second | {"topics": None})["topics"]
    other = second | {"model": report["model"] | {"topic_model": TOPIC_MODEL | {"digest": "ef" * 32}}}
    assert "Topics are by different models: slices by topic differ for that alone." in compare(report, other)["notes"]


def test_collateral_counts_by_topic_and_estimates_what_is_wrong(scanned: Path, estimate: Path, tmp_path: Path) -> None:
    """Every second document of high score is dropped: of health 25, all adverse; of politics 5, and 10 that are not."""
    dropped = [row < 80 and row % 2 == 0 for row in range(ROWS)]
    made = [{"row": row, "id": f"doc{row}", "action": "drop" if gone else "keep", "weight": float(not gone)}
            for row, gone in enumerate(dropped)]  # fmt: skip
    write_decisions(tmp_path, "part.jsonl", made)
    words = (
        "collateral",
        scanned,
        tmp_path,
        "--texts",
        0,
        "--store",
        estimate.parent / "labels.sqlite",
        "--draw",
        "a1",
    )
    found = json.loads(done(*words, "--json", "-", "--out", tmp_path / "page.html"))
    margin = found["margins"]["topic"]
    counted = {row["name"]: (row["documents"], row["documents_after"], row["words_after"]) for row in margin["largest"]}
    assert counted == {"Health": (50, 25, 2500), "Politics": (250, 235, 23_500), "Travel & Places": (50, 50, 5000),
                       "(none)": (50, 50, 5000)}  # fmt: skip
    assert [row["name"] for row in margin["by_lost"]] == ["Health", "Politics"]
    wrong = {row["name"]: row for row in found["audit"]["slices"]["topic"]}
    assert wrong["Health"]["lost"]["high"] == 0 and wrong["Health"]["kept"]["value"] == pytest.approx(25 / 50)
    assert wrong["Politics"]["lost"]["value"] == pytest.approx(10 / 250)
    assert wrong["Politics"]["kept"]["value"] == pytest.approx(15 / 250)
    assert wrong["Travel & Places"]["kept"]["high"] == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert '<h2 id="topic">By topic</h2>' in page and "as good as it is" in page
    assert "name,lost.value,lost.low,lost.high" in page and "name,documents.value,documents.low" in page


def test_collateral_of_tags_without_topics_says_nothing_of_them(tmp_path: Path) -> None:
    found = rows(60, 1)
    write_decisions(tmp_path, "a", [{"row": r["row"], "id": r["id"], "action": "keep", "weight": 1.0} for r in found])
    figures = collateral(write_folder(tmp_path / "tags", {"a": found}), str(tmp_path), CollateralOptions())
    assert "topic" not in figures["margins"] and not re.search('[tT]opics?[<" ]', render_collateral(figures))


def test_what_goes_by_topic_needs_tags_with_topics(tmp_path: Path) -> None:
    folder, goals = write_folder(tmp_path / "tags", {"a": rows(60, 1)}), tmp_path / "goals.toml"
    goals.write_text('[[goal]]\nlabel = "adverse"\nat_most = 0.5\n[hold]\ntopic = 0.1\n', "utf-8")
    refused = run("policy", "target", goals, folder, "--out", tmp_path / "w.json")
    assert "the tags have no topics; scan again with --topics MODEL" in str(refused.exception)
    scanned = write_crawl(tmp_path / "crawl")
    audited(scanned, tmp_path, budget=60)
    place = tmp_path / "labels.sqlite"
    refused = run("audit", "estimate", scanned, "--store", place, "--draw", "a1", "--by", "topic")
    assert "the tags have no topics; scan again with --topics MODEL" in str(refused.exception)


# --- policies and goals

KNOWN: dict[str, Any] = {**MADE_UP, "topic_model": {"name": "t", "digest": "ab" * 32, "labels": ["Health", "Games"]}}


def taken(*when: str) -> list[bool]:
    found = [{"topic": "Health", "topic_score": 0.9}, {"topic": "Games", "topic_score": 0.4}, {"topic": None}]
    rules = policy(rule(*when, 'drop = "x"'))
    rules.check(KNOWN)
    return [action == "drop" for action in decide(made_tags(found, KNOWN), rules)["action"].to_pylist()]


def test_rules_ask_for_topics_and_their_scores() -> None:
    assert taken('when.topic = "Health"') == [True, False, False]
    assert taken('when.topic = ["Games", "Health"]') == [True, True, False]
    assert taken('when.not = { topic = "Games" }') == [True, False, True]
    assert taken("when.topic_score.min = 0.5") == [True, False, False]
    assert taken("when.topic_score = { below = 0.5 }", 'when.topic = "Games"') == [False, True, False]


def test_topics_that_tags_cannot_have_are_refused() -> None:
    text = rule('when.not = { topic = ["Games", "Gaming"] }', 'drop = "x"')
    with pytest.raises(PolicyError, match=r"^p\.toml:3: 'Gaming' is no topic .* it has Health, Games"):
        policy(text).check(KNOWN)
    for asked in ('when.topic = "Games"', "when.topic_score.min = 0.5"):
        line = 3 if "Games" in asked else 1
        with pytest.raises(
            PolicyError, match=rf"^p\.toml:{line}: .*tags have no topics; scan again with --topics MODEL"
        ):
            policy(rule(asked, 'drop = "x"')).check(MADE_UP)
    with pytest.raises(PolicyError, match=r"topic_score.min: 2 is not between 0 and 1"):
        policy(rule("when.topic_score.min = 2", 'drop = "x"'))


def test_weights_hold_topics_and_go_with_their_model_alone(tmp_path: Path) -> None:
    found = rows(1000, 1)
    folder = write_folder(tmp_path / "tags", {"a": found}, WITH_TOPICS)
    (tmp_path / "goals.toml").write_text(
        'cap = 20\n[[goal]]\nlabel = "adverse"\nat_most = 0.5\n[hold]\ntotal = 0\ntopic = 0.01\n', "utf-8"
    )
    done("policy", "target", tmp_path / "goals.toml", folder, "--out", tmp_path / "w.json")
    weights = load_weights(str(tmp_path / "w.json"))
    assert weights.topic_model == WITH_TOPICS["topic_model"]["digest"] and "topic" in weights.columns
    words, of = np.array([one["words"] for one in found], np.float64), weights.of(batch(found, WITH_TOPICS))
    held = np.array([one["status"] == "ok" and one["adverse"] >= 0.5 for one in found])
    assert (words * of)[held].sum() <= 0.5001 * words[held].sum()
    for name in (*TOPICS, None):
        mine = np.array([one["topic"] == name for one in found])
        assert (words * of)[mine].sum() == pytest.approx(words[mine].sum(), rel=0.0101)
    ours = policy(rule(f'weights = "{tmp_path}/w.json"'))
    ours.check(WITH_TOPICS)
    for other in (TOPIC_MODEL | {"digest": "00" * 32}, {}):
        with pytest.raises(PolicyError, match="for the topics of another model, or of none, than that of the tags"):
            ours.check(WITH_TOPICS | {"topic_model": other})


def weighed(folder: str, tmp_path: Path, goals: str) -> tuple[Any, Any]:
    """Words before and after, by topic, of the rows that `rows` gives for 1, under the weights that reach the goals."""
    (tmp_path / "goals.toml").write_text(goals, "utf-8")
    done("policy", "target", tmp_path / "goals.toml", folder, "--out", tmp_path / "w.json")
    found = rows(1000, 1)
    words = np.array([one["words"] for one in found], np.float64)
    after = words * load_weights(str(tmp_path / "w.json")).of(batch(found, WITH_TOPICS))
    topics = np.array([str(one["topic"]) for one in found])
    return tuple({name: float(of[topics == name].sum()) for name in (*TOPICS, "None")} for of in (words, after))


def test_goals_can_be_of_topics(tmp_path: Path) -> None:
    """A share of all, a multiple of today's, and a ratio to a label; the others keep their proportions."""
    folder = write_folder(tmp_path / "tags", {"a": rows(1000, 1)}, WITH_TOPICS)
    share = '[[goal]]\ntopic = "Politics"\nper = "all"\nat_most = 0.05\n'
    before, after = weighed(folder, tmp_path, share)
    assert before["Politics"] > 0.1 * sum(before.values())
    assert after["Politics"] == pytest.approx(0.05 * sum(before.values())) and sum(after.values()) == pytest.approx(
        sum(before.values())
    )
    rest = [after[name] / before[name] for name in ("Health", "Travel & Places", "None")]
    assert max(rest) == pytest.approx(min(rest)) and min(rest) > 1
    multiple = 'cap = 20\n[[goal]]\ntopic = "Health"\nat_least = 1.5\n[[goal]]\nlabel = "adverse"\nat_most = 0.5\n'
    before, after = weighed(folder, tmp_path, multiple)
    assert after["Health"] == pytest.approx(1.5 * before["Health"])
    ratio = '[[goal]]\ntopic = "Health"\nper = "adverse"\nat_least = 30\n'
    before, after = weighed(folder, tmp_path, ratio)
    about = load_weights(str(tmp_path / "w.json")).about
    assert about["goals"][0]["goal"] == "topic Health at least 30 to one of adverse"
    assert after["Health"] == pytest.approx(30 * about["labels"]["adverse"]["words"]["after"])


def test_goals_of_topics_that_cannot_be_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tags", {"a": rows(100, 1)}, WITH_TOPICS)
    goals = tmp_path / "goals.toml"
    for text, message in (
        (
            'topic = "Gaming"\nat_most = 1',
            "'Gaming' is no topic of the model that the tags were made with; it has Trav",
        ),
        ('topic = "Health"\nlabel = "adverse"\nat_most = 1', "names both a label and a topic"),
        ("at_most = 1", "names no label, and no topic"),
        ('topic = "Health"', "topic Health: neither at_least nor at_most is given"),
        ('topic = "Health"\nper = "all"\nat_least = 2', "topic Health at least 2 of all is wanted, .* is reached"),
    ):
        goals.write_text(f"[[goal]]\n{text}\n", "utf-8")
        refused = run("policy", "target", goals, folder, "--out", tmp_path / "w.json")
        assert re.search(message, str(refused.exception)), refused.exception
    goals.write_text('top = 1\n[[goal]]\ntopic = "Politics"\nat_most = 0.5\n', "utf-8")
    refused = run("policy", "target", goals, folder, "--out", tmp_path / "w.json")
    assert "too few are to be counted by themselves: raise top" in str(refused.exception)


def test_columns_go_by_their_place_beside_those_of_a_second_stage() -> None:
    model = MODEL | {"topic_model": TOPIC_MODEL, "rescorer": {"labels": ["adverse"]}}
    folder = TagsFolder("scanned", model, ReadOptions(), ("1",), {})
    names = dict(zip(folder.schema.names, stored_columns(folder), strict=True))
    assert [names[name] for name in ("source", "topic", "topic_score", "adverse", "ai", "ai_window")] == [
        "source", "topic", "topic_score", "d0", "d1", "w1",
    ]  # fmt: skip
    assert names["adverse_rescored"] == "r0" and names["spans"] == "spans" and "topic" in folder.plain_columns
