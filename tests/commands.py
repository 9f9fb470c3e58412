"""What tests of commands share: running one as a user does."""

from __future__ import annotations

from click.testing import CliRunner, Result

from jobs.main import cli


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


def done(*words: object) -> str:
    """What a command prints that must succeed."""
    result = run(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout
