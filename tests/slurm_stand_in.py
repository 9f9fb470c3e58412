"""A Slurm of one machine, for tests: its sbatch really runs the array's tasks, in the background, under bash.

`install` writes sbatch, squeue, srun and scontrol into a folder for the front of the PATH. Kept to: sbatch's options in
the script and before it, --export, array and its limit of tasks at once, MaxArraySize, afterok and afterany, requests
that can never run staying in the queue, output files by %A and %a, states of jobs. It gives out no resources.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

COMMANDS = ("sbatch", "squeue", "srun", "scontrol")
ENDED = {"COMPLETED", "FAILED"}


def install(folder: Path, *, max_array_size: int = 1001) -> dict[str, str]:
    """Write the commands; returns the environment in which they are found."""
    (folder / "jobs").mkdir(parents=True)
    for name in COMMANDS:
        path = folder / name
        path.write_text(f'#!/bin/bash\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        path.chmod(0o755)
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_STAND_IN": str(folder),
        "SLURM_STAND_IN_MAX_ARRAY": str(max_array_size),
    }


def jobs_of(folder: Path) -> list[dict[str, Any]]:
    """All jobs ever submitted, in order."""
    files = sorted((folder / "jobs").glob("*.json"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text()) for path in files]


def _save(folder: Path, job: dict[str, Any]) -> None:
    path = folder / "jobs" / f"{job['id']}.json"
    path.with_suffix(".new").write_text(json.dumps(job))
    path.with_suffix(".new").replace(path)


def _options(script: str, arguments: list[str]) -> dict[str, str]:
    lines = re.findall(r"^#SBATCH --(.*)$", script, re.MULTILINE)
    pairs = [line.strip().partition("=") for line in [*lines, *(a.removeprefix("--") for a in arguments)]]
    return {name: value for name, _, value in pairs}


def sbatch(folder: Path, arguments: list[str]) -> int:
    script = Path(arguments[-1]).read_text()
    options = _options(script, arguments[:-1])
    first, last, at_once = re.fullmatch(r"(\d+)-(\d+)(?:%(\d+))?", options.get("array", "0-0")).groups()  # type: ignore[union-attr]
    if int(last) >= int(os.environ["SLURM_STAND_IN_MAX_ARRAY"]):
        print("sbatch: error: Batch job submission failed: Invalid job array specification", file=sys.stderr)
        return 1
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        number = str(1000 + len(list((folder / "jobs").glob("*.json"))))
        job = {"id": number, "state": "PENDING", "options": options, "script": script, "ran": [],
               "array": [int(first), int(last)], "at_once": int(at_once or 2)}  # fmt: skip
        _save(folder, job)
    subprocess.Popen([sys.executable, __file__, "run", number], start_new_session=True, stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    print(f"Submitted batch job {number}")
    return 0


def _ready(folder: Path, dependency: str) -> bool:
    """Whether all jobs named have ended; one that needs success of a failed one is never ready."""
    for kind, ids in re.findall(r"(afterok|afterany):([\d:]+)", dependency):
        for number in ids.split(":"):
            state = json.loads((folder / "jobs" / f"{number}.json").read_text())["state"]
            if state not in ENDED or (kind == "afterok" and state != "COMPLETED"):
                return False
    return True


def run(folder: Path, number: str) -> None:
    job = json.loads((folder / "jobs" / f"{number}.json").read_text())
    while not _ready(folder, job["options"].get("dependency", "")):
        time.sleep(0.05)
        if not folder.exists():  # the test is over
            return
    _save(folder, job | {"state": "RUNNING"})
    first, last = job["array"]
    with ThreadPoolExecutor(job["at_once"]) as pool:
        statuses = list(pool.map(lambda index: _run_element(job, index), range(first, last + 1)))
    _save(folder, job | {"state": "FAILED" if any(statuses) else "COMPLETED", "ran": statuses})


def _run_element(job: dict[str, Any], index: int) -> int:
    options = job["options"]
    exported = dict(pair.split("=", 1) for pair in options.get("export", "ALL").split(",") if "=" in pair)
    output = options["output"].replace("%A", job["id"]).replace("%a", str(index))
    environment = os.environ | exported | {
        "SLURM_JOB_ID": str(int(job["id"]) * 100_000 + index), "SLURM_ARRAY_JOB_ID": job["id"],
        "SLURM_ARRAY_TASK_ID": str(index), "SLURM_NODELIST": "node1", "SLURM_JOB_NODELIST": "node1",
    }  # fmt: skip
    with open(output, "w") as log:
        return subprocess.run(["bash", "-c", job["script"]], env=environment, stdout=log, stderr=log).returncode


def squeue(folder: Path) -> int:
    print("\n".join(job["id"] for job in jobs_of(folder) if job["state"] not in ENDED))
    return 0


def srun(arguments: list[str]) -> int:
    while arguments[0].startswith("-"):
        arguments = arguments[2:] if arguments[0] == "-n" else arguments[1:]
    return subprocess.run(arguments).returncode


def main(name: str, *arguments: str) -> int:
    folder = Path(os.environ["SLURM_STAND_IN"])
    if name == "sbatch":
        return sbatch(folder, list(arguments))
    if name == "squeue":
        return squeue(folder)
    if name == "srun":
        return srun(list(arguments))
    if name == "run":
        run(folder, arguments[0])
    elif arguments[:2] == ("show", "hostnames"):
        print(arguments[2])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
