"""The nearest of the objects that a search has compared so far."""

import math

import numpy as np
from numpy.typing import NDArray

from metricsearch.indexes import DistancesTo, Nearest
from metricsearch.validation import check_positive


class NearestSoFar:
    """The k nearest objects so far, ties by ID, while a budget of comparisons lasts.

    distances_to, max_distances: see `ExactIndex.nearest`. limit: distance of the k-th nearest; infinite while there
    are fewer. is_exact: no comparison was refused yet. Raises InvalidInputError for k or max_distances < 1.
    """

    def __init__(self, k: int, distances_to: DistancesTo, max_distances: int | None) -> None:
        self._k = check_positive(k, "k")
        self._n_left = math.inf if max_distances is None else check_positive(max_distances, "max_distances")
        self._distances_to = distances_to
        self._ids = np.empty(0, dtype=np.int64)
        self._distances = np.empty(0)
        self.limit = math.inf
        self.is_exact = True

    def compare(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distances to objects not compared before; only to the first of them where the budget ends."""
        if len(ids) > self._n_left:
            ids, self.is_exact = ids[: int(self._n_left)], False
        if not len(ids):
            return np.empty(0)
        self._n_left -= len(ids)
        distances = self._distances_to(ids)
        near = distances <= self.limit
        if near.any():
            self._take(ids[near], distances[near])
        return distances

    def _take(self, ids: NDArray[np.int64], distances: NDArray[np.float64]) -> None:
        ids, distances = np.concatenate([self._ids, ids]), np.concatenate([self._distances, distances])
        order = np.lexsort((ids, distances))[: self._k]
        self._ids, self._distances = ids[order], distances[order]
        if len(order) == self._k:
            self.limit = float(self._distances[-1])

    def answer(self, n_pivot_distances: int = 0) -> Nearest:
        """What the search found."""
        return Nearest(self._ids, self._distances, n_pivot_distances, self.is_exact)
