"""What ``--model`` takes everywhere: a file, or a model of the registry."""

from __future__ import annotations

import os
from pathlib import Path

import click

from classifiers import registry

PREFIX = "tropescan:"
REGISTRY_VARIABLE = "TROPESCAN_REGISTRY"


class ModelType(click.ParamType[Path]):
    """A path, or ``tropescan:latest``, or ``tropescan:`` and a digest, found in the registry of the environment."""

    name = "path|tropescan:latest|tropescan:digest"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The model's local file; raises `click.UsageError` or `RegistryError` saying what is missing."""
        if isinstance(value, str) and value.startswith(PREFIX):
            where = os.environ.get(REGISTRY_VARIABLE)
            if not where:
                self.fail(f"{value}: set {REGISTRY_VARIABLE} to the folder or URL of the registry", param, ctx)
            return registry.find(where, value.removeprefix(PREFIX))
        if not Path(value).is_file():
            self.fail(f"{value}: no such file", param, ctx)
        return Path(value)


MODEL = ModelType()
