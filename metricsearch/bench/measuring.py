"""Building one method and searching it, measured; runs in the process of that method."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.method import Memory
from metricsearch.bench.resources import private_bytes, release_memory
from metricsearch.bench.results import UNKNOWN, Built, Setting
from metricsearch.bench.searchers import Described, Searcher
from metricsearch.errors import StorageError
from metricsearch.spaces import Batch
from metricsearch.store.page_cache import drop_from_page_cache, resident_share

N_WARM_UP = 5  # queries before each setting
SAMPLE_SIZE = 1000  # objects of the index that is built for the compilers only
MOST_RESIDENT = 0.05  # share of the store that may still be in the page cache after it was dropped
COUNTS = ("n_candidates_found", "n_objects_read", "n_bytes_read", "n_distances")


def warm_up_building(new: Callable[[], Searcher], objects: Batch) -> None:
    """Build an index of a few objects, so that compilation is not counted as building."""
    searcher = new()
    try:
        if searcher.compiles:
            searcher.build(objects[: max(SAMPLE_SIZE, 2 * searcher.n_pivot_objects)])
    except Exception:  # too few objects for its parameters; the real build tells what is wrong
        pass
    finally:
        searcher.close()


def measure_building(searcher: Searcher, objects: Batch, store_disk_bytes: int, folder: Path) -> Built:
    """Build the index of all objects. folder: for temporary files."""
    release_memory()
    before = private_bytes()
    begin = time.perf_counter()
    searcher.build(objects)
    build_s = time.perf_counter() - begin
    release_memory()
    growth = private_bytes() - before
    memory: Memory | None = searcher.memory()
    saved = Path(tempfile.mkdtemp(dir=folder))
    try:
        disk_bytes = searcher.disk_bytes(saved)
    finally:
        shutil.rmtree(saved, ignore_errors=True)
    release_memory()
    return Built(
        build_s=build_s,
        objects_bytes=None if memory is None else memory.objects,
        fixed_bytes=None if memory is None else memory.fixed,
        rss_growth_bytes=growth,
        index_disk_bytes=disk_bytes,
        store_disk_bytes=store_disk_bytes,
        version=searcher.version(),
    )


def measure_searching(
    searcher: Searcher, queries: Batch, k: int, setting: Setting, store: Path | None, with_batch: bool
) -> dict[str, NDArray[Any]]:
    """Every query by itself, then all in one call, after a warm-up.

    store: file of the object store, None for methods that read none. Returns times_ms (q,), batch_s () (NaN for a
    cold cache, or without with_batch), ids and distances (q, k), and the counts of `Result` (q,).
    """
    searcher.set(setting)
    cold = store if setting.cache == "cold" else None
    for i in range(min(N_WARM_UP, len(queries))):
        searcher.describe(queries[i : i + 1], searcher.ask(queries[i : i + 1]))
    times_ms = np.empty(len(queries))
    answers = []
    for i in range(len(queries)):
        query = queries[i : i + 1]
        if cold is not None:
            _drop(cold)
        begin = time.perf_counter()
        answers.append(searcher.ask(query))
        times_ms[i] = 1e3 * (time.perf_counter() - begin)
    described = [searcher.describe(queries[i : i + 1], answer) for i, answer in enumerate(answers)]
    batch_s = np.nan
    if with_batch and cold is None:
        begin = time.perf_counter()
        searcher.ask_all(queries)
        batch_s = time.perf_counter() - begin
    return {"times_ms": times_ms, "batch_s": np.array(batch_s), **_arrays(described, k)}


def read_once(searcher: Searcher, queries: Batch, setting: Setting) -> None:
    """Ask every query, untimed."""
    searcher.set(setting)
    searcher.ask_all(queries)


def _drop(store: Path) -> None:
    """Empty the page cache of the store. Raises StorageError where it stays, held by another process."""
    drop_from_page_cache(store)
    if (share := resident_share(store)) > MOST_RESIDENT:
        raise StorageError(f"{store}: {share:.0%} stay in the page cache; end what else reads the file")


def _arrays(described: list[Described], k: int) -> dict[str, NDArray[Any]]:
    ids = np.full((len(described), k), UNKNOWN, dtype=np.int64)
    distances = np.full((len(described), k), np.inf)
    for i, one in enumerate(described):
        ids[i, : len(one.ids)] = one.ids
        distances[i, : len(one.ids)] = one.distances
    counts = {name: np.array([getattr(one, name) for one in described], dtype=np.int64) for name in COUNTS}
    return {"ids": ids, "distances": distances, **counts}
