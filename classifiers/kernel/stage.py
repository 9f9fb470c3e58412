"""How the kernel's functions are compiled: without the interpreter lock, and without bounds checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def stage(function: Function) -> Function:
    """Compile when a compiled caller first needs it; typed for readers as the plain function."""
    compiled: Function = njit(nogil=True, boundscheck=False)(function)
    return compiled


def machine_operation(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function given as LLVM code, callable from compiled code only."""
    operation: Callable[..., Any] = intrinsic(function)
    return operation
