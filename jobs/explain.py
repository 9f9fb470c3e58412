"""``tropescan explain``: prints a text with each word's contribution shaded, the scores and the strongest window."""

from __future__ import annotations

import errno
import re
import sys
from pathlib import Path

import click
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from classifiers.card import card_of, default_model
from classifiers.explanation import TokenShare, absences, token_shares
from classifiers.score import FastTextScorer
from jobs.model_option import MODEL
from jobs.tagged import TaggedDocument, tagged_document
from pipeline.schema import label_columns, window_column

STRONGEST = 12


def shaded(text: str, shares: list[TokenShare]) -> Text:
    """The text with words that raise the score on red and words that lower it on blue, by strength."""
    raw = text.encode("utf-8", "replace")
    highest = max((abs(token.share) for token in shares), default=0.0) or 1.0
    out, at = Text(), 0
    for token in shares:
        out.append(_printable(raw[at : token.start]))
        level = int(160 * abs(token.share) / highest)
        colour = f"rgb({level},0,0)" if token.share > 0 else f"rgb(0,0,{level})"
        out.append(_printable(raw[token.start : token.end]), style=f"white on {colour}" if level > 8 else "")
        at = token.end
    out.append(_printable(raw[at:]))
    return out


def _printable(raw: bytes) -> str:
    """Text from a crawl may hold terminal control codes; they are shown, not sent."""
    text = raw.decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def scores_table(scorer: FastTextScorer, scored: pa.RecordBatch) -> Table:
    """Document score and strongest window of each label."""
    table = Table("label", "document", "strongest window", box=None)
    for label, column in zip(scorer.labels, label_columns(scorer.labels), strict=True):
        values = (scored.column(name)[0].as_py() for name in (column, window_column(column)))
        table.add_row(label, *("no score" if value is None else f"{value:.4f}" for value in values))
    return table


def strongest_words(text: str, shares: list[TokenShare]) -> Table:
    """The words that move the score most, either way: each once, with the sum of what it adds wherever it stands."""
    raw, added = text.encode("utf-8", "replace"), dict[bytes, list[float]]()
    for token in shares:
        added.setdefault(raw[token.start : token.end], []).append(token.share)
    table = Table("adds to the logit", "times", "word", box=None)
    for word, each in sorted(added.items(), key=lambda one: -abs(sum(one[1])))[:STRONGEST]:
        table.add_row(f"{sum(each):+.3f}", str(len(each)), Text(_printable(word)))
    return table


def read_text(given: str) -> str:
    """The file of that name, standard input for ``-``, or else the argument itself.

    Raises `ValueError` for an empty one and for a Parquet file, `FileNotFoundError` for what can only be a path and is
    none, `IsADirectoryError` for a folder.
    """
    if not given.strip():
        raise ValueError("the text is empty; give one, or a file's name, or - for standard input")
    if given == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        content = Path(given).read_text("utf-8", "replace")
    except IsADirectoryError:
        raise IsADirectoryError(f"{given}: a folder; name a file in it, or add --text to explain these words") from None
    except (FileNotFoundError, NotADirectoryError):
        if _is_path(given):
            raise FileNotFoundError(f"{given}: no such file; add --text to explain these words themselves") from None
    except (OSError, ValueError) as error:  # too long for a file name, or with a zero byte
        if getattr(error, "errno", errno.ENAMETOOLONG) != errno.ENAMETOOLONG:
            raise
    else:
        if content.startswith("PAR1"):
            raise ValueError(f"{given}: a Parquet file; if it is one of tags, add --row to explain a document")
        return content
    return given


def _is_path(given: str) -> bool:
    """Whether it is written like a path: from a folder on, or one word with a slash or a suffix."""
    rooted = given.startswith(("/", "./", "../", "~/")) and "\n" not in given
    return rooted or bool(re.fullmatch(r"\S*/\S*|\S*\.[A-Za-z][A-Za-z0-9]{0,7}", given))


@click.command()
@click.argument("text", metavar="TEXT|FILE|-")
@click.option("--text", "is_text", is_flag=True, help="The argument is the text, whatever it looks like.")
@click.option("--model", type=MODEL, help="A model file, or tropescan:latest. [default: the shipped one]")
@click.option("--label", help="Label to explain. [default: the card's target]")
@click.option(
    "--row", type=click.IntRange(0), help="Explain this row of a shard; the argument is the shard's tags file."
)
@click.option("--window", type=click.IntRange(1),
              help="Words in a window; a multiple of --stride. [default: 128, or as scanned]")  # fmt: skip
@click.option("--stride", type=click.IntRange(1),
              help="Words from one window to the next. [default: 64, or as scanned]")  # fmt: skip
def command(
    text: str, is_text: bool, model: Path | None, label: str | None, row: int | None, window: int | None,
    stride: int | None,
) -> None:  # fmt: skip
    """Show why a text gets its score: each word shaded by its exact share of the logit.

    A word's share holds its own weight and that of the word n-grams that end in it. Red raises the score, blue
    lowers it. The strongest window is underlined.

    The argument is a file's name, - for standard input, or the text itself. With --row it is a file below a scan's
    tags/, and the text is read from the shard again: reports give this command for each example.
    """
    if row is not None and is_text:
        raise click.UsageError("--row is of a tags file; take --text away")
    path, scanned = model or default_model(), None if row is None else tagged_document(text, row)
    given = scanned.text if scanned else text if is_text else read_text(text)
    content = given.encode("utf-8", "replace").decode()
    window, stride = _windows(scanned, window, stride)
    scorer = FastTextScorer.open(path, window=window, stride=stride)
    if scanned:
        _check_model(scanned, scorer.digest)
    card = card_of(path, scorer.digest, scorer.labels, label)
    spans = FastTextScorer(
        scorer.path,
        scorer.digest,
        scorer.labels,
        window,
        stride,
        (card.target,),
        (_window_score(scorer, content, card.target),),
    )
    scored = spans(_batch(content))
    shares = token_shares(scorer, content, card.target)
    shown = shaded(content, shares)
    for span in scored.column("spans")[0].as_py():
        shown.stylize("underline", span["start"], span["end"])
    console = Console()
    if scanned:
        console.print(Text(_printable(f"{scanned.id}: {scanned.shard}, row {row}\n".encode())), soft_wrap=True)
    console.print(shown, "", scores_table(scorer, scored), "", strongest_words(content, shares), sep="\n")
    for one in absences(scorer, content):
        console.print(f"no word of {one.lexicon} in it: {one.added:+g} to the logit of {one.label}")
    console.print(f"explained: {card.target}, flagged from {card.threshold:.4f}; model {card.name}")


def _windows(scanned: TaggedDocument | None, window: int | None, stride: int | None) -> tuple[int, int]:
    """Words in a window and from one to the next: as given, else as scanned, else the usual ones."""
    model = scanned.model if scanned else {}
    return window or int(model.get("window", 128)), stride or int(model.get("stride", 64))


def _check_model(scanned: TaggedDocument, digest: str) -> None:
    if scanned.model["digest"] != digest:
        name = scanned.model.get("name", "of no name")
        raise ValueError(
            f"{scanned.shard}: its tags were made by another model ({name}, SHA-256 {scanned.model['digest'][:12]}…); "
            "name its file with --model"
        )


def _batch(text: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": pa.array([text], pa.large_string())})


def _window_score(scorer: FastTextScorer, text: str, label: str) -> float:
    """The strongest window's score: as a threshold it leaves just that window."""
    column = window_column(label_columns(scorer.labels)[scorer.labels.index(label)])
    value = scorer(_batch(text)).column(column)[0].as_py()
    return 1.1 if value is None else float(value) - 1e-7
