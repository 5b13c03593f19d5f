"""The one place that sets numba options.

Kernels are cached on disk, release the GIL and divide like numpy. None uses numba's own threads: a server that
forks or runs Python threads would break them, so threads are Python's (see `threads.py`).
"""

from collections.abc import Callable
from typing import Any

from numba import njit

# Never "nnan"/"ninf": they let the compiler drop tests for NaN and infinity.
_SAFE_FASTMATH = {"reassoc", "contract", "nsz", "arcp", "afn"}


def kernel(function: Callable[..., Any]) -> Any:
    """Compile with strict IEEE arithmetic: sums are added in the order written."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


def fast_kernel(function: Callable[..., Any]) -> Any:
    """Compile with re-associated (vectorised) sums; NaN and infinity keep their meaning."""
    return njit(cache=True, nogil=True, error_model="numpy", fastmath=_SAFE_FASTMATH)(function)
