"""What a process uses of the machine: its private memory, its cores, the threads of its libraries (Linux)."""

import contextlib
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


_PR_SET_PDEATHSIG = 1  # of prctl


def private_bytes() -> int:
    """Memory of this process and its children that no file backs: mapped data do not count."""
    return sum(_anonymous_bytes(process) for process in _family(os.getpid()))


def release_memory() -> None:
    """Give freed memory back to the system, so that `private_bytes` counts what is in use."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def pin(n_cores: int) -> None:
    """Let all threads of this process and its children run on the last `n_cores` of its cores only.

    The last, because interrupts go to the first. More than there are: all.
    """
    cores = set(sorted(os.sched_getaffinity(os.getppid()))[-n_cores:])
    for process in _family(os.getpid()):
        for thread in _threads(process):
            with contextlib.suppress(OSError):  # it has just ended
                os.sched_setaffinity(thread, cores)


def limit_threads(n_threads: int) -> None:
    """Let BLAS and OpenMP libraries that are loaded use so many threads, where threadpoolctl is installed."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return  # the environment variables hold for all that is loaded
    threadpool_limits(n_threads)


def end_with_parent() -> None:
    """Let the system end this process when the one that started it is no more, even if it was killed. Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def die_first() -> None:
    """Let the system end this process before others when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _family(process: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield process
    for thread in _threads(process):
        try:
            children = Path(f"/proc/{process}/task/{thread}/children").read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _threads(process: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{process}/task")]
    except OSError:
        return []


def _anonymous_bytes(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
