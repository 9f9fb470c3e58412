"""``tropescan policy preview``: composes figures and page; holds no query and no markup of its own."""

from __future__ import annotations

import click

from jobs.options import PROBABILITY
from jobs.report import write_text
from labels.codebook import MODES
from pipeline.report.preview import MOST_SAMPLED, PreviewOptions, preview
from pipeline.report.preview_page import render_preview


@click.command("preview")
@click.argument("folder", metavar="DIR")
@click.option("--out", metavar="FILE", default="preview.html", show_default=True,
              help="The page, HTML; - for standard output.")  # fmt: skip
@click.option("--label", metavar="NAME", help="The label that is dropped or lowered. [default: the scan's]")
@click.option("--threshold", type=PROBABILITY, help="Score from which a document holds it. [default: the scan's]")
@click.option("--raise", "raised", metavar="NAME", default="admirable", show_default=True, help="The label to raise.")
@click.option("--raise-threshold", type=PROBABILITY,
              help="Score from which a document holds that. [default: the model's for evidence, else 0.5]")  # fmt: skip
@click.option("--sample", type=click.IntRange(1, MOST_SAMPLED), default=20_000, show_default=True,
              help="Documents in the page, for the sliders.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="Another seed draws other documents.")
def command(
    folder: str, out: str, label: str | None, threshold: float | None, raised: str, raise_threshold: float | None,
    sample: int, seed: int,
) -> None:  # fmt: skip
    """Make a page with sliders for thresholds and strengths, and the consequences drawn live, from the tags in DIR.

    Drop threshold, share kept, strength of lowering and of raising: documents and words lost, by mode, domain and topic
    (where tags have it), words of either label and their ratio, effective sample size. The page works offline, loads
    nothing, and holds a random sample of tags, no text. Without JavaScript it still has exact tables at a grid of
    thresholds.
    """
    found = preview(folder, PreviewOptions(label, raised, threshold, raise_threshold, MODES, "ai", sample, seed))
    write_text(render_preview(found), out)
    for note in found["notes"]:
        click.echo(f"note: {note}", err=True)
    if out != "-":
        click.echo(f"page in {out}, with {len(found['sample']['words']):,} documents", err=True)
