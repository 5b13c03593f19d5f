"""LAESA: distances of all objects to k pivots; the triangle inequality says which objects may be near."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.exact import NearestSoFar, as_float32, bound_slack
from metricsearch.baselines.exact._kernels import pivot_bounds
from metricsearch.baselines.permutations import smallest
from metricsearch.baselines.pivot_index import PivotIndex
from metricsearch.indexes import CandidateIndex, CandidateStream, DistancesTo, ExactIndex, Nearest, check_no_options
from metricsearch.spaces import Batch
from metricsearch.threads import thread_map
from metricsearch.validation import check_positive

BLOCK_SHARE = 4  # so many-th part of the objects compared so far is compared next


class LAESA(PivotIndex, CandidateIndex[None], ExactIndex):
    """Table of the distances of all objects to k pivots (M. L. Mico, J. Oncina, E. Vidal, Pattern Recognition Letters
    15(1), 1994).

    The lower bound of d(q, x) is max_i |d(q, p_i) - d(x, p_i)|, both rounded to float32. Candidates come in
    order of (bound, ID). `nearest` compares in this order until the bound exceeds the k-th distance. Memory: 4 k bytes
    per object. Parameters: see `PivotIndex`.
    """

    def __init__(
        self,
        metric: Any,
        n_pivots: int = 32,
        *,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(metric, n_pivots, pivot_choice=pivot_choice, seed=seed, n_threads=n_threads)
        self._table = np.empty((self.n_pivots, 0), dtype=np.float32)
        self._largest = 0.0

    def _describe(self, objects: Batch, pivots: Batch) -> NDArray[np.float32]:
        columns = thread_map(
            lambda i: as_float32(self.metric.distances(pivots[i : i + 1], objects)), range(len(pivots)), self.n_threads
        )
        return np.stack(columns, axis=1)

    def _keep(self, rows: NDArray[np.float32]) -> None:
        self._table = np.ascontiguousarray(rows.T)  # (k, n)
        self._largest = float(rows.max(initial=0.0))

    def _parts(self) -> dict[str, int]:
        return {"distances": self._table.nbytes}

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`; all candidates are one block."""
        check_no_options(options, "LAESA")
        bounds, _ = self._bounds(query)
        best = smallest(bounds, check_positive(n_candidates, "n_candidates"))
        return CandidateStream(iter([self._ids.of(best)]), self.n_pivots, np.array([len(self)]))

    def nearest(self, query: Batch, k: int, distances_to: DistancesTo, max_distances: int | None = None) -> Nearest:
        """See `ExactIndex.nearest`."""
        best = NearestSoFar(k, distances_to, max_distances)
        bounds, slack = self._bounds(query)
        first = smallest(bounds, k)
        best.compare(self._ids.of(first))
        bounds[first] = np.nan  # neither less nor more than anything: not again
        rest = np.flatnonzero(bounds <= best.limit + slack)
        rest = rest[np.argsort(bounds[rest], kind="stable")]
        start = 0
        while best.is_exact:
            block = rest[start : start + max(k, (k + start) // BLOCK_SHARE)]
            block = block[bounds[block] <= best.limit + slack]
            if not len(block):
                break
            best.compare(self._ids.of(block))
            start += len(block)
        return best.answer(self.n_pivots)

    def _bounds(self, query: Batch) -> tuple[NDArray[np.float64], float]:
        """(n,) lower bounds of the distances of a query, and how much too large they may be."""
        to_pivots = as_float32(self._pivot_distances(query))
        bounds = np.empty(len(self))
        pivot_bounds(to_pivots, self._table, bounds)
        return bounds, bound_slack(max(to_pivots.max(), self._largest))
