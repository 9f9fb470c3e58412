"""What the label commands share: where the store is, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from labels.store import Store, open_store

store_option: Callable[[Any], Any] = click.option(
    "--store",
    "place",
    required=True,
    envvar="TROPESCAN_STORE",
    show_envvar=True,
    metavar="PATH|URL",
    help="The label store: a file (SQLite, made if it is not there) or a postgresql:// URL.",
)
keep_option: Callable[[Any], Any] = click.option(
    "--keep",
    type=click.Choice(("text", "pointer")),
    default="text",
    show_default=True,
    help="Keep each text in the store, or only its digest and where it stands in the shard.",
)


@contextmanager
def opened(place: str) -> Iterator[Store]:
    """The store, closed at the end."""
    store = open_store(place)
    try:
        yield store
    finally:
        store.close()
