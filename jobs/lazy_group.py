"""A group of commands whose modules are loaded when called: a command's imports cost nothing to the others."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """``modules`` names the module of each command, which holds it as ``command``, in the order of the help.

    Raises `click.ClickException` beginning with ``needs`` where a module needs a package that is not installed.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str], needs: str | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._modules, self._needs = modules, needs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in order."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; None if there is none of that name."""
        if cmd_name not in self._modules:
            return None
        try:
            command: click.Command = importlib.import_module(self._modules[cmd_name]).command
        except ModuleNotFoundError as error:
            if self._needs is None:
                raise
            raise click.ClickException(f"{self._needs} ({error})") from error
        return command
