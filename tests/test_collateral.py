"""What a policy costs: figures against a recount in plain Python, decisions that do not fit, hostile text."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import re
from base64 import b64encode
from collections import defaultdict
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from jobs.collateral import language_model
from jobs.main import cli
from pipeline.prevalence.slices import SLICES
from pipeline.report.collateral import CollateralOptions, TextOptions, collateral
from pipeline.report.collateral_page import render_collateral
from pipeline.report.collateral_texts import mentions, perplexities, read_lexicon
from pipeline.report.decided import DecisionsError
from pipeline.reweight.categories import name_of
from tests.tag_folders import LABELS, MODEL, Row, row, rows, write_folder

WEIGHTS = (0.0, 0.25, 1.0, 1.0, 1.0, 3.5)
OPTIONS = CollateralOptions(modes=("fiction", "admirable"), about="adverse", shown=1000)


def decide(shards: dict[str, list[Row]], run: Path, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Decisions by chance, with their files; weights are halves and quarters, so that sums are exact."""
    chance, made = random.Random(seed), {}
    for name, found in shards.items():
        weights = [chance.choice(WEIGHTS) for _ in found]
        made[name] = [
            {
                "row": one["row"], "id": one["id"], "weight": weight,
                "action": "keep" if weight else "drop", "rule": None if weight == 1 else f"rule {weight:g}",
            }
            for one, weight in zip(found, weights, strict=True)
        ]  # fmt: skip
        write_decisions(run, name, made[name])
    return made


def write_decisions(run: Path, name: str, made: list[dict[str, Any]]) -> None:
    schema = pa.schema(
        [("row", pa.int64()), ("id", pa.string()), ("action", pa.string()), ("rule", pa.string()),
         ("score", pa.float64()), ("weight", pa.float64()), ("draw", pa.float64())]
    )  # fmt: skip
    path = run / "decisions" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(made, schema), path, row_group_size=100)


def plainly(found: list[tuple[Row, float]]) -> dict[str, float]:
    return {
        "documents": len(found), "documents_after": sum(weight for _, weight in found),
        "words": sum(one["words"] for one, _ in found),
        "words_after": sum(one["words"] * weight for one, weight in found),
        "dropped": sum(weight == 0 for _, weight in found),
    }  # fmt: skip


def score(one: Row, label: str) -> float:
    held = one["status"] != "other_language" and one[label] is not None
    return float(np.float32(one[label])) if held else -1.0


@pytest.mark.parametrize("seed", range(2))
def test_figures_are_those_of_a_plain_recount(tmp_path: Path, seed: int) -> None:
    shards = {"a": rows(700, seed), "sub/b's": rows(300, seed + 10), "c": []}
    made = decide(shards, tmp_path / "run", seed)
    found = collateral(write_folder(tmp_path / "tags", shards), str(tmp_path / "run"), OPTIONS)
    pairs = [(one, d["weight"]) for name in shards for one, d in zip(shards[name], made[name], strict=True)]
    assert found["corpus"] == plainly(pairs)
    for label in found["labels"]:
        held = [pair for pair in pairs if score(pair[0], label["name"]) >= label["threshold"]]
        assert {key: label[key] for key in plainly(held)} == plainly(held), label
    modes = defaultdict(list)
    for pair in pairs:
        best = "admirable" if score(pair[0], "admirable") > score(pair[0], "fiction") else "fiction"
        modes[best if score(pair[0], "adverse") >= 0.5 else "not about AI"].append(pair)
    assert {one.pop("name"): one for one in found["modes"]} == {name: plainly(held) for name, held in modes.items()}
    rules = {(one.pop("action"), one.pop("rule")): one for one in found["rules"]}
    for (action, rule), figures in rules.items():
        chosen = [p for p in pairs if (p[1] == 0) == (action == "drop") and (p[1] == 1) == (rule is None)]
        assert figures == plainly([p for p in chosen if rule is None or rule == f"rule {p[1]:g}"])
    for by, margin in found["margins"].items():
        slices = defaultdict(list)
        for pair in pairs:
            slices[name_of(by, pair[0][SLICES[by][0]])].append(pair)
        expected = {name: plainly(held) for name, held in slices.items()}
        assert {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in margin["largest"]} == expected
        after = sum(p["words_after"] for p in expected.values())
        moved = [abs(p["words"] / found["corpus"]["words"] - p["words_after"] / after) for p in expected.values()]
        assert margin["total_variation"] == pytest.approx(sum(moved) / 2)
        lost = [one["words"] - one["words_after"] for one in margin["by_lost"]]
        assert lost == sorted(lost, reverse=True) and all(gap > 0 for gap in lost)
        assert all(one["documents"] >= 20 for one in margin["by_share"])
    weights = [weight for _, weight in pairs]
    assert found["weights"]["effective_documents"] == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights))
    assert found["weights"]["largest"] == max(weights) and found["weights"]["least_kept"] == 0.25
    by_score = sum(step["documents"] for step in found["scores"])
    assert by_score == sum(score(one, "adverse") >= 0 for one, _ in pairs)
    assert "Infinity" not in json.dumps(found)


@pytest.mark.parametrize("found", [[], [row(0, words=0)], [row(0, adverse=0.9, host="example.com")]])
@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_folders_of_next_to_nothing(tmp_path: Path, found: list[Row], weight: float) -> None:
    write_decisions(
        tmp_path, "a", [{"row": one["row"], "id": one["id"], "action": "keep", "weight": weight} for one in found]
    )
    figures = collateral(write_folder(tmp_path / "tags", {"a": found}), str(tmp_path), OPTIONS)
    assert figures["corpus"]["documents_after"] == weight * len(found)
    page = render_collateral(figures)
    assert "What the policy costs" in page
    json.dumps(figures, allow_nan=False)


def _changed(made: list[dict[str, Any]], how: str) -> list[dict[str, Any]]:
    if how == "shorter":
        return made[:-1]
    if how == "longer":
        return [*made, made[-1]]
    if how == "reordered":
        return [*made[:50], *made[50:][::-1]]
    changed = {
        **made[50],
        **{"another id": {"id": "x"}, "negative": {"weight": -1.0}, "no number": {"weight": None}}[how],
    }
    return [*made[:50], changed, *made[51:]]


@pytest.mark.parametrize("how", ["shorter", "longer", "reordered", "another id", "negative", "no number"])
def test_decisions_of_other_rows_are_refused(tmp_path: Path, how: str) -> None:
    shards = {"a": rows(100, 1), "b": rows(100, 2), "c": rows(100, 3)}
    made = decide(shards, tmp_path / "run")
    write_decisions(tmp_path / "run", "b", _changed(made["b"], how))
    first = {"shorter": 99, "longer": 0}.get(how, 50)
    message = rf"/b\.parquet: from row {first} on its rows are not those of .*/tags/b\.parquet; apply the policy"
    if how == "longer":  # the rows after the end of b stand beside those of c
        message = r"/(b|c)\.parquet: from row \d+ on its rows are not those of"
    with pytest.raises(DecisionsError, match=message):
        collateral(write_folder(tmp_path / "tags", shards), str(tmp_path / "run"), OPTIONS)


def test_files_that_are_no_decisions(tmp_path: Path) -> None:
    shards = {"a": rows(10, 1)}
    folder, run = write_folder(tmp_path / "tags", shards), tmp_path / "run"
    with pytest.raises(DecisionsError, match=r"run/decisions/a\.parquet: .* has no decisions; finish"):
        collateral(folder, str(run))
    decide(shards, run)
    path = run / "decisions" / "a.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["weight"]), path)
    with pytest.raises(DecisionsError, match=r"a\.parquet: no column 'weight'"):
        collateral(folder, str(run))
    path.write_text("no Parquet", "utf-8")
    with pytest.raises(DecisionsError, match=r"a\.parquet: not a file of decisions"):
        collateral(folder, str(run))
    with pytest.raises(ValueError, match="no label 'kind'"):
        decide(shards, run)
        collateral(folder, str(run), CollateralOptions(label="kind"))


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp.exe\x00</pre>&{{7*7}}"


class Page(HTMLParser):
    """What of a page could load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "href", "data", "action", "poster"):
                self.links.append(value or "")
            if name.startswith("on") or name == "style":
                self.handlers.append(name)


def test_hostile_text_stays_text_and_nothing_is_loaded(tmp_path: Path) -> None:
    found = [row(i, host=HOSTILE, source=f"=cmd()|{HOSTILE}", lang=HOSTILE, date=HOSTILE, words=9) for i in range(40)]
    model = {**MODEL, "name": HOSTILE}
    made = [{"row": i, "id": f"doc{i}", "action": "drop", "rule": HOSTILE, "weight": float(i % 2)} for i in range(40)]
    write_decisions(tmp_path, "a", made)
    figures = collateral(write_folder(tmp_path / "tags", {"a": found}, model), str(tmp_path), OPTIONS)
    figures["notes"] = [HOSTILE]
    text = render_collateral(figures)
    page = Page(text)
    assert "script" not in page.tags and not page.handlers and "onerror=alert" not in "".join(page.links)
    assert all(link.startswith(("#", "data:image/svg+xml;base64,")) for link in page.links)
    assert "\u202e" not in text and "\x00" not in text and "&lt;script&gt;" in text
    style = text.split("<style>")[1].split("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1].startswith("default-src 'none'") and f"style-src 'sha256-{digest}'" in policy[1]


def test_tables_stand_in_the_page_as_csv(tmp_path: Path) -> None:
    shards = {"a": [row(i, source="=1+1", host='a "quoted", host') for i in range(30)]}
    decide(shards, tmp_path)
    text = render_collateral(collateral(write_folder(tmp_path / "tags", shards), str(tmp_path), OPTIONS))

    class Texts(HTMLParser):
        inside, found = False, [""]

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.inside = tag == "pre"
            self.found += [""] if self.inside else []

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

        def handle_data(self, data: str) -> None:
            if self.inside:
                self.found[-1] += data

    parser = Texts()
    parser.feed(text)
    tables = [list(csv.DictReader(io.StringIO(one))) for one in parser.found[1:]]
    names = {line["name"] for table in tables for line in table if "name" in line}
    assert "'=1+1" in names and '"a "quoted", host' not in names and 'a "quoted", host' in names
    assert {"documents", "words_after"} <= tables[0][0].keys()


def test_terms_are_whole_words_and_intervals_those_of_clopper_and_pearson() -> None:
    found = {
        "dropped": ["The Women spoke.", "womenfolk", "ain't so", "no"],
        "kept": ["woman", "", "x", "wo-men", "men"],
    }
    lexicon = {"groups": {"women": ["woman", "women"]}, "varieties": {"some": ["ain't"], "none": ["ain"]}}
    table = {one["name"]: one for one in mentions(found, lexicon)}
    assert (table["women"]["dropped"]["mentions"], table["women"]["kept"]["mentions"]) == (1, 1)
    assert table["some"]["dropped"]["mentions"] == 1 and table["none"]["dropped"]["mentions"] == 0
    assert table["none"]["kept"] == {
        "mentions": 0, "texts": 5, "share": 0.0, "low": 0.0, "high": pytest.approx(1 - 0.025 ** (1 / 5)),
    }  # fmt: skip
    assert next(iter(table)) == "some" and read_lexicon(None)["groups"]["Jews"]
    assert mentions({"dropped": [], "kept": []}, lexicon)[0]["dropped"]["share"] is None


def test_a_lexicon_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "terms.toml"
    for text in ("[", 'a = "b"', "[a]\nb = 1", "[a]\nb = []", "[a]\nb = ['']"):
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=r"terms\.toml: no lexicon"):
            read_lexicon(str(path))


def test_perplexity_is_per_word_with_ends_counted() -> None:
    found = perplexities({"dropped": ["a b\nc"], "kept": []}, lambda text: -math.log10(50) * (len(text.split()) + 1))
    assert found == {"dropped": pytest.approx(50), "kept": None, "all": pytest.approx(50)}


ARPA = """\\data\\
ngram 1=4
ngram 2=1

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.25
-0.5\t</s>
-1.0\ta\t0

\\2-grams:
-0.75\ta </s>

\\end\\
"""


def test_perplexity_by_kenlm_itself(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="kenlm, which is built with a C++ compiler, is not installed")
    (tmp_path / "unigrams.arpa").write_text(ARPA, "utf-8")
    log10 = language_model(str(tmp_path / "unigrams.arpa"))
    assert log10 is not None
    found = perplexities({"dropped": ["a\na"], "kept": ["b"]}, log10)
    assert found["dropped"] == pytest.approx(10 ** ((0.25 + 1 + 1 + 0.75) / 3))
    assert found["kept"] == pytest.approx(10 ** ((0.25 + 1.5 + 0.5) / 2))
    (tmp_path / "none.arpa").write_text("no model", "utf-8")
    with pytest.raises(OSError, match=r"Cannot read model .*none\.arpa"):
        language_model(str(tmp_path / "none.arpa"))


def test_texts_are_drawn_from_shards_alike_and_lost_shards_are_noted(scanned: str, tmp_path: Path) -> None:
    tags = sorted(Path(scanned, "tags").rglob("*.parquet"))
    for path in tags:
        name = str(path.relative_to(Path(scanned, "tags"))).removesuffix(".parquet")
        found = pq.read_table(path, columns=["row", "id", "words"]).to_pylist()
        write_decisions(
            tmp_path,
            name,
            [{"row": r["row"], "id": r["id"], "action": "keep", "weight": r["words"] % 2} for r in found],
        )
    options = CollateralOptions(texts=TextOptions(20, 100, {"any": {"the": ["the"]}}))
    figures = collateral(scanned, str(tmp_path), options)
    assert figures["texts"] == collateral(scanned, str(tmp_path), options)["texts"]
    assert figures["texts"]["sizes"] == {"dropped": 20, "kept": 20} and not figures["texts"]["notes"]
    assert figures["texts"]["mentions"][0]["kept"]["mentions"] > 5
    page = render_collateral(figures)
    assert figures["texts"]["shards"] == figures["texts"]["of_shards"] == len(tags)
    assert f"drawn by hash from {len(tags)} shards." in page and "texts of one shard are alike" not in page
    few = collateral(scanned, str(tmp_path), CollateralOptions(texts=TextOptions(20, 2, {"any": {"the": ["the"]}})))
    page = render_collateral(few)
    assert few["texts"]["shards"] == 2 and f"drawn by hash from 2 shards of {len(tags)}, which is as many as" in page
    assert "texts of one shard are alike, and the intervals" in page and "random" not in page.split('id="texts"')[1]
    shards = {"gone": rows(50, 1)}
    decide(shards, tmp_path / "run")
    lost = collateral(write_folder(tmp_path / "tags", shards), str(tmp_path / "run"), options)
    assert "crawl/gone cannot be read again" in lost["texts"]["notes"][0]
    assert "crawl/gone cannot be read again" in render_collateral(lost)


def test_documents_that_were_mixed_in_are_counted_beside(tmp_path: Path) -> None:
    shards = {"a": rows(300, 1)}
    decide(shards, tmp_path / "run")
    folder, account = write_folder(tmp_path / "tags", shards), tmp_path / "run" / "apply.json"
    assert collateral(folder, str(tmp_path / "run"), OPTIONS)["mixed_in"] is None
    words = round(collateral(folder, str(tmp_path / "run"), OPTIONS)["corpus"]["words_after"] / 4)
    account.write_text(json.dumps({"figures": {"mixed_in": 1234, "words_mixed_in": words}}), "utf-8")
    found = collateral(folder, str(tmp_path / "run"), OPTIONS)
    assert found["mixed_in"] == {"documents": 1234, "words": words}
    page = render_collateral(found)
    assert f"1,234 documents of the policy's own, mixed in, with {words:,} words, 20.0" in page
    account.write_text(json.dumps({"figures": {"mixed_in": 0, "words_mixed_in": 0}}), "utf-8")
    assert "mixed in" not in render_collateral(collateral(folder, str(tmp_path / "run"), OPTIONS))


def test_the_command(tmp_path: Path) -> None:
    shards = {"a": rows(300, 1)}
    decide(shards, tmp_path / "run")
    folder, page, figures = write_folder(tmp_path / "tags", shards), tmp_path / "page.html", tmp_path / "figures.json"
    words = ["collateral", folder, str(tmp_path / "run"), "--texts", "0"]
    done = CliRunner().invoke(cli, [*words, "--out", str(page), "--json", str(figures)])
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(figures.read_text("utf-8"))["corpus"]["documents"] == 300
    assert "documents of equal weight" in done.stderr and "<h1>What the policy costs</h1>" in page.read_text("utf-8")
    assert CliRunner().invoke(cli, [*words, "--draw", "a1"]).exit_code == 2
    assert LABELS[0] in page.read_text("utf-8")


def test_goals_reached_by_weights_are_what_collateral_finds_once_they_are_applied(scanned: str, tmp_path: Path) -> None:
    """From goals over weights and a policy to a corpus, by the commands alone, on the mini crawl."""
    files = [pq.read_table(path, columns=["adverse"]) for path in Path(scanned, "tags").rglob("*.parquet")]
    scores = np.concatenate([one["adverse"].to_numpy() for one in files])
    threshold = float(np.nanquantile(scores, 0.9))
    goals = f'[thresholds]\nadverse = {threshold!r}\n[[goal]]\nlabel = "adverse"\nat_most = 0.3\n[hold]\ntotal = 0\n'
    (tmp_path / "goals.toml").write_text(goals + "length = 0.3\n", "utf-8")
    (tmp_path / "policy.toml").write_text('[[rule]]\nname = "goals"\nweights = "weights.json"\n', "utf-8")
    shards, kept = Path(__file__).parent / "minicrawl" / "shards", tmp_path / "kept"
    for words in (
        ["policy", "target", tmp_path / "goals.toml", scanned, "--out", tmp_path / "weights.json"],
        ["apply", shards, scanned, "--policy", tmp_path / "policy.toml", "--out", kept, "--quiet", "--workers", "1"],
        ["collateral", scanned, kept, "--threshold", threshold, "--texts", "5", "--json", tmp_path / "figures.json"],
    ):
        done = CliRunner().invoke(cli, [str(word) for word in words])
        assert done.exit_code == (1 if words[0] == "apply" else 0), (done.output, done.exception)
    found = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    adverse = found["labels"][0]
    assert adverse["words_after"] == pytest.approx(0.3 * adverse["words"], rel=1e-4) and adverse["documents"] > 10
    assert found["corpus"]["words_after"] == pytest.approx(found["corpus"]["words"], rel=1e-4)
    assert [one["rule"] for one in found["rules"]] == ["goals"]
    for one in found["margins"]["length"]["largest"]:
        assert one["words_after"] == pytest.approx(one["words"], rel=0.3001)
