"""``tropescan label draw``: a designed draw from a scan's tags into the label store."""

from __future__ import annotations

import click

from jobs.blind_checks import blind_check_options, blind_checks
from jobs.drawing import PPS, RANDOM, SIZES, STRATIFIED, Design, draw
from jobs.label_options import keep_option, opened, store_option
from jobs.tag_rows import candidate, fetch_texts, open_tags
from labels.store import add_draw
from labels.store.tables import DESIGNED


def _cuts(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of numbers like 0.01,0.1,0.5") from error


@click.command("draw")
@click.argument("scanned", metavar="SCANNED")
@store_option
@click.option("--name", required=True, help="Name of the draw; annotators' queue has it too.")
@click.option("--n", "n", required=True, type=click.IntRange(1), help="Documents to draw (PPS: on average).")
@click.option("--method", type=click.Choice((RANDOM, STRATIFIED, PPS)), default=RANDOM, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Another seed draws other documents.")
@click.option("--by", default="adverse", show_default=True, help="Score column that makes the strata.")
@click.option("--cuts", default="0.01,0.1,0.5,0.9", show_default=True, callback=_cuts, help="Where strata begin.")
@click.option("--size", default="words", show_default=True,
              help=f"PPS goes by this column: {', '.join(SIZES)} or a score.")  # fmt: skip
@click.option("--annotators", default=1, show_default=True, type=click.IntRange(1), help="Wanted for each document.")
@blind_check_options
@keep_option
def command(
    scanned: str, place: str, name: str, n: int, method: str, seed: int, by: str, cuts: tuple[float, ...], size: str,
    annotators: int, gold: int, gold_every: int, keep: str,
) -> None:  # fmt: skip
    """Draw documents by design from the tags in SCANNED: for estimates of prevalence and for evaluation.

    A document is drawn by the keyed hash of its id, so that the same seed draws the same documents anywhere, and
    its inclusion probability is written into the store with it.

    \b
    random      simple random, without replacement
    stratified  equal parts from each stratum of a score (--by, --cuts), simple random within
    pps         each document by itself, with a probability proportional to its size (Poisson sampling)

    \b
    tropescan label draw scanned --store labels.sqlite --name audit-1 --n 500 --method stratified
    """
    design = Design(
        method, n, seed, by if method == STRATIFIED else None, cuts if method == STRATIFIED else (),
        size if method == PPS else None,
    )  # fmt: skip
    with open_tags(scanned) as tags, opened(place) as store:
        drawn, parameters = draw(tags, design)
        texts = fetch_texts(tags, (one.row for one in drawn))
        candidates = [
            candidate(
                tags, one.row, texts[one.row["filename"], one.row["row"]], keep_text=keep == "text",
                stratum=one.stratum, probability=one.probability,
            )
            for one in drawn
        ]  # fmt: skip
        checks = blind_checks(store, gold, seed, {one.digest for one in candidates})
        add_draw(
            store, name, DESIGNED, [*candidates, *checks], method=method, parameters=parameters,
            model_digest=tags.digest, wanted=annotators, gold_every=gold_every if gold else 0,
        )  # fmt: skip
    click.echo(f"{len(drawn)} of {parameters['population']:,} documents drawn into {name!r}")
