"""Rows of the second stage: a scan with it beside the same scan without, on documents in the shares that the web has.

Ordinary pages, 2 % about AI and 1 in 1,000 adverse (`jobs.measure.WEB`), all of held-out sources, which neither stage
was trained on; drawn with replacement, another draw for each pair. Both scans use the shipped model. HTML pages are
these texts as the mini crawl's sites would serve them, smaller than pages of the web: a scan of the latter takes
longer, so that reading again weighs less.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from classifiers.rescoring import ABOVE
from jobs.measure import WEB
from jobs.scan import make_job
from jobs.training_data import load_training_data
from pipeline.scan import plan_scan
from pipeline.tag import ScanJob, tag_shard
from pipeline.tasks import ReadOptions, ShardTask
from tests.bench.corpus import DATE
from tests.bench.ratios import alternate, seconds
from tests.bench.rows import Measured, MissingInputError, Row, Setting, measured
from tests.bench.texts import CORPUS
from tests.minicrawl.pages import Page
from tests.minicrawl.records import conversion, exchange, gzip_members, warcinfo
from tests.minicrawl.sites import SITES, html_page

LABELS = Path(__file__).parents[2] / "labels"
DOCUMENTS = 10_000
"""In a shard."""
LOWER = 0.1
SUFFIXES = {"wet": ".warc.wet.gz", "html": ".warc.gz"}


@lru_cache(maxsize=1)
def pools() -> dict[str, list[str]]:
    """Texts of held-out sources by kind: adverse, otherwise about AI, ordinary. Raises `MissingInputError`."""
    if not CORPUS.is_dir():
        raise MissingInputError(f"{CORPUS}: no such folder; it holds the texts that labels/real points to")
    folders = [str(CORPUS)]
    data = load_training_data([str(LABELS / "seed"), str(LABELS / "real")], folders, folders)
    real = [(one.text, one.record.labels) for one in data.held_out(synthetic=False)]
    return {
        "adverse": [text for text, holds in real if holds["adverse"]],
        "about-ai": [text for text, holds in real if holds["ai"] and not holds["adverse"]],
        "ordinary": [text for _, text in data.background_of(held_out=True)],
    }


def draw(i: int, found: dict[str, list[str]], n: int = DOCUMENTS) -> list[tuple[str, str]]:
    """(kind, text) of the ``n`` documents of shard ``i``, in random order."""
    random = np.random.default_rng(i)
    adverse, about_ai = round(WEB["adverse"] * n), round(WEB["ai"] * n)
    sizes = {"adverse": adverse, "about-ai": about_ai - adverse, "ordinary": n - about_ai}
    drawn = [(kind, found[kind][k]) for kind, m in sizes.items() for k in random.integers(0, len(found[kind]), m)]
    return [drawn[k] for k in random.permutation(len(drawn))]


def _records(format: str, documents: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """As a crawl has them; the first part of a URL's path is the kind."""
    yield warcinfo(DATE)
    hosts = sorted(SITES)
    for k, (kind, text) in enumerate(documents):
        page = Page(hosts[k % len(hosts)], f"/{kind}/{k}", DATE[:10], "en", f"Number {k}", (), text)
        if format == "wet":
            yield conversion(page.url, DATE, text, "eng")
        else:
            body = html_page(page, [], "utf-8").encode("utf-8", "replace")
            yield from exchange(page.url, DATE, "200 OK", {"Content-Type": "text/html; charset=utf-8"}, body)


def shards(folder: Path, format: str, drawn: Iterable[Sequence[tuple[str, str]]]) -> list[ShardTask]:
    """A shard of each draw, written anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for i, documents in enumerate(drawn):
        (folder / f"part-{i:05d}{SUFFIXES[format]}").write_bytes(gzip_members(_records(format, documents)))
    return [plan_scan([str(path)])[0] for path in sorted(folder.iterdir())]


def scan_job(out: Path, rescorer: Path | None, above: float = ABOVE) -> ScanJob:
    """The job of ``tropescan scan`` with the shipped model."""
    shutil.rmtree(out, ignore_errors=True)
    return make_job(
        str(out), None, window=128, stride=64, label=None, threshold=None, span_threshold=None, strict=False,
        options=ReadOptions(), rescorer=rescorer, rescore_above=above,
    )  # fmt: skip


def read_again(job: ScanJob, tasks: Sequence[ShardTask]) -> tuple[Counter[str], Counter[str]]:
    """Documents of each kind, and those of them that the second stage read, from a scan's tags."""
    every, read = Counter[str](), Counter[str]()
    for task in tasks:
        tags = pq.read_table(job.tags_url(task), columns=["url", f"{job.rescored[0]}_rescored"])
        kinds = [url.split("/")[3] for url in tags.column(0).to_pylist()]
        every.update(kinds)
        read.update(kind for kind, score in zip(kinds, tags.column(1).to_pylist(), strict=True) if score is not None)
    return every, read


def scan_with_and_without(setting: Setting, *, format: str, above: float) -> Measured:
    """A shard a pair."""
    if setting.rescorer is None:
        raise MissingInputError("no second stage is given: --rescorer FILE, made by 'tropescan rescorer train'")
    folder = setting.out / "rescoring"
    tasks = shards(folder / format, format, (draw(i, pools()) for i in range(setting.pairs)))
    ours, theirs = scan_job(folder / "with", setting.rescorer, above), scan_job(folder / "without", None)
    pairs = alternate(
        lambda i: seconds(lambda: tag_shard(ours, tasks[i])),
        lambda i: seconds(lambda: tag_shard(theirs, tasks[i])),
        len(tasks),
    )
    every, read = read_again(ours, tasks)
    kinds = ", ".join(f"{read[kind]:,} of {n:,} {kind}" for kind, n in sorted(every.items()))
    extra = sum(pair.ours - pair.theirs for pair in pairs) / max(1, read.total())
    note = f"read again: {read.total():,} of {every.total():,} documents ({kinds}), {1e3 * extra:.1f} ms each"
    return measured(pairs, [DOCUMENTS] * len(pairs), scale=1, unit="documents/s", note=note)


ROWS = tuple(
    Row(
        f"rescore-{format}{'' if above == ABOVE else '-lower'}",
        f"scan --rescore of {format.upper()}, from {above:g} on",
        "the same without",
        0.5,
        partial(scan_with_and_without, format=format, above=above),
    )
    for format in SUFFIXES
    for above in (ABOVE, LOWER)
)
