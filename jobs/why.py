"""``tropescan why``: what happened to a document under a policy, and why. Composes decisions, tags and explanation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.applied import SHOWN, Run, open_run
from jobs.model_option import MODEL
from jobs.tagged import text_of
from jobs.why_mixed import mixed_in, print_mixed
from pipeline.policy import Policy, Rule
from pipeline.policy.actions import ControlTokens, KeepShare
from pipeline.policy.conditions import All, AnyOf, Not, parts_of
from pipeline.policy.decide import takes
from pipeline.policy.describe import answer, describe, describe_action, describe_measure
from pipeline.policy.tag_columns import TagColumns


def _print_decision(console: Console, run: Run, row: dict[str, Any]) -> None:
    rule = run.rule(row["rule"])
    by = f"by {row['rule']!r}" if row["rule"] else "no rule took it"
    console.print(f"[bold]{row['action']}[/] {escape(by)}; weight {row['weight']:g}", highlight=False)
    if rule is not None:
        console.print(f"  the rule: {escape(describe_action(rule.action))}", highlight=False)
    if row["score"] is not None:
        measure = f"{describe_measure(rule.measures[0])} = " if rule and rule.measures else "score "
        console.print(f"  {measure}{row['score']:.6g}", highlight=False)
    if row["draw"] is not None:
        console.print(f"  {_draw(run, rule, row['draw'])}", highlight=False)
    if row.get("replacement"):
        for one in run.replacing(row["replacement"]):
            console.print(
                f"  in its place counts once more: {escape(one['id'])} ({escape(one['shard'])}, row {one['row']})",
                highlight=False,
            )
    if row.get("replaces"):
        console.print(f"  counts once more for each of: {escape(', '.join(row['replaces']))}", highlight=False)


def _draw(run: Run, rule: Rule | None, draw: float) -> str:
    said = f"drawn {draw:.6f} from the hash of its id" + (f" (seed {run.policy.seed})" if run.policy else "")
    match rule.action if rule else None:
        case KeepShare(share):
            return f"{said}: {'below' if draw < share else 'not below'} the share {share:g} that is kept"
        case ControlTokens(unmarked=share) if share:
            return f"{said}: {'below' if draw < share else 'not below'} the share {share:g} that is left unmarked"
    return said


def _rules_table(policy: Policy, tags: pa.RecordBatch, decided_by: str | None) -> Table:
    """What each rule up to the one that decided asked, and what the document answered."""
    view, table = TagColumns(tags), Table("rule", "asks", "the document", "", box=None)
    for rule in policy.ordered:
        name = escape(rule.name)
        for part in parts_of(rule.when):
            if not isinstance(part, All | AnyOf | Not):
                held = "yes" if part.holds(view)[0] else "no"
                table.add_row(name, escape(describe(part)), escape(answer(part, view)), held)
                name = ""
        taken = bool(takes(rule, view)[0])
        table.add_row(name, "[dim]takes it[/]", "", "[bold]yes[/]" if taken else "no")
        if rule.name == decided_by:
            break
    return table


def _spans(batch: pa.RecordBatch, text: str | None) -> Iterator[str]:
    for span in sorted(batch.column("spans")[0].as_py(), key=lambda span: -span["score"])[:SHOWN]:
        excerpt = f": {text[span['start'] : span['end']][:200]!r}" if text else ""
        yield f"{span['label']} {span['score']:.3f}, characters {span['start']} to {span['end']}{excerpt}"


def _print_words(console: Console, text: str, rule: Rule | None, model: dict[str, Any], path: Path | None) -> None:
    """The words that weigh most, if the model that made the tags is here."""
    from classifiers.card import card_of, default_model  # here: they load the kernel
    from classifiers.explanation import token_shares
    from classifiers.score import FastTextScorer
    from jobs.explain import strongest_words

    found = path or default_model()
    scorer = FastTextScorer.open(found)
    if scorer.digest != model["digest"]:
        name = model.get("name", f"SHA-256 {model['digest']}")
        console.print(f"words: the tags were made by another model ({escape(name)}); name it with --model")
        return
    target = model.get("target") or card_of(found, scorer.digest, scorer.labels).target
    label = rule.measures[0].label if rule and rule.measures else target
    console.print(f"words that weigh most for {label}:", strongest_words(text, token_shares(scorer, text, label)))


@click.command()
@click.argument("id", metavar="ID")
@click.argument("folder", metavar="RUN")
@click.option("--model", type=MODEL, help="The model that made the tags. [default: the shipped one]")
def command(id: str, folder: str, model: Path | None) -> None:
    """Tell what happened to the document ID in RUN, the folder that apply wrote, and why.

    Shows the decision (action, rule, score, draw, weight), what each rule asked up to the one that decided and what the
    document answered, its spans of evidence, and the words that weigh most in its score.

    The tags and the shard are looked at where they were, or else what --keep-dropped kept; what is gone is said and
    left out. Of a document that was mixed in (its id names another one): behind which, and by which draw. Exit status
    2: no document of that id was decided on (rejected records have no id: see the shard's report).
    """
    run, console = open_run(folder), Console(soft_wrap=True)
    found = run.decided(id)
    mixed = list(mixed_in(run, id))
    if not found and not mixed:
        raise ValueError(f"{folder}: no document {id!r} among those decided on; ids are as in {folder}/decisions")
    if run.policy is None:
        console.print(f"the rules are not shown: {escape(run.trouble)}")
    for one in mixed:
        print_mixed(console, run, one)
    for row in found:
        _print_document(console, run, row, model)


def _print_document(console: Console, run: Run, row: dict[str, Any], path: Path | None) -> None:
    console.print(f"{escape(row['id'])}: {escape(row['shard'])}, row {row['row']}", highlight=False)
    _print_decision(console, run, row)
    tags, text = _looked_at(console, run, row)
    if tags is not None and run.policy is not None:
        console.print(_rules_table(run.policy, tags, row["rule"]))
    evidence = tags
    if text is None and (kept := run.dropped_of(row)) is not None:
        evidence, text = kept, str(kept.column("text")[0].as_py())
        console.print(f"  text and evidence as kept in {escape(run.dropped_url(row))}", highlight=False)
    for line in _spans(evidence, text) if evidence is not None else ():
        console.print(f"  evidence: {escape(line)}", highlight=False)
    if text:
        model = {"digest": run.content["model"]} | (_model(tags) if tags is not None else {})
        _print_words(console, text, run.rule(row["rule"]), model, path)


def _looked_at(console: Console, run: Run, row: dict[str, Any]) -> tuple[pa.RecordBatch | None, str | None]:
    """The document's tags, and its text out of the shard; None, and said so, for what is gone."""
    try:
        tags = run.tags_of(row)
    except (OSError, ValueError) as error:
        console.print(f"  its tags cannot be looked at: {escape(str(error))}")
        return None, None
    try:
        text = text_of(tags, tags.schema.metadata[b"tropescan.shard"].decode())
    except (OSError, ValueError) as error:
        console.print(f"  its text cannot be read: {escape(str(error))}")
        return tags, None
    if text is None:
        console.print("  its text cannot be read: the shard holds another document there now")
    return tags, text


def _model(tags: pa.RecordBatch) -> dict[str, Any]:
    return dict(json.loads(tags.schema.metadata[b"tropescan.model"]))
