"""Exact nearest neighbours by a full scan of objects that need not fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.evaluation.measures import tie_threshold
from metricsearch.spaces import Batch, Metric
from metricsearch.threads import resolve_threads, thread_map
from metricsearch.validation import check_positive

CHUNK_SIZE = 8192
QUERY_BLOCK = 256  # queries of one matrix product


class Chunked(Protocol):
    """Objects that are read in chunks."""

    def chunks(self, chunk_size: int, /) -> Iterator[Batch]:
        """All objects in order, `chunk_size` at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The k nearest objects of every query with all ties of the k-th distance.

    Query i has ids[offsets[i]:offsets[i + 1]], nearest first, ties by ID; at least min(k, n) of them.

    ids: (total,) int64 rows of the objects. distances: (total,) float64. offsets: (n_queries + 1,) int64.
    k: neighbours asked for. n_objects: objects scanned.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    offsets: NDArray[np.int64]
    k: int
    n_objects: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """IDs and distances of one query."""
        part = slice(int(self.offsets[query]), int(self.offsets[query + 1]))
        return self.ids[part], self.distances[part]

    def kth_distances(self, k: int) -> NDArray[np.float64]:
        """Distance of the k-th neighbour of every query, (n_queries,); k <= self.k, and min(k, n) counts."""
        return self.distances[self.offsets[:-1] + self._limited(k) - 1]

    def right(self, query: int, k: int) -> NDArray[np.int64]:
        """IDs of all objects that count as one of the k nearest of a query."""
        ids, distances = self.of(query)
        return ids[distances <= tie_threshold(distances[self._limited(k) - 1])]

    def _limited(self, k: int) -> int:
        if not 1 <= k <= self.k:
            raise InvalidInputError(f"k: expected a whole number in 1..{self.k}, as many neighbours are known, got {k}")
        return min(k, self.n_objects)


def exact_neighbours(
    metric: Metric, objects: Chunked, queries: Batch, k: int, *, n_threads: int | None = None
) -> Neighbours:
    """The k nearest of `objects` for every query by a full scan; ids are rows of `objects`.

    objects: `chunks(size)` gives batches in order. Metrics with a matrix product are computed that way first; objects
    within its rounding error (`Metric.pairwise_error`) of the k-th distance then get the exact distance, so the result
    is that of `Metric.distances` for all pairs. Raises InvalidInputError for k < 1 or no objects.
    """
    k = check_positive(k, "k")
    n_threads = resolve_threads(n_threads)
    best = [_Best(k) for _ in range(len(queries))]
    n = 0
    for chunk in objects.chunks(CHUNK_SIZE):
        (_scan_batched if metric.batched else _scan_single)(metric, chunk, n, queries, best, n_threads)
        n += len(chunk)
    if not n:
        raise InvalidInputError("objects: expected at least one to be a neighbour, got none")
    offsets = np.zeros(len(best) + 1, dtype=np.int64)
    np.cumsum([len(one.ids) for one in best], out=offsets[1:])
    ids = np.concatenate([np.empty(0, np.int64), *(one.ids for one in best)])
    distances = np.concatenate([np.empty(0), *(one.distances for one in best)])
    return Neighbours(ids, distances, offsets, k, n)


class _Best:
    """The nearest objects of one query so far, with ties of the k-th."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.ids = np.empty(0, dtype=np.int64)
        self.distances = np.empty(0)

    @property
    def limit(self) -> float:
        """Distance beyond which an object is of no interest."""
        return float(tie_threshold(self.distances[self._k - 1])) if len(self.ids) >= self._k else np.inf

    def add(self, ids: NDArray[np.int64], distances: NDArray[np.float64]) -> None:
        near = distances <= self.limit
        ids = np.concatenate([self.ids, ids[near]])
        distances = np.concatenate([self.distances, distances[near]])
        order = np.lexsort((ids, distances))
        self.ids, self.distances = ids[order], distances[order]
        keep = int(np.searchsorted(self.distances, self.limit, side="right"))
        self.ids, self.distances = self.ids[:keep], self.distances[:keep]


def _scan_single(metric: Metric, chunk: Batch, first: int, queries: Batch, best: list[_Best], n_threads: int) -> None:
    def scan(i: int) -> None:
        best[i].add(np.arange(first, first + len(chunk)), metric.distances(queries[i : i + 1], chunk))

    thread_map(scan, range(len(queries)), n_threads)


def _scan_batched(metric: Metric, chunk: Batch, first: int, queries: Batch, best: list[_Best], n_threads: int) -> None:
    for start in range(0, len(queries), QUERY_BLOCK):
        block = queries[start : start + QUERY_BLOCK]
        near: NDArray[Any] = metric.pairwise(block, chunk)
        error = metric.pairwise_error(block, chunk, near)

        def scan(
            i: int, block: Batch = block, near: NDArray[Any] = near, error: NDArray[Any] = error, start: int = start
        ) -> None:
            one = best[start + i]
            limit = one.limit
            if len(chunk) > one._k:
                upper = np.partition(near[i] + error[i], one._k - 1)[one._k - 1]
                limit = min(limit, float(tie_threshold(upper)))
            rows = np.flatnonzero(near[i] - error[i] <= limit)
            if len(rows):
                one.add(first + rows, metric.distances(block[i : i + 1], chunk[rows]))

        thread_map(scan, range(len(block)), n_threads)
