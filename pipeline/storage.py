"""Files anywhere that fsspec reaches: opening, listing, and writing so that a name appears only when it is whole.

Knows neither formats nor what is written.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from fsspec.core import url_to_fs

from pipeline.remote import explain, explained, options_of

TEMPORARY = ".unfinished-"
"""Prefix of files that are not whole yet; readers and listings leave them out."""
HIDDEN = (".", "_")
WILDCARD = re.compile(r"[*?\[]")
FILES_AT_ONCE = 1000
"""Small files held in memory together, and fewest that are worth a listing, which gives as many in one request."""


def is_local(url: str) -> bool:
    """A path, or a ``file://`` URL."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """The path of a local URL; in one that begins with ``file://``, percent-encoding is undone."""
    return Path(unquote(url.removeprefix("file://"))) if url.startswith("file://") else Path(url)


def join(folder: str, *parts: str) -> str:
    """A file's URL below a folder's."""
    return "/".join([folder.rstrip("/") or "/", *parts])


def below(folder: str, url: str) -> str:
    """A file's path below a folder, whichever way the store writes both."""
    (_, root), (_, path) = filesystem(folder), filesystem(url)
    return str(path).removeprefix(root.rstrip("/") + "/")


def open_input(url: str) -> IO[bytes]:
    """Open for reading, seekable; raises `OSError` naming the file."""
    if is_local(url):
        return open(local_path(url), "rb")
    fs, path = filesystem(url)
    with explained(url):
        return fs.open(path, "rb", cache_type="readahead")  # type: ignore[no-any-return]


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system and the path in it; says which extra is missing when one is."""
    if is_local(url):
        return url_to_fs(os.path.abspath(local_path(url)))  # type: ignore[no-any-return]
    try:
        return url_to_fs(url, **options_of(url))  # type: ignore[no-any-return]
    except ImportError as error:
        raise OSError(f"{url}: {error}; install the extra: pip install 'tropescan[remote]'") from error
    except ValueError as error:
        raise OSError(f"{url}: {error}") from error
    except Exception as error:
        raise explain(url, error) from error


def exists(url: str) -> bool:
    """Whether there is a file."""
    if is_local(url):
        return local_path(url).is_file()
    fs, path = filesystem(url)
    try:
        with explained(url):
            return fs.info(path)["type"] == "file"  # type: ignore[no-any-return]
    except FileNotFoundError:
        return False


def read_bytes(url: str) -> bytes:
    """The whole of a small file."""
    with open_input(url) as file, explained(url):
        return file.read()


def read_files(urls: Sequence[str]) -> Iterator[bytes | None]:
    """The whole of each of many small files, None where there is none. A store is asked for many at once: one after
    the other, 100,000 take an hour."""
    for start in range(0, len(urls), FILES_AT_ONCE):
        part = urls[start : start + FILES_AT_ONCE]
        if all(map(is_local, part)):
            yield from map(_read_if_there, part)
            continue
        paths = [filesystem(url)[1] for url in part]
        found = filesystem(part[0])[0].cat(paths, on_error="return")
        for url, path in zip(part, paths, strict=True):
            if isinstance(found[path], Exception) and not isinstance(found[path], FileNotFoundError):
                raise OSError(f"{url}: {found[path]}") from found[path]
            yield None if isinstance(found[path], Exception) else found[path]


def _read_if_there(url: str) -> bytes | None:
    try:
        return read_bytes(url)
    except FileNotFoundError:
        return None


def existing(urls: Collection[str]) -> set[str]:
    """Which of these files are there; many of a store are looked for in one listing of the folder that has them all."""
    if len(urls) < FILES_AT_ONCE or all(map(is_local, urls)):
        return {url for url in urls if exists(url)}
    fs, paths = filesystem(next(iter(urls)))[0], {filesystem(url)[1]: url for url in urls}
    fs.invalidate_cache()  # other processes write there
    found = fs.find(os.path.commonpath(list(paths)))
    return {paths[path] for path in paths.keys() & set(found)}


@contextmanager
def whole_file(url: str) -> Iterator[IO[bytes]]:
    """Write a file that gets its name only when the block ends without an exception.

    Local files are renamed on the same disk after a sync, so a kill at any moment leaves the old file or the
    new one. Remote files are written locally first and sent in one piece. Raises `OSError` if that fails, at once
    where the store can only be read.
    """
    check_writable(url)
    if is_local(url):
        with _renamed(local_path(url)) as file:
            yield file
        return
    with tempfile.TemporaryFile() as buffer:
        yield buffer
        buffer.seek(0)
        fs, path = filesystem(url)
        with explained(url):
            fs.makedirs(os.path.dirname(path), exist_ok=True)
            with fs.open(path, "wb") as target:
                while piece := buffer.read(io.DEFAULT_BUFFER_SIZE * 512):
                    target.write(piece)


def check_writable(url: str) -> None:
    """Raises `OSError` for a URL of a kind that nothing can be written to."""
    if url.startswith(("http://", "https://")):
        raise OSError(f"{url}: over HTTP files can only be read; name a folder, or a store as s3://, gs:// or hf://")


@contextmanager
def _renamed(path: Path) -> Iterator[IO[bytes]]:
    path = Path(os.path.realpath(path))  # through a symbolic link, not over it
    if path.exists() and not path.is_file():
        raise FileExistsError(f"{path}: there is a folder or device of that name; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{TEMPORARY}{path.name}-{uuid.uuid4().hex[:12]}")
    try:
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(
            error.errno, f"{error.strerror or error} (the output folder's disk may be full)", str(path)
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(folder: str) -> int:
    """Delete what a killed run left half-written below a local folder; returns how many files.

    Raises `OSError` if the folder is of a kind that nothing can be written to.
    """
    check_writable(folder)
    if not is_local(folder):
        return 0
    left = [path for path in local_path(folder).rglob(f"{TEMPORARY}*") if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def list_files(url: str) -> list[tuple[str, int, str]]:
    """(URL, size, identity) of a file, of all files below a folder, or of a glob's matches, sorted by URL.

    Identity changes when the content does: modification time and size, or the store's own checksum.
    Files that are hidden (by a name or a folder that begins with ``.`` or ``_``) below the folder or the pattern's
    fixed part are left out, unless the pattern names them. A name with ``[``, ``?`` or ``*`` that exists is a name.
    Raises `FileNotFoundError` when nothing matches, `OSError` if the store cannot be read.
    """
    fs, path = filesystem(url)
    with explained(url):
        found = _found(fs, path)
    if not found:
        raise FileNotFoundError(f"{url}: no such file, or a folder or pattern without files")
    named = (lambda p: p) if is_local(url) else fs.unstrip_protocol
    return sorted((named(p), int(info.get("size") or 0), _identity(info)) for p, info in found.items())


def _found(fs: Any, path: str) -> dict[str, dict[str, Any]]:
    """Files by path."""
    try:
        info = fs.info(path)
    except FileNotFoundError as error:
        if not isinstance(explain(path, error), FileNotFoundError) or not WILDCARD.search(path):
            raise
    else:
        if info["type"] == "file" and not path.endswith("/"):
            return {path: info}
        return {p: i for p, i in fs.find(path, detail=True).items() if not _is_hidden(p.removeprefix(path), "")}
    fixed, pattern = _split_pattern(fs, path)
    found = fs.glob(WILDCARD.sub(r"[\g<0>]", fixed) + pattern, detail=True)
    return {
        p: info for p, info in found.items()
        if info.get("type") != "directory" and not _is_hidden(p.removeprefix(fixed), pattern)
    }  # fmt: skip


def _split_pattern(fs: Any, path: str) -> tuple[str, str]:
    """The folders in front of a pattern, whatever signs their names have, with a slash behind, and the rest."""
    parts = path.split("/")
    n = next(i for i, part in enumerate(parts) if WILDCARD.search(part))
    while n < len(parts) - 1 and WILDCARD.search(parts[n]) and fs.exists("/".join(parts[: n + 1])):
        n += 1
    return "/".join([*parts[:n], ""]), "/".join(parts[n:])


def _is_hidden(below: str, pattern: str) -> bool:
    """Whether a path has a hidden part that no part of the pattern asks for."""
    asked = [part for part in pattern.split("/") if part.startswith(HIDDEN)]
    hidden = [part for part in below.split("/") if part.startswith(HIDDEN)]
    return any(part.startswith(TEMPORARY) or not any(fnmatchcase(part, a) for a in asked) for part in hidden)


def _identity(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "checksum", "sha256", "md5Hash", "mtime", "LastModified", "last_modified", "updated"):
        if info.get(key):
            return f"{key}={info[key]} size={info.get('size')}"
    return f"size={info.get('size')}"
