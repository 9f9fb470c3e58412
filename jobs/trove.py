"""The datatrove engine: a job's shards as tasks of datatrove's local, Slurm or Ray executor.

Composes plan, step and executor; knows nothing of what the job is.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from datatrove.utils.logging import logger

from jobs.engine import Engine, absolute, say_failure
from jobs.local import available_cores
from jobs.progress import ScanProgress
from jobs.trove_executors import LocalExecutor, RayExecutor, SlurmExecutor, active_jobs, wait_for_jobs
from jobs.trove_options import TroveOptions
from jobs.trove_run import RunFolder, find_failures, start_run, submitted_jobs
from jobs.trove_step import RunShards
from pipeline import storage
from pipeline.scan import Failure
from pipeline.shard_job import ShardJob
from pipeline.spread import number_of_parts
from pipeline.tasks import ShardTask

Run = Callable[[RunShards, int, list[ShardTask]], None]
"""Runs the step on so many ranks and returns when they have ended; raises `click.exceptions.Exit` if they go on."""


def datatrove_engine(out: str, options: TroveOptions, *, workers: int | None = None, quiet: bool = False) -> Engine:
    """The engine for a scan into ``out``; ``workers`` ranks at once (the cores of this machine, or no limit).

    Raises `ValueError` if Slurm jobs of an earlier submission of this scan are still queued or running.
    """
    root = absolute(options.logging_dir or f"{absolute(out)}-logs")
    busy = active_jobs(submitted_jobs(root)) if shutil.which("squeue") else set()
    if busy and not options.collect:
        raise ValueError(
            f"{root}: Slurm jobs {', '.join(sorted(busy))} of this scan are still queued or running; wait for them, "
            "or end them with scancel; --collect adds up what is done meanwhile"
        )
    if not busy:
        storage.remove_unfinished(out)
        storage.remove_unfinished(root)
    if not options.collect:
        logger.remove()  # the driver's own messages; each rank logs into a file, and its errors here
    run = _RUNS[options.executor](options, workers, quiet)

    def engine(job: ShardJob[Any], tasks: list[ShardTask]) -> list[Failure]:
        job = job.into(absolute(job.out))
        if not options.collect:
            ranks = options.tasks or number_of_parts(tasks, least=workers or available_cores())
            folder = start_run(root, job, tasks, min(ranks, len(tasks)))
            run(RunShards(job, folder), min(ranks, len(tasks)), tasks)
            storage.remove_unfinished(out)  # of attempts that were killed and taken up again
        failures = find_failures(job, tasks, root)
        for number, failure in enumerate(failures, 1):
            say_failure(failure.task, failure.error, number)
        return failures

    return engine


def _local(options: TroveOptions, workers: int | None, quiet: bool) -> Run:
    def run(step: RunShards, ranks: int, tasks: list[ShardTask]) -> None:
        executor = LocalExecutor(
            [step], tasks=ranks, workers=min(workers or available_cores(), ranks), logging_dir=step.folder.url
        )
        size, job = sum(task.size for task in tasks), step.job
        with ScanProgress(len(tasks), size, quiet=quiet, command=job.command, marks=job.marks) as shown:
            executor.run(shown)

    return run


def _ray(options: TroveOptions, workers: int | None, quiet: bool) -> Run:
    def run(step: RunShards, ranks: int, tasks: list[ShardTask]) -> None:
        try:
            import ray
        except ImportError as error:
            raise ValueError("--executor ray needs Ray: pip install 'tropescan[ray]'") from error
        with ray.init(options.ray_address, log_to_driver=not quiet, logging_level=logging.WARNING):
            RayExecutor(
                [step], tasks=ranks, workers=workers or -1, logging_dir=step.folder.url,
                cpus_per_task=options.cpus_per_task, mem_per_cpu_gb=options.mem_per_cpu_gb,
            ).run()  # fmt: skip

    return run


def _slurm(options: TroveOptions, workers: int | None, quiet: bool) -> Run:
    environment = activation(options.venv, options.conda_env)

    def run(step: RunShards, ranks: int, tasks: list[ShardTask]) -> None:
        _check_slurm(step.folder.url)
        executor = SlurmExecutor(
            [step], tasks=ranks, workers=workers or -1, logging_dir=step.folder.url,
            max_array_size=options.max_array_size, partition=options.partition, time=options.time,
            cpus_per_task=options.cpus_per_task, mem_per_cpu_gb=options.mem_per_cpu_gb, qos=options.qos or "",
            env_command=environment, sbatch_args=options.sbatch_args,
        )  # fmt: skip
        _submit(executor, step.folder)
        click.echo(f"submitted {ranks} tasks as Slurm jobs {', '.join(executor.job_ids)}; logs in {step.folder.url}")
        if not options.wait:
            click.echo("when they have ended, the same command with --collect adds up")
            raise click.exceptions.Exit(0)
        wait_for_jobs(set(executor.job_ids))

    return run


_RUNS: dict[str, Callable[[TroveOptions, int | None, bool], Run]] = {"local": _local, "slurm": _slurm, "ray": _ray}


def _submit(executor: SlurmExecutor, folder: RunFolder) -> None:
    try:
        executor.run()
    except subprocess.CalledProcessError as error:
        raise OSError(
            f"sbatch failed with status {error.returncode}; the script is {folder.url}/launch_script.slurm"
        ) from error
    finally:
        folder.record_jobs(executor.job_ids)


def _check_slurm(folder: str) -> None:
    if not shutil.which("sbatch"):
        raise ValueError("--executor slurm: no sbatch on the PATH; run this where jobs are submitted")
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        raise ValueError("--executor slurm: this runs inside a Slurm array already; submit from a login node")
    if not storage.is_local(folder) or any(sign.isspace() for sign in folder):
        raise ValueError(f"{folder}: Slurm needs a logging folder on a shared disk, without spaces; name --logging-dir")


def activation(venv: str | None, conda_env: str | None) -> str:
    """The shell command that gives a task its Python: what the options name, or else the environment we run in."""
    if conda_env:
        return f'eval "$(conda shell.bash hook)" && conda activate {shlex.quote(conda_env)}'
    prefix = Path(venv or (sys.prefix if sys.prefix != sys.base_prefix else ""))
    script = prefix if prefix.name == "activate" else prefix / "bin" / "activate"
    if venv and not script.exists():
        raise ValueError(f"--venv {venv}: there is no {script}")
    return f"source {shlex.quote(str(script))}" if script.exists() else ""
