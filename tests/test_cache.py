"""What a machine has compiled and prepared once, every process uses: at once, elsewhere installed, read-only."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from small_models import model_file

from classifiers.fasttext_file import ModelFileError
from classifiers.prepare import model_digest, prepare
from pipeline.compiled import cache

ROOT = Path(__file__).parent.parent
PACKAGES = ("classifiers", "pipeline")
PROGRAM = """
import json, sys
from numba.core import event
compilations = event.RecordingListener()
event.register("numba:compile", compilations)
import pyarrow as pa
from classifiers.score import FastTextScorer
scorer = FastTextScorer.open(sys.argv[1])
scores = scorer(pa.RecordBatch.from_pydict({"text": ["the lamp burned all night", "", "seven boats"]}))
names = [e.data["dispatcher"].py_func.__name__ for _, e in compilations.buffer if e.is_start]
print(json.dumps([scores.to_pylist(), names, sys.modules["classifiers"].__file__]))
"""
INTERRUPTED = """
import os, sys
import numpy as np
import classifiers.prepare
saved = []
def save_or_die(*arguments):
    saved.append(arguments)
    if len(saved) == 3:
        os._exit(9)
    np.lib.format.open_memmap(arguments[0], "w+", arguments[1].dtype, arguments[1].shape)[:] = arguments[1]
classifiers.prepare.np.save = save_or_die
classifiers.prepare.prepare(sys.argv[1])
"""


def start(program: str, path: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-c", program, str(model_file("ova bigrams"))],
        env={**kept, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        cwd="/",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def result(process: subprocess.Popen[str]) -> tuple[str, list[str], str]:
    """Scores as text, the functions that were compiled, and the file that was imported."""
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    scores, compilations, file = json.loads(out.splitlines()[-1])
    return json.dumps(scores), compilations, file


def files(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cache that four processes filled when they started together on an empty one; and their scores."""
    folder = tmp_path_factory.mktemp("cache")
    results = [result(process) for process in [start(PROGRAM, TROPESCAN_CACHE=str(folder)) for _ in range(4)]]
    assert len({scores for scores, _, _ in results}) == 1
    # One process may compile what prepares a model, and another what scores: never two the same.
    compiled = [name for _, names, _ in results for name in names]
    assert all(compiled.count(name) == 1 for name in ("word_keys", "find_pilots", "sum_batch", "score_batch"))
    return folder, results[0][0]


def test_four_processes_at_once_leave_one_set_of_files(first: tuple[Path, str]) -> None:
    names = list(files(first[0]))
    machine_code = [name.split("-")[1].split("/")[1] for name in names if name.endswith(".nbc")]
    assert len(machine_code) == len(set(machine_code)) >= 4
    assert sum(name.endswith("head.json") for name in names) == 1
    assert not [name for name in names if "unfinished" in name or ".tmp." in name]


def test_a_later_process_compiles_and_writes_nothing(first: tuple[Path, str]) -> None:
    before = files(first[0])
    no_tables = "\nassert 'numba.np.linalg' not in sys.modules, 'all that Numba can compile was loaded'"
    scores, compilations, _ = result(start(PROGRAM + no_tables, TROPESCAN_CACHE=str(first[0])))
    assert (scores, compilations) == (first[1], [])
    assert files(first[0]) == before


def installed(folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.bin"))
    return folder


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "packages.zip", "w") as archive:
        for package in PACKAGES:
            for file in sorted((ROOT / package).rglob("*.py")):
                archive.write(file, str(file.relative_to(ROOT)))
    return folder / "packages.zip"


@pytest.mark.parametrize("place", [installed, zipped])
def test_another_installation_read_only_and_without_a_home(
    place: Callable[[Path], Path], first: tuple[Path, str], tmp_path: Path
) -> None:
    """As in containers and on executors: packages elsewhere or in a zip, HOME missing, only the temporary folder."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "temporary").mkdir()
    path = place(tmp_path / "packages")
    for file in [tmp_path / "packages", *(tmp_path / "packages").rglob("*")]:
        file.chmod(file.stat().st_mode & ~0o222)
    mine = tmp_path / "temporary" / f"tropescan-{os.getuid()}"
    shutil.copytree(first[0], mine)
    mine.chmod(0o700)
    before, packages = files(mine), files(tmp_path / "packages")
    scores, compilations, file = result(start(PROGRAM, path, HOME="/proc/nowhere", TMPDIR=str(tmp_path / "temporary")))
    assert file.startswith(str(path))
    assert (scores, compilations) == (first[1], [])
    assert files(mine) == before and files(tmp_path / "packages") == packages
    for folder in [tmp_path / "packages", *(tmp_path / "packages").rglob("*")]:
        folder.chmod(folder.stat().st_mode | 0o700)


def test_an_interrupted_preparation_is_not_taken_for_whole(first: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(first[0], tmp_path / "cache", ignore=shutil.ignore_patterns("models"))
    process = start(INTERRUPTED, TROPESCAN_CACHE=str(tmp_path / "cache"))
    process.communicate(timeout=300)
    assert process.returncode == 9
    left = [name for name in files(tmp_path / "cache") if name.endswith(".npy")]
    assert left and all("unfinished" in name for name in left)
    scores, compilations, _ = result(start(PROGRAM, TROPESCAN_CACHE=str(tmp_path / "cache")))
    assert (scores, compilations) == (first[1], [])
    assert not [name for name in files(tmp_path / "cache") if "unfinished" in name]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, where there is neither a named cache nor a home."""
    monkeypatch.delenv("TROPESCAN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"tropescan-{os.getuid()}"


def test_the_temporary_folder_is_made_private(temporary: Path) -> None:
    assert cache.cache_folder.__wrapped__() == temporary
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700


def test_a_folder_that_others_can_write_is_not_trusted(temporary: Path) -> None:
    for mode in (0o777, 0o770, 0o702):
        temporary.mkdir(exist_ok=True)
        temporary.chmod(mode)
        with pytest.raises(OSError, match="TROPESCAN_CACHE"):
            cache.cache_folder.__wrapped__()


def test_a_folder_of_another_user_or_a_link_is_not_trusted(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    temporary.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="TROPESCAN_CACHE"):
        cache.cache_folder.__wrapped__()
    temporary.unlink()
    if os.geteuid() == 0:
        temporary.mkdir(mode=0o700)
        os.chown(temporary, 12345, 12345)
        with pytest.raises(OSError, match="TROPESCAN_CACHE"):
            cache.cache_folder.__wrapped__()


def test_a_named_folder_and_the_users_own_come_first(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache.cache_folder.__wrapped__() == tmp_path / "home" / "tropescan"
    monkeypatch.setenv("TROPESCAN_CACHE", str(tmp_path / "named" / "deep"))
    assert cache.cache_folder.__wrapped__() == tmp_path / "named" / "deep"
    assert not temporary.exists()


def test_a_model_that_changes_under_a_job(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(model_file("softmax bigrams").read_bytes())
    digest = model_digest(path)
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ModelFileError, match=str(path)):
        prepare(path, digest[::-1])
