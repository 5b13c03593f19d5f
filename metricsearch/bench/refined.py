"""An adapter as an index of candidates, so that `StoreSearch` refines what it finds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.bench.method import Method
from metricsearch.errors import InvalidInputError
from metricsearch.indexes import CandidateIndex, CandidateStream
from metricsearch.spaces import Batch, Metric, Ragged


class RefinedMethod(CandidateIndex[None]):
    """A built adapter. Its objects have the IDs 0, 1, 2, ...

    tells_distances: whether the library has told so far how many distances each query took.
    """

    def __init__(self, library: Method, metric: Metric, objects: Batch) -> None:
        self.metric = metric
        self._library, self._n = library, len(objects)
        self._width = metric.kind.width(objects)
        self._known: dict[bytes, NDArray[np.int64]] = {}
        self.tells_distances = True

    def build(self, objects: Any, ids: Any = None) -> Self:
        """Not offered: the adapter was built before. Raises InvalidInputError."""
        raise InvalidInputError("index: the adapter is built already; build another one")

    def __len__(self) -> int:
        return self._n

    @property
    def width(self) -> int | None:
        """See `MetricIndex.width`."""
        return self._width

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects."""
        return np.arange(self._n)

    def ordinals_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `MetricIndex.ordinals_of`."""
        return ids

    def memory_report(self) -> dict[str, int]:
        """Nothing besides what the adapter itself reports."""
        return {}

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: None = None, first_block: int | None = None
    ) -> CandidateStream:
        """What the adapter finds; n_pivot_distances is what it tells of distances, 0 if nothing."""
        n_distances = 0
        ids = self._known.get(_bytes_of(query))
        if ids is None:
            found = self._library.find(query, n_candidates)
            self.tells_distances &= found.n_distances is not None
            ids, n_distances = found.ids, found.n_distances or 0
        return CandidateStream(iter([check_rows(ids, n_candidates, self._n)]), n_distances, np.array([len(ids)]))

    @contextmanager
    def found_before(self, queries: Batch, n_candidates: int) -> Iterator[None]:
        """Inside it, the candidates of `queries` are those of one batch call of the library, made on entry."""
        found = self._library.find_all(queries, n_candidates)
        self._known = {_bytes_of(queries[i : i + 1]): ids for i, ids in enumerate(found)}
        try:
            yield
        finally:
            self._known = {}


def check_rows(ids: NDArray[np.int64], n: int, n_objects: int) -> NDArray[np.int64]:
    """What an adapter found, as int64; raise InvalidInputError for padding, or more than were asked for."""
    found = np.asarray(ids)
    if found.shape == (0,):
        return np.empty(0, dtype=np.int64)
    if found.ndim == 1 and found.dtype.kind in "iu" and len(found) <= n and 0 <= found.min() <= found.max() < n_objects:
        return found.astype(np.int64, copy=False)
    raise InvalidInputError(
        f"adapter: expected at most {n} rows in 0..{n_objects - 1}, got {np.array2string(found, threshold=9):.60}"
    )


def _bytes_of(query: Batch) -> bytes:
    """What tells one query from another."""
    return (query.values if isinstance(query, Ragged) else query).tobytes()
