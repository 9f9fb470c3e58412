"""The options of ``--engine datatrove``: what `jobs.scan` shows in its help without loading datatrove."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import click

EXECUTORS = ("local", "slurm", "ray")
_SLURM = ("wait", "partition", "time", "qos", "venv", "conda_env", "sbatch_arg", "max_array_size")
_OF_EXECUTORS = {
    **dict.fromkeys(_SLURM, ("slurm",)), "ray_address": ("ray",),
    **dict.fromkeys(("cpus_per_task", "mem_per_cpu_gb"), ("slurm", "ray")),
}  # fmt: skip
"""Options that only these executors know: without --executor, a scan meant for Slurm would run on this machine."""


@dataclass(frozen=True)
class TroveOptions:
    """How datatrove runs a scan; names and units are those of its executors."""

    executor: str = "local"
    tasks: int | None = None
    logging_dir: str | None = None
    wait: bool = False
    collect: bool = False
    partition: str | None = None
    time: str | None = None
    cpus_per_task: int = 1
    mem_per_cpu_gb: int = 2
    qos: str | None = None
    venv: str | None = None
    conda_env: str | None = None
    sbatch_arg: tuple[str, ...] = ()
    max_array_size: int = 1001
    ray_address: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            known = _OF_EXECUTORS.get(field.name, EXECUTORS)
            if self.executor not in known and getattr(self, field.name) != field.default:
                name = field.name.replace("_", "-")
                raise click.UsageError(f"--{name} needs --engine datatrove --executor {' or '.join(known)}")
        if self.executor == "slurm" and not self.collect:
            for name in ("partition", "time"):
                if not getattr(self, name):
                    raise click.UsageError(f"--executor slurm needs --{name}")
        if self.wait and self.collect:
            raise click.UsageError("--wait submits and waits, --collect submits nothing; give one of them")
        if self.venv and self.conda_env:
            raise click.UsageError("--venv and --conda-env both name the environment of the tasks; give one of them")
        for given in self.sbatch_arg:
            if given.startswith("-") or not given.partition("=")[0]:
                raise click.UsageError(f"--sbatch-arg {given}: write NAME=VALUE or NAME, without dashes in front")

    @property
    def sbatch_args(self) -> dict[str, str]:
        """Further lines of the sbatch script, name to value; an empty value is a flag."""
        return {name: value for name, _, value in (given.partition("=") for given in self.sbatch_arg)}


_OPTIONS = (
    click.option("--executor", type=click.Choice(EXECUTORS), default="local", show_default=True,
                 help="datatrove: where its tasks run."),
    click.option("--tasks", type=click.IntRange(1), metavar="N",
                 help="datatrove: tasks (ranks), each with shards of about equal bytes in sum, more than --workers if "
                      "you like. [default: one a GiB, at most 1000, at least --workers]"),
    click.option("--logging-dir", metavar="DIR",
                 help="datatrove: its logging folders, one for each plan. [default: OUT-logs]"),
    click.option("--wait", is_flag=True,
                 help="slurm: wait until the jobs end, then add up. Otherwise the command returns when they are "
                      "submitted."),
    click.option("--collect", is_flag=True,
                 help="datatrove: submit nothing; add up what is done into scan.json (apply: apply.json), and name "
                      "what is not."),
    click.option("--partition", metavar="NAME", help="slurm: needed."),
    click.option("--time", metavar="HH:MM:SS", help="slurm: limit of one task; needed."),
    click.option("--cpus-per-task", type=click.IntRange(1), default=1, show_default=True,
                 help="slurm, ray: a task uses one core; more cores bring more memory."),
    click.option("--mem-per-cpu-gb", type=click.IntRange(1), default=2, show_default=True, help="slurm, ray."),
    click.option("--qos", metavar="NAME", help="slurm. [default: the cluster's]"),
    click.option("--venv", metavar="PATH",
                 help="slurm: virtual environment of the tasks. [default: that of this command, if it has one]"),
    click.option("--conda-env", metavar="NAME", help="slurm: conda environment of the tasks."),
    click.option("--sbatch-arg", multiple=True, metavar="NAME=VALUE",
                 help="slurm: any further option of sbatch (account=abc, exclusive); may be repeated."),
    click.option("--max-array-size", type=click.IntRange(1), default=1001, show_default=True,
                 help="slurm: the cluster's MaxArraySize; more tasks are submitted as several arrays."),
    click.option("--ray-address", metavar="ADDRESS",
                 help="ray: a cluster's address. [default: RAY_ADDRESS, a cluster on this machine, or a new one here]"),
)  # fmt: skip


def trove_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with these options; it gets them as one `TroveOptions`, ``trove``."""

    @functools.wraps(function)
    def command(*args: Any, **given: Any) -> Any:
        trove = TroveOptions(**{field.name: given.pop(field.name) for field in fields(TroveOptions)})
        return function(*args, trove=trove, **given)

    for option in reversed(_OPTIONS):
        option(command)
    return command
