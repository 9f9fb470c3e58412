"""``tropescan policy target``: composes goals, counted tags and weights; holds no arithmetic of its own."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from classifiers.calibration import Calibration
from jobs.local import available_cores
from jobs.tag_counting import counted, is_small
from pipeline.report.folder import TagsFolder, open_folder
from pipeline.report.tables import DuckTables
from pipeline.reweight.cells import MOST_CELLS
from pipeline.reweight.goals import read_goals
from pipeline.reweight.target import Probability, measure_of, target
from pipeline.reweight.weights import save_weights


def calibrations(folder: TagsFolder) -> dict[str, Probability]:
    """For each label that the model of the tags has a calibration of, the map from scores to probabilities."""
    known = folder.model.get("calibration") or {}
    return {label: Calibration(**values).probability for label, values in known.items()}


def _print(found: dict[str, Any]) -> None:
    console, unit = Console(highlight=False), found["unit"]
    table = Table("goal", "today", "reached", "wanted", box=None)
    for goal in found["goals"]:
        wanted = [f">= {goal['at_least']:g}"] if goal["at_least"] is not None else []
        wanted += [f"<= {goal['at_most']:g}"] if goal["at_most"] is not None else []
        table.add_row(goal["goal"], _number(goal["today"]), _number(goal["reached"]), " ".join(wanted))
    console.print(table)
    table = Table("", "words before", "after", "documents before", "after", box=None)
    for name, parts in {"all": found["corpus"], **found["labels"]}.items():
        table.add_row(name, *(_amount(parts[u][end]) for u in ("words", "documents") for end in ("before", "after")))
    console.print(table)
    table = Table("held", "categories", "total variation", "moved most", "by", "tolerance", box=None)
    for by, one in found["margins"].items():
        moved = f"{one['moved_by']:+.3%}"
        table.add_row(by, str(one["categories"]), f"{one['total_variation']:.3%}", one["moved_most"], moved,
                      f"{one['tolerance']:.3%}")  # fmt: skip
    console.print(table)
    console.print(
        f"effective sample size {found['effective_documents']:,.0f} documents ({found['effective_share']:.1%}); "
        f"weights {found['smallest_weight']:.4g} to {found['largest_weight']:.4g}; Kullback-Leibler distance "
        f"{found['divergence']:.4g} nats of {unit}"
    )


def _amount(value: float) -> str:
    """Of words or documents, which need not be whole."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


@click.command("target")
@click.argument("goals_file", metavar="GOALS.toml")
@click.argument("folder", metavar="DIR")
@click.option("--out", metavar="FILE", default="weights.json", show_default=True, help="The weights, for a policy.")
@click.option("--cells", type=click.IntRange(1), default=MOST_CELLS, show_default=True,
              help="Cells to keep at most: bounds memory. With more, small categories join the others.")  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1), help="Processes that count. [default: as many as cores; 1 for few documents]"
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def command(goals_file: str, folder: str, out: str, cells: int, workers: int | None, as_json: bool) -> None:
    """Find the weights that bring the corpus whose tags are in DIR to the goals, and distort it least.

    Weights of least Kullback-Leibler distance from equal ones (raking, entropy balancing), in two streaming passes over
    tags; memory does not grow with them. GOALS.toml says what labels should hold, in multiples of today's words, as
    a share of all, or as a ratio of two; what is held, within which tolerance; and the largest and smallest weight:

    \b
      cap = 10
      [[goal]]
      label = "adverse"
      at_most = 0.1
      [[goal]]
      label = "admirable"
      per = "adverse"
      at_least = 2
      [hold]
      total = 0
      domain = 0.05
      length = 0.05

    A goal can be of a topic instead of a label, and topics held, of tags made with 'scan --topics'.

    A document counts as holding a label from the model's threshold on (for other labels than its target 0.5, unless
    [thresholds] names one); with count = "probability" by its calibrated probability. If no weights reach the
    goals, nothing is written: the message says which goal is missed, by how much, and what stands in the way.
    """
    goals = read_goals(goals_file)
    with closing(DuckTables(folder)) as tables:
        opened = open_folder(folder, tables)
    measure = measure_of(goals, opened.model, calibrations(opened))
    whole = counted(opened.files, measure, cells, workers or (1 if is_small(opened) else available_cores()))
    weights = target(whole.finish(), goals, str(opened.model.get("digest", "")), opened.topic_digest)
    save_weights(weights, out)
    if as_json:
        click.echo(json.dumps(weights.about, allow_nan=False))
    else:
        _print(weights.about)
    if weights.about["halvings"]:
        click.echo(
            f"note: categories were halved {weights.about['halvings']} times to keep to {cells:,} cells", err=True
        )
    click.echo(f"weights in {out}", err=True)
