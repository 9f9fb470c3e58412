"""``tropescan audit draw``: the documents that a plan draws, into the label store."""

from __future__ import annotations

from collections import Counter

import click

from jobs.audit_engine import Gather, audit_engine, engine_options
from jobs.audit_labels import METHOD
from jobs.audit_tags import drawn_rows
from jobs.label_options import keep_option, opened, store_option
from jobs.spark_options import SessionOptions
from jobs.tag_rows import Tags, candidate, fetch_texts, open_tags
from labels.store import Candidate, add_draw
from labels.store.tables import DESIGNED
from pipeline import storage
from pipeline.prevalence.plan import Plan, load_plan


def candidates(tags: Tags, plan: Plan, gather: Gather, *, keep_text: bool) -> list[Candidate]:
    """The drawn documents in random order, with stratum and inclusion probability."""
    drawn = drawn_rows(tags, plan, gather)
    _check_ids(tags, [str(row["id"]) for row, _ in drawn])
    texts = fetch_texts(tags, (row for row, _ in drawn))
    return [
        candidate(
            tags, row, texts[row["filename"], row["row"]], keep_text=keep_text, stratum=plan.strata[at].name,
            probability=plan.sizes[at] / plan.strata[at].documents,
        )
        for row, at in drawn
    ]  # fmt: skip


def _check_ids(tags: Tags, ids: list[str]) -> None:
    """Documents of one id have one key: they would be drawn together, and their labels be taken for each other's."""
    often, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise ValueError(
            f"{tags.folder.url}: {len(ids) - len(set(ids)):,} of the {len(ids):,} documents drawn have the id of "
            f"another ({often!r} {times} times); a draw goes by ids, which must be unique over all shards: scan again "
            "with --id-column naming a column that is"
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
    and inclusion probability are stored with each, and the plan with the draw.
    """
    plan = load_plan(storage.read_bytes(plan_file).decode(), plan_file)
    with open_tags(folder) as tags, opened(place) as store:
        if tags.digest != plan.model:
            raise ValueError(f"{plan_file}: made for the tags of another model than those in {folder}; plan again")
        with audit_engine(engine, spark) as gather:
            found = candidates(tags, plan, gather, keep_text=keep == "text")
        parameters = {"plan": plan.to_json(), "tags": folder}
        add_draw(
            store, name, DESIGNED, found, method=METHOD, parameters=parameters, model_digest=tags.digest,
            wanted=annotators,
        )  # fmt: skip
    click.echo(f"{len(found)} of {plan.population:,} documents drawn into {name!r}")
