"""Clusters of this machine for tests: a standalone Spark and a Ray. Knows nothing of what runs there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parent
PATHS = os.pathsep.join([str(TESTS.parent), str(TESTS)])
"""Where the Python of workers finds the modules of the tests."""
SPARK_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",  # of 200, most are empty in tests, and each takes its time
}
SHORT_LIVED_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Options for JVMs that live for seconds: what they would compile best and collect side by side never pays off."""
RAY_DRIVER = """
import ray, sys
ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=80_000_000, _memory=8 * 2**30)
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def standalone_spark(java: str, folder: Path) -> Iterator[str]:
    """A standalone master with two workers, which Spark takes for two machines: it puts no second attempt beside the
    first on one. Its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, running = f"spark://127.0.0.1:{port}", []
    roles = [["master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"]]
    for k in (1, 2):
        roles.append(["worker.Worker", "--host", f"127.0.0.{k}", "--cores", "1", "--memory", "2g", "--webui-port", "0",
                      "--work-dir", str(folder / f"worker{k}"), url])  # fmt: skip
    try:
        for name, *options in roles:
            running.append(_start_role(java, name, options, folder))
        yield url
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(30)


def _start_role(java: str, name: str, options: list[str], folder: Path) -> subprocess.Popen[bytes]:
    log = folder / f"{name}-{options[1]}.log"
    spark_class = Path(spark_home()) / "bin" / "spark-class"
    environment = {**os.environ, "JAVA_HOME": java, "SPARK_HOME": spark_home()}
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [str(spark_class), f"org.apache.spark.deploy.{name}", *options], env=environment, stdout=file, stderr=file
        )
    ready = "Successfully registered with master" if "worker" in name else "I have been elected leader"
    end = time.monotonic() + 60
    while ready not in log.read_text("utf-8", "replace"):
        assert time.monotonic() < end and process.poll() is None, log.read_text("utf-8", "replace")
        time.sleep(0.1)
    return process


def spark_home() -> str:
    import pyspark

    return str(Path(pyspark.__file__).parent)


@contextmanager
def ray_cluster() -> Iterator[str]:
    """The address of a Ray with two CPUs, which ends with its driver. Its token is in the environment."""
    process = subprocess.Popen([sys.executable, "-c", RAY_DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert process.stdout and process.stdin
    address = next((line.split()[1] for line in process.stdout if line.startswith("address")), None)
    assert address, "Ray did not start"
    yield address
    process.stdin.close()
    process.wait(60)
