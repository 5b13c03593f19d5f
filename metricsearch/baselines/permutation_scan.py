"""Permutation scan: the pivot permutations of all objects compared with the query's, one after the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines import _kernels
from metricsearch.baselines.permutations import smallest, threaded_prefixes
from metricsearch.baselines.pivot_index import PivotIndex
from metricsearch.errors import InvalidInputError
from metricsearch.indexes import CandidateIndex, CandidateStream, check_no_options
from metricsearch.spaces import Batch
from metricsearch.validation import check_choice, check_integer, check_positive

_KERNELS = {"footrule": _kernels.footrules, "rho": _kernels.rhos, "binary": _kernels.bit_differences}
PERMUTATION_DISTANCES = tuple(_KERNELS)


class PermutationScan(PivotIndex, CandidateIndex[None]):
    """All objects in order of the distance between pivot permutations (E. Chávez, K. Figueroa, G. Navarro, TPAMI
    30(9), 2008).

    pos_x(p) is the position, from 0, of pivot p among the k pivots by distance to x, ties by pivot. distance:
    "footrule", sum over pivots of |pos_x - pos_q|; "rho", sum of (pos_x - pos_q)^2; "binary", number of pivots for
    which only one of pos_x >= threshold and pos_q >= threshold holds (E. S. Téllez, E. Chávez, A. Camarena-Ibarrola,
    CIARP 2009). threshold: for "binary", 1..k; None = k // 2.
    Memory per object: k bytes (2 k for k > 256), or k / 8 for "binary". Other parameters: see `PivotIndex`.
    """

    def __init__(
        self,
        metric: Any,
        n_pivots: int = 128,
        *,
        distance: str = "footrule",
        threshold: int | None = None,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(metric, n_pivots, pivot_choice=pivot_choice, seed=seed, n_threads=n_threads)
        self.distance = check_choice(distance, "distance", PERMUTATION_DISTANCES)
        if threshold is not None and distance != "binary":
            raise InvalidInputError(f'threshold: only distance="binary" has one, got distance="{distance}"')
        given = max(1, self.n_pivots // 2) if threshold is None else threshold
        self.threshold = check_integer(given, "threshold", 1, self.n_pivots)
        self._rows = self._from_prefixes(np.empty((0, self.n_pivots), dtype=np.uint16))

    def _describe(self, objects: Batch, pivots: Batch) -> NDArray[Any]:
        return self._from_prefixes(threaded_prefixes(self.metric, objects, pivots, self.n_pivots, self.n_threads))

    def _from_prefixes(self, permutations: NDArray[np.integer]) -> NDArray[Any]:
        """(n, k) positions, or their bits in uint64 words, of full permutations (n, k)."""
        positions = np.empty(permutations.shape, dtype=np.uint8 if self.n_pivots <= 256 else np.uint16)
        np.put_along_axis(positions, permutations, np.arange(self.n_pivots, dtype=positions.dtype)[None], axis=1)
        if self.distance != "binary":
            return positions
        words = np.zeros((len(positions), -(-self.n_pivots // 64)), dtype=np.uint64)
        packed = np.packbits(positions >= self.threshold, axis=1)
        words.view(np.uint8)[:, : packed.shape[1]] = packed
        return words

    def _keep(self, rows: NDArray[Any]) -> None:
        self._rows = rows

    def _parts(self) -> dict[str, int]:
        return {"permutations": self._rows.nbytes}

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`; all candidates are one block."""
        check_no_options(options, "a permutation scan")
        n_wanted = check_positive(n_candidates, "n_candidates")
        permutation = np.argsort(self._pivot_distances(query), kind="stable")
        distances = np.empty(len(self), dtype=np.int64)
        _KERNELS[self.distance](self._from_prefixes(permutation[None])[0], self._rows, distances)
        best = self._ids.of(smallest(distances, n_wanted))
        return CandidateStream(iter([best]), self.n_pivots, np.array([len(self)]))
