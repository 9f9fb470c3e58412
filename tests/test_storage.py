"""A name appears only when its file is whole, locally and remotely."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import fsspec
import pytest

from pipeline import storage

ROOT = Path(__file__).parent.parent


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    url = str(tmp_path / "a.txt")
    with storage.whole_file(url) as file:
        file.write(b"old")
    with pytest.raises(RuntimeError), storage.whole_file(url) as file:
        file.write(b"new")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert storage.read_bytes(url) == b"old"


def test_a_kill_leaves_no_final_name_and_its_rest_can_be_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pipeline import storage\n"
        "with storage.whole_file(sys.argv[1]) as file:\n"
        "    file.write(b'x' * 100); file.flush(); os.kill(os.getpid(), 9)\n"
    )
    target = tmp_path / "sub" / "a.bin"
    done = subprocess.run([sys.executable, "-c", code, str(target)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(list(target.parent.iterdir())) == 1
    assert storage.remove_unfinished(str(tmp_path)) == 1
    assert list(target.parent.iterdir()) == []


def test_remote_files_are_written_in_one_piece_and_listed() -> None:
    with storage.whole_file("memory://storage-test/x/a.bin") as file:
        file.write(b"12345")
    with pytest.raises(RuntimeError), storage.whole_file("memory://storage-test/x/b.bin") as file:
        file.write(b"1")
        raise RuntimeError
    listed = storage.list_files("memory://storage-test/x")
    assert [(url, size) for url, size, _ in listed] == [("memory:///storage-test/x/a.bin", 5)]
    with storage.open_input(listed[0][0]) as file:
        assert file.read() == b"12345"
    fsspec.filesystem("memory").rm("/storage-test", recursive=True)


def test_listing_leaves_out_hidden_files_and_sees_changes(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", ".hidden", "_SUCCESS", f"{storage.TEMPORARY}c"):
        (tmp_path / name).write_bytes(b"x")
    before = storage.list_files(str(tmp_path))
    assert [Path(url).name for url, _, _ in before] == ["a.jsonl", "b.jsonl"]
    os.utime(tmp_path / "a.jsonl", (1, 1))
    after = storage.list_files(str(tmp_path))
    assert before[0][2] != after[0][2] and before[1] == after[1]
    assert [Path(url).name for url, _, _ in storage.list_files(str(tmp_path / "a*"))] == ["a.jsonl"]


def listed(url: str) -> list[str]:
    return [url.rpartition("/")[2] for url, _, _ in storage.list_files(url)]


@pytest.mark.parametrize("folder", [".cache/_hub", "we[i]rd", "a*b", "what?", "[", "per%20cent", "sp ace"])
def test_folders_of_any_name_on_the_way(tmp_path: Path, folder: str) -> None:
    below = tmp_path / folder / "data"
    (below / ".git").mkdir(parents=True)
    for name in ("a.jsonl", "b.jsonl", ".c.jsonl", "_d.jsonl", ".git/e.jsonl"):
        (below / name).write_bytes(b"x")
    for parent in (below, below.parent, f"{below}/", below / "*.jsonl", below / "[ab].jsonl", f"{below.parent}/**"):
        assert listed(str(parent)) == ["a.jsonl", "b.jsonl"], parent
    assert listed(str(below / "a.jsonl")) == ["a.jsonl"]
    assert listed(f"file://{quote(str(below))}") == ["a.jsonl", "b.jsonl"]
    with storage.open_input(f"file://{quote(str(below / 'a.jsonl'))}") as file:
        assert file.read() == b"x"


def test_hidden_files_that_are_named_are_meant(tmp_path: Path) -> None:
    for name in ("_p1.jsonl", "_p2.jsonl", ".hid/a.jsonl", ".hid/.b.jsonl", "sub/.hid/c.jsonl", "sub/d.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert listed(str(tmp_path / "_p*.jsonl")) == ["_p1.jsonl", "_p2.jsonl"]
    assert listed(str(tmp_path / "_p1.jsonl")) == ["_p1.jsonl"]
    assert listed(str(tmp_path / ".hid")) == ["a.jsonl"]
    assert listed(str(tmp_path / ".h*" / "*.jsonl")) == ["a.jsonl"]
    assert listed(str(tmp_path / ".hid" / ".*")) == [".b.jsonl"]
    assert listed(str(tmp_path / "*" / ".hid" / "*")) == ["c.jsonl"]
    assert listed(str(tmp_path / "**" / "*.jsonl")) == ["d.jsonl"]
    assert listed(str(tmp_path)) == ["d.jsonl"]


def test_a_pattern_whose_signs_no_file_has_is_a_pattern(tmp_path: Path) -> None:
    for name in ("a1", "a2", "a[12]"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jsonl").write_bytes(b"x")
    assert listed(str(tmp_path / "a[12]")) == ["a[12].jsonl"]
    assert listed(str(tmp_path / "a[12]" / "*.jsonl")) == ["a[12].jsonl"]
    assert listed(str(tmp_path / "a[0-9]" / "*.jsonl")) == ["a1.jsonl", "a2.jsonl"]
    assert listed(str(tmp_path / "a*" / "*.jsonl")) == ["a1.jsonl", "a2.jsonl", "a[12].jsonl"]


def test_remote_folders_with_hidden_names_on_the_way() -> None:
    for name in ("a.jsonl", ".b.jsonl", "_c/d.jsonl"):
        with storage.whole_file(f"memory://.cache/_x/{name}") as file:
            file.write(b"1")
    assert listed("memory://.cache/_x") == ["a.jsonl"]
    assert listed("memory://.cache/_x/*.jsonl") == ["a.jsonl"]
    assert listed("memory://.cache/_*/_c/*") == ["d.jsonl"]
    fsspec.filesystem("memory").rm("/.cache", recursive=True)


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        storage.list_files(str(tmp_path / "nothing-here"))
    with pytest.raises(OSError, match="nosuchprotocol"):
        storage.filesystem("nosuchprotocol://bucket/x")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError("s3://crawl/a.jsonl: the server answered 500"), "s3://crawl/a.jsonl: the server answered 500"),
        (OSError(errno.EIO, "Input/output error", "/in/a.jsonl"), "[Errno 5] Input/output error: '/in/a.jsonl'"),
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error: '{}'"),
        (OSError(errno.ENOSPC, "No space left"), "[Errno 28] No space left (the output folder's disk is full): '{}'"),
    ],
)
def test_what_fails_to_be_read_is_not_blamed_on_the_output(tmp_path: Path, error: OSError, shown: str) -> None:
    path = tmp_path / "out.parquet"
    with pytest.raises(OSError) as caught, storage.whole_file(str(path)):
        raise error
    assert str(caught.value) == shown.format(path)


def test_links_to_folders_are_followed_once_and_never_round(tmp_path: Path) -> None:
    folder, far = tmp_path / "crawl", tmp_path / "far"
    for path in (folder / "z" / "a.jsonl", far / "b.jsonl", far / "deep" / "c.jsonl"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for link, to in (("a", folder / "z"), ("linked", far), ("round", folder), ("z/up", folder)):
        (folder / link).symlink_to(to)
    (folder / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (folder / "itself").symlink_to(folder / "itself")
    below = ["gone.jsonl", "itself", "linked/b.jsonl", "linked/deep/c.jsonl", "z/a.jsonl"]
    for given in (folder, f"{folder}/", f"{folder}/**"):
        found = [os.path.relpath(url, folder) for url, _, _ in storage.list_files(str(given))]
        assert found == below, given
    assert listed(str(folder / "i*")) == ["itself"]
    assert listed(str(folder / "link*" / "*.jsonl")) == ["b.jsonl"]
    assert listed(str(folder / "link*")) == ["b.jsonl", "c.jsonl"]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    for given in (tmp_path, tmp_path / "a.jsonl"):
        assert listed(str(given)) == ["a.jsonl"]
    with pytest.raises(OSError, match=r"a\.jsonl: a pipe, which cannot be read a second time"):
        storage.open_input(str(tmp_path / "a.jsonl"))


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "shut").mkdir()
    (tmp_path / "open" / "a.jsonl").write_bytes(b"x")
    scandir = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:  # for root, whom modes do not stop
        if str(path).endswith("shut"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for given in (tmp_path, tmp_path / "**", f"{tmp_path}/*"):
        with pytest.raises(PermissionError, match="shut: the folder cannot be read"):
            storage.list_files(str(given))
    assert listed(str(tmp_path / "o*")) == ["a.jsonl"]


def test_a_link_is_written_through_and_what_is_no_file_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    for content in (b"one", b"two"):  # first it dangles
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / "real" / "file")
        with storage.whole_file(str(link)) as file:
            file.write(content)
        assert link.is_symlink() and (tmp_path / "real" / "file").read_bytes() == content
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "real"):
        with pytest.raises(FileExistsError, match=name), storage.whole_file(str(tmp_path / name)):
            pass
    assert not (tmp_path / "pipe").is_file() and (tmp_path / "real").is_dir()
