"""Training is reproducible, leaves held-out texts alone, and gives a model that fastText itself can load."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from command import ROOT, tropescan

from classifiers.card import ModelCardError, card_of, default_model, read_card
from classifiers.fasttext_file import read_model, write_model
from classifiers.prepare import model_digest
from classifiers.score import FastTextScorer
from classifiers.training import Example, Hyperparameters, folds_by_source, train_fasttext
from jobs.main import cli
from jobs.measure import scores_of
from jobs.train import check_examples, limits_of
from jobs.training_data import LabelledText, TrainingData, digest_of, digest_of_background, load_training_data
from labels.records import LabelRecord, read_records, text_digest, write_records
from labels.split import is_held_out

fasttext = pytest.importorskip("fasttext", reason="the fasttext package (extra train) is not installed")
README = (ROOT / "README.md").read_text("utf-8")
SMALL = Hyperparameters(dim=8, epoch=20, bucket=2000, min_count=1)


def examples(n: int = 60) -> list[Example]:
    random = np.random.default_rng(0)
    out = []
    for i in range(n):
        bad = i % 3 == 0
        words = [f"{'bad' if bad else 'good'}{k}" for k in random.integers(0, 30, 25)] + ["the", "machine"]
        text = " ".join(random.permutation(words)) + "\n__label__evil </s>x"
        out.append(Example(text, frozenset({"ai", "adverse"} if bad else ()), f"s{i % 7}"))
    return out


def train_model(examples: list[Example], path: Path, chosen: Hyperparameters) -> None:
    write_model(train_fasttext(examples, chosen), path)


def test_same_examples_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    train_model(examples(), tmp_path / "a.bin", SMALL)
    train_model(examples()[::-1], tmp_path / "b.bin", SMALL)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_the_model_learns_and_is_folded_and_stock(tmp_path: Path) -> None:
    train_model(examples(), tmp_path / "a.bin", SMALL)
    model = read_model(tmp_path / "a.bin")
    assert model.dim == len(model.labels) == 3
    assert set(model.label_names) == {"ai", "adverse", "background"}
    texts = [example.text for example in examples()]
    truth = np.array(["adverse" in example.labels for example in examples()])
    ours = scores_of(tmp_path / "a.bin", texts, "adverse")
    assert ours[truth].min() > ours[~truth].max()
    stock = fasttext.load_model(str(tmp_path / "a.bin"))
    labels, probabilities = (column[0] for column in stock.predict([texts[0].replace("\n", " ")], k=3))
    assert dict(zip(labels, probabilities, strict=True))["__label__adverse"] == pytest.approx(ours[0], abs=1e-3)


def test_numbers_that_run_away_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--lr"):
        train_model(examples(), tmp_path / "a.bin", Hyperparameters(dim=8, epoch=20, lr=1e9, bucket=2000))
    assert not (tmp_path / "a.bin").exists()


def test_a_source_lies_in_one_fold() -> None:
    sources = [f"s{i % 11}" for i in range(500)]
    folds = folds_by_source(sources, 4)
    assert {len(set(folds[np.array(sources) == s])) for s in set(sources)} == {1}
    assert np.bincount(folds).min() > 80


def test_held_out_share() -> None:
    assert 0.17 < np.mean([is_held_out(f"source {i}") for i in range(5000)]) < 0.23


def labelled_folder(folder: Path) -> Path:
    """Records with text from 40 sources, some of them held out."""
    records = []
    for i, example in enumerate(examples(240)):
        text, bad = f"{example.text} {i}", bool(example.labels)
        records.append(
            LabelRecord(
                text_digest(text), str(i), f"source {i % 40}", bad, bad, bad, False, False,
                "news" if bad else "none", "a reader", "human", text=text,
            )
        )  # fmt: skip
    write_records(records, folder / "records.jsonl")
    return folder / "records.jsonl"


def test_the_command_trains_measures_and_leaves_held_out_texts_alone(tmp_path: Path) -> None:
    records = labelled_folder(tmp_path)
    data = load_training_data([str(records)], [], [])
    held = data.held_out(synthetic=False)
    assert 0 < len(held) < 240
    assert not {one.text for one in held} & {example.text for example in data.training}
    out = tmp_path / "model" / "m.bin"
    arguments = ["--bucket", "2000", "--min-count", "1"]
    done = CliRunner().invoke(cli, ["train", str(records), "--out", str(out), *arguments])
    assert done.exit_code == 0, done.output
    card = read_card(out.with_suffix(".json"))
    assert card.digest == model_digest(out)
    assert card.data["digest of held-out labels"] == digest_of(held)
    assert card.metrics["average precision"]["n"] == len(held)
    assert card.metrics["average precision"]["value"] > 0.9
    assert "average precision" in out.with_suffix(".md").read_text()
    floors = {"real": {"digest": digest_of(held), "floors": {"average precision": 0.9}}}
    for floor, status in ((0.9, 0), (1.01, 1)):
        floors["real"]["floors"] = {"average precision": floor}
        (tmp_path / "floors.json").write_text(json.dumps(floors))
        gate = ["eval", str(records), "--quick", "--model", str(out), "--floors", str(tmp_path / "floors.json")]
        assert CliRunner().invoke(cli, gate, standalone_mode=True).exit_code == status


def test_a_model_never_takes_the_place_of_its_card_or_of_another_file(tmp_path: Path) -> None:
    records = labelled_folder(tmp_path)
    for name in ("x.json", "x.md", "x"):
        done = CliRunner().invoke(cli, ["train", str(records), "--out", str(tmp_path / name)])
        assert done.exit_code == 2 and "ends in .bin" in done.output
    (tmp_path / "x.json").write_text('{"mine": 1}')
    done = CliRunner().invoke(cli, ["train", str(records), "--out", str(tmp_path / "x.bin")])
    assert isinstance(done.exception, ModelCardError) and (tmp_path / "x.json").read_text() == '{"mine": 1}'


def with_labels(n: int, labels: set[str], sources: int = 9) -> list[Example]:
    return [Example(f"text {i}", frozenset(labels), f"{sorted(labels)} {i % sources}") for i in range(n)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "holds 'adverse'"),
        (with_labels(20, set()), "holds 'adverse'"),
        (with_labels(20, {"adverse", "ai"}), "all 20 training texts hold 'adverse'"),
        (with_labels(20, {"adverse", "ai"}) + with_labels(20, {"ai"}), "all 40 training texts hold 'ai'"),
        (with_labels(20, {"adverse", "ai"}) + with_labels(20, {"hostile"}), "0 training texts without any label"),
        (with_labels(20, {"adverse"}, 1) + with_labels(20, set()), "20 training texts that hold 'adverse', of too few"),
        (with_labels(20, {"adverse"}) + with_labels(20, set(), 1), "20 training texts without any label, of too few"),
    ],
)
def test_examples_that_teach_nothing_are_refused(given: list[Example], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_examples(given)
    check_examples(with_labels(20, {"adverse", "ai"}) + with_labels(20, set()))


def test_the_gate_notices_other_ordinary_texts(tmp_path: Path) -> None:
    records, ordinary = labelled_folder(tmp_path), tmp_path / "ordinary"
    train_model(examples(), tmp_path / "m.bin", SMALL)
    ordinary.mkdir()

    def gate(n: int) -> Result:
        lines = [json.dumps({"text": f"soup {k} with leeks", "source": f"kitchen {k}"}) for k in range(n)]
        (ordinary / "kitchen.jsonl").write_text("\n".join(lines))
        held = [(one["source"], one["text"]) for one in map(json.loads, lines[:40]) if is_held_out(one["source"])]
        pin = {"digest": digest_of_background(held), "floors": {"recall at FPR 1e-2, background": 0.0}}
        (tmp_path / "floors.json").write_text(json.dumps({"background": pin}))
        given = ["eval", str(records), "--quick", "--model", str(tmp_path / "m.bin"), "--background", str(ordinary)]
        return CliRunner().invoke(cli, [*given, "--floors", str(tmp_path / "floors.json")])

    assert gate(40).exit_code == 0
    other = gate(80)
    assert other.exit_code == 1 and "background: evaluation documents are" in other.output


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["llm", "llm", "adjudicated"], "none of the 3 labelled texts was labelled by a person (adjudicated 1, llm 2)"),
        (["human", "llm", "llm"], "1 of the 3 labelled texts was labelled by a person (human 1, llm 2)"),
        (["human", "human", "llm"], "2 of the 3 labelled texts were labelled by a person (human 2, llm 1)"),
    ],
)
def test_a_card_says_who_read_the_texts(kinds: list[str], words: str, tmp_path: Path) -> None:
    records = read_records(labelled_folder(tmp_path))[: len(kinds)]
    items = [LabelledText(replace(one, kind=kind), str(one.text)) for one, kind in zip(records, kinds, strict=True)]
    told = limits_of(TrainingData(items, [], 0), on_passages=False)
    assert words in told[0] and not any("No ordinary text" in one for one in told)
    assert "No ordinary text" in limits_of(TrainingData(items, [], 0), on_passages=True)[0]


def test_a_gate_that_measured_nothing_fails(tmp_path: Path) -> None:
    records = labelled_folder(tmp_path)
    train_model(examples(), tmp_path / "m.bin", SMALL)
    floors, gate = tmp_path / "floors.json", ["eval", str(records), "--quick", "--model", str(tmp_path / "m.bin")]
    held = digest_of(load_training_data([str(records)], [], []).held_out(synthetic=False))
    for content, words in (
        ({}, "nothing measured is not passed"),
        ({"written": {"digest": "d", "floors": {}}}, "nothing measured is not passed"),
        ({"real": {"digest": held, "floors": {"recall at FPR 1e-3, background": 0.1}}}, "not measured, floor 0.1"),
    ):
        floors.write_text(json.dumps(content))
        done = CliRunner().invoke(cli, [*gate, "--floors", str(floors)])
        assert done.exit_code == 1 and words in done.output, done.output
    shown = [record for record in read_records(records) if not is_held_out(record.source)]
    write_records(shown, records)
    done = CliRunner().invoke(cli, gate)
    assert isinstance(done.exception, ValueError) and "nothing was measured" in str(done.exception)


def test_a_gate_on_other_documents_fails(tmp_path: Path) -> None:
    records = labelled_folder(tmp_path)
    (tmp_path / "floors.json").write_text(json.dumps({"real": {"digest": "another", "floors": {}}}))
    train_model(examples(), tmp_path / "m.bin", SMALL)
    gate = [
        "eval",
        str(records),
        "--quick",
        "--model",
        str(tmp_path / "m.bin"),
        "--floors",
        str(tmp_path / "floors.json"),
    ]
    done = CliRunner().invoke(cli, gate)
    assert done.exit_code == 1 and "pinned another" in done.output


def test_the_shipped_model_has_its_own_card_and_fits_in_ten_megabytes() -> None:
    scorer = FastTextScorer.open(default_model())
    card = card_of(default_model(), scorer.digest, scorer.labels)
    assert card.target == "adverse" and 0 < card.threshold <= 1.001
    assert {"ai", "adverse", "hostile", "self_preserving", "admirable"} <= set(scorer.labels)
    assert default_model().stat().st_size <= 10_000_000
    assert card_of(default_model(), scorer.digest, scorer.labels, "ai").target == "ai"


def test_a_card_of_another_model_is_refused(tmp_path: Path) -> None:
    train_model(examples(), tmp_path / "m.bin", SMALL)
    (tmp_path / "m.json").write_bytes(default_model().with_suffix(".json").read_bytes())
    scorer = FastTextScorer.open(tmp_path / "m.bin")
    with pytest.raises(ModelCardError, match="another model"):
        card_of(tmp_path / "m.bin", scorer.digest, scorer.labels)
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(ModelCardError, match="not a model card"):
        card_of(tmp_path / "m.bin", scorer.digest, scorer.labels)
    (tmp_path / "m.json").unlink()
    with pytest.raises(ModelCardError, match="no label"):
        card_of(tmp_path / "m.bin", scorer.digest, scorer.labels, "ham")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--epochs", "3", "--lr", "0.1"), "--epochs, --lr: not of the trainer linear"),
        (("--seed", "5"), "give --trainer fasttext"),  # the default, spelled out, is an option given all the same
        (("--trainer", "fasttext", "--penalty", "1"), "--penalty: not of the trainer fasttext"),
        (("--further-words", "10"), "--further-words needs --encoder"),
    ],
)
def test_options_of_the_other_trainer_are_refused(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    records = labelled_folder(tmp_path)
    done = CliRunner().invoke(cli, ["train", str(records), "--out", str(tmp_path / "m.bin"), *arguments])
    assert done.exit_code == 2 and why in done.output
    assert not (tmp_path / "m.bin").exists()


def written_for_training(folder: Path) -> Path:
    """Records of passages that are no real texts: half adverse, half ordinary, the words of some on both sides."""
    records = []
    for i, example in enumerate(examples(240)):
        text, bad = f"{example.text} {i}", bool(example.labels)
        records.append(
            LabelRecord(
                text_digest(text), str(i), "", bad, bad, bad, False, False, "news" if bad else "none", "a model", "llm",
                synthetic=True, text=text,
            )
        )  # fmt: skip
    write_records(records, folder / "passages.jsonl")
    return folder / "passages.jsonl"


def test_the_line_of_the_readme_gives_a_model_that_can_be_used(tmp_path: Path) -> None:
    line = next(line for line in README.splitlines() if line.startswith("tropescan train labels/seed --out"))
    words = shlex.split(line, comments=True)[1:]
    words[words.index("--out") + 1] = str(tmp_path / "my-model.bin")
    done = tropescan(*words)
    assert done.returncode == 0 and "No ordinary text was given" in done.stderr, done.stderr
    card = read_card(tmp_path / "my-model.json")
    assert all(0.2 < threshold < 1 for threshold in (*card.thresholds.values(), *card.span_thresholds.values()))
    assert "--background" in card.limits[0]
    assert card.metrics["average precision, passages written for this project"]["value"] > 0.6
    held = load_training_data([str(ROOT / "labels" / "seed")], [], []).held_out(synthetic=True)
    truth = np.array([one.record.adverse for one in held])
    ordinary = np.array([not one.record.ai for one in held])
    flagged = scores_of(tmp_path / "my-model.bin", [one.text for one in held], "adverse") >= card.threshold
    assert flagged[truth].mean() > 0.1 > 0.05 > flagged[ordinary].mean()


def test_ordinary_texts_set_the_thresholds_where_there_are_some(tmp_path: Path) -> None:
    records, folder = written_for_training(tmp_path), tmp_path / "ordinary"
    folder.mkdir()
    lines = [json.dumps({"text": f"good{i % 30} bad{i % 7} recipe {i}", "source": f"w{i % 40}"}) for i in range(200)]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    thresholds = []
    for name, more in (("a", ()), ("b", ("--background", str(folder)))):
        done = tropescan("train", records, "--out", tmp_path / f"{name}.bin", "--bucket", 2000, *more)
        assert done.returncode == 0 and ("No ordinary text" in done.stderr) == (not more)
        card = read_card(tmp_path / f"{name}.json")
        assert ("--background" in card.limits[0]) == (not more)
        thresholds.append(card.threshold)
    assert thresholds[0] != thresholds[1]


@pytest.mark.parametrize("command", ["train", "eval"])
@pytest.mark.parametrize("option", ["--texts", "--background"])
def test_folders_without_texts_are_refused(tmp_path: Path, command: str, option: str) -> None:
    records, empty = labelled_folder(tmp_path), tmp_path / "empty"
    empty.mkdir()
    out = ["--out", str(tmp_path / "m.bin")] if command == "train" else ["--quick"]
    for given, status, words in ((tmp_path / "no", 2, "does not exist"), (records, 2, "is a file"),
                                 (empty, 2, "no *.jsonl or *.jsonl.gz file")):  # fmt: skip
        done = tropescan(command, records, *out, option, given)
        assert done.returncode == status and words in done.stderr, done.stderr
    for content, why in ((b'{"text": "caf\xe9"}\n', "utf-8"), (b'{"txt": "a"}\n', "text"), (b"[1]\n", "text")):
        (empty / "a.jsonl").write_bytes(b'{"text": "fine"}\n' + content)
        done = tropescan(command, records, *out, option, empty)
        assert done.returncode == 2 and "a.jsonl, line 2: " in done.stderr and why in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [(b'{"id": "caf\xe9"}', "utf-8"), (b'{"id": "a", "text": "x"}', "the record lacks source, ai"), (b"3", "object")],
)
def test_broken_records_are_named_by_file_and_line(tmp_path: Path, content: bytes, why: str) -> None:
    records = labelled_folder(tmp_path)
    lines = records.read_bytes().splitlines()
    records.write_bytes(b"\n".join([lines[0], content, *lines[1:]]))
    done = tropescan("train", records, "--out", tmp_path / "m.bin")
    assert done.returncode == 2 and "records.jsonl, line 2: " in done.stderr and why in done.stderr, done.stderr


@pytest.mark.parametrize("content", ["{", "[]", '{"real": 3}', '{"real": {"digest": "d", "floors": {"a": "high"}}}'])
def test_floors_of_another_form_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "floors.json").write_text(content)
    done = tropescan("eval", labelled_folder(tmp_path), "--quick", "--floors", tmp_path / "floors.json")
    assert done.returncode == 2 and "floors.json: " in done.stderr and "average precision" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--penalty", "nan"), ("--penalty", "inf"), *(("--trainer", "fasttext", "--lr", x) for x in ("nan", "-1", "0"))],
)
def test_numbers_that_are_none_are_refused_at_once(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = tropescan("train", labelled_folder(tmp_path), "--out", tmp_path / "m.bin", *arguments)
    assert done.returncode == 2 and f"Invalid value for '{arguments[-2]}'" in done.stderr, done.stderr
