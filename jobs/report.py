"""``tropescan report``: composes figures and page; holds no query and no markup of its own."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from jobs.options import PROBABILITY
from jobs.spark_options import SessionOptions, session_options
from pipeline import storage
from pipeline.report.audited import load_estimate
from pipeline.report.collect import ReportOptions, collect


def write_text(text: str, target: str) -> None:
    """Into a file (path or fsspec URL), whole or not at all, or to standard output for "-"."""
    if target == "-":
        sys.stdout.buffer.write(text.encode())
        return
    with storage.whole_file(target) as file:
        file.write(text.encode())


def _collect(
    folder: str, options: ReportOptions, audit: dict[str, Any] | None, engine: str, table: str | None,
    spark: SessionOptions,
) -> dict[str, Any]:  # fmt: skip
    if engine == "spark":
        try:
            from jobs.spark_report import collect_by_spark
        except ModuleNotFoundError as error:
            raise ValueError(f"--engine spark: {error}; pip install 'tropescan[spark]'") from error
        return collect_by_spark(folder, options, audit, table, spark)
    if table or spark != SessionOptions():
        raise click.UsageError("--table, --master and the other options of Spark need --engine spark")
    return collect(folder, options, audit=audit)


def _print_summary(report: dict[str, Any], out: str | None) -> None:
    documents = report["headline"]["documents"]
    share = f"{documents['share']:.3%} of " if documents["total"] else ""
    click.echo(
        f"flagged {report['label']} >= {report['threshold']:.4g}: {documents['flagged']:,} ({share}"
        f"{documents['total']:,} documents; a flag rate, not a prevalence)",
        err=True,
    )
    if report["audit"]:
        estimate = report["audit"]["prevalence"][report["audit"]["label"]]["documents"]["words"]
        click.echo(f"audited {report['audit']['label']}: {estimate}", err=True)
    for note in report["notes"]:
        click.echo(f"note: {note}", err=True)
    if out and out != "-":
        click.echo(f"page in {out}", err=True)


class _Report(click.Command):
    """``report compare A B`` is a command of its own; a folder of that name is ``./compare``."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] != ["compare"]:
            return super().make_context(info_name, args, parent, **extra)
        from jobs.report_compare import command as compare

        return compare.make_context(f"{info_name} compare", args[1:], parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command(cls=_Report)
@click.argument("folder", metavar="DIR")
@click.option(
    "--out", metavar="FILE", help="The page, HTML; - for standard output. [default: report.html, or none with --json]"
)
@click.option("--json", "json_out", metavar="[FILE]", is_flag=False, flag_value="-",
              help="The same figures as JSON; without FILE to standard output.")  # fmt: skip
@click.option("--audit", "audit_file", metavar="FILE", help="Figures of an audit of these tags, which 'tropescan audit "
              "estimate --out FILE' wrote: the page then says how common the label is.")  # fmt: skip
@click.option("--label", metavar="NAME", help="The label that flags. [default: the scan's]")
@click.option("--threshold", type=PROBABILITY, help="Score from which a document is flagged. [default: the scan's]")
@click.option(
    "--hosts", type=click.IntRange(1), default=15, show_default=True, help="Rows of tables by host, language, source."
)
@click.option("--labels", type=click.IntRange(1), default=6, show_default=True, help="Labels whose scores are plotted.")
@click.option("--examples", type=click.IntRange(0), default=20, show_default=True, help="Examples of each kind.")
@click.option("--excerpt-shards", type=click.IntRange(1), default=10, show_default=True,
              help="Shards to read again at most for the text of examples of each kind.")  # fmt: skip
@click.option("--no-excerpts", is_flag=True, help="Read no shard again: examples without their text.")
@click.option("--engine", type=click.Choice(("duckdb", "spark")), default="duckdb", show_default=True,
              help="What counts; the figures are the same. Spark is for more tags than one machine reads.")  # fmt: skip
@click.option("--table", metavar="NAME",
              help="spark: ask the table that jobs.spark_store.save_tags made of these tags.")  # fmt: skip
@session_options
def command(
    folder: str, out: str | None, json_out: str | None, audit_file: str | None, label: str | None,
    threshold: float | None, hosts: int, labels: int, examples: int, excerpt_shards: int, no_excerpts: bool,
    engine: str, table: str | None, spark: SessionOptions,
) -> None:  # fmt: skip
    """Make a page with figures from the tags that 'tropescan scan --out DIR' wrote.

    What share is flagged, by documents, words and bytes, at each threshold, by host, date, language and source, and by
    topic where the scan was given a model of topics, with what a filter would cost each; score distributions; examples
    with their text; the accounting of records; the model. One file that loads nothing from the network.

    A flag rate is not a prevalence. With --audit the page begins with one: how common the label is by documents, words
    and bytes, by date, domain, topic, label and mode, with intervals; the filter's precision and recall at each
    threshold and what it would cost; audited documents; the method. 'tropescan report compare A B' sets two reports
    side by side.

    Examples are read from the shards again, so these must be where the scan found them; if not, the page says so.
    """
    if storage.is_local(folder) and storage.local_path(folder).is_file():
        raise click.UsageError(f"{folder}: a file; name the folder that 'tropescan scan --out' wrote")
    page = out or (None if json_out else "report.html")
    if page == json_out:
        raise click.UsageError(f"--out and --json both want {page}; name another file for one (- is standard output)")
    options = ReportOptions(label, threshold, hosts, labels, examples, 0 if no_excerpts else excerpt_shards)
    audit = load_estimate(audit_file) if audit_file else None
    report = _collect(folder, options, audit, engine, table, spark)
    if json_out:
        write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", json_out)
    if page:
        from pipeline.report.page import (
            render,
        )  # here: plots take half a second to load, which --json need not wait for

        write_text(render(report), page)
    _print_summary(report, page)
