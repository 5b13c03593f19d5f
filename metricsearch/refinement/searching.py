"""From queries to neighbours: ranking, reading and refinement of one query overlap; many queries share the cores."""

import time
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.indexes import CandidateIndex, ExactIndex
from metricsearch.refinement.checking import CheckedObjects
from metricsearch.refinement.refiner import Refiner
from metricsearch.refinement.results import Answer
from metricsearch.spaces import Batch
from metricsearch.store import Snapshot
from metricsearch.threads import thread_map
from metricsearch.validation import check_fraction, check_positive

OptionsT = TypeVar("OptionsT")

FIRST_BLOCK_SHARE = 8  # a query's first n_candidates / 8 are read while the others are ranked


def check_search(k: Any, n_candidates: Any, target_recall: Any) -> int:
    """Return `k` as int; raise InvalidInputError unless 1 <= k <= n_candidates, or "auto", and 0 <= recall <= 1."""
    n_asked = check_positive(k, "k")
    check_fraction(target_recall, "target_recall")
    if n_candidates == "auto":
        return n_asked
    if check_positive(n_candidates, "n_candidates") < n_asked:
        raise InvalidInputError(
            f"n_candidates: must be at least k = {k} to give {k} neighbours, got {n_candidates} (R < k)"
        )
    return n_asked


def search_all(
    index: CandidateIndex[OptionsT],
    snapshot: Snapshot,
    checked: CheckedObjects,
    queries: Batch,
    k: int,
    n_candidates: int,
    options: OptionsT | None,
    n_threads: int,
) -> list[Answer]:
    """The k nearest of the candidates of every query.

    snapshot: holds the very objects that `index` covers. queries: checked. options: of the index.
    """
    concurrent = len(queries) == 1 and n_threads > 1

    def one(i: int) -> Answer:
        query = queries[i : i + 1]
        refiner = Refiner(snapshot, index.metric, query, checked, index.ordinals_of, concurrent)
        try:
            return _search_one(index, query, refiner, k, n_candidates, options)
        finally:
            refiner.wait()

    return thread_map(one, range(len(queries)), n_threads)


def nearest_all(
    index: ExactIndex,
    snapshot: Snapshot,
    checked: CheckedObjects,
    queries: Batch,
    k: int,
    max_distances: int | None,
    n_threads: int,
) -> list[Answer]:
    """The k nearest of all objects for every query, or the best found with `max_distances` objects compared."""

    def one(i: int) -> Answer:
        query = queries[i : i + 1]
        refiner = Refiner(snapshot, index.metric, query, checked, index.ordinals_of, concurrent=False)
        begin = time.perf_counter()
        found = index.nearest(query, k, refiner.distances_to, max_distances)
        total_ms = 1e3 * (time.perf_counter() - begin)
        n_read, _, read_ms, refine_ms = refiner.costs
        rank_ms = total_ms - read_ms - refine_ms
        costs = search_costs(refiner, found.n_pivot_distances, np.array([n_read]), n_read, rank_ms, total_ms)
        return Answer(found.ids, found.distances, costs)

    return thread_map(one, range(len(queries)), n_threads)


def search_costs(
    refiner: Refiner,
    n_pivot_distances: int,
    n_ids_ranked: NDArray[np.int64],
    n_candidates: int,
    rank_ms: float,
    total_ms: float,
) -> dict[str, Any]:
    """The values of `QueryStats` for one query. refiner: has answered."""
    n_read, n_bytes, read_ms, refine_ms = refiner.costs
    return {
        "n_ids_ranked": n_ids_ranked,
        "n_pivot_distances": n_pivot_distances,
        "n_candidates": n_candidates,
        "n_objects_read": n_read,
        "n_bytes_read": n_bytes,
        "n_distances": n_pivot_distances + n_read,
        "rank_ms": rank_ms,
        "read_ms": read_ms,
        "refine_ms": refine_ms,
        "total_ms": total_ms,
    }


def _search_one(
    index: CandidateIndex[OptionsT],
    query: Batch,
    refiner: Refiner,
    k: int,
    n_candidates: int,
    options: OptionsT | None,
) -> Answer:
    """Rank, read and refine one query."""
    begin = time.perf_counter()
    stream = index.stream_candidates(query, n_candidates, options, max(1, n_candidates // FIRST_BLOCK_SHARE))
    ranking_s = time.perf_counter() - begin
    n_found = 0
    while True:
        start = time.perf_counter()
        block = next(stream.blocks, None)
        ranking_s += time.perf_counter() - start
        if block is None:
            break
        n_found += len(block)
        refiner.add(block)
    ids, distances = refiner.nearest(k)
    total_ms = 1e3 * (time.perf_counter() - begin)
    costs = search_costs(refiner, stream.n_pivot_distances, stream.n_ids_ranked, n_found, 1e3 * ranking_s, total_ms)
    return Answer(ids, distances, costs)
