"""How functions are compiled: no interpreter lock, no bounds checks, and no counting of references.

Counting references takes an atomic instruction for each array of each tuple that is handed from function to function:
15 % of the time of a scan, and half of the compile time. What is compiled so may not allocate; callers bring the room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS = {"nogil": True, "boundscheck": False, "error_model": "numpy", "_nrt": False}


def stage(function: Function) -> Function:
    """Compile when a compiled caller first needs it; typed for readers as the plain function."""
    compiled: Function = njit(**OPTIONS)(function)
    return compiled


def machine_operation(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function given as LLVM code, callable from compiled code only."""
    operation: Callable[..., Any] = intrinsic(function)
    return operation
