"""Files anywhere that fsspec reaches: opening, listing, and writing so that a name appears only when it is whole.

Knows neither formats nor what is written.
"""

from __future__ import annotations

import io
import os
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from fsspec.core import url_to_fs

TEMPORARY = ".unfinished-"
"""Prefix of files that are not whole yet; readers and listings leave them out."""
FILES_AT_ONCE = 1000
"""Small files held in memory together, and fewest that are worth a listing, which gives as many in one request."""


def is_local(url: str) -> bool:
    """A path, or a ``file://`` URL."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """The path of a local URL."""
    return Path(url.removeprefix("file://"))


def join(folder: str, *parts: str) -> str:
    """A file's URL below a folder's."""
    return "/".join([folder.rstrip("/") or "/", *parts])


def open_input(url: str) -> IO[bytes]:
    """Open for reading, seekable; raises `OSError` naming the file."""
    if is_local(url):
        return open(local_path(url), "rb")
    fs, path = filesystem(url)
    return fs.open(path, "rb", cache_type="readahead")  # type: ignore[no-any-return]


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system and the path in it; says which extra is missing when one is."""
    try:
        return url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        raise OSError(f"{url}: {error}; install the extra: pip install 'tropescan[remote]'") from error
    except ValueError as error:
        raise OSError(f"{url}: {error}") from error


def exists(url: str) -> bool:
    """Whether there is a file."""
    if is_local(url):
        return local_path(url).is_file()
    fs, path = filesystem(url)
    return bool(fs.isfile(path))


def read_bytes(url: str) -> bytes:
    """The whole of a small file."""
    with open_input(url) as file:
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
    new one. Remote files are written locally first and sent in one piece.
    """
    if is_local(url):
        with _renamed(local_path(url)) as file:
            yield file
        return
    with tempfile.TemporaryFile() as buffer:
        yield buffer
        buffer.seek(0)
        fs, path = filesystem(url)
        fs.makedirs(os.path.dirname(path), exist_ok=True)
        with fs.open(path, "wb") as target:
            while piece := buffer.read(io.DEFAULT_BUFFER_SIZE * 512):
                target.write(piece)


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
    """Delete what a killed run left half-written below a local folder; returns how many files."""
    if not is_local(folder):
        return 0
    left = [path for path in local_path(folder).rglob(f"{TEMPORARY}*") if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def list_files(url: str) -> list[tuple[str, int, str]]:
    """(URL, size, identity) of a file, of all files below a folder, or of a glob's matches, sorted by URL.

    Identity changes when the content does: modification time and size, or the store's own checksum.
    Hidden and unfinished files are left out. Raises `FileNotFoundError` when nothing matches.
    """
    fs, path = filesystem(os.path.abspath(local_path(url)) if is_local(url) else url)
    if fs.isfile(path):
        found = {path: fs.info(path)}
    elif any(sign in path for sign in "*?["):
        found = {p: i for p, i in fs.glob(path, detail=True).items() if i.get("type") != "directory"}
    else:
        found = fs.find(path, detail=True)
    files = [(fs.unstrip_protocol(p) if not is_local(url) else p, i) for p, i in found.items()]
    kept = [(p, int(i.get("size") or 0), _identity(i)) for p, i in files if not _hidden(p, path)]
    if not kept:
        raise FileNotFoundError(f"{url}: no such file, or a folder or pattern without files")
    return sorted(kept)


def _hidden(path: str, root: str) -> bool:
    below = path.removeprefix(root) if path != root else ""
    return any(part.startswith((".", "_")) for part in below.split("/"))


def _identity(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "checksum", "sha256", "md5Hash", "mtime", "LastModified", "last_modified", "updated"):
        if info.get(key):
            return f"{key}={info[key]} size={info.get('size')}"
    return f"size={info.get('size')}"
