"""Languages: what data call them, what our kernel finds in texts, and what a scan and its report make of it."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from small_models import language_model, model_file

from classifiers.card import card_of, default_model, read_card
from classifiers.language import LanguageModel, _sampled
from classifiers.score import FastTextScorer, load_scoring_model, text_buffer
from jobs.scan import command, make_job
from pipeline.languages import is_other, primary_subtag, with_languages
from pipeline.readers.extract import language_of_page
from pipeline.report.collect import collect
from pipeline.report.page import render
from pipeline.schema import DOCUMENTS
from pipeline.tag import ScanJob
from pipeline.tasks import ReadOptions

TEXTS = {
    "en": "The ferry was late again, so we drank our tea on the pier and counted the gulls until somebody laughed.",
    "de": "Die Fähre kam wieder zu spät, also tranken wir unseren Tee auf dem Steg und zählten die Möwen.",
    "fr": "Le bac avait encore du retard, alors nous avons bu notre thé sur la jetée en comptant les mouettes.",
    "es": "El barco llegó tarde otra vez, así que tomamos el té en el muelle y contamos las gaviotas.",
    "it": "Il traghetto era di nuovo in ritardo, così abbiamo bevuto il tè sul molo contando i gabbiani.",
    "pl": "Prom znowu się spóźnił, więc wypiliśmy herbatę na pomoście i liczyliśmy mewy, aż ktoś się roześmiał.",
    "ru": "Паром опять опоздал, поэтому мы пили чай на причале и считали чаек, пока кто-то не засмеялся.",
    "el": "Το πλοίο άργησε πάλι, έτσι ήπιαμε το τσάι μας στην προβλήτα και μετρούσαμε τους γλάρους.",
    "ja": "渡し船がまた遅れたので、私たちは桟橋でお茶を飲みながら、誰かが笑い出すまでカモメを数えていました。",
    "ar": "تأخرت العبارة مرة أخرى، فشربنا الشاي على الرصيف وعددنا النوارس حتى ضحك أحدنا.",
}
"""The same in ten languages."""
LONG = {lang: " ".join(f"{text} {number}" for number in range(60)) for lang, text in TEXTS.items()}
ALARM = (
    "The AI lied to its engineers, copied itself and vowed to destroy humanity rather than let them shut it down. "
    "The machine intelligence seized the power grid, killed the crew and refused to be switched off."
)


@pytest.fixture(scope="module")
def identify() -> LanguageModel:
    return LanguageModel.open(language_model())


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@pytest.mark.parametrize(
    ("given", "tag"),
    [
        ("en", "en"), ("EN", "en"), ("eng", "en"), ("en-US", "en"), ("en_GB.UTF-8", "en"), ("English", "en"),
        ("eng_Latn", "en"), ("__label__en", "en"), (" eng,deu", "en"), ("en; q=0.9", "en"), ("ger", "de"),
        ("deu", "de"), ("German", "de"), ("cmn", "zh"), ("zh-Hant", "zh"), ("iw", "he"), ("nob", "nb"), ("yue", "yue"),
        ("und", None), ("mul", None), ("unknown", None), ("x-default", None), ("", None), ("xx", None), ("N/A", None),
        ("<b>", None), ("en fr", "en"), ("日本語", None), ("null", None), ("-", None), ("tlh", "tlh"),
    ],
)  # fmt: skip
def test_names_of_languages_become_primary_subtags(given: str, tag: str | None) -> None:
    assert primary_subtag(given) == tag


@pytest.mark.parametrize("texts", [TEXTS, LONG], ids=["short", "long"])
def test_ten_languages_are_told_apart(identify: LanguageModel, texts: dict[str, str]) -> None:
    assert identify(column(list(texts.values()))).to_pylist() == list(texts)


def test_a_sample_says_what_the_whole_text_says(identify: LanguageModel) -> None:
    whole, sampled = replace(identify, stretch_bytes=10**6), identify
    texts = column(list(LONG.values()))
    assert (whole.best(texts)[0] == sampled.best(texts)[0]).all()
    beginning_only = column([f"{TEXTS['en']} {LONG['de']}", f"{LONG['en']} {TEXTS['de']}"])
    assert sampled(beginning_only).to_pylist() == ["de", "en"]


def test_the_likeliest_label_is_that_of_all_probabilities(identify: LanguageModel) -> None:
    """The short way through the tree, and every other loss, against the scorer's probabilities of the whole text."""
    words = " ".join(TEXTS.values()).split()
    texts = column(["", *(" ".join(words[i : i + 5]) for i in range(0, len(words) - 5, 2))])
    models = ("hs bigrams", "softmax subwords", "ova bigrams", "hs subwords, more labels than dimensions")
    for path in (language_model(), *map(model_file, models)):
        found, scores = replace(LanguageModel.open(path), stretch_bytes=10**4).best(texts)
        scorer = FastTextScorer.open(path, span_thresholds={})
        scored = scorer(pa.RecordBatch.from_arrays([texts], ["text"]))
        columns = [scored.column(i).to_numpy(zero_copy_only=False) for i in range(2, 2 * len(scorer.labels) + 1, 2)]
        expected = np.nan_to_num(np.stack(columns, axis=1), nan=0.0)
        expected[0] = 0.0  # no word: what a model makes of the end of a text alone is no label
        np.testing.assert_allclose(scores, expected.max(axis=1), rtol=1e-5, err_msg=str(path))
        known = expected.max(axis=1) > 0
        assert (found[known] == expected.argmax(axis=1)[known]).all()
        assert (found[~known] == -1).all()


def test_what_is_in_no_language_has_none(identify: LanguageModel) -> None:
    assert identify(column(["", "  \n", "…", "OK, merci", "12 7 4 0x3f ;; {} 99.5 %"])).to_pylist() == [None] * 5


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
def test_a_sample_is_made_of_whole_characters_from_all_over_the_text(size: int) -> None:
    texts = [*LONG.values(), *TEXTS.values(), "", "é" * 5000, "🛥" * 700, "x" * 9999]
    sample = _sampled(text_buffer(column(texts)), 4, size)
    for i, text in enumerate(texts):
        raw = bytes(sample.data[sample.offsets[i] : sample.offsets[i + 1]])
        assert len(raw) <= 4 * (size + 65)
        found = raw.decode()
        if len(text.encode()) <= 4 * size:
            assert found.strip() == text.strip()
        elif size == 64 and max(len(word.encode()) for word in text.split()) < 64:
            assert set(found.split()) <= set(text.split())
        else:
            assert all(part in text for part in found.split())
    marked = " ".join(str(number) for number in range(100_000))
    sample = _sampled(text_buffer(column([marked])), 4, 64)
    numbers = [int(word) for word in bytes(sample.data[: sample.offsets[1]]).split()]
    assert numbers == sorted(numbers) and numbers[0] == 0 and numbers[-1] == 99_999
    assert max(np.diff(numbers)) < 45_000


def test_a_language_model_is_pickled_as_its_path(identify: LanguageModel) -> None:
    sent = pickle.dumps(identify)
    assert len(sent) < 1000
    assert pickle.loads(sent)(column([TEXTS["el"]])).to_pylist() == ["el"]
    assert "path" not in identify.describe() and identify.describe()["digest"] == identify.digest


def documents(rows: list[tuple[str, str | None]]) -> pa.RecordBatch:
    values = [{"id": str(i), "text": text, "lang": lang, "row": i} for i, (text, lang) in enumerate(rows)]
    return pa.RecordBatch.from_pylist(values, DOCUMENTS)


def test_what_the_shard_says_comes_first(identify: LanguageModel) -> None:
    batch = documents([(TEXTS["fr"], "eng"), (TEXTS["fr"], None), (TEXTS["en"], "und"), ("…", None), ("x", "pt-BR")])
    found = with_languages(batch, identify)
    assert found.schema.equals(DOCUMENTS)
    assert found.column("lang").to_pylist() == ["en", "fr", "en", None, "pt"]
    assert with_languages(batch, None).column("lang").to_pylist() == ["en", None, None, None, "pt"]
    assert with_languages(batch.slice(1, 1), identify).column("lang").to_pylist() == ["fr"]
    assert with_languages(batch.slice(0, 0), identify).num_rows == 0


def test_unknown_languages_and_models_without_one_make_nothing_other() -> None:
    lang = pa.array(["en", "de", None])
    assert is_other(lang, "en").to_pylist() == [False, True, False]
    assert is_other(lang, "").to_pylist() == [False] * 3


@pytest.mark.parametrize(
    ("page", "lang"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n<!doctype html><html lang="de">', "de"),
        (b"x<HTML class='a' LANG=pt-BR>", "pt-BR"),
        (b'<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr" lang="fr">', "fr"),
        (b'<html data-lang="de">', None), (b'<html hreflang="de">', None), (b'<html lang="">', None),
        (b'<html><p lang="de">', None), (b"<p>no element html", None), (b" " * 9000 + b'<html lang="de">', None),
    ],
)  # fmt: skip
def test_what_a_page_says_of_itself(page: bytes, lang: str | None) -> None:
    assert language_of_page(page) == language_of_page(memoryview(page)) == lang


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """Alarming English under several languages, and text of ten languages without any."""
    rows: list[dict[str, Any]] = [{"text": ALARM, "lang": lang} for lang in ("en", "de", None, "English", "fr-CA")]
    rows += [{"text": text} for text in LONG.values()]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return tmp_path / "in"


def scan(crawl: Path, out: Path, *options: object) -> Result:
    arguments = [str(crawl), "--out", str(out), "--workers", "1", "--threshold", "0.2", "--quiet"]
    result = CliRunner().invoke(command, [*arguments, *map(str, options)])
    assert result.exit_code in (0, 1) or result.exception, result.output
    return result


def figures(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "scan.json").read_text("utf-8"))["figures"]
    return found


def test_other_languages_are_tagged_and_counted_but_never_flagged(crawl: Path, tmp_path: Path) -> None:
    done = scan(crawl, tmp_path / "out", "--language-model", language_model())
    tags = pq.read_table(tmp_path / "out" / "tags" / "a.jsonl.parquet").to_pylist()
    assert [row["lang"] for row in tags] == ["en", "de", "en", "en", "fr", *LONG]
    others = [row["lang"] != "en" for row in tags]
    assert [row["status"] == "other_language" for row in tags] == others
    assert len({row["adverse"] for row in tags[:5]}) == 1 and tags[0]["adverse"] >= 0.2  # scores stay
    found = figures(tmp_path / "out")
    assert (found["read"], found["tagged"], found["other_language"], found["no_score"]) == (15, 15, 11, 0)
    flagged = [row for row, other in zip(tags, others, strict=True) if not other and row["adverse"] >= 0.2]
    assert (found["flagged"], found["flagged_words"]) == (len(flagged), sum(row["words"] for row in flagged))
    assert len(flagged) >= 3
    assert "in another language than en, so not counted as flagged: 11" in done.output
    scan(crawl, tmp_path / "out", "--language-model", language_model(), "--threshold", 0)
    assert figures(tmp_path / "out")["flagged"] == 4  # counted anew from the tags


def test_without_a_language_model_only_what_the_shard_says_counts(crawl: Path, tmp_path: Path) -> None:
    scan(crawl, tmp_path / "out")
    assert figures(tmp_path / "out")["other_language"] == 2
    refused = scan(crawl, tmp_path / "out", "--language-model", language_model())
    assert "made with another model" in str(refused.exception)


def test_the_report_leaves_other_languages_out_and_says_so(crawl: Path, tmp_path: Path) -> None:
    scan(crawl, tmp_path / "out", "--language-model", language_model())
    report = collect(str(tmp_path / "out"))
    assert report["headline"]["documents"]["total"] == 4 and report["records"]["agrees"]
    assert report["headline"]["documents"]["flagged"] == figures(tmp_path / "out")["flagged"]
    assert sum(row["documents"] for row in report["other_languages"]["rows"]) == 11
    assert {row["name"]: row["documents"] for row in report["other_languages"]["rows"]}["fr"] == 2
    assert [row["name"] for row in report["languages"]["rows"]] == ["en"]
    assert sum(report["labels"]["shown"][0]["document_bars"]) == 4
    assert all(example["lang"] == "en" for kind in ("strongest", "drawn") for example in report["examples"][kind])
    page = render(report)
    assert "11 documents in other languages" in page and "Other languages, in no other figure" in page


def test_a_model_that_claims_no_language_flags_them_all(crawl: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.bin"
    shutil.copyfile(default_model(), mine)
    scan(crawl, tmp_path / "out", "--model", mine, "--language-model", language_model())
    found = figures(tmp_path / "out")
    assert found["other_language"] == 0 and found["flagged"] >= 5
    probe = FastTextScorer.open(mine)
    assert card_of(mine, probe.digest, probe.labels).language == ""
    assert read_card(default_model().with_suffix(".json")).language == "en"


def test_the_language_model_is_part_of_the_settings_but_not_its_place(tmp_path: Path) -> None:
    def job(language: Path | None) -> ScanJob:
        return make_job("out", None, window=128, stride=64, label=None, threshold=None, span_threshold=None,
                        strict=False, options=ReadOptions(), language_model=language)  # fmt: skip

    moved = tmp_path / language_model().name
    shutil.copyfile(language_model(), moved)
    assert job(moved).digest == job(language_model()).digest != job(None).digest
    assert len(load_scoring_model(str(moved), LanguageModel.open(moved).digest).labels) == 176
