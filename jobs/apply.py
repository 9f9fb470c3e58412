"""``tropescan apply``: composes policy, plan and engine; holds no arithmetic of its own."""

from __future__ import annotations

import shlex
import sys

import click

from jobs.engine import absolute
from jobs.lock import locked
from jobs.main import installed_version
from jobs.running import choose_engine, print_plan, resumable, run_shards
from jobs.spark_options import SparkOptions, spark_options
from jobs.trove_options import TroveOptions, trove_options
from pipeline import storage
from pipeline.apply.accounting import ApplyReport
from pipeline.apply.job import FORMATS, ApplyJob, To
from pipeline.apply.plan import check_places, open_scan, plan_apply, write_apply_report
from pipeline.policy import Policy, load_policy
from pipeline.report.folder import TagsFolder


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
        click.echo(f"  replaced: {total.replaced:,}; with none like them in their shard: {total.unreplaced:,}")
    if total.mixed_in:
        click.echo(f"  mixed in: {total.mixed_in:,}")
    for reason, count in total.rejected.items():
        click.echo(f"  rejected {reason}: {count:,}")
    if total.incomplete_shards or total.failed_shards:
        click.echo(f"  shards cut short: {total.incomplete_shards}, failed: {total.failed_shards}")
    share = total.words_kept / total.words if total.words else 1.0
    click.echo(f"words: {total.words_kept:,} of {total.words:,} kept ({share:.2%})")
    click.echo(f"documents in {storage.join(job.out, 'data')}, figures in {storage.join(job.out, 'apply.json')}")


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.argument("tags", metavar="TAGS")
@click.option("--policy", "policy_file", required=True, metavar="FILE", help="The policy, a TOML file.")
@click.option("--out", required=True, metavar="DIR", help="Folder (or fsspec URL) for documents, decisions, reports.")
@click.option("--to", type=click.Choice(FORMATS), default="same", show_default=True,
              help="Format of the documents; same: Parquet stays Parquet, all else becomes jsonl.zst.")  # fmt: skip
@click.option("--keep-dropped", is_flag=True, help="Also write dropped documents, with rule, score and spans.")
@click.option("--engine", type=click.Choice(("local", "datatrove", "spark")), default="local", show_default=True,
              help="What schedules the shards; the output is the same.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1),
              help="Shards, or engine's tasks, at once. [default: one a core; Slurm and Ray: no limit]")  # fmt: skip
@click.option("--plan", "plan_only", is_flag=True, help="Print the shard tasks as JSON lines and stop.")
@click.option("--quiet", is_flag=True, help="No progress.")
@trove_options
@spark_options
def command(
    inputs: tuple[str, ...], tags: str, policy_file: str, out: str, to: To, keep_dropped: bool, engine: str,
    workers: int | None, plan_only: bool, quiet: bool, trove: TroveOptions, spark: SparkOptions,
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

    Each document is compared with its tags (row, id, size). Tags that are missing, too short, too long or of other
    documents stop their shard: nothing of it is written, it is counted as failed, and the other shards go on.

    Finished shards are skipped when the same command runs again, whatever stopped it.

    Exit status: 0 clean; 1 some records or shards rejected, cut short or failed (all counted); 2 wrong usage
    or nothing could run.
    """
    if not out.strip():
        raise click.UsageError("--out is empty; name a folder or URL")
    policy = load_policy(policy_file)
    scan = open_scan(tags)
    job = make_apply_job(policy, scan, out, to=to, keep_dropped=keep_dropped)
    tasks = plan_apply(inputs, scan)
    if plan_only:
        return print_plan(tasks)
    check_places(job, tasks)
    with resumable(), locked(out):
        chosen = choose_engine(engine, out, workers=workers, quiet=quiet, trove=trove, spark=spark)
        failures = run_shards(job, tasks, chosen, quiet=quiet)
        summary = write_apply_report(job, tasks, failures, shlex.join(["tropescan", *sys.argv[1:]]))
    print_summary(job, summary.total)
    if not summary.total.clean:
        sys.exit(1 if summary.total.shards else 2)
