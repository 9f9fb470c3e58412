"""What the HTML extractors keep of a page's text, and what of the rest they take for it.

The pages are those of the mini crawl, whose text is known without any extractor: ``python -m tests.bench.extraction``
prints word recall (of the text before the comments) and precision (of the text with its comments: whether these belong
is a matter of taste), means over pages with intervals by resampling sites. The pages are ours, their sites of nine
kinds, and no measure of the web.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.readers.extract import html_to_text
from pipeline.tasks import EXTRACTORS, ReadOptions
from tests.minicrawl.pages import Page, plain_text, read_pages
from tests.minicrawl.sites import html_page

RESAMPLES = 2000


def words(text: str) -> Counter[str]:
    """How often each word stands in a text, without regard to case and order."""
    return Counter(re.findall(r"\w+", text.lower()))


def kept(page: Page, pages: Sequence[Page], options: ReadOptions) -> tuple[float, float, float]:
    """Recall, precision and their harmonic mean of an extractor on a page, by words."""
    found = words(html_to_text(html_page(page, [p for p in pages if p.host == page.host], "utf-8"), options))
    main, whole = words(plain_text(page.main)), words(page.title) | words(page.plain)
    recall = (found & main).total() / max(1, main.total())
    precision = (found & whole).total() / max(1, found.total())
    return recall, precision, 2 * recall * precision / max(1e-9, recall + precision)


def by_sites(values: NDArray[np.float64], sites: Sequence[str], seed: int = 0) -> tuple[float, float, float]:
    """Mean over pages, and the 95 % interval by resampling whole sites."""
    random, names = np.random.default_rng(seed), sorted(set(sites))
    of = {name: np.flatnonzero(np.array(sites) == name) for name in names}
    means = [
        values[np.concatenate([of[name] for name in random.choice(names, len(names))])].mean() for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def main() -> None:
    """Print the table."""
    pages = read_pages()
    table = Table("extractor", "word recall", "word precision", "harmonic mean", box=None)
    for name in EXTRACTORS:
        options = ReadOptions(extractor=name)
        values = np.array([kept(page, pages, options) for page in pages])
        figures = [by_sites(values[:, k], [page.host for page in pages]) for k in range(3)]
        table.add_row(name, *(f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in figures))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
