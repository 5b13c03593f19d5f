"""From queries to neighbours: ranking, reading and refinement of one query overlap; many queries share the cores."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.collection.checking import CheckedObjects
from metricsearch.collection.refinement import Refiner
from metricsearch.collection.results import QueryStats, SearchResult
from metricsearch.errors import InvalidInputError
from metricsearch.ppp import PPPCodes, RankingOptions
from metricsearch.spaces import Batch
from metricsearch.store import Snapshot
from metricsearch.threads import thread_map
from metricsearch.validation import check_positive

FIRST_BLOCK_SHARE = 8  # a query's first n_candidates / 8 are read while the others are ranked


def check_search(k: Any, n_candidates: Any, options: Any) -> int:
    """Return `k` as int; raise InvalidInputError for arguments that `Collection.search` does not take."""
    n_asked = check_positive(k, "k")
    if check_positive(n_candidates, "n_candidates") < n_asked:
        raise InvalidInputError(
            f"n_candidates: must be at least k = {k} to give {k} neighbours, got {n_candidates} (R < k)"
        )
    if options is not None and not isinstance(options, RankingOptions):
        raise InvalidInputError(f"options: expected RankingOptions(...), got {options!r:.60}")
    return n_asked


def search_all(
    index: PPPCodes,
    snapshot: Snapshot,
    checked: CheckedObjects,
    queries: Batch,
    k: int,
    n_candidates: int,
    options: RankingOptions | None,
    n_threads: int,
) -> SearchResult:
    """See `Collection.search`; `snapshot` holds the very objects that `index` covers."""
    single = len(queries) == 1

    def one(i: int) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, Any]]:
        query = queries[i : i + 1]
        refiner = Refiner(snapshot, index.metric, query, checked, index.ordinals_of, concurrent=single)
        try:
            return _search_one(index, query, refiner, k, n_candidates, options)
        finally:
            refiner.wait()

    rows = thread_map(one, range(len(queries)), n_threads)
    ids, distances, costs = zip(*rows, strict=True)
    stats = QueryStats(**{name: np.array([cost[name] for cost in costs]) for name in costs[0]})
    return SearchResult(np.stack(ids), np.stack(distances), stats)


def _search_one(
    index: PPPCodes, query: Batch, refiner: Refiner, k: int, n_candidates: int, options: RankingOptions | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, Any]]:
    """Rank, read and refine one query; returns IDs, distances and the values of QueryStats."""
    begin = time.perf_counter()
    pivot_distances = index.pivot_distances(query)
    progress = index.new_progress(options)
    ranking_s = time.perf_counter() - begin
    blocks = index.stream(pivot_distances, n_candidates, options, progress, max(1, n_candidates // FIRST_BLOCK_SHARE))
    n_candidates_found = 0
    while True:
        start = time.perf_counter()
        block = next(blocks, None)
        ranking_s += time.perf_counter() - start
        if block is None:
            break
        n_candidates_found += len(block[0])
        refiner.add(block[0])
    ids, distances = refiner.nearest(k)
    n_read, n_bytes, read_ms, refine_ms = refiner.costs
    n_pivot_distances = pivot_distances.size
    costs = {
        "n_ids_ranked": progress.n_ids_ranked,
        "n_pivot_distances": n_pivot_distances,
        "n_candidates": n_candidates_found,
        "n_objects_read": n_read,
        "n_bytes_read": n_bytes,
        "n_distances": n_pivot_distances + n_read,
        "rank_ms": 1e3 * ranking_s,
        "read_ms": read_ms,
        "refine_ms": refine_ms,
        "total_ms": 1e3 * (time.perf_counter() - begin),
    }
    return ids, distances, costs
