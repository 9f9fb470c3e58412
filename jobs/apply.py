"""``tropescan apply``: composes policy, plan and engine; holds no arithmetic of its own."""

from __future__ import annotations

import shlex
import sys

import click
from rich.console import Console
from rich.table import Table

from jobs.engine import absolute
from jobs.local import available_cores
from jobs.lock import locked
from jobs.main import installed_version
from jobs.replacing import strata_counts
from jobs.running import choose_engine, end, resumable, run_shards, say_left_out
from jobs.spark_options import SparkOptions, spark_options
from jobs.tag_counting import is_small
from jobs.trove_options import TroveOptions, trove_options
from pipeline import storage
from pipeline.apply.accounting import ApplyReport
from pipeline.apply.card import write_card
from pipeline.apply.job import FORMATS, ApplyJob, To
from pipeline.apply.outgoing import AddedColumns
from pipeline.apply.plan import check_places, open_scan, with_tags, write_apply_report
from pipeline.apply.preview import preview
from pipeline.apply.replacement_plan import in_order, planned
from pipeline.policy import Policy, load_policy
from pipeline.report.folder import TagsFolder
from pipeline.scan import LISTED, plan_inputs
from pipeline.tasks import ShardTask


def make_apply_job(
    policy: Policy, scan: TagsFolder, out: str, *, to: To = "same", keep_dropped: bool = False
) -> ApplyJob:
    """The job of applying a policy by the tags of a scan.

    Raises `pipeline.policy.PolicyError` if these tags cannot answer what the policy asks.
    """
    policy.check(scan.model)
    return ApplyJob(out, policy, absolute(scan.url), str(scan.model["digest"]), installed_version(), to, keep_dropped)


def print_summary(job: ApplyJob, total: ApplyReport) -> None:
    """What became of the documents."""
    dropped, rejected = sum(total.dropped.values()), sum(total.rejected.values())
    click.echo(
        f"{total.shards} shards, {total.read:,} documents read = {total.kept:,} kept + {dropped:,} dropped + "
        f"{rejected:,} rejected; {total.written:,} written"
    )
    for rule, count in total.dropped.items():
        click.echo(f"  dropped by {rule!r}: {count:,}")
    for action, count in total.edited.items():
        click.echo(f"  {action}: {count:,}")
    if total.replaced or total.unreplaced:
        click.echo(
            f"  replaced: {total.replaced:,} of {total.words_replaced:,} words, by {total.words_replacing:,} words; "
            f"with none like them in the corpus: {total.unreplaced:,} of {total.words_unreplaced:,} words"
        )
    if total.forged:
        click.echo(f"  held a control token of the policy already: {total.forged:,}")
    if total.mixed_in:
        click.echo(f"  mixed in: {total.mixed_in:,}")
    for reason, count in total.rejected.items():
        click.echo(f"  rejected {reason}: {count:,}")
    if total.incomplete_shards or total.failed_shards:
        click.echo(f"  shards cut short: {total.incomplete_shards}, failed: {total.failed_shards}")
    share = total.words_kept / total.words if total.words else 1.0
    click.echo(f"words: {total.words_kept:,} of {total.words:,} kept ({share:.2%})")
    if total.words_cut or total.words_masked:
        click.echo(f"  of these cut out of their documents: {total.words_cut:,}, masked: {total.words_masked:,}")
    click.echo(f"documents in {storage.join(job.out, 'data')}, figures in {storage.join(job.out, 'apply.json')}")


def print_preview(job: ApplyJob, tasks: list[ShardTask], scan: TagsFolder, workers: int) -> bool:
    """What the policy would do, as a table of before and after. Whether all shards have tags that can be read."""
    tagged = {scan.name_of(file): file for file in scan.files}
    files = [tagged[task.name] for task in in_order(tasks) if task.name in tagged]
    found = preview(files, job.policy, scan.model, workers)
    table = Table("documents with", "before", "after", "words before", "after", "share", box=None)
    for name, amount in found.groups.items():
        share = f"{amount.words_after / amount.words:.1%}" if amount.words else ""
        counts = (amount.documents, amount.documents_after, amount.words, amount.words_after)
        table.add_row(name, *(f"{count:,.0f}" for count in counts), share)
    console = Console(soft_wrap=True)
    console.print(table)
    for rule, count in sorted(found.dropped.items()):
        click.echo(f"dropped by {rule!r}: {count:,}")
    click.echo(", ".join(f"{action}: {count:,}" for action, count in found.actions.items()))
    if found.words_cut or found.words_masked:
        click.echo(f"words cut out: about {found.words_cut:,.0f}, masked: about {found.words_masked:,.0f}")
    if found.unreplaced:
        click.echo(f"to be replaced, with none like them in the corpus: {found.unreplaced:,}")
    if job.policy.mix_in is not None:
        click.echo(f"mixed in behind them: words that are {job.policy.mix_in.rate:.2%} of all then")
    for error in found.failed[:LISTED]:
        click.echo(f"failed: {error}", err=True)
    missing = len(tasks) - len(files)
    if missing:
        click.echo(f"{missing} of {len(tasks)} shards have no tags in {scan.url} and would fail")
    if found.failed:
        click.echo(f"of {len(found.failed)} of {len(tasks)} shards the tags cannot be read: these would fail")
    return not (missing or found.failed)


def _planned(job: ApplyJob, tasks: list[ShardTask], scan: TagsFolder, workers: int, *, quiet: bool) -> list[ShardTask]:
    workers = 1 if is_small(scan) else workers
    return planned(job, tasks, strata_counts(job, in_order(tasks), workers, quiet=quiet))


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.argument("tags", metavar="TAGS")
@click.option("--policy", "policy_file", required=True, metavar="FILE", help="The policy, a TOML file.")
@click.option("--out", metavar="DIR", help="Folder (or fsspec URL) for documents, decisions, reports.")
@click.option("--to", type=click.Choice(FORMATS), default="same", show_default=True,
              help="Format; same: Parquet stays Parquet, all else is jsonl.zst; tar: for webdataset; mds, and "
                   "compressed mds.zstd: for MosaicML's streaming.")  # fmt: skip
@click.option("--keep-dropped", is_flag=True, help="Also write dropped documents, with rule, score and spans.")
@click.option("--engine", type=click.Choice(("local", "datatrove", "spark")), default="local", show_default=True,
              help="What schedules the shards; the output is the same.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1),
              help="Shards, or engine's tasks, at once. [default: one a core; Slurm and Ray: no limit]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print before and after, from the tags alone, and stop.")
@click.option("--quiet", is_flag=True, help="No progress.")
@trove_options
@spark_options
def command(
    inputs: tuple[str, ...], tags: str, policy_file: str, out: str | None, to: To, keep_dropped: bool, engine: str,
    workers: int | None, dry_run: bool, quiet: bool, trove: TroveOptions, spark: SparkOptions,
) -> None:  # fmt: skip
    """Make a corpus of the shards in INPUT by a policy, from the TAGS that a scan of them left.

    INPUT: files, folders, globs and URLs, as of scan. TAGS: the folder that scan wrote. The policy says what is
    dropped, weighed, masked, cut out, marked, replaced or mixed in, by which tags; docs/policies.md tells how.

    \b
    DIR/data/SHARD               the documents, with all columns of the input
    DIR/decisions/SHARD.parquet  one row a document, in the order of the tags: action, rule, score, weight
    DIR/dropped/SHARD.parquet    with --keep-dropped: what was dropped, and why
    DIR/reports/SHARD.json       read = kept + dropped by rule + rejected by reason
    DIR/apply.json               the sum, the command, the policy
    DIR/README.md                a data-set card: Hugging Face's datasets reads DIR as it is

    \b
    A policy, in short:
      [[exempt]]
      name = "technical safety research"
      when = { mode = "technical", score.technical.min = 0.5 }
      [[rule]]
      name = "overt"
      when.score.adverse.min = 0.75
      drop = "adverse, high precision"

    Each document is compared with its tags (row, id, size). Tags that are missing, too short, too long or of other
    documents stop their shard: nothing of it is written, it is counted as failed, and the other shards go on. A
    --dry-run names those that it sees to be missing, or no tags of this scan's model.

    Finished shards are skipped when the same command runs again, whatever stopped it.

    Exit status: 0 clean; 1 some records or shards rejected, cut short or failed (all counted); 2 wrong usage
    or nothing could run.
    """
    if not dry_run and not (out or "").strip():
        raise click.UsageError("name --out, a folder or URL, or ask for a --dry-run")
    policy = load_policy(policy_file)
    scan = open_scan(tags)
    job = make_apply_job(policy, scan, out or "", to=to, keep_dropped=keep_dropped)
    plan = plan_inputs(inputs)
    say_left_out(plan.left_out)
    tasks = with_tags(plan.tasks, scan)
    if dry_run:
        sys.exit(0 if print_preview(job, tasks, scan, workers or available_cores()) else 1)
    out = job.out
    check_places(job, tasks)
    with resumable(), locked(out):
        chosen = choose_engine(engine, out, workers=workers, quiet=quiet, trove=trove, spark=spark)
        tasks = _planned(job, tasks, scan, min(workers or available_cores(), available_cores()), quiet=quiet)
        failures = run_shards(job, tasks, chosen, quiet=quiet)
        command = shlex.join(["tropescan", *sys.argv[1:]])
        summary = write_apply_report(job, tasks, failures, command, plan.left_out)
        write_card(out, summary.content, scan.model, AddedColumns.of(policy).fields)
    print_summary(job, summary.total)
    if others := summary.content["not_of_this_run"]:
        click.echo(
            f"{len(others)} files below {out} are of shards that failed or are no longer among the inputs, {others[0]} "
            "first; apply.json lists them; delete them before you read the folder as a whole",
            err=True,
        )
    end(summary.total)
