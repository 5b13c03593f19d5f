"""Exhaustive scan: every object is read and compared."""

from typing import Any, Self

from metricsearch.baselines.exact import ListedIndex, NearestSoFar
from metricsearch.baselines.object_ids import ObjectIds
from metricsearch.errors import EmptyIndexError
from metricsearch.evaluation import Neighbours, exact_neighbours
from metricsearch.indexes import DistancesTo, Nearest
from metricsearch.refinement import check_store
from metricsearch.spaces import Batch, check_user_metric
from metricsearch.spaces.chunks import iterate_chunks
from metricsearch.store import ObjectStore

CHUNK_SIZE = 4096  # objects compared at a time


class ExhaustiveScan(ListedIndex):
    """No index at all: compares the query with every object, in order of their IDs.

    metric: name, specification, `Metric` or user function (tested to be a metric on the first objects).
    n_threads: of `ground_truth`; None = all cores.
    """

    def build(self, objects: Any, ids: Any = None) -> Self:
        """See `MetricIndex.build`; reads all objects once, to count and check them. NonMetricError as in the class."""
        n, width = 0, None
        for batch in iterate_chunks(objects, self.metric):
            if not n:
                check_user_metric(self.metric, batch, seed=0)
                width = self.metric.kind.width(batch)
            n += len(batch)
        numbers, _ = ObjectIds.number(ids, n)
        self._ids, self._width = numbers, width
        return self

    def nearest(self, query: Batch, k: int, distances_to: DistancesTo, max_distances: int | None = None) -> Nearest:
        """See `ExactIndex.nearest`. A budget ends the scan after the objects with the smallest IDs."""
        ids = self._require_objects().all()
        best = NearestSoFar(k, distances_to, max_distances)
        for start in range(0, len(ids), CHUNK_SIZE):
            best.compare(ids[start : start + CHUNK_SIZE])
            if not best.is_exact:
                break
        return best.answer()

    def ground_truth(self, store: ObjectStore, queries: Any, k: int) -> Neighbours:
        """The k nearest objects of a store for every query, with all ties; ids are IDs of the store.

        One pass over the store for all queries; needs no `build`. Raises InvalidInputError (naming the row; k < 1; a
        store of other objects), EmptyIndexError for an empty store, CorruptedError.
        """
        check_store(store, self.metric)
        batch = self.metric.check(queries, "queries", store.width)
        ids = store.ids()
        if not len(ids):
            raise EmptyIndexError(f"{store.path}: it holds no objects; add some")
        found = exact_neighbours(self.metric, _Objects(store), batch, k, n_threads=self.n_threads)
        return Neighbours(ids[found.ids], found.distances, found.offsets, found.k, found.n_objects)


class _Objects:
    """The objects of a store without their IDs."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def chunks(self, chunk_size: int, /) -> Any:
        return (objects for _, objects in self._store.chunks(chunk_size))
