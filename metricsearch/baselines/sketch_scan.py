"""Sketch scan: the sketches of all objects compared with the query, one after the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.permutations import smallest
from metricsearch.baselines.pivot_index import PivotIndex
from metricsearch.errors import EmptyIndexError
from metricsearch.indexes import CandidateStream, Estimated, EstimatingIndex, check_no_options
from metricsearch.sketches import Sketch, check_sketch_bytes, encode_all, fit_sketch, n_learnt
from metricsearch.spaces import Batch
from metricsearch.validation import check_positive

_SALT = 2  # of the random numbers that fit the sketch


class SketchScan(PivotIndex, EstimatingIndex[None]):
    """All objects in order of what their sketches say of their distance; no other index before it.

    sketch: see `fit_sketch`. sketch_bytes: memory per object. Other parameters: see `PivotIndex`.
    """

    def __init__(
        self,
        metric: Any,
        n_pivots: int = 512,
        *,
        sketch: str = "landmark",
        sketch_bytes: int = 32,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(metric, n_pivots, pivot_choice=pivot_choice, seed=seed, n_threads=n_threads)
        self.sketch_bytes = check_sketch_bytes(sketch, sketch_bytes)
        self.sketch = sketch
        self._learnt: Sketch | None = None
        self._fitted: Sketch | None = None
        self._codes = np.empty((0, sketch_bytes), dtype=np.uint8)

    def _n_learnt(self) -> int:
        return n_learnt(self.sketch)

    def _learn(self, sample: Batch, pivots: Batch) -> None:
        rng = np.random.default_rng([self.seed, _SALT])
        self._learnt = fit_sketch(self.sketch, self.sketch_bytes, self.metric, pivots, sample, rng)

    def _describe(self, objects: Batch, pivots: Batch) -> NDArray[Any]:
        if self._learnt is None:
            raise RuntimeError("describing comes after learning")
        return encode_all(self._learnt, self.metric, objects, pivots, self.n_threads)

    def _keep(self, rows: NDArray[Any]) -> None:
        self._codes, self._fitted, self._learnt = rows, self._learnt, None

    def _parts(self) -> dict[str, int]:
        return {"sketches": self._codes.nbytes, "sketch map": 0 if self._fitted is None else self._fitted.nbytes}

    @property
    def estimate_power(self) -> int | None:
        """See `EstimatingIndex`."""
        return None if self._fitted is None else self._fitted.power

    def estimated(self, query: Batch, n_candidates: int, options: None = None, *, of_all: bool = False) -> Estimated:
        """See `EstimatingIndex`; ties by ID."""
        check_no_options(options, "a sketch scan")
        n_wanted = min(check_positive(n_candidates, "n_candidates"), len(self))
        distances = self._pivot_distances(query)
        if self._fitted is None or not n_wanted:
            raise EmptyIndexError("candidates: the index holds no objects; build it first")
        estimates = self._fitted.query(query, distances).estimates(self._codes, np.arange(len(self)))
        best = smallest(estimates, n_wanted)
        return Estimated(self._ids.of(best), estimates[best], self.n_pivots, np.array([len(self)]))

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`; all candidates are one block."""
        found = self.estimated(query, n_candidates, options)
        return CandidateStream(iter([found.ids]), found.n_pivot_distances, found.n_ids_ranked)
