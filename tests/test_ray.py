"""The datatrove engine on a real Ray cluster of this machine: the local engine's bytes, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import COMMAND, ROOT, tropescan
from crawls import contents, write_shard
from processes import parent_of, unfinished, writer_of
from recipes import follow, recipes

pytest.importorskip("datatrove", reason="datatrove (extra datatrove) is not installed")
pytest.importorskip("ray", reason="Ray (extra ray) is not installed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


def on_ray(ray_address: str) -> list[str]:
    return ["--engine", "datatrove", "--executor", "ray", "--ray-address", ray_address, "--mem-per-cpu-gb", "1"]


def test_the_recipe_for_ray(ray_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shard(tmp_path / "crawl" / "a.jsonl.gz", 20, 1)
    monkeypatch.setenv("RAY_ADDRESS", ray_address)
    [recipe] = recipes("--executor ray")
    done = follow(recipe, tmp_path)
    assert done.returncode == 0 and "20 tagged" in done.stdout, done.stderr
    [folder] = Path(f"{tmp_path}/scanned-logs").glob("scan-*")
    assert len(list((folder / "completions").iterdir())) == len(list((folder / "logs").iterdir())) == 1
    assert json.loads((folder / "executor.json").read_text())["world_size"] == 1


def test_a_shard_that_fails_on_ray_is_told_and_the_others_finish(ray_address: str, tmp_path: Path) -> None:
    crawl, out = tmp_path / "crawl", tmp_path / "out"
    write_shard(crawl / "good.jsonl.gz", 20, 1)
    (crawl / "bad.jsonl").write_text("{torn\n" * 20_000)
    done = tropescan("scan", crawl, "--out", out, "--strict", *on_ray(ray_address), "--tasks", 1)
    assert done.returncode == 1 and "bad.jsonl" in done.stderr and "failed: 1" in done.stdout, done.stderr
    assert [path.name for path in out.rglob("*.parquet")] == ["good.jsonl.gz.parquet"]


@pytest.mark.parametrize("victim", ["shard", "worker", "driver"])
def test_killed_in_mid_shard_on_ray(
    ray_address: str, long_crawl: tuple[Path, dict[str, bytes]], tmp_path: Path, victim: str
) -> None:
    (crawl, whole), out = long_crawl, tmp_path / "out"
    arguments = ["scan", str(crawl), "--out", str(out), "--quiet", "--tasks", "1", *on_ray(ray_address)]
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    writer = writer_of(unfinished(out, "big"))
    os.kill({"shard": writer, "worker": parent_of(writer), "driver": process.pid}[victim], signal.SIGKILL)
    status = process.wait(120)
    assert status == {"shard": 1, "worker": 0, "driver": -signal.SIGKILL}[victim]  # Ray itself runs a lost task again
    if victim != "driver":
        assert (out / "tags" / "small.jsonl.gz.parquet").exists()
        assert not list(out.rglob("*unfinished*"))
    if victim != "worker":
        again = tropescan(*arguments)
        assert again.returncode == 0, again.stderr
    assert contents(out) == whole
