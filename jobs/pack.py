"""``tropescan pack``: code and model in one zip that Spark hands to its executors. Knows neither Spark nor scans."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from importlib import resources
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources.abc import Traversable

import click

from pipeline import storage

PACKAGES = ("pipeline", "classifiers", "labels", "jobs")
SUBMIT = "spark_submit.py"
_LEFT_OUT = ("__pycache__", ".")
_TIME = (1980, 1, 1, 0, 0, 0)
"""The same code and model give the same zip, whenever it is made."""


def packed_files() -> Iterator[tuple[str, bytes]]:
    """Name and content of every file of the zip: our packages with their data, and the metadata with the version."""
    for package in PACKAGES:
        yield from _files_of(resources.files(package), package)
    try:
        found = distribution("tropescan")
        metadata = found.read_text("METADATA") or found.read_text("PKG-INFO")
        if metadata:
            yield f"tropescan-{found.version}.dist-info/METADATA", metadata.encode()
    except PackageNotFoundError:
        pass  # a checkout that is not installed has no version, in a zip as here


def _files_of(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        inside = f"{name}/{entry.name}"
        if entry.name.startswith(_LEFT_OUT) or entry.name.endswith(".jsonl"):  # labels are for training only
            continue
        if entry.is_dir():
            yield from _files_of(entry, inside)
        else:
            yield inside, entry.read_bytes()


def pack() -> bytes:
    """The zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in packed_files():
            file.writestr(zipfile.ZipInfo(name, _TIME), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@click.command()
@click.option("--out", default="tropescan-pyfiles.zip", show_default=True, metavar="FILE", help="The zip.")
def command(out: str) -> None:
    """Pack tropescan's code and model into a zip for Spark's --py-files.

    Beside the zip goes spark_submit.py, the script for spark-submit:

    \b
    tropescan pack --out tropescan-pyfiles.zip
    spark-submit --master yarn --py-files tropescan-pyfiles.zip spark_submit.py \\
        scan s3://bucket/crawl/ --out s3://bucket/scanned --engine spark

    The zip holds no dependencies (numba, pyarrow, fastwarc and others): where the executors lack these, send an
    environment, too. It must be made on the executors' kind of system, and bring its own Python where theirs is not
    3.11 to 3.13. In the checkout:

    \b
    conda create --yes --prefix env python=3.11
    env/bin/pip install '.[remote]' conda-pack
    env/bin/conda-pack --prefix env --output tropescan-env.tar.gz
    PYSPARK_PYTHON=./environment/bin/python spark-submit --archives tropescan-env.tar.gz#environment ...

    An environment with tropescan itself makes the zip needless. docs/engines-spark.md has more.
    """
    if not out.endswith(".zip"):
        raise click.UsageError(f"--out {out}: Spark takes only names that end with .zip (a wheel is refused)")
    content = pack()
    with storage.whole_file(out) as file:
        file.write(content)
    script = storage.join(out.rpartition("/")[0] or ".", SUBMIT)
    with storage.whole_file(script) as file:
        file.write(resources.files("jobs").joinpath(SUBMIT).read_bytes())
    click.echo(f"{out}: {len(content) / 1e6:.1f} MB of code and model; script for spark-submit: {script}")
