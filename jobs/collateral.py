"""``tropescan collateral``: composes figures and page; holds no query and no markup of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from jobs.options import PROBABILITY
from jobs.report import write_text
from labels.codebook import MODES
from pipeline.prevalence.slices import TOPIC
from pipeline.report.collateral import CollateralOptions, TextOptions, collateral
from pipeline.report.collateral_texts import read_lexicon


def language_model(path: str | None) -> Callable[[str], float] | None:
    """The log probability (base 10) of a text under an n-gram model of KenLM; raises `OSError` where there is none."""
    if path is None:
        return None
    try:
        import kenlm
    except ModuleNotFoundError as error:
        raise ValueError(f"--ngrams: {error}; pip install kenlm") from error
    score: Callable[[str], float] = kenlm.Model(path).score
    return score


def _audit(
    found: dict[str, Any], place: str | None, draw: str | None, people: str | None
) -> dict[str, Any] | None:  # fmt: skip
    """What an audit says of the whole, of the slices that lose most, and of all topics."""
    if draw is None:
        if people is not None:
            raise click.UsageError("--people needs --draw, the audit's draw whose labels people's correct")
        return None
    if place is None:
        raise click.UsageError("--draw needs --store, where the labels of the audit are")
    try:
        from jobs.collateral_audit import audited
    except ModuleNotFoundError as error:
        raise ValueError(f"--draw: {error}; audits need the extra: pip install 'tropescan[labels]'") from error
    names = {
        by: [row["name"] for row in margin["largest" if by == TOPIC else "by_lost"]]
        for by, margin in found["margins"].items()
    }
    return audited(found["folder"], found["run"], place, draw, names, found["weights"]["largest"], people)


def _print_summary(found: dict[str, Any], page: str | None) -> None:
    whole, label = found["corpus"], found["labels"][0]
    click.echo(
        f"words {whole['words']:,} before, {whole['words_after']:,.0f} after; of {label['name']} {label['words']:,} "
        f"before, {label['words_after']:,.0f} after; {whole['dropped']:,} of {whole['documents']:,} documents dropped; "
        f"worth {found['weights']['effective_documents']:,.0f} documents of equal weight",
        err=True,
    )
    for note in found["notes"]:
        click.echo(f"note: {note}", err=True)
    if page and page != "-":
        click.echo(f"page in {page}", err=True)


@click.command()
@click.argument("folder", metavar="TAGS")
@click.argument("run", metavar="RUN")
@click.option(
    "--out",
    metavar="FILE",
    help="The page, HTML; - for stdout. [default: collateral.html, or none with --json]",
)
@click.option("--json", "json_out", metavar="[FILE]", is_flag=False, flag_value="-",
              help="The same figures as JSON; without FILE to standard output.")  # fmt: skip
@click.option("--label", metavar="NAME", help="The label that the policy is about. [default: the scan's]")
@click.option("--threshold", type=PROBABILITY, help="Score from which a document holds it. [default: the scan's]")
@click.option(
    "--rows", type=click.IntRange(1), default=15, show_default=True, help="Rows of tables by domain, source …"
)
@click.option("--store", metavar="PATH|URL", envvar="TROPESCAN_STORE", help="The label store with the audit's labels.")
@click.option("--draw", metavar="NAME", help="An audit's draw, labelled: estimates what is lost and kept wrongly.")
@click.option("--people", metavar="NAME", help="People's draw of 'audit recheck', which corrects a model's labels.")
@click.option("--texts", type=click.IntRange(0), default=1000, show_default=True,
              help="Texts of dropped, and of kept documents, to look for terms in; 0 reads no shard.")  # fmt: skip
@click.option(
    "--text-shards", type=click.IntRange(1), default=10, show_default=True, help="Shards to read again at most."
)
@click.option("--terms", metavar="FILE.toml", help="Terms of groups and varieties of English. [default: our own]")
@click.option("--ngrams", metavar="FILE", help="An n-gram model of KenLM: perplexity of dropped and of kept texts.")
def command(
    folder: str, run: str, out: str | None, json_out: str | None, label: str | None, threshold: float | None, rows: int,
    store: str | None, draw: str | None, people: str | None, texts: int, text_shards: int, terms: str | None,
    ngrams: str | None,
) -> None:  # fmt: skip
    """Show what a policy costs: the corpus tagged in TAGS, before and after 'tropescan apply --out RUN'.

    Documents and words by rule, label, mode, score, domain, language, length, year, source, and by topic where the scan
    was given a model of topics; who loses most; effective sample size, largest weight, distances of the margins; terms
    of groups of people in dropped and in kept texts. With an audit's labels (--store, --draw): what was lost and what
    was kept wrongly, with intervals, in all and by slice; with --people corrected by what people found of what a
    language model labelled. One page that loads nothing and runs no script; its tables
    stand in it as CSV, too.

    Texts are read from the shards again, so these must be where the scan found them; if not, the page says so.
    """
    page = out or (None if json_out else "collateral.html")
    if page == json_out:
        raise click.UsageError(f"--out and --json both want {page}; name another file for one (- is standard output)")
    sampled = TextOptions(texts, text_shards, read_lexicon(terms), ngrams, language_model(ngrams)) if texts else None
    found = collateral(folder, run, CollateralOptions(label, threshold, MODES, "ai", rows, sampled))
    found["audit"] = _audit(found, store, draw, people)
    if json_out:
        write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", json_out)
    if page:
        from pipeline.report.collateral_page import render_collateral  # here: plots take half a second to load

        write_text(render_collateral(found), page)
    _print_summary(found, page)
