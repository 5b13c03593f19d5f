"""Python threads over nogil kernels; results never depend on their number."""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from metricsearch.validation import check_positive

READING_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")

_pools: dict[tuple[str, int], ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()
_inside_pool = threading.local()


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_threads(n_threads: int | None) -> int:
    """`n_threads`, or all available cores for None."""
    return available_cores() if n_threads is None else check_positive(n_threads, "n_threads")


def thread_map(function: Callable[[Item], Result], items: Iterable[Item], n_threads: int) -> list[Result]:
    """[function(item) for item in items] on up to `n_threads` threads, in the order of `items`.

    The threads are kept for the next call (starting them costs as much as a short query). A call from inside such a
    thread runs serially: the outer loop already uses the cores. Raises what `function` raises, once no thread works
    on these items any more: a caller may then close the files that they read.
    """
    items = list(items)
    if n_threads <= 1 or len(items) <= 1 or getattr(_inside_pool, "active", False):
        return [function(item) for item in items]
    futures = [_pool("work", n_threads).submit(function, item) for item in items]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
    failed = next((future for future in futures if not future.cancelled() and future.exception()), None)
    return [future.result() for future in ([failed] if failed else futures)]


def thread_stream(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int, ahead: int
) -> Generator[Result, None, None]:
    """What `thread_map` gives, one by one: at most `ahead` items are begun or wait to be taken.

    No thread is idle while the others finish a group. Close it to stop early; it ends once no thread works on it.
    """
    if n_threads <= 1 or getattr(_inside_pool, "active", False):
        yield from map(function, items)
        return
    remaining = iter(items)
    futures: deque[Future[Result]] = deque()
    try:
        while True:
            for item in islice(remaining, ahead - len(futures)):
                futures.append(_pool("work", n_threads).submit(function, item))
            if not futures:
                return
            futures[0].exception()  # wait; one that was interrupted here is still among those that are waited for
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _pool(purpose: str, n_threads: int) -> ThreadPoolExecutor:
    """Threads for one purpose: a reader that waited behind the query that waits for it would wait for ever."""
    with _pools_lock:
        if (purpose, n_threads) not in _pools:
            _pools[purpose, n_threads] = ThreadPoolExecutor(n_threads, f"metricsearch-{purpose}", _mark_thread)
        return _pools[purpose, n_threads]


def _forget_pools() -> None:
    """In a forked child: its parent's threads are not there, and another of them may have held the lock."""
    global _pools_lock
    _pools_lock = threading.Lock()
    _pools.clear()
    _inside_pool.active = False


os.register_at_fork(after_in_child=_forget_pools)


def _mark_thread() -> None:
    _inside_pool.active = True


def submit_reader(function: Callable[..., Result], *arguments: object) -> Future[Result]:
    """Run on one of the reading threads: more of them than cores, since they wait for the disk."""
    return _pool("readers", READING_THREADS).submit(function, *arguments)
