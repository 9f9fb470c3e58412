"""``tropescan export``: a scan's tags for other toolkits. Composes the folder of tags and the writer."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from jobs.engine import say_failure
from jobs.local import available_cores, run_tasks
from pipeline import storage
from pipeline.apply.plan import open_scan
from pipeline.dolma import check_shard, write_attributes
from pipeline.report.folder import TagsFolder
from pipeline.tasks import ShardTask


def _export(folder: TagsFolder, out: str, prefix: str, task: ShardTask, progress: Any) -> int:
    tags = storage.join(folder.url, "tags", f"{task.name}.parquet")
    check_shard(task.name, folder.report_of(tags))
    return write_attributes(tags, storage.join(out, task.name), folder.labels, prefix)


@click.command()
@click.argument("tags", metavar="TAGS")
@click.option("--out", required=True, metavar="DIR", help="Folder for the files, such as corpus/attributes/tropescan.")
@click.option("--prefix", default="tropescan", show_default=True, help="What the attributes' names begin with.")
@click.option("--workers", type=click.IntRange(1), help="Shards at once. [default: one a core]")
def command(tags: str, out: str, prefix: str, workers: int | None) -> None:
    """Write a scan's tags as attribute files of the Dolma toolkit, for its mixer.

    \b
    tropescan scan corpus/documents --out scanned
    tropescan export scanned --out corpus/attributes/tropescan

    Each shard of JSON lines gets a file of its name with a line for each document: the score of every label for the
    whole document (tropescan__adverse), of its strongest window (tropescan__adverse_window), and spans of evidence
    (tropescan__adverse_spans), as [start, end, score] in code points.

    A shard that is no JSON lines, or of which records were rejected, is said and left out: the mixer wants a line for
    a line. Exit status: 0 all written; 1 some left out; 2 nothing could run.
    """
    folder = open_scan(tags)
    storage.remove_unfinished(out)
    tasks = [folder.task_of(file) for file in folder.files]
    documents = failed = 0
    for event in run_tasks(partial(_export, folder, out, prefix), tasks, workers or available_cores()):
        if event.error is not None:
            failed += 1
            say_failure(event.task, event.error, failed)
        elif event.finished:
            documents += event.result
    click.echo(f"{len(tasks) - failed} of {len(tasks)} shards, {documents:,} documents: attributes in {out}")
    if failed:
        sys.exit(1)
