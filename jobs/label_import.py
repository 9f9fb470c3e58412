"""``tropescan label import``: items and labels from files of other tools, or of our own, into the label store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from jobs.label_forms import FORMS, read_tasks
from jobs.label_options import keep_option, opened, store_option
from jobs.options import FOLDER
from labels.interchange.tasks import Task, merged
from labels.records import texts_by_digest
from labels.store.exchange import import_tasks


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, path_type=Path))
@store_option
@click.option("--name", required=True, help="Name of the draw that the items make; its queue has it too.")
@click.option(
    "--form",
    type=click.Choice(FORMS),
    help="[default: by the ending .jsonl, .csv or .parquet, or by what a folder holds]",
)
@click.option(
    "--texts", multiple=True, type=FOLDER, metavar="DIR", help="Folder with texts of records that only point."
)
@keep_option
@click.option("--annotators", default=1, show_default=True, type=click.IntRange(1), help="Wanted for each item.")
def command(
    files: tuple[Path, ...], place: str, name: str, form: str | None, texts: tuple[str, ...], keep: str,
    annotators: int,
) -> None:  # fmt: skip
    """Import documents and their labels; documents without labels wait in the draw's queue.

    \b
    jsonl         label records, a line each, or a folder of such files (as labels/seed and labels/real are)
    csv, parquet  the same as tables; nested columns are JSON
    datasets      a folder of Parquet (or Arrow) files, as Hugging Face's datasets has
    label-studio  its JSON export; annotations are of people, predictions of models
    argilla       a list of records with the questions labels, mode, note and spans
    prodigy       its JSON Lines, answers to a choice task

    Records that only point get their texts from --texts (*.jsonl[.gz]); without it they stay pointers, of which nobody
    can tell what they nearly repeat. A record that the store has already is not doubled. All files are imported, or
    none. Imported items train; an import is no draw to make an estimate of, for no one wrote down how they were chosen.
    But a label is of its text: an imported one counts where an audit or another designed draw has drawn a document with
    the same text.
    """
    read = (task for file in files for task in read_tasks(file, form))
    tasks = with_texts(merged(read), texts)
    with opened(place) as store:
        new, known = import_tasks(
            store, tasks, name, method="import", wanted=annotators, keep_text=keep == "text"
        )  # fmt: skip
    click.echo(f"{len(tasks)} documents with {new} new labels imported into {name!r}; {known} labels were there before")
    if pointers := sum(one.text is None for one in tasks):
        click.echo(f"{pointers} of the documents only point to their texts; --texts DIR brings them along", err=True)


def with_texts(tasks: list[Task], folders: Sequence[str]) -> list[Task]:
    """The tasks, those without a text with the one that a folder has for their digest."""
    found = {digest: text for folder in folders for digest, text in texts_by_digest(folder).items()}
    return [one if one.text is not None else replace(one, text=found.get(one.sha256)) for one in tasks]
