"""Machine code: compiled by one process of a machine, loaded by every other.

Knows Numba's cache; knows no function that is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding
from numba.core import caching

from pipeline.compiled.cache import code_folder, locked
from pipeline.compiled.stage import OPTIONS


class _Locator:
    """Keeps machine code in the `code_folder` of the function's package, wherever that is installed or zipped.

    Numba's own locators go by the path and the date of the file of the outermost function: they compile anew for
    each installation, and keep stale code when another file changes.
    """

    def __init__(self, package: str) -> None:
        self._folder = code_folder(package)

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return "kernel"

    @classmethod
    def from_function(cls, function: Callable[..., Any], _file: str) -> _Locator:
        return cls(function.__module__.rpartition(".")[0])


class _CacheContent(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheContent

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As Numba's, but without filling its tables of all that it can compile: half of the start of a process, and
        machine code that allocates nothing wants none of them. A compilation fills them itself."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call, as `pipeline.compiled.stage` does, and keep the machine code in `code_folder`."""
    dispatcher = numba.njit(**OPTIONS)(function)
    dispatcher._cache = _Cache(function)
    return dispatcher  # type: ignore[no-any-return]


def compile_once(package: str, signature: str, warm_up: Callable[[], None]) -> None:
    """Run ``warm_up``, which makes Numba compile or load functions of a package; only one process at a time while
    nothing is stored yet."""
    folder = code_folder(package)
    done = folder / f"compiled-{binding.get_host_cpu_name()}-{signature}"
    if done.exists():
        return warm_up()
    with locked(folder, "compile"):
        warm_up()
        done.touch()
