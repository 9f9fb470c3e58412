"""``tropescan audit draw``: the documents that a plan draws, into the label store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from jobs.audit_domains import domain_candidates
from jobs.audit_engine import Gather, audit_engine, engine_options
from jobs.audit_labels import DOMAINS, METHOD
from jobs.audit_tags import check_population, drawn_rows
from jobs.label_options import keep_option, opened, store_option
from jobs.spark_options import SessionOptions
from jobs.tag_rows import Tags, candidate, fetch_texts, open_tags
from labels.store import Candidate, add_draw
from labels.store.tables import DESIGNED
from pipeline import storage
from pipeline.prevalence.domains import DomainPlan
from pipeline.prevalence.plan import Plan, load_plan


def _candidates(tags: Tags, plan: Plan | DomainPlan, gather: Gather, *, keep_text: bool) -> list[Candidate]:
    """The drawn documents in random order, with stratum or domain, and inclusion probability."""
    if isinstance(plan, DomainPlan):
        return domain_candidates(tags, plan, gather, keep_text=keep_text)
    check_population(tags, plan, gather)
    drawn = drawn_rows(tags, plan, gather)
    texts, chances = fetch_texts(tags, (row for row, _, _ in drawn)), plan.chances
    return [
        candidate(
            tags, row, texts[row["filename"], row["row"]], keep_text=keep_text, stratum=plan.strata[at].name,
            probability=chances[plan.strata[at].name], name=name,
        )
        for row, name, at in drawn
    ]  # fmt: skip


def _check_names(folder: str, found: Sequence[Candidate]) -> None:
    """Documents of one id have one key: they would be drawn together, and their labels be taken for each other's."""
    often, times = Counter(one.document for one in found).most_common(1)[0]
    if times > 1:
        distinct = len({one.document for one in found})
        raise ValueError(
            f"{folder}: {len(found) - distinct:,} of the {len(found):,} documents drawn have the id of "
            f"another ({often!r} {times} times); a draw by ids needs ids that are unique over all shards: plan again "
            "with --key row, which draws by shard and row"
        )


@click.command("draw")
@click.argument("folder", metavar="DIR")
@click.option("--plan", "plan_file", metavar="FILE", default="plan.json", show_default=True, help="From audit plan.")
@store_option
@click.option("--name", required=True, help="Name of the draw; annotators' queue has it too.")
@click.option("--annotators", default=1, show_default=True, type=click.IntRange(1), help="Wanted for each document.")
@keep_option
@engine_options
def command(
    folder: str, plan_file: str, place: str, name: str, annotators: int, keep: str, engine: str, spark: SessionOptions
) -> None:
    """Draw the documents that a plan asks for from the tags in DIR into the label store.

    Which ones is a function of the seed and the documents' ids, so that the same plan draws the same anywhere. Stratum
    and inclusion probability are stored with each, and the plan with the draw. Whole domains come one after the other,
    in random order, so that labelling which stops early still has read a random sample of domains.
    """
    plan = load_plan(storage.read_bytes(plan_file).decode(), plan_file)
    with open_tags(folder) as tags, opened(place) as store:
        with audit_engine(engine, spark) as gather:
            found = _candidates(tags, plan, gather, keep_text=keep == "text")
        _check_names(tags.folder.url, found)
        add_draw(
            store, name, DESIGNED, found, method=DOMAINS if isinstance(plan, DomainPlan) else METHOD,
            parameters={"plan": plan.to_json(), "tags": folder}, model_digest=tags.digest, wanted=annotators,
        )  # fmt: skip
    click.echo(f"{len(found)} of {plan.population:,} documents drawn into {name!r}")
