"""``tropescan why``: what happened to a document under a policy, and why. Composes decisions, tags and explanation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jobs.model_option import MODEL
from pipeline import storage
from pipeline.accounting import Tally
from pipeline.policy import Policy, Rule, parse_policy
from pipeline.policy.actions import ControlTokens, KeepShare
from pipeline.policy.conditions import All, AnyOf, Not, parts_of
from pipeline.policy.decide import takes
from pipeline.policy.describe import answer, describe, describe_action, describe_measure
from pipeline.policy.tag_columns import TagColumns
from pipeline.readers import read_documents
from pipeline.report.tables import escape_glob
from pipeline.tasks import ReadOptions, ShardTask

SHOWN = 5
"""Documents of one id that are shown; ids need not be unique."""


@dataclass(frozen=True)
class Run:
    """What ``tropescan apply`` left in a folder: the content of ``apply.json``, and the policy if its files are still
    what they were."""

    folder: str
    content: dict[str, Any]
    policy: Policy | None

    def decided(self, id: str) -> list[dict[str, Any]]:
        """The decisions on documents of this id, with ``shard``, the name of each one's shard."""
        return self._where("id = $value", id)

    def replacing(self, name: str) -> list[dict[str, Any]]:
        """The decision on the document that is the replacement of this name."""
        return self._where("list_contains(replaces, $value)", name)

    def _where(self, condition: str, value: str) -> list[dict[str, Any]]:
        files = {self._decisions(name): name for name in self.content["done"]}
        if not files:
            return []
        with closing(duckdb.connect(config={"autoinstall_known_extensions": "false"})) as connection:
            if not storage.is_local(self.folder):
                connection.register_filesystem(storage.filesystem(self.folder)[0])
            query = f"SELECT *, filename FROM read_parquet($files, filename = true) WHERE {condition} LIMIT $most"
            given = {"files": list(map(escape_glob, files)), "value": value, "most": SHOWN}
            result = connection.execute(query, given)
            names = [column[0] for column in result.description]
            found = [dict(zip(names, values, strict=True)) for values in result.fetchall()]
        return [row | {"shard": files[row.pop("filename")]} for row in found]

    def _decisions(self, name: str) -> str:
        return storage.join(self.folder, "decisions", f"{name}.parquet")

    def tags_of(self, row: dict[str, Any]) -> pa.RecordBatch:
        """The document's row of tags. Raises `ValueError` if it is gone."""
        url = storage.join(self.content["tags_folder"], "tags", f"{row['shard']}.parquet")
        with closing(storage.open_input(url)) as file:
            for batch in pq.ParquetFile(file).iter_batches():
                found = batch.filter(pc.equal(batch.column("row"), row["row"]))
                if found.num_rows and found.column("id")[0].as_py() == row["id"]:
                    return found
        raise ValueError(f"{url}: row {row['row']} is not there any more; the shard was scanned again since")


def open_run(folder: str) -> Run:
    """The run in a folder. Raises `ValueError` if ``apply`` has left none there."""
    url = storage.join(folder, "apply.json")
    try:
        content = json.loads(storage.read_bytes(url))
    except FileNotFoundError:
        raise ValueError(f"{url}: not there; name the folder that 'tropescan apply --out' wrote") from None
    try:
        policy = parse_policy(content["policy_text"], content["policy_file"])
    except ValueError:
        return Run(folder, content, None)
    return Run(folder, content, policy if policy.digest == content["policy"] else None)


def text_of(tags: pa.RecordBatch, url: str) -> str | None:
    """The document's text out of its shard; None if that does not hold it any more."""
    metadata = tags.schema.metadata
    options = ReadOptions(**json.loads(metadata[b"tropescan.options"]))
    row, id = tags.column("row")[0].as_py(), tags.column("id")[0].as_py()
    for batch in read_documents(ShardTask(url, url, 0, ""), options, Tally()):
        at = pc.index(batch.column("row"), row).as_py()
        if at >= 0:
            return str(batch.column("text")[at].as_py()) if batch.column("id")[at].as_py() == id else None
    return None


# --- what is shown


def _print_decision(console: Console, run: Run, row: dict[str, Any]) -> None:
    rule = next((rule for rule in run.policy.ordered if rule.name == row["rule"]), None) if run.policy else None
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


def _spans(tags: pa.RecordBatch, text: str | None) -> Iterator[str]:
    for span in sorted(tags.column("spans")[0].as_py(), key=lambda span: -span["score"])[:SHOWN]:
        excerpt = f": {text[span['start'] : span['end']][:200]!r}" if text else ""
        yield f"{span['label']} {span['score']:.3f}, characters {span['start']} to {span['end']}{excerpt}"


def _label(run: Run, row: dict[str, Any], model: dict[str, Any]) -> str:
    rule = next((rule for rule in run.policy.ordered if rule.name == row["rule"]), None) if run.policy else None
    return rule.measures[0].label if rule and rule.measures else str(model["target"])


def _print_words(console: Console, text: str, label: str, model: dict[str, Any], path: Path | None) -> None:
    """The words that weigh most, if the model that made the tags is here."""
    from classifiers.card import default_model  # here: they load the kernel
    from classifiers.explanation import token_shares
    from classifiers.score import FastTextScorer
    from jobs.explain import strongest_words

    scorer = FastTextScorer.open(path or default_model())
    if scorer.digest != model.get("digest"):
        console.print(f"words: the tags were made by another model ({model.get('name')}); name it with --model")
        return
    console.print(f"words that weigh most for {label}:", strongest_words(text, token_shares(scorer, text, label)))


@click.command()
@click.argument("id", metavar="ID")
@click.argument("folder", metavar="RUN")
@click.option("--model", type=MODEL, help="The model that made the tags. [default: the shipped one]")
def command(id: str, folder: str, model: Path | None) -> None:
    """Tell what happened to the document ID in RUN, the folder that apply wrote, and why.

    Shows the decision (action, rule, score, draw, weight), what each rule asked up to the one that decided and what the
    document answered, its spans of evidence, and the words that weigh most in its score.

    The tags and the shard are looked at where they were; what is gone is said and left out. Exit status 2: no
    document of that id was decided on (rejected records have no id: see the shard's report).
    """
    run, console = open_run(folder), Console(soft_wrap=True)
    found = run.decided(id)
    if not found:
        raise ValueError(f"{folder}: no document {id!r} among those decided on; ids are as in {folder}/decisions")
    if run.policy is None:
        console.print("the files that the policy names have changed since: its rules are not shown")
    for row in found:
        _print_document(console, run, row, model)


def _print_document(console: Console, run: Run, row: dict[str, Any], path: Path | None) -> None:
    console.print(f"{escape(row['id'])}: {escape(row['shard'])}, row {row['row']}", highlight=False)
    _print_decision(console, run, row)
    try:
        tags = run.tags_of(row)
    except (OSError, ValueError) as error:
        console.print(f"  its tags cannot be looked at: {escape(str(error))}")
        return
    if run.policy is not None:
        console.print(_rules_table(run.policy, tags, row["rule"]))
    url, model = tags.schema.metadata[b"tropescan.shard"].decode(), json.loads(tags.schema.metadata[b"tropescan.model"])
    text = None
    try:
        text = text_of(tags, url)
    except (OSError, ValueError) as error:
        console.print(f"  its text cannot be read: {escape(str(error))}")
    for line in _spans(tags, text):
        console.print(f"  evidence: {escape(line)}", highlight=False)
    if text:
        _print_words(console, text, _label(run, row, model), model, path)
