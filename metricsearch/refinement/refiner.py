"""Refinement: exact distances of the candidates, read and computed while further candidates are ranked."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError, UnknownIdError
from metricsearch.refinement.checking import CheckedObjects
from metricsearch.spaces import Batch, Metric
from metricsearch.threads import submit_reader

SLICE_SIZE = 625  # candidates one reading thread takes at a time


@dataclass(frozen=True, slots=True)
class _Slice:
    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    n_bytes: int
    read_s: float
    refine_s: float


class Refiner:
    """Collects the candidates of one query block by block and answers with the k nearest.

    snapshot: of the object store. checked: which objects had their checksums compared. ordinals_of: their numbers in
    it, from IDs. concurrent: read and compute on the reading threads while the caller goes on ranking; otherwise in
    `add` itself (when many queries keep the cores busy anyway).
    """

    def __init__(
        self,
        snapshot: Any,
        metric: Metric,
        query: Batch,
        checked: CheckedObjects,
        ordinals_of: Callable[[NDArray[np.int64]], NDArray[np.int64]],
        concurrent: bool,
    ) -> None:
        self._snapshot, self._metric, self._query, self._concurrent = snapshot, metric, query, concurrent
        self._checked, self._ordinals_of = checked, ordinals_of
        self._pending: list[Future[_Slice]] = []
        self._done: list[_Slice] = []

    def add(self, ids: NDArray[np.int64]) -> None:
        """Take a block of candidates."""
        located = self._locate(np.sort(ids))
        if not self._concurrent:
            self._done.append(self._refine(located))
            return
        for start in range(0, len(ids), SLICE_SIZE):
            self._pending.append(submit_reader(self._refine, located[start : start + SLICE_SIZE]))

    def distances_to(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Take a block of candidates, read and compared here and now; returns their (n,) distances."""
        order = np.argsort(ids, kind="stable")
        self._done.append(self._refine(self._locate(ids[order])))
        distances = np.empty(len(ids))
        distances[order] = self._done[-1].distances
        return distances

    def _locate(self, ids: NDArray[np.int64]) -> Any:
        """Where objects lie; in order of IDs, so that neighbours on disk are read together."""
        try:
            return self._snapshot.locate(ids)
        except UnknownIdError as error:  # the index covers the very objects of the snapshot
            raise CorruptedError(f"{error}, but in the index: the file is damaged; restore it from a copy") from None

    def _refine(self, located: Any) -> _Slice:
        begin = time.perf_counter()
        self._snapshot.prefetch(located)
        self._checked.check(self._snapshot, located, self._ordinals_of(located.ids))
        middle = time.perf_counter()
        distances = self._snapshot.distances(self._metric, self._query, located)
        return _Slice(located.ids, distances, located.n_bytes, middle - begin, time.perf_counter() - middle)

    def nearest(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """IDs and distances of the k nearest candidates, ascending, ties by ID. Waits for the reading threads."""
        self._done += [future.result() for future in self._pending]
        self._pending.clear()
        ids = np.concatenate([np.empty(0, np.int64), *(part.ids for part in self._done)])
        distances = np.concatenate([np.empty(0), *(part.distances for part in self._done)])
        return nearest_of(ids, distances, k)

    def wait(self) -> None:
        """Let running reads end; the snapshot must not be closed under them."""
        for future in self._pending:
            future.cancel()
            if not future.cancelled():
                future.exception()

    @property
    def costs(self) -> tuple[int, int, float, float]:
        """Objects read, bytes read, ms of reading and ms of computing (summed over threads), after `nearest`."""
        read_ms = 1e3 * sum(part.read_s for part in self._done)
        refine_ms = 1e3 * sum(part.refine_s for part in self._done)
        return sum(len(part.ids) for part in self._done), sum(part.n_bytes for part in self._done), read_ms, refine_ms


def nearest_of(
    ids: NDArray[np.int64], distances: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """IDs and distances of the k nearest of (n,) objects, ascending, ties by ID."""
    if k < len(ids):
        near = distances <= np.partition(distances, k - 1)[k - 1]  # all ties of the k-th
        ids, distances = ids[near], distances[near]
    order = np.lexsort((ids, distances))[:k]
    return ids[order], distances[order]
