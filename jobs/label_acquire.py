"""``tropescan label acquire``: documents worth labelling for training, from a scan's tags into the label store."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict

import click

from jobs.acquiring import STRATEGIES, Acquired, Known, Wish, acquire
from jobs.blind_checks import blind_check_options, blind_checks
from jobs.item_text import READING
from jobs.label_options import keep_option, opened, store_option
from jobs.tag_rows import Tags, candidate, open_tags
from labels.near_duplicates import signature
from labels.store import Candidate, Store, add_draw
from labels.store.lookup import known_documents, known_texts
from labels.store.tables import ACQUIRED


def _mix(context: click.Context, parameter: click.Parameter, value: str) -> dict[str, float]:
    shares = {}
    for part in value.split(","):
        name, _, share = part.partition("=")
        if name not in STRATEGIES:
            raise click.BadParameter(f"{name!r} is no strategy; there are {', '.join(STRATEGIES)}")
        try:
            shares[name] = float(share or 1)
        except ValueError as error:
            raise click.BadParameter(f"{part!r}: the share {share!r} is no number") from error
    return shares


def _known(store: Store, *, words: bool) -> Known:
    with store.reading() as session:
        documents, (digests, signatures, texts) = known_documents(session), known_texts(session)
    return Known(documents, digests, signatures, [signature(text, 1) for text in texts] if words else [])


@click.command("acquire")
@click.argument("scanned", metavar="SCANNED")
@store_option
@click.option("--name", required=True, help="Name of the draw; annotators' queue has it too.")
@click.option("--n", "n", required=True, type=click.IntRange(1), help="Documents to acquire.")
@click.option("--mix", default="margin=3,near-miss=2,hard-negative=2,novelty=2,random=1", show_default=True,
              callback=_mix, help=f"Strategies and their shares: {', '.join(STRATEGIES)}.")  # fmt: skip
@click.option("--against", metavar="SCANNED", help="Tags of the same shards by another model, for disagreement.")
@click.option("--label", default="adverse", show_default=True, help="The label whose score counts.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="For margin and near-miss. [default: the card's]")
@click.option("--host-cap", default=0.05, show_default=True, type=click.FloatRange(0, 1), help="Most of one host.")
@click.option("--source-cap", default=0.1, show_default=True, type=click.FloatRange(0, 1), help="Most of one source.")
@click.option("--seed", default=1, show_default=True, help="For random and novelty.")
@click.option("--annotators", default=1, show_default=True, type=click.IntRange(1), help="Wanted for each document.")
@blind_check_options
@keep_option
def command(
    scanned: str, place: str, name: str, n: int, mix: dict[str, float], against: str | None, label: str,
    threshold: float | None, host_cap: float, source_cap: float, seed: int, annotators: int, gold: int,
    gold_every: int, keep: str,
) -> None:  # fmt: skip
    """Choose documents that teach a model most, by its tags in SCANNED. They train; they can never enter an estimate.

    \b
    margin         nearest to the threshold
    entropy        where the label is most uncertain
    disagreement   where two models differ most (--against)
    novelty        unlike what the store has, by MinHash of words, among a random pool
    hard-negative  the highest scores of texts with no word that could point to an artificial mind
    near-miss      the highest scores below the threshold, a few of each source
    random         by keyed hash

    Texts that the store has, or nearly has, are left out, and so are sources kept for evaluation.
    """
    with ExitStack() as stack:
        tags, store = stack.enter_context(open_tags(scanned)), stack.enter_context(opened(place))
        other = stack.enter_context(open_tags(against)) if against else None
        flag = threshold if threshold is not None else float(tags.folder.model.get("threshold", 0.5))
        wish = Wish(n, mix, label, flag, max(1, round(host_cap * n)), max(1, round(source_cap * n)), seed)
        found = acquire(tags, wish, _known(store, words="novelty" in mix), other)
        parameters = {**vars(wish), "shares": dict(mix), "tags": scanned, "against": against}
        parameters[READING] = asdict(tags.folder.options)
        candidates = [_candidate(tags, one, keep) for one in found]
        checks = blind_checks(store, gold, seed, {one.digest for one in candidates})
        add_draw(
            store, name, ACQUIRED, [*candidates, *checks], method="acquire", parameters=parameters,
            model_digest=tags.digest, wanted=annotators, gold_every=gold_every if gold else 0,
        )  # fmt: skip
    counts = Counter(one.strategy for one in found)
    click.echo(
        f"{len(found)} of {n} documents acquired into {name!r}: " + ", ".join(f"{k} {v}" for k, v in counts.items())
    )
    if len(found) < n:
        click.echo(
            "the strategies found no more that they may take: the rest is in the store, or nearly so, or of a source "
            "kept for evaluation, or over --host-cap or --source-cap", err=True,
        )  # fmt: skip


def _candidate(tags: Tags, one: Acquired, keep: str) -> Candidate:
    return candidate(tags, one.row, one.text, keep_text=keep == "text", stratum=one.strategy)
