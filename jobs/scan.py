"""``tropescan scan``: composes model, plan and engine; holds no arithmetic of its own."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from classifiers.card import card_of, default_model
from classifiers.language import LanguageModel
from classifiers.rescoring import ABOVE, RescoringScorer
from classifiers.score import FastTextScorer, longest_text
from classifiers.topic import TopicModel
from jobs.engine import Engine
from jobs.lock import locked
from jobs.main import installed_version
from jobs.model_option import MODEL
from jobs.options import PROBABILITY
from jobs.running import choose_engine, end, resumable, run_shards, say_left_out
from jobs.spark_options import SparkOptions, spark_options
from jobs.trove_options import TroveOptions, trove_options
from pipeline import storage
from pipeline.accounting import ShardReport
from pipeline.scan import plan_inputs, write_scan_report
from pipeline.schema import schema_of
from pipeline.tag import ScanJob
from pipeline.tasks import EXTRACTORS, ReadOptions, ShardTask


def run_scan(
    job: ScanJob, tasks: list[ShardTask], engine: Engine, command: str, *, quiet: bool = False,
    left_out: Sequence[str] = (),
) -> ShardReport:  # fmt: skip
    """Tag all shards that are not done; returns the sum over all shards. ``left_out`` are files that were no input.

    Raises `pipeline.scan.StaleOutputError` if the folder holds tags of other settings.
    """
    return write_scan_report(job, tasks, run_shards(job, tasks, engine, quiet=quiet), command, left_out)


def make_job(
    out: str, model: str | Path | None, *, window: int, stride: int, label: str | None, threshold: float | None,
    span_threshold: float | None, strict: bool, options: ReadOptions, language_model: str | Path | None = None,
    rescorer: str | Path | None = None, rescore_above: float = ABOVE, topics: str | Path | None = None,
) -> ScanJob:  # fmt: skip
    """The job of a scan with a model file (the shipped one if None) and its card; ``language_model`` is a fastText file
    for documents whose shard names no language, ``rescorer`` the file of a second stage, ``topics`` a fastText file
    whose labels are topics. Documents too long for such short windows (`longest_text`) are rejected by the reader."""
    path = Path(model) if model else default_model()
    probe = FastTextScorer.open(path)
    card = card_of(path, probe.digest, probe.labels)
    flagging = card_of(path, probe.digest, probe.labels, label)  # an opinion: the tags describe the card as it is
    spans = card.span_thresholds
    if span_threshold is not None:
        spans = dict.fromkeys(spans, span_threshold)
    first = FastTextScorer(
        str(path.resolve()), probe.digest, probe.labels, window, stride, tuple(spans), tuple(spans.values()),
        probe.lexicons,
    )  # fmt: skip
    described = {**card.describe(), "window": window, "stride": stride, "span_thresholds": spans}
    if probe.lexicons:
        described["lexicons"] = list(probe.lexicons)
    scorer: FastTextScorer | RescoringScorer = first
    if rescorer is not None:
        scorer = RescoringScorer.open(first, Path(rescorer).resolve(), rescore_above)
        described["rescorer"] = scorer.describe()
    identify = None if language_model is None else LanguageModel.open(language_model)
    if identify is not None:
        described["language_model"] = identify.describe()
    finder = None if topics is None else TopicModel.open(topics)
    if finder is not None:
        described["topic_model"] = finder.describe()
        schema_of(described)  # a label can have the name of a column of topics
    options = replace(options, max_document_bytes=min(options.max_document_bytes, longest_text(window)))
    limit = flagging.threshold if threshold is None else threshold
    return ScanJob(
        out, scorer, described, installed_version(), flagging.target, limit, options, strict, identify, finder
    )


def _print_plan(tasks: list[ShardTask]) -> None:
    for task in tasks:
        click.echo(json.dumps(asdict(task)))


def _print_summary(job: ScanJob, total: ShardReport) -> None:
    theirs = total.tagged - total.other_language
    share = total.flagged / theirs if theirs else 0.0
    of = f"documents not in another language than {job.language}" if total.other_language else "documents"
    click.echo(
        f"{total.shards} shards, {total.read:,} documents read = {total.tagged:,} tagged + "
        f"{sum(total.rejected.values()):,} rejected\n"
        f"flagged {job.label} >= {job.threshold:.4g}: {total.flagged:,} ({share:.3%} of {theirs:,} {of}; "
        "a flag rate, not a prevalence)"
    )
    if total.other_language:
        click.echo(f"  in another language than {job.language}, so not counted as flagged: {total.other_language:,}")
    if job.rescored:
        click.echo(f"  read again by the second stage: {total.rescored:,}")
    for reason, count in total.rejected.items():
        click.echo(f"  rejected {reason}: {count:,}")
    if total.doubtful:
        click.echo(f"  tagged out of streams that proved broken further on, so perhaps garbled: {total.doubtful:,}")
    if total.incomplete_shards or total.failed_shards:
        click.echo(f"  shards cut short: {total.incomplete_shards}, failed: {total.failed_shards}")
    click.echo(f"tags in {storage.join(job.out, 'tags')}, figures in {storage.join(job.out, 'scan.json')}")


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--out", required=True, metavar="DIR", help="Folder (or fsspec URL) for tags, reports and scan.json.")
@click.option("--model", type=MODEL, metavar="PATH",
              help="A fastText classifier, .bin or .ftz, or tropescan:latest. [default: the shipped one]")  # fmt: skip
@click.option(
    "--language-model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="A fastText model of languages (lid.176.ftz), for documents whose shard names no language.",
)
@click.option("--engine", type=click.Choice(("local", "datatrove", "spark")), default="local", show_default=True,
              help="What schedules the shards; the output is the same.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1),
              help="Shards, or engine's tasks, at once. [default: one a core; Slurm and Ray: no limit]")  # fmt: skip
@click.option("--label", help="The label whose score is counted as flagged. [default: the model card's]")
@click.option("--threshold", type=PROBABILITY, help="Score from which it counts. [default: the card's]")
@click.option(
    "--window",
    default=128,
    type=click.IntRange(1),
    show_default=True,
    help="Words in a window; a multiple of --stride.",
)
@click.option(
    "--stride", default=64, type=click.IntRange(1), show_default=True, help="Words from one window to the next."
)
@click.option("--span-threshold", type=PROBABILITY, help="Window score kept as evidence. [default: card's]")
@click.option("--rescore", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PATH",
              help="A second stage, made by 'rescorer train': what passes a low threshold is read again and gets "
              "further columns, such as adverse_rescored.")  # fmt: skip
@click.option("--rescore-above", type=PROBABILITY, metavar="SCORE",
              help=f"Score of the first stage from which it is. [default: {ABOVE}]")  # fmt: skip
@click.option("--topics", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PATH",
              help="A fastText model of topics, yours: tags get a column 'topic', and reports, audits, collateral and "
              "policies can go by it.")  # fmt: skip
@click.option("--text-column", metavar="NAME", help="Column of the text, with dots for nested ones. [default: guessed]")
@click.option("--id-column", metavar="NAME", help="Column of the id. [default: guessed, or made from URL and text]")
@click.option("--url-column", metavar="NAME", help="Column of the URL. [default: guessed]")
@click.option("--date-column", metavar="NAME", help="Column of the date. [default: guessed]")
@click.option("--source-column", metavar="NAME", help="Column of the source. [default: guessed]")
@click.option("--lang-column", metavar="NAME", help="Column of the language. [default: guessed]")
@click.option("--extractor", type=click.Choice(EXTRACTORS), default=EXTRACTORS[0], show_default=True,
              help="How HTML in WARC files becomes text.")  # fmt: skip
@click.option("--main-content/--whole-page", default=True, show_default=True,
              help="Keep the main content of HTML pages, or all visible text.")  # fmt: skip
@click.option("--max-document-bytes", default=1_000_000_000, show_default=True, type=click.IntRange(1),
              help="Larger records are rejected as too_large.")  # fmt: skip
@click.option("--strict", is_flag=True, help="A shard with a rejected record fails and is not tagged.")
@click.option("--dry-run", is_flag=True, help="Print the shard tasks as JSON lines and stop.")
@click.option("--quiet", is_flag=True, help="No progress.")
@trove_options
@spark_options
def command(
    inputs: tuple[str, ...], out: str, model: Path | None, language_model: Path | None, engine: str,
    workers: int | None, label: str | None, threshold: float | None, window: int, stride: int,
    span_threshold: float | None, rescore: Path | None, rescore_above: float | None, topics: Path | None, strict: bool,
    dry_run: bool, quiet: bool, trove: TroveOptions, spark: SparkOptions, **reading: Any,
) -> None:  # fmt: skip
    """Tag every document of the shards in INPUT with scores and evidence.

    INPUT: files, folders, globs and URLs (s3://, gs://, hf://, https://, memory://) of WARC, WET, JSONL
    or Parquet, compressed or not. Files given by name, or by a pattern, are recognised by content, whatever their
    names. Inside folders, and with **, names decide (.warc .wet .jsonl .json .parquet …, also .gz .zst .bz2 .xz); so
    do folders that a tool keeps for itself (attributes/ of Dolma, logs/ of datatrove, tags/ and reports/ of a scan).
    How many files that leaves out is said, and stands in scan.json. Links to folders are followed.

    \b
    DIR/tags/SHARD.parquet     one row a document, in the shard's order
    DIR/reports/SHARD.json     read = tagged + rejected by reason
    DIR/scan.json              the sum, the command, the model

    A model without a card beside it (MODEL.json) flags by its label adverse, or else its first one, from 0.5;
    --label and --threshold say otherwise.

    Documents in another language than the model's (the shipped one's is English) get the status other_language, keep
    their scores, and count as flagged nowhere. The shard says the language (--lang-column, WARC header, <html lang>);
    where it does not, --language-model finds it in a sample of the words, or it stays unknown.

    With --topics each document, of whatever language, gets the label that a fastText model of topics (.bin or .ftz,
    none is shipped) gives the highest score for the whole text, and that score: columns topic and topic_score. Topics
    are as good as that model. Tags made without it have no such columns, and must be made anew to get them.

    Finished shards are skipped when the same scan runs again, whatever stopped it.

    Exit status: 0 clean; 1 some records or shards rejected, cut short or failed (all counted); 2 wrong usage
    or nothing could run.
    """
    if not out.strip():
        raise click.UsageError("--out is empty; name a folder or URL")
    if rescore_above is not None and rescore is None:
        raise click.UsageError("--rescore-above needs --rescore")
    plan = plan_inputs(inputs, out)
    say_left_out(plan.left_out)
    if dry_run:
        return _print_plan(plan.tasks)
    job = make_job(
        out, model, window=window, stride=stride, label=label, threshold=threshold,
        span_threshold=span_threshold, strict=strict, options=ReadOptions(**reading), language_model=language_model,
        rescorer=rescore, rescore_above=ABOVE if rescore_above is None else rescore_above, topics=topics,
    )  # fmt: skip
    if (longest := job.options.max_document_bytes) < reading["max_document_bytes"]:
        click.echo(
            f"--window {window} has room for texts of {longest:,} bytes; longer ones are rejected (too_large), "
            "or take a longer window",
            err=True,
        )
    with resumable(), locked(out):
        chosen = choose_engine(engine, out, workers=workers, quiet=quiet, trove=trove, spark=spark)
        command = shlex.join(["tropescan", *sys.argv[1:]])
        total = run_scan(job, plan.tasks, chosen, command, quiet=quiet, left_out=plan.left_out)
    _print_summary(job, total)
    end(total)
