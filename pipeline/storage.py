"""Files anywhere that fsspec reaches: opening, listing, and writing so that a name appears only when it is whole.

Knows neither formats nor what is written.
"""

from __future__ import annotations

import errno
import io
import os
import re
import tempfile
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from pipeline.remote import explain, explained, options_of

TEMPORARY = ".unfinished-"
"""Prefix of files that are not whole yet; readers and listings leave them out."""
HIDDEN = (".", "_")
RECURSIVE = "**"
_NO_UNICODE = re.compile(r"\\u(dc[89a-f][0-9a-f])")
WILDCARD = re.compile(r"[*?\[]")
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FILES_AT_ONCE = 1000
"""Small files held in memory together, and fewest that are worth a listing, which gives as many in one request."""


def is_local(url: str) -> bool:
    """A path, or a ``file://`` URL."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """The path of a local URL; in one that begins with ``file://``, percent-encoding is undone."""
    return Path(unquote(url.removeprefix("file://"))) if url.startswith("file://") else Path(url)


def real_path(url: str) -> Path:
    """The path of a local URL without links; of a link that leads to itself the link, where `Path.resolve` raises."""
    return Path(os.path.realpath(local_path(url)))


def in_unicode(url: str) -> str:
    """The URL as metadata, which must be Unicode, hold it: other bytes of file names as ``\\udcff`` (`as_named`)."""
    return url.encode("utf-8", "backslashreplace").decode()


def as_named(written: str) -> str:
    """The URL that `in_unicode` was given."""
    return _NO_UNICODE.sub(lambda found: chr(int(found[1], 16)), written)


def join(folder: str, *parts: str) -> str:
    """A file's URL below a folder's."""
    return "/".join([folder.rstrip("/") or "/", *parts])


def below(folder: str, url: str) -> str:
    """A file's path below a folder, whichever way the store writes both."""
    (_, root), (_, path) = filesystem(folder), filesystem(url)
    return str(path).removeprefix(root.rstrip("/") + "/")


def open_input(url: str) -> IO[bytes]:
    """Open for reading, seekable; raises `OSError` naming the file, also of a pipe, which would be waited for."""
    if is_local(url):
        if local_path(url).is_fifo():
            raise OSError(f"{url}: a pipe, which cannot be read a second time; write a file and give that")
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
        if error.errno is None or error.filename is not None:
            raise  # of what the block reads or writes elsewhere, and it says so
        hint = " (the output folder's disk is full)" if error.errno in NO_SPACE else ""
        raise OSError(error.errno, f"{error.strerror or error}{hint}", str(path)) from error
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
    A folder that a pattern matches stands for all files below it. On this machine, links to folders are followed, and
    each folder is read once.
    Raises `FileNotFoundError` when nothing matches, `OSError` if the store, or a folder on the way, cannot be read.
    """
    fs, path = filesystem(url)
    with nullcontext() if is_local(url) else explained(url):
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
        if info["type"] in ("file", "other") and not path.endswith("/"):
            return {path: info}
        return _below(fs, path)
    fixed, pattern = _split_pattern(fs, path)
    found: dict[str, dict[str, Any]] = {}
    for match, info in _matches(fs, fixed, pattern).items():
        if _is_hidden(match.removeprefix(fixed), pattern):
            continue
        if info.get("type") != "directory":
            found[match] = info
        elif RECURSIVE not in pattern:  # a recursive one names what is below by itself
            found |= _below(fs, match)
    return found


def named_by(given: str, urls: Collection[str]) -> set[str]:
    """Which of the files of `list_files` a pattern names itself, as a shell would, not by a folder that it matches;
    none for a folder or a pattern with ``**``."""
    fs, path = filesystem(given)
    if RECURSIVE in path or not WILDCARD.search(path) or fs.exists(path):
        return set()
    depth = path.rstrip("/").count("/")
    return {url for url in urls if filesystem(url)[1].count("/") == depth}


def _below(fs: Any, folder: str) -> dict[str, dict[str, Any]]:
    """Files below a folder by path, without hidden ones."""
    if _is_on_disk(fs):
        return {path: _info(fs, path) for path in _walk(folder)}
    return {p: i for p, i in fs.find(folder, detail=True).items() if not _is_hidden(p.removeprefix(folder), "")}


def _is_on_disk(fs: Any) -> bool:
    return isinstance(fs, LocalFileSystem)


def _walk(root: str, *, hidden: bool = False) -> Iterator[str]:
    """Paths of all that is no folder below a folder of this machine, sorted within each. Links to folders are followed
    after all others, so that a folder that is reached twice has the name without a link, and none goes round."""
    seen: set[str] = set()
    folders, links = [root.rstrip("/") or "/"], list[str]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(folder):
            if entry.name.startswith(TEMPORARY if hidden else HIDDEN):
                continue
            if _is_folder(entry):
                (links if entry.is_symlink() else folders).append(entry.path)
            else:
                yield entry.path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """As `os.path.isdir`, which is slower: a link that leads to itself, or where nobody may look, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError as error:
        todo = "make it readable, or give the others by a pattern or by name"
        raise PermissionError(f"{folder}: the folder cannot be read; {todo}") from error


def _matches(fs: Any, fixed: str, pattern: str) -> dict[str, dict[str, Any]]:
    """Files and folders that a pattern below some folder matches."""
    whole = WILDCARD.sub(r"[\g<0>]", fixed) + pattern
    if not _is_on_disk(fs):
        return fs.glob(whole, detail=True)  # type: ignore[no-any-return]
    if RECURSIVE in pattern:
        shape = re.compile(glob_translate(whole))
        paths: Iterable[str] = (path for path in _walk(fixed, hidden=True) if shape.match(path))
    else:
        paths = glob(whole, include_hidden=True)
    return {path: _info(fs, path) for path in paths}


def _info(fs: Any, path: str) -> dict[str, Any]:
    """As fsspec's, but a link to a folder is a folder, and one that leads nowhere a file, which cannot be read."""
    try:
        return {**fs.info(path), **({"type": "directory"} if os.path.isdir(path) else {})}
    except OSError:
        return {"type": "file", "size": 0}


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
