"""What a metric is to the engine, user functions as metrics, and the test of the metric postulates."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from metricsearch.errors import InvalidInputError, NonMetricError
from metricsearch.spaces.batches import Batch
from metricsearch.spaces.objects import ObjectKind, kind_by_name
from metricsearch.validation import check_positive

POSTULATE_SAMPLE = 200  # objects on which a user's function is tested


class Metric(ABC):
    """A distance function between objects of one kind that satisfies the metric postulates.

    name    : its name for `get_metric`
    kind    : kind of its objects
    batched : True if `pairwise` may differ from `distances` by rounding (it goes through a matrix product)
    """

    name: str
    kind: ObjectKind
    batched: bool = False

    def spec(self) -> dict[str, Any]:
        """Name and parameters as JSON values; `get_metric` of it gives an equal metric."""
        return {"name": self.name}

    def check(self, objects: Any, name: str = "objects", width: int | None = None) -> Batch:
        """Return `objects` as a batch of this metric's kind; raise InvalidInputError that says `name` and the row."""
        return self.kind.check(objects, name, width)

    @abstractmethod
    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """(n,) float64 distances of a batch of one object to n objects.

        The bits of a distance depend on its two objects alone, not on the batch or the number of threads.
        Raises InvalidInputError when the widths differ or `query` is not one object.
        """

    def pairwise(self, left: Batch, right: Batch, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """(n_left, n_right) distances. Batched metrics compute and return them in `dtype`; others have the bits of
        `distances` in float64."""
        return self.exact_pairwise(left, right)

    def exact_pairwise(self, left: Batch, right: Batch) -> NDArray[np.float64]:
        """(n_left, n_right) float64 with the bits of `distances`, for batched metrics too."""
        result = np.empty((len(left), len(right)))
        if len(left) <= len(right):
            for i in range(len(left)):
                result[i] = self.distances(left[i : i + 1], right)
        else:  # distances are symmetric to the bit, and long batches cost less per pair
            for j in range(len(right)):
                result[:, j] = self.distances(right[j : j + 1], left)
        return result

    def pairwise_error(self, left: Batch, right: Batch, near: NDArray[Any]) -> NDArray[np.float64]:
        """Bound on |pairwise - distances| for (n_left, m) values `near` selected from rows of pairwise(left, right)."""
        return np.zeros(near.shape)

    def __repr__(self) -> str:
        return f"<metric {self.spec()}>"


class FunctionMetric(Metric):
    """A user's function of two objects as a metric.

    function : f(a, b) -> float >= 0, plain Python or jitted; objects come as the kind gives them to users (an own
               writable array per vector, str, frozenset, ...)
    kind     : kind of its objects, or its name
    name     : default: the function's own
    Raises InvalidInputError when `function` cannot be called, UnknownNameError for an unknown kind.
    Whether it is a metric can be tested by `check_postulates`. A file can hold its name only, so `get_metric` of its
    spec fails.
    """

    def __init__(
        self, function: Callable[[Any, Any], Any], kind: str | ObjectKind = "vectors", name: str | None = None
    ) -> None:
        if not callable(function):
            raise InvalidInputError(f"metric: expected a function of two objects, got {function!r}")
        self.function = function
        self.kind = kind if isinstance(kind, ObjectKind) else kind_by_name(kind)
        self.name = f"user:{name or getattr(function, '__name__', type(function).__name__)}"

    def spec(self) -> dict[str, Any]:
        """Name and kind; tells a reader what was used, not how to compute it."""
        return {"name": self.name, "kind": self.kind.name}

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`; a result that is no finite number >= 0 raises InvalidInputError."""
        check_pair(self.kind, query, objects)
        one = self.kind.to_user(query, 0)
        result = np.empty(len(objects))
        for i in range(len(objects)):
            result[i] = self._call(one, self.kind.to_user(objects, i))
        return result

    def exact_pairwise(self, left: Batch, right: Batch) -> NDArray[np.float64]:
        """See `Metric.exact_pairwise`; calls f(left, right) only, as nothing says that f is symmetric to the bit."""
        result = np.empty((len(left), len(right)))
        for i in range(len(left)):
            result[i] = self.distances(left[i : i + 1], right)
        return result

    def _call(self, a: Any, b: Any) -> float:
        value = self.function(a, b)
        try:
            distance = float(value)
        except (TypeError, ValueError):
            raise InvalidInputError(f"metric {self.name}: expected a number, got {value!r:.80}") from None
        if not 0 <= distance < np.inf:
            raise InvalidInputError(f"metric {self.name}: expected a finite distance >= 0, got {distance}")
        return distance


def check_pair(kind: ObjectKind, query: Batch, objects: Batch) -> None:
    """Raise InvalidInputError unless `query` is one object as wide as `objects`."""
    if len(query) != 1:
        raise InvalidInputError(f"query: expected a batch of one object, got {len(query)}")
    if kind.width(query) != kind.width(objects):
        raise InvalidInputError(f"query: expected width {kind.width(objects)}, got {kind.width(query)}")


def check_postulates(metric: Metric, sample: Batch, *, seed: int = 0, n_triples: int = 2000) -> None:
    """Raise NonMetricError, with the offending values, if `metric` breaks a postulate on objects of `sample`.

    At most ceil(sqrt(3 n_triples)) objects are drawn by `seed`; all pairs and triples of them are tested (the same
    number of distances as n_triples single triples, and far more triples): d(x, x) = 0, d(x, y) = d(y, x) >= 0,
    d(x, z) <= d(x, y) + d(y, z), each with a relative slack of 1e-6 for rounding.
    A pass is no proof. Raises InvalidInputError unless n_triples >= 1.
    """
    n_drawn = min(len(sample), int(np.ceil(np.sqrt(3 * check_positive(n_triples, "n_triples")))))
    rows = np.sort(np.random.default_rng(seed).choice(len(sample), n_drawn, replace=False))
    objects = sample[rows]
    matrix = np.empty((n_drawn, n_drawn))
    for i in range(n_drawn):
        try:
            matrix[i] = metric.distances(objects[i : i + 1], objects)
        except InvalidInputError as error:
            raise NonMetricError(f"{error} (sample row {rows[i]} against others)") from None
    _check_matrix(metric.name, matrix, rows)


def check_user_metric(metric: Metric, sample: Batch, seed: int) -> None:
    """Raise NonMetricError if `metric` is a user's function that breaks a postulate on `sample`."""
    if isinstance(metric, FunctionMetric):
        check_postulates(metric, sample[:POSTULATE_SAMPLE], seed=seed)


def _check_matrix(name: str, matrix: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
    """Raise NonMetricError unless `matrix`, all distances between the sample's `rows`, is metric."""
    if matrix.size == 0:
        return
    bad = ~(matrix >= 0)
    if bad.any():
        i, j = _first(bad)
        raise NonMetricError(f"metric {name}: d(x, y) = {matrix[i, j]} < 0 for rows x={rows[i]}, y={rows[j]}")
    noise = 1e-9 * matrix.max()  # of distances that are zero but for rounding
    bad_rows = np.diag(matrix) > 1e-6 * matrix.max()
    if bad_rows.any() or not np.isfinite(noise):
        i = int(np.argmax(bad_rows))
        raise NonMetricError(f"metric {name}: d(x, x) = {matrix[i, i]} for row x={rows[i]}, expected 0")
    bad = np.abs(matrix - matrix.T) > 1e-6 * matrix + noise
    if bad.any():
        i, j = _first(bad)
        raise NonMetricError(
            f"metric {name} is not symmetric: d(x, y) = {matrix[i, j]} but d(y, x) = {matrix[j, i]} "
            f"for rows x={rows[i]}, y={rows[j]}"
        )
    for i in range(len(matrix)):  # row x = i; axes: y, z
        detour = matrix[i][:, None] + matrix
        bad = matrix[i][None, :] > detour * (1 + 1e-6) + noise
        if bad.any():
            j, k = _first(bad)
            raise NonMetricError(
                f"metric {name} breaks the triangle inequality: d(x, z) = {matrix[i, k]} > "
                f"d(x, y) + d(y, z) = {matrix[i, j]} + {matrix[j, k]} for rows x={rows[i]}, y={rows[j]}, z={rows[k]}"
            )


def _first(bad: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the first True."""
    i, j = np.argwhere(bad)[0]
    return int(i), int(j)
