"""Base of the exact baselines that keep no objects, not even pivots: only what their objects are called."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.object_ids import ObjectIds
from metricsearch.errors import EmptyIndexError, MissingIndexError
from metricsearch.indexes import ExactIndex
from metricsearch.spaces import Metric, get_metric
from metricsearch.threads import resolve_threads


class ListedIndex(ExactIndex):
    """Keeps the IDs of its objects and their width.

    metric: name, specification, `Metric` or user function (tested to be a metric on a sample of the data).
    n_threads: None = all cores; results do not depend on it.
    """

    def __init__(self, metric: Any, *, n_threads: int | None = None) -> None:
        self.metric: Metric = get_metric(metric)
        self.n_threads = resolve_threads(n_threads)
        self._ids: ObjectIds | None = None
        self._width: int | None = None

    def _require_ids(self) -> ObjectIds:
        if self._ids is None:
            raise MissingIndexError("index: no objects yet; call build() first")
        return self._ids

    def _require_objects(self) -> ObjectIds:
        ids = self._require_ids()
        if not len(ids):
            raise EmptyIndexError("index: it holds no objects; build it with some")
        return ids

    def __len__(self) -> int:
        return 0 if self._ids is None else len(self._ids)

    @property
    def width(self) -> int | None:
        """See `MetricIndex.width`. None too while there are no objects."""
        self._require_ids()
        return self._width

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""
        return np.empty(0, dtype=np.int64) if self._ids is None else self._ids.all()

    def ordinals_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `MetricIndex.ordinals_of`."""
        return self._require_ids().ordinals(ids)

    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays that stay resident, by part."""
        return {"ids": 0 if self._ids is None else self._ids.nbytes}
