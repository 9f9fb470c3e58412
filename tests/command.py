"""The command ``tropescan`` as a user runs it, for tests: its status, and what it printed."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from jobs.main import main

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-c", "from jobs.main import main; main()"]


def tropescan(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command: in this process, whose imports are done; in one of its own with an engine, which leaves a JVM
    or a log behind, or with ``options`` for `subprocess.run`. The local engine's workers are processes either way."""
    words = list(map(str, arguments))
    if options or "--engine" in words:
        return subprocess.run([*COMMAND, *words], cwd=ROOT, capture_output=True, text=True, **options)
    return _run_here(words)


def _run_here(words: list[str]) -> subprocess.CompletedProcess[str]:
    out, err, status = io.StringIO(), io.StringIO(), 0
    with chdir(ROOT), redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["tropescan", *words]):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(["tropescan", *words], status, out.getvalue(), err.getvalue())
