"""``tropescan audit``: how common a label is, and how sure that is. Gathers the steps of an audit."""

from __future__ import annotations

import click

from jobs.lazy_group import LazyGroup

COMMANDS = {
    "plan": "jobs.audit_plan",
    "draw": "jobs.audit_draw",
    "recheck": "jobs.audit_recheck",
    "estimate": "jobs.audit_estimate",
    "model-based": "jobs.audit_model_based",
}


@click.command(cls=LazyGroup, modules=COMMANDS, needs="audits need the extra: pip install 'tropescan[labels]'")
def command() -> None:
    """Measure how common a label is in what was scanned: plan, draw, label, estimate.

    A flag rate is not a prevalence. An audit reads a random sample of documents by a design that is fixed beforehand,
    and gives estimates with intervals that hold when positives are rare, however bad the classifier is.

    \b
      tropescan audit plan scanned --budget 2000 --expect 0.001 --out plan.json   what 2,000 labels will tell
      tropescan audit draw scanned --plan plan.json --store labels.sqlite --name a1
      (label the draw: people, a language model, or an import)
      tropescan audit estimate scanned --store labels.sqlite --draw a1 --by month

    'model-based' estimates without an audit, under an assumption.
    """
