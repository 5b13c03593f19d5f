"""What baselines with pivots share: choosing the pivots, and one row of numbers per object from them."""

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.object_ids import ObjectIds
from metricsearch.errors import MissingIndexError
from metricsearch.indexes import MetricIndex
from metricsearch.partition import PIVOT_CHOICES, pivots_and_chunks
from metricsearch.spaces import Batch, Metric, batch_nbytes, check_user_metric, get_metric
from metricsearch.threads import resolve_threads
from metricsearch.validation import check_choice, check_integer

MAX_PIVOTS = 65536


class PivotIndex(MetricIndex):
    """Base of the baselines with λ sets of k pivots (λ = 1 for all but the PP-Index).

    metric: name, specification, `Metric` or user function (tested to be a metric on a sample of the data).
    pivot_choice: see `choose_pivots`. n_threads: None = all cores; results do not depend on it.
    """

    def __init__(
        self,
        metric: Any,
        n_pivots: int,
        *,
        n_spaces: int = 1,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.metric: Metric = get_metric(metric)
        self.n_spaces = n_spaces
        self.n_pivots = check_integer(n_pivots, "n_pivots", 1, MAX_PIVOTS)
        self.pivot_choice = check_choice(pivot_choice, "pivot_choice", PIVOT_CHOICES)
        self.seed = check_integer(seed, "seed", 0)
        self.n_threads = resolve_threads(n_threads)
        self._pivots: Batch | None = None
        self._ids = ObjectIds(np.empty(0, dtype=np.int64))

    def build(self, objects: Any, ids: Any = None) -> Self:
        """See `MetricIndex.build`. The same objects, parameters and seed give the same pivots as in `PPPCodes`."""
        choice = self.n_spaces, self.n_pivots, self.pivot_choice, self.seed
        drawn = pivots_and_chunks(objects, self.metric, *choice, self._check_metric, n_learnt=self._n_learnt())
        pivots = drawn.pivots
        self._learn(drawn.sample, pivots)
        parts = (self._describe(part, pivots) for part in drawn.chunks)
        rows = np.concatenate([self._describe(pivots[:0], pivots), *parts])
        numbers, order = ObjectIds.number(ids, len(rows))
        self._keep(rows[order])
        self._pivots, self._ids = pivots, numbers
        return self

    def _n_learnt(self) -> int:
        """How many objects `_learn` needs, at most."""
        return 0

    def _learn(self, sample: Batch, pivots: Batch) -> None:  # noqa: B027 (most learn nothing)
        """Learn from a sample of the objects how to describe them; nothing that searches use may change yet."""

    @abstractmethod
    def _describe(self, objects: Batch, pivots: Batch) -> NDArray[Any]:
        """(n, ...) what is kept of each of n checked objects; n may be 0."""

    @abstractmethod
    def _keep(self, rows: NDArray[Any]) -> None:
        """Make what searches use from the rows of all objects, by ordinal."""

    def _check_metric(self, sample: Batch) -> None:
        check_user_metric(self.metric, sample, self.seed)

    def _require_pivots(self) -> Batch:
        if self._pivots is None:
            raise MissingIndexError("index: no objects yet; call build() first")
        return self._pivots

    def _pivot_distances(self, query: Batch) -> NDArray[np.float64]:
        """(λ·k,) distances of a checked query to all pivots. Raises MissingIndexError."""
        return self.metric.distances(query, self._require_pivots())

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def width(self) -> int | None:
        """See `MetricIndex.width`."""
        return self.metric.kind.width(self._require_pivots())

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""
        return self._ids.all()

    def ordinals_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `MetricIndex.ordinals_of`."""
        return self._ids.ordinals(ids)

    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays that stay resident, by part."""
        pivots = 0 if self._pivots is None else batch_nbytes(self._pivots)
        return {**self._parts(), "ids": self._ids.nbytes, "pivots": pivots}

    @abstractmethod
    def _parts(self) -> dict[str, int]:
        """Bytes of what `_keep` made, by part."""
