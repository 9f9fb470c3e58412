"""Policies: what is read from a file and refused with its line, and what is decided, beside a reading row by row."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_tags import LABELS, MODEL, random_rows, tags

from classifiers.calibration import Calibration
from pipeline.keyed_hash import keys
from pipeline.policy import (
    DECISIONS,
    All,
    AnyOf,
    Constant,
    ControlTokens,
    Curve,
    Dated,
    Drop,
    Evidence,
    Excise,
    FromFile,
    InMode,
    KeepShare,
    Mask,
    Measure,
    MixIn,
    Not,
    OneOf,
    OnHost,
    OwnDocument,
    Policy,
    PolicyError,
    Rule,
    Scored,
    Sized,
    decide,
    load_policy,
    parse_plain,
    parse_policy,
)
from pipeline.policy.toml_lines import lines_of
from pipeline.reweight.weights import ScoreFactor, Weights, save_weights
from pipeline.schema import MODES


def policy(rules: str) -> Policy:
    return parse_policy(rules, "p.toml")


def rule(*lines: str, name: str = "r") -> str:
    return "\n".join(["[[rule]]", f'name = "{name}"', *lines, ""])


def decided(batch: pa.RecordBatch, text: str) -> list[dict[str, Any]]:
    found = decide(batch, policy(text))
    found.validate(full=True)
    assert found.schema == DECISIONS
    return found.to_pylist()


def taken(rows: list[dict[str, Any]], *when: str) -> list[bool]:
    """Which documents a rule with this condition takes."""
    return [one["rule"] == "r" for one in decided(tags(rows), rule(*when, 'drop = "x"'))]


# --- conditions, beside a reading row by row


def scored(row: dict[str, Any], name: str) -> float:
    return math.nan if row["status"] != "ok" or row[name] is None else float(np.float32(row[name]))


def below(host: str | None, name: str) -> bool:
    return host is not None and (host == name or host.endswith("." + name))


CONDITIONS: dict[str, Any] = {
    "score.adverse.min = 0.5": lambda row: scored(row, "adverse") >= 0.5,
    "score.adverse = { min = 0.25, below = 0.5 }": lambda row: 0.25 <= scored(row, "adverse") < 0.5,
    "window.adverse.below = 0.9": lambda row: scored(row, "adverse_window") < 0.9,
    "words = { min = 100, below = 1000 }": lambda row: 100 <= row["words"] < 1000,
    'lang = "en"': lambda row: row["lang"] == "en",
    'lang = ["eng", "German"]': lambda row: row["lang"] in ("en", "de"),
    'source = ["a", "c"]': lambda row: row["source"] in ("a", "c"),
    'status = ["no_words"]': lambda row: row["status"] == "no_words",
    'host = ["Example.org", "*.b.example"]': lambda row: (
        below(row["host"], "example.org") or below(row["host"], "b.example")
    ),
    "date.from = 2021-06-01": lambda row: row["date"] in ("20210601120000", "2023-07-01"),
    'date = { from = "2020-01-31", before = 2021-06-01 }': lambda row: row["date"] == "2020-01-31T00:00:00Z",
    'mode = ["fiction", "news"]': lambda row: (
        row["status"] == "ok" and max(MODES, key=lambda mode: scored(row, mode)) in ("fiction", "news")
    ),
    'not = { lang = "en" }': lambda row: row["lang"] != "en",
    "not = { score.adverse.min = 0.5 }": lambda row: not scored(row, "adverse") >= 0.5,
    'any = [{ lang = "de" }, { score.adverse.min = 0.9, words.min = 50 }]': lambda row: (
        row["lang"] == "de" or (scored(row, "adverse") >= 0.9 and row["words"] >= 50)
    ),
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_holds_where_a_reading_row_by_row_says_so(condition: str) -> None:
    rows = random_rows(500)
    wanted = [bool(CONDITIONS[condition](row)) for row in rows]
    assert taken(rows, f"when.{condition}") == wanted
    assert 0 < sum(wanted) < len(rows)


def test_conditions_of_one_rule_must_all_hold() -> None:
    rows = random_rows(300)
    both = taken(rows, 'when.lang = "en"', "when.score.adverse.min = 0.5")
    assert both == [row["lang"] == "en" and scored(row, "adverse") >= 0.5 for row in rows] and any(both)


@pytest.mark.parametrize("base_rate", [None, 0.05])
def test_probabilities_are_those_of_the_models_card(base_rate: float | None) -> None:
    rows = random_rows(500)
    scores = np.array([scored(row, "adverse") for row in rows])
    known = ~np.isnan(scores)
    wanted = np.full(len(rows), np.nan)
    wanted[known] = Calibration(**MODEL["calibration"]["adverse"]).probability(scores[known], base_rate)
    limit = float(np.nanmedian(wanted))
    more = "" if base_rate is None else f", base_rate = {base_rate}"
    found = taken(rows, f"when.probability.adverse = {{ min = {limit!r}{more} }}")
    assert found == (wanted >= limit).tolist() and 0 < sum(found) < len(rows)


def test_many_hosts_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("# mine\nexample.org  # the first\n\n*.B.example.\n")
    (tmp_path / "p.toml").write_text(rule('when.host_file = "hosts.txt"', 'drop = "x"'))
    rows = random_rows(200)
    found = decide(tags(rows), load_policy(str(tmp_path / "p.toml"))).to_pylist()
    named = [below(row["host"], "example.org") or below(row["host"], "b.example") for row in rows]
    assert [one["action"] == "drop" for one in found] == named


# --- what is decided


def test_exemptions_come_first_and_then_the_first_rule_that_takes_a_document() -> None:
    rows = [{"adverse": 0.9}, {"adverse": 0.9, "technical": 0.8}, {"adverse": 0.6}, {"adverse": 0.2}]
    text = (
        rule("when.score.adverse.min = 0.8", 'drop = "overt"', name="overt")
        + rule("when.score.adverse.min = 0.5", "weight = 0.5", name="mild")
        + '[[exempt]]\nname = "research"\nwhen = { mode = "technical", score.technical.min = 0.5 }\n'
    )
    found = decided(tags(rows), text)
    assert [(one["action"], one["rule"], one["weight"]) for one in found] == [
        ("drop", "overt", 0.0), ("keep", "research", 1.0), ("keep", "mild", 0.5), ("keep", None, 1.0),
    ]  # fmt: skip
    assert found[0]["score"] == pytest.approx(0.9) and found[3]["score"] is None
    assert [(one["row"], one["id"]) for one in found] == [(i, f"d{i}") for i in range(4)]


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_a_share_is_left_unmarked_with_the_stated_probability(share: float) -> None:
    n = 20_000
    found = decided(tags([{} for _ in range(n)]), rule(f'condition = {{ before = "<|x|>", unmarked = {share} }}'))
    unmarked = sum(one["action"] == "keep" for one in found)
    assert abs(unmarked - n * share) <= 4.5 * math.sqrt(n * share * (1 - share))
    assert {one["action"] for one in found} <= {"keep", "condition"} and all(one["weight"] == 1.0 for one in found)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_a_share_is_kept_with_the_stated_probability(share: float) -> None:
    n = 20_000
    found = decided(tags([{} for _ in range(n)]), rule(f"keep = {share}"))
    kept = sum(one["action"] == "keep" for one in found)
    assert abs(kept - n * share) <= 4.5 * math.sqrt(n * share * (1 - share))
    assert all((one["draw"] < share) == (one["action"] == "keep") == (one["weight"] == 1.0) for one in found)


def test_draws_depend_on_seed_and_rule_and_on_nothing_else() -> None:
    batch = tags([{} for _ in range(2000)])

    def kept(text: str, of: pa.RecordBatch = batch) -> set[str]:
        return {one["id"] for one in decided(of, text) if one["action"] == "keep"}

    half, third = kept(rule("keep = 0.5")), kept(rule("keep = 0.3"))
    assert third < half, "a smaller share keeps some of the same documents"
    assert half == kept("seed = 0\n" + rule("keep = 0.5")) != kept("seed = 1\n" + rule("keep = 0.5"))
    for other in (kept("seed = 1\n" + rule("keep = 0.5")), kept(rule("keep = 0.5", name="other"))):
        assert 400 < len(half & other) < 600, "as if independent"
    audit = {i for i, key in zip(batch["id"].to_pylist(), keys(batch["id"].to_pylist(), 0), strict=True) if key < 0.5}
    assert 400 < len(half & audit) < 600, "nor is it an audit's draw of the same seed"


@pytest.mark.parametrize("seed", range(3))
def test_the_same_decision_in_any_batch_and_order(seed: int) -> None:
    source, batch = random.Random(seed), tags(random_rows(400, seed))
    text = 'weight_as = "repeat"\n' + (
        rule("when.score.adverse.min = 0.8", "keep = 0.4", name="a")
        + rule('when.lang = "de"', 'condition = { before = "<|de|>", unmarked = 0.3 }', "weight = 1.4", name="b")
        + rule('mask = { labels = ["adverse"], min = 0.6 }', name="c")
        + rule('weight = { of = "window.adverse", curve = [[0.1, 2.5], [0.9, 0]] }', name="d")
    )
    whole = {one["id"]: one for one in decided(batch, text)}
    order = source.sample(range(400), 400)
    for start in range(0, 400, 37):
        for one in decided(batch.take(pa.array(order[start : start + 37])), text):
            assert one == whole[one["id"]]
    assert {one["action"] for one in whole.values()} == {"keep", "drop", "mask", "condition"}


def test_rules_on_evidence_take_only_documents_that_have_some() -> None:
    rows = random_rows(300)
    found = decided(tags(rows), rule('mask = { labels = ["adverse"], min = 0.5 }'))
    strong = [
        row["status"] == "ok" and any(s["label"] == "adverse" and np.float32(s["score"]) >= 0.5 for s in row["spans"])
        for row in rows
    ]
    assert [one["action"] == "mask" for one in found] == [one["rule"] == "r" for one in found] == strong
    assert any(strong) and not all(strong)


# --- weights


@pytest.mark.parametrize("shape", ["curve", "steps"])
def test_weights_follow_lines_or_steps(shape: str) -> None:
    scores = [0.0, 0.2, 0.3, 0.5, 0.65, 0.8, 1.0, None]
    points = "[[0.2, 1.0], [0.5, 3.0], [0.8, 0.4]]"
    rows = [{"adverse": score, "status": "ok" if score is not None else "no_words"} for score in scores]
    found = [
        one["weight"] for one in decided(tags(rows), rule(f'weight = {{ of = "score.adverse", {shape} = {points} }}'))
    ]
    lines, steps = [1, 1, 1 + 2 / 3, 3, 1.7, 0.4, 0.4, 1], [1, 1, 1, 3, 3, 0.4, 0.4, 1]
    # scores are float32: 0.8 is a little more, 0.2 too
    assert found == pytest.approx(lines if shape == "curve" else steps, abs=1e-5)


def test_a_weight_of_nothing_drops_and_a_cap_holds() -> None:
    rows = [{"adverse": 0.9}, {"adverse": 0.5}, {"adverse": 0.1}]
    text = "weight_cap = 2\n" + rule('weight = { of = "score.adverse", steps = [[0, 7], [0.4, 0.5], [0.8, 0]] }')
    found = [(one["action"], one["weight"]) for one in decided(tags(rows), text)]
    assert found == [("drop", 0.0), ("keep", 0.5), ("keep", 2.0)]


@pytest.mark.parametrize("weight", [0.3, 1.0, 2.75])
def test_repeats_are_whole_and_as_many_as_the_weight_says_on_average(weight: float) -> None:
    n = 20_000
    found = decided(tags([{} for _ in range(n)]), 'weight_as = "repeat"\n' + rule(f"weight = {weight}"))
    counts = np.array([one["weight"] for one in found])
    assert set(counts) <= {math.floor(weight), math.ceil(weight)}
    part = weight % 1
    assert abs(counts.sum() - n * weight) <= 4.5 * math.sqrt(n * part * (1 - part))
    assert all((one["weight"] == 0) == (one["action"] == "drop") for one in found)


def test_no_weight_of_a_label_is_better_than_another() -> None:
    """The same policy with the labels exchanged does the same to documents with the scores exchanged."""
    rows = random_rows(200)
    turned = [row | {"adverse": row.get("admirable", 0.1), "admirable": row["adverse"]} for row in rows]
    text = rule('weight = { of = "score.adverse", curve = [[0, 0.5], [1, 3]] }')
    ours = [one["weight"] for one in decided(tags(rows), text)]
    theirs = [one["weight"] for one in decided(tags(turned), text.replace("adverse", "admirable"))]
    assert ours == theirs


# --- the file


REFUSED = {
    "rule = 1": "p.toml:1: rule: 1, where an array is wanted",
    "": "p.toml:1: a policy without [[rule]] changes nothing; write one",
    "[[rule]\n": "p.toml:1: not valid TOML",
    '\n\n[[rules]]\nname = "x"\n': "p.toml:3: rules: no such setting; did you mean 'rule'?",
    '[[rule]]\ndrop = "x"\n': "p.toml:1: rule[1]: has no name",
    rule('drop = "x"') + rule("keep = 0.5"): "p.toml:4: rule 'r': an earlier one has this name",
    rule(): "p.toml:1: rule[1]: the rule does nothing; give it one of drop, keep",
    rule("drop = true"): 'p.toml:3: rule[1].drop: give the reason as a text, such as drop = "overt',
    rule('drop = "x"', "keep = 0.5"): "p.toml:4: rule[1].keep: the rule has drop already",
    rule('drop = "x"', "weight = 2"): "p.toml:4: rule[1].weight: the rule drops its documents",
    rule("keep = 1.5"): "p.toml:3: rule[1].keep: 1.5 is not between 0 and 1",
    rule("keep = nan"): "p.toml:3: rule[1].keep: nan, where a number is wanted",
    rule("keep = 0.5", "replace = true"): "p.toml:4: rule[1].replace: replaces dropped documents, and the rule",
    rule("weight = -1"): "p.toml:3: rule[1].weight: -1 is not between 0 and inf",
    rule('weight = { of = "adverse", curve = [[0, 1]] }'): "p.toml:3: rule[1].weight.of: write one of score, window",
    rule('weight = { of = "score.adverse", curve = [[0.5, 1],\n [0.5, 2]] }'): "p.toml:3: rule[1].weight.curve: give",
    rule('weight = { of = "score.adverse", curve = [[0.5, 1],\n [2, 2]] }'): "p.toml:4: rule[1].weight.curve[2][1]: 2",
    rule('weights = "none.json"'): "p.toml:3: rule[1].weights: none.json cannot be read",
    rule("when = {}", 'drop = "x"'): "p.toml:3: rule[1].when: an empty condition",
    rule("when.score.adverse = {}", 'drop = "x"'): "p.toml:3: rule[1].when.score.adverse: has no bound",
    rule("[rule.when]", "words.min = 9", "words.below = 3"): "p.toml:4: rule[1].when.words: nothing is at least 9 and",
    rule('when.mode = "satire"', 'drop = "x"'): "p.toml:3: rule[1].when.mode: 'satire' is no mode; there are fiction",
    rule('when.lang = "Klingonese"', 'drop = "x"'): "p.toml:3: rule[1].when.lang: 'Klingonese' is no language; write",
    rule('when.status = "bad"', 'drop = "x"'): "p.toml:3: rule[1].when.status: 'bad' is no status of tags; there are",
    rule("weight = 2") + rule("keep = 0.5", name="later"): "p.toml:4: rule 'later' is never asked: 'r' before it takes",
    rule('when.host = "https://a.b"', 'drop = "x"'): "p.toml:3: rule[1].when.host: 'https://a.b' is no host",
    rule('when.host_file = "none.txt"', 'drop = "x"'): "p.toml:3: rule[1].when.host_file: none.txt cannot be read",
    rule('when.date.from = "May"', 'drop = "x"'): "p.toml:3: rule[1].when.date.from: 'May' is no day; write it as 20",
    rule("when.date = { from = 2021-01-01, before = 2020-01-01 }", 'drop = "x"'): "p.toml:3: rule[1].when.date: ends",
    rule('mask = { labels = "adverse", mim = 1 }'): "p.toml:3: rule[1].mask.mim: no such setting; did you mean 'min'?",
    rule("mask = {}"): "p.toml:3: rule[1].mask: has no labels",
    rule('excise = "x"'): "p.toml:3: rule[1].excise: the text 'x', where a table is wanted of labels, min, marker",
    rule('condition = { after = "x" }'): "p.toml:3: rule[1].condition: has no before; name the control token",
    'weight_as = "copies"\n' + rule("weight = 2"): "p.toml:1: weight_as: 'copies' is none of column, repeat",
    "seed = 1.5\n" + rule("weight = 2"): "p.toml:1: seed: 1.5, where a whole number is wanted",
    '[[exempt]]\nname = "all"\n' + rule("keep = 0.5"): "p.toml:1: exempt[1]: an exemption without when keeps",
    rule("when.any = []", 'drop = "x"'): "p.toml:3: rule[1].when.any: an empty array, which no document meets",
    "weight_cap = 0\n" + rule("weight = 2"): "p.toml:1: weight_cap: 0 would drop every document",
    "weight_cap = 1.5\n" + rule('drop = "x"', "replace = true"): "p.toml:5: replace lets kept documents count as often",
    'mix_in = { documents = "none.jsonl", rate = 0.1 }': "p.toml:1: mix_in.documents: none.jsonl cannot be read",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_errors_name_file_and_line_and_what_to_do(text: str) -> None:
    with pytest.raises(PolicyError) as error:
        policy(text)
    assert str(error.value).startswith(REFUSED[text])


ASKED_OF_TAGS = {
    rule("", "when.score.hostile.min = 0.5", 'drop = "x"'): "p.toml:4: the model that made the tags has no label 'host",
    rule(
        "when.probability.ai.min = 0.5", 'drop = "x"'
    ): "p.toml:3: the card of the model that made the tags has no cal",
    rule('mask = { labels = ["ai"] }'): "p.toml:3: the tags hold no spans of 'ai'; they hold those of adverse, admirab",
    rule('mask = { labels = "adverse", min = 0.1 }'): "p.toml:3: the tags hold spans of 'adverse' from 0.25 on, so not",
    rule('weight = { of = "score.hostile", curve = [[0, 1]] }'): "p.toml:3: the model that made the tags has no label",
}


@pytest.mark.parametrize("text", ASKED_OF_TAGS)
def test_what_the_tags_cannot_answer_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(PolicyError) as error:
        policy(text).check(MODEL)
    assert str(error.value).startswith(ASKED_OF_TAGS[text])


def test_weights_for_the_scores_of_another_model_are_refused(tmp_path: Path) -> None:
    for digest in (MODEL["digest"], "f" * 64):
        weights = Weights((ScoreFactor("adverse", (0.5,), (0.0, -1.0)),), (), 0.01, 10.0, str(digest))
        save_weights(weights, str(tmp_path / f"{str(digest)[0]}.json"))
    ours, theirs = (policy(rule(f'weights = "{tmp_path}/{name}.json"')) for name in "0f")
    ours.check(MODEL)
    assert decide(tags([{"adverse": 0.9}, {"adverse": 0.1}]), ours)["weight"].to_pylist() == [math.exp(-1), 1.0]
    with pytest.raises(PolicyError, match=r"^p.toml:3: the weights are for the scores of another model"):
        theirs.check(MODEL)


def test_a_policy_names_the_columns_of_tags_that_it_needs() -> None:
    text = rule('when.host = "a.example"', "when.window.adverse.min = 0.9", "keep = 0.5") + rule(
        'when.mode = "news"', 'excise = { labels = ["adverse"], marker = "[...]" }', name="s"
    )
    names = policy(text).columns(LABELS)
    batch = tags(random_rows(200))
    assert set(names) == {"id", "row", "host", "adverse_window", "status", "spans", *MODES}
    assert decide(batch.select(names), policy(text)).equals(decide(batch, policy(text)))


def test_the_digest_is_of_what_is_decided() -> None:
    text = rule("when.score.adverse.min = 0.5", 'drop = "x"')
    assert policy(text).digest == policy("# a remark\n\n" + text).digest
    others = ["seed = 3\n" + text, text.replace("0.5", "0.6"), text.replace("score", "window"),
              text.replace("when.score.adverse.min = 0.5", "when.not = { score.adverse.min = 0.5 }")]  # fmt: skip
    assert len({policy(one).digest for one in [text, *others]}) == 5


BUILT = Policy(
    rules=(
        Rule("drop", Drop("overt", replace=True), All((Scored(Measure("score", "adverse"), least=0.9),))),
        Rule("mask", Mask(Evidence(("adverse",), 0.5)), Not(OneOf("lang", ("en", "de")))),
        Rule("cut", Excise(Evidence(("adverse", "admirable")), "..."), InMode(("news",))),
        Rule("mark", ControlTokens("<|a|>", "<|/a|>", 0.25), AnyOf((Dated(20210101), Sized("words", below=9.0)))),
        Rule("share", KeepShare(0.5), OnHost(("b.example",)), Constant(0.7)),
        Rule("file", weight=FromFile(Weights((ScoreFactor("ai", (0.5,), (0.0, -1.0)),), (), 0.1, 9.0, "f" * 64)),
             when=Scored(Measure("probability", "adverse", 0.01), below=0.1)),
        Rule("curve", weight=Curve(Measure("window", "admirable"), ((0.0, 0.5), (1.0, 3.0)), steps=True)),
    ),
    exemptions=(Rule("spare", when=Scored(Measure("score", "technical"), least=0.8)),),
    seed=7,
    weight_as="repeat",
    mix_in=MixIn((OwnDocument("1", "good", 1),), 0.01, "own"),
)  # fmt: skip


def test_a_policy_built_in_python_is_read_again_from_its_text() -> None:
    found = parse_plain(BUILT.text)
    assert found == replace(BUILT, mix_in=None) and found.text == BUILT.text and BUILT.file == ""
    batch = tags(random_rows(500))
    assert decide(batch, found).equals(decide(batch, BUILT))
    assert {one["rule"] for one in decide(batch, found).to_pylist()} >= {rule.name for rule in BUILT.ordered}
    assert json.loads(BUILT.text)["mix_in"] == {"name": "own", "rate": 0.01, "documents": 1}
    for text in ('{"policy": 1, "weights": {}}', "{", BUILT.text.replace("KeepShare", "KeepSome")):
        with pytest.raises(ValueError, match=r"plain form|Expecting|KeepSome is a class that this version"):
            parse_plain(text)


def test_a_cap_that_python_gives_is_checked_as_well() -> None:
    with pytest.raises(PolicyError, match=r"^weight_cap: 0 would drop every document"):
        Policy(rules=(Rule("w", weight=Constant(2.0)),), weight_cap=0.0)
    with pytest.raises(PolicyError, match=r"^rule 'd': replace lets kept documents count"):
        Policy(rules=(Rule("d", Drop("x", replace=True)),), weight_cap=2.0)
    assert Policy(rules=(Rule("d", Drop("x")),), weight_cap=2.0).weight_cap == 2


def test_lines_of_keys_written_in_every_way() -> None:
    text = '''a.b = 1 # [no] table
"c d" = """
x = 5
"""
e = [ 1,
  { f = 'g = 1', h.i = [
    2 ] } ]
[t.u]
v = "\\"]"
[[w]]
[[w.x]]
y = 1
[[w.x]]
y = 2
[w.z]
y = 3
[[w]]
z = 1979-05-27T07:32:00Z
'''
    wanted = {
        ("a", "b"): 1, ("c d",): 2, ("e", 0): 5, ("e", 1): 6, ("e", 1, "f"): 6, ("e", 1, "h", "i"): 6,
        ("e", 1, "h", "i", 0): 7, ("t", "u", "v"): 9, ("w", 0): 10, ("w", 0, "x", 0, "y"): 12,
        ("w", 0, "x", 1, "y"): 14, ("w", 0, "z", "y"): 16, ("w", 1): 17, ("w", 1, "z"): 18,
    }  # fmt: skip
    found = lines_of(text)
    assert {path: found.get(path) for path in wanted} == wanted


def test_models_that_are_described_without_calibration_are_read(tmp_path: Path) -> None:
    plain = {key: value for key, value in MODEL.items() if key != "calibration"}
    batch = tags([{"adverse": 0.7}], plain)
    assert json.loads(batch.schema.metadata[b"tropescan.model"])["labels"][0] == "adverse"
    assert decided(batch, rule("when.score.adverse.min = 0.5", 'drop = "x"'))[0]["action"] == "drop"
