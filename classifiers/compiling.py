"""The kernel's machine code: compiled by one process of a machine, loaded by every other.

Knows Numba's cache; knows no function of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding
from numba.core import caching

from classifiers.cache import kernel_folder, locked
from classifiers.kernel.stage import OPTIONS


class _KernelLocator:
    """Keeps machine code in `kernel_folder`, wherever the package is installed or zipped.

    Numba's own locators go by the path and the date of the file of the outermost function: they compile anew for
    each installation, and keep stale code when another file changes.
    """

    def ensure_cache_path(self) -> None:
        kernel_folder().mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(kernel_folder())

    def get_source_stamp(self) -> str:
        return kernel_folder().name

    def get_disambiguator(self) -> str:
        return "kernel"

    @classmethod
    def from_function(cls, _function: Callable[..., Any], _file: str) -> _KernelLocator:
        return cls()


class _KernelCacheContent(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_KernelLocator,)


class _KernelCache(caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _KernelCacheContent

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As Numba's, but without filling its tables of all that it can compile: half of the start of a process, and
        machine code that allocates nothing wants none of them. A compilation fills them itself."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call, as `classifiers.kernel.stage` does, and keep the machine code in `kernel_folder`."""
    dispatcher = numba.njit(**OPTIONS)(function)
    dispatcher._cache = _KernelCache(function)
    return dispatcher  # type: ignore[no-any-return]


def compile_once(signature: str, warm_up: Callable[[], None]) -> None:
    """Run ``warm_up``, which makes Numba compile or load; only one process at a time while nothing is stored yet."""
    folder = kernel_folder()
    done = folder / f"compiled-{binding.get_host_cpu_name()}-{signature}"
    if done.exists():
        return warm_up()
    with locked(folder, "compile"):
        warm_up()
        done.touch()
