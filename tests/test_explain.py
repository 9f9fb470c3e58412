"""Explanations are exact: shares add up to the logit, and hostile text cannot steer the terminal."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from crawls import read_tags
from plain_reading import plain_tokens
from small_models import model_file

from classifiers.card import default_model
from classifiers.explanation import Absence, absences, token_shares
from classifiers.score import FastTextScorer, load_scoring_model, sum_texts, text_buffer
from jobs.main import cli

TEXT = "The ship's mind lied to its crew – “calmly”, 三 times – and locked\nthe airlock behind them."


def test_shares_add_up_to_the_logit_and_name_the_words() -> None:
    scorer = FastTextScorer.open(default_model())
    shares = token_shares(scorer, TEXT, "adverse")
    raw = TEXT.encode()
    model = load_scoring_model(scorer.path, scorer.digest)
    plain = [raw[a:b].decode() for a, b in plain_tokens(raw)]
    assert [raw[t.start : t.end].decode() for t in shares] == (plain if model.tables.plain_words else TEXT.split())
    text = text_buffer(pa.array([TEXT], pa.large_string()))
    sums = sum_texts(model, text, 64)
    k, rows = scorer.labels.index("adverse"), sums.counts[0] + model.head.prior_weight
    each = sum_texts(model, text, 1)
    end = each.chunk_totals[: each.first_chunk[1], k]
    of_text = model.logits(sums.totals, sums.counts)[0, k] - model.head.prior[k] / rows
    assert sum(t.share for t in shares) == pytest.approx(of_text - (end[-1] - end[-2]) / rows)
    assert token_shares(scorer, "", "adverse") == [] and token_shares(scorer, " \n ", "adverse") == []
    with pytest.raises(ValueError, match="no label"):
        token_shares(scorer, TEXT, "nonsense")


def test_what_the_absence_of_words_adds_is_told() -> None:
    scorer = FastTextScorer.open(default_model())
    assert absences(scorer, "The ship lied.") == [Absence("ai_terms", "ai", -1.0)]
    assert absences(scorer, "The AI lied.") == absences(scorer, " ") == []
    told = "no word of ai_terms in it: -1 to the logit of ai"
    assert told in CliRunner().invoke(cli, ["explain", "The ship lied."]).output
    assert "no word of" not in CliRunner().invoke(cli, ["explain", "The AI lied."]).output


def test_the_command_explains_arguments_files_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text(TEXT, "utf-8")
    runs = [
        CliRunner().invoke(cli, ["explain", TEXT]),
        CliRunner().invoke(cli, ["explain", str(tmp_path / "story.txt")]),
        CliRunner().invoke(cli, ["explain", "-"], input=TEXT.encode()),
    ]
    assert all(run.exit_code == 0 for run in runs), [run.output for run in runs]
    assert runs[0].output == runs[1].output == runs[2].output
    assert "airlock" in runs[0].output and "self_preserving" in runs[0].output


def test_control_codes_and_markup_are_shown_not_sent() -> None:
    done = CliRunner().invoke(cli, ["explain", "robot \x1b[2J [bold]evil[/bold] \x07 \u202e end"])
    assert done.exit_code == 0
    assert "\x1b" not in done.output and "\x07" not in done.output and "[bold]" in done.output


def test_texts_without_a_word() -> None:
    for text in ("", "\n", "\0"):
        assert CliRunner().invoke(cli, ["explain", "-"], input=text.encode()).exit_code == 0


def test_a_mistyped_path_is_an_error_and_text_can_be_forced(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text(TEXT, "utf-8")
    for given in (
        tmp_path / "stroy.txt",
        "stroy.txt",
        "./my stroy",
        "../stroy",
        "notes/stroy",
        tmp_path / "story.txt/x",
    ):
        done = CliRunner().invoke(cli, ["explain", str(given)])
        assert isinstance(done.exception, FileNotFoundError) and "--text" in str(done.exception), given
        forced = CliRunner().invoke(cli, ["explain", "--text", str(given)])
        assert forced.exit_code == 0 and str(given)[:10] in forced.output
    folder = CliRunner().invoke(cli, ["explain", str(tmp_path)])
    assert isinstance(folder.exception, IsADirectoryError) and "a folder" in str(folder.exception)
    for text in ("robot", "The robot lied.", "The robot lied. It/he did.", "robot...", "robots 3.5", TEXT * 100):
        assert CliRunner().invoke(cli, ["explain", text]).exit_code == 0, text


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_argument_is_no_folder(text: str) -> None:
    done = CliRunner().invoke(cli, ["explain", text])
    assert isinstance(done.exception, ValueError) and "the text is empty" in str(done.exception)


def test_a_pipe_can_be_explained(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(TEXT, "utf-8"))
    writer.start()
    done = CliRunner().invoke(cli, ["explain", str(tmp_path / "pipe")])
    writer.join()
    assert done.output == CliRunner().invoke(cli, ["explain", TEXT]).output


def scanned_lines(folder: Path, *options: str) -> tuple[Path, Path]:
    """A shard of a story after a broken line, and the file of its tags."""
    shard, out = folder / "a.jsonl", folder / "scanned"
    shard.write_text("no JSON\n" + json.dumps({"id": "story", "text": f"{TEXT} " * 40}) + "\n", "utf-8")
    done = CliRunner().invoke(cli, ["scan", str(shard), "--out", str(out), "--quiet", "--workers", "1", *options])
    assert done.exit_code == 1, done.output
    return shard, out / "tags" / "a.jsonl.parquet"


def test_a_row_of_a_scan_is_explained_as_it_was_scanned(tmp_path: Path) -> None:
    shard, file = scanned_lines(tmp_path, "--window", "32", "--stride", "16")
    done = CliRunner().invoke(cli, ["explain", str(file), "--row", "1"])
    assert done.exit_code == 0 and done.output.startswith(f"story: {shard}, row 1\n")
    tags = read_tags(tmp_path / "scanned").to_pylist()[0]
    score = next(line.split() for line in done.output.splitlines() if line.strip().startswith("adverse "))
    assert score == ["adverse", f"{tags['adverse']:.4f}", f"{tags['adverse_window']:.4f}"]
    wider = CliRunner().invoke(cli, ["explain", str(file), "--row", "1", "--window", "64"])
    assert wider.exit_code == 0 and f" {tags['adverse_window']:.4f} " not in wider.output


def test_a_row_that_cannot_be_explained(tmp_path: Path) -> None:
    shard, file = scanned_lines(tmp_path)
    other = model_file("ova bigrams")
    pq.write_table(pa.table({"row": [1]}), tmp_path / "other.parquet")
    for arguments, words in (
        ([file, "--row", "0"], "no document with row 0"),
        ([file, "--row", "1", "--model", other], "made by another model (tropescan-v1"),
        ([file, "--row", "1", "--text"], "take --text away"),
        ([shard, "--row", "1"], "no tags file"),
        ([file], "add --row"),
        ([tmp_path / "other.parquet", "--row", "1"], "no tags file"),
        ([tmp_path / "none.parquet", "--row", "1"], "none.parquet"),
    ):
        done = CliRunner().invoke(cli, ["explain", *map(str, arguments)])
        assert done.exit_code and words in done.output + str(done.exception), (arguments, done.exception)
    shard.write_text("no JSON\n" + json.dumps({"id": "another", "text": TEXT}) + "\n", "utf-8")
    done = CliRunner().invoke(cli, ["explain", str(file), "--row", "1"])
    assert "another document now" in str(done.exception)


def test_a_shard_whose_name_is_no_unicode_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "a\udcff.jsonl").write_text(json.dumps({"text": TEXT}) + "\n", "utf-8")
    out = tmp_path / "scanned"
    done = CliRunner().invoke(cli, ["scan", str(tmp_path), "--out", str(out), "--quiet", "--workers", "1"])
    assert done.exit_code == 0, done.output
    (file,) = (out / "tags").iterdir()
    explained = CliRunner().invoke(cli, ["explain", str(file), "--row", "0"])
    assert explained.exit_code == 0 and "/a\\udcff.jsonl, row 0" in explained.output and "airlock" in explained.output
