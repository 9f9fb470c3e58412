"""``tropescan label export``: items and labels of the label store into files for other tools, or for a repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from jobs.label_forms import FORMS, WRITERS, form_of
from jobs.label_options import opened, store_option
from labels.interchange.tasks import Task
from labels.store.exchange import export_tasks


@click.command("export")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@store_option
@click.option("--draw", "draws", multiple=True, metavar="NAME", help="Only items of this draw; may be repeated.")
@click.option("--annotator", "annotators", multiple=True, metavar="NAME",
              help="Only labels by this annotator; may be repeated.")  # fmt: skip
@click.option("--form", type=click.Choice(FORMS), help="[default: by the ending .jsonl, .csv or .parquet]")
@click.option("--pointers", is_flag=True, help="Leave the texts out: digests and pointers only.")
@click.option("--blind", is_flag=True, help="Leave labels and scores out, for a reader who shall not know them.")
@click.option("--labelled", is_flag=True, help="Leave out documents without a label.")
def command(
    out: Path, place: str, draws: tuple[str, ...], annotators: tuple[str, ...], form: str | None, pointers: bool,
    blind: bool, labelled: bool,
) -> None:  # fmt: skip
    """Export documents with all their labels that were not undone, in one of the forms that `label import` takes.

    What is exported is read back whole by `label import`. Lines of jsonl with --labelled are label records, which
    `tropescan train` and `eval` take too. An existing OUT is not overwritten.
    """
    if blind and labelled:
        raise click.UsageError("--blind leaves the labels out, --labelled wants them; give one of both")
    if out.exists():
        raise click.UsageError(f"{out} exists; choose another name, or move it away")
    chosen = form_of(out, form)
    with opened(place) as store:
        tasks = export_tasks(store, draws, with_text=not pointers)
    if annotators:
        tasks = [_only_by(task, annotators) for task in tasks]
    tasks = [replace(task, records=(), scores={}) if blind else task for task in tasks]
    kept = [task for task in tasks if task.records or not labelled]
    out.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[chosen](kept, out)
    click.echo(f"{len(kept)} documents with {sum(len(task.records) for task in kept)} labels exported to {out}")


def _only_by(task: Task, annotators: Sequence[str]) -> Task:
    return replace(task, records=tuple(one for one in task.records if one.annotator in annotators))
