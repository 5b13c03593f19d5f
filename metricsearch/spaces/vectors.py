"""Metrics of vectors: Euclidean, Manhattan, Chebyshev, angle, Jensen-Shannon."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.spaces import _kernels
from metricsearch.spaces.batches import Batch, dense_view
from metricsearch.spaces.metric import Metric, check_pair
from metricsearch.spaces.objects import VECTORS


class VectorMetric(Metric):
    """A metric of (n, d) float32 vectors that one kernel computes."""

    kind = VECTORS

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`."""
        check_pair(self.kind, query, objects)
        out = np.empty(len(objects))
        self._fill(dense_view(query, np.float32)[0], dense_view(objects, np.float32), out)
        return out

    @abstractmethod
    def _fill(self, query: NDArray[np.float32], objects: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        """Write the distances of `query` (d,) to `objects` (n, d) into `out`."""


class Euclidean(VectorMetric):
    """sqrt(sum (x - y)^2), the L2 distance."""

    name = "euclidean"
    batched = True

    def _fill(self, query: NDArray[np.float32], objects: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        _kernels.euclidean(query, objects, out)

    def pairwise(self, left: Batch, right: Batch, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """(n_left, n_right) by one matrix product in `dtype`: |x|^2 + |y|^2 - 2 xy, never below 0 under the root.

        float64 is used where squared lengths would overflow float32. Memory: the result and copies of both sides
        in `dtype`.
        """
        x, y = _same_width(left, right)
        left_sq, right_sq = _sq_norms(x), _sq_norms(y)
        dtype = _product_dtype(dtype, left_sq.max(initial=0.0) + right_sq.max(initial=0.0))
        result: NDArray[Any] = x.astype(dtype, copy=False) @ y.astype(dtype, copy=False).T
        result *= -2
        result += left_sq.astype(dtype)[:, None]
        result += right_sq.astype(dtype)
        np.maximum(result, 0, out=result)
        np.sqrt(result, out=result)
        return result

    def pairwise_error(self, left: Batch, right: Batch, near: NDArray[Any]) -> NDArray[np.float64]:
        """e2 / max(near, sqrt(e2)), where e2 = (8 + sqrt(d) / 2) eps (|x|^2 + max |y|^2) bounds the squared distance.

        It holds as |sqrt(a) - sqrt(b)| = |a - b| / (sqrt(a) + sqrt(b)) <= sqrt(|a - b|). The rounding errors of a sum
        grow like a random walk, hence sqrt(d); measured with d from 64 to 16384 they stay below 5 eps (|x|^2 + |y|^2).
        """
        x, y = _same_width(left, right)
        if near.size == 0:
            return np.zeros(near.shape)
        limits = np.finfo(near.dtype)
        e2 = (8 + np.sqrt(x.shape[1]) / 2) * float(limits.eps) * (_sq_norms(x) + _sq_norms(y).max())
        e2 += 4 * x.shape[1] * float(limits.tiny)  # squares below that are lost
        return np.asarray(e2[:, None] / np.maximum(near, np.sqrt(e2)[:, None]))


class Manhattan(VectorMetric):
    """sum |x - y|, the L1 distance."""

    name = "manhattan"

    def _fill(self, query: NDArray[np.float32], objects: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        _kernels.manhattan(query, objects, out)


class Chebyshev(VectorMetric):
    """max |x - y|, the L-infinity distance."""

    name = "chebyshev"

    def _fill(self, query: NDArray[np.float32], objects: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        _kernels.chebyshev(query, objects, out)


class Angular(VectorMetric):
    """Angle between two vectors in radians, 0..pi: 2 atan2(|u - v|, |u + v|) of their unit vectors.

    It orders objects as cosine similarity does, and unlike 1 - cosine it is a metric. Vectors of zeros have no angle.
    """

    name = "angular"
    batched = True

    def check(self, objects: Any, name: str = "objects", width: int | None = None) -> Batch:
        """Also raises InvalidInputError for a vector of zeros."""
        batch = super().check(objects, name, width)
        zero = ~dense_view(batch, np.float32).any(axis=1)
        if zero.any():
            raise InvalidInputError(
                f"{name}: row {int(np.argmax(zero))} is a vector of zeros, which has no angle to others "
                f"({int(zero.sum())} such rows in total)"
            )
        return batch

    def _fill(self, query: NDArray[np.float32], objects: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        _kernels.angular(query, objects, np.empty((2, query.size)), out)

    def pairwise(self, left: Batch, right: Batch, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """(n_left, n_right) by one matrix product in `dtype` of unit vectors: 2 atan2(sqrt(1 - cos), sqrt(1 + cos)).

        Memory: twice the result and float64 copies of both sides.
        """
        x, y = _same_width(left, right)
        dtype = _product_dtype(dtype, 2.0)
        cosines = _unit_rows(x).astype(dtype, copy=False) @ _unit_rows(y).astype(dtype, copy=False).T
        np.clip(cosines, -1, 1, out=cosines)
        angles: NDArray[Any] = np.sqrt(1 - cosines)
        cosines += 1
        np.sqrt(cosines, out=cosines)
        np.arctan2(angles, cosines, out=angles)
        angles *= 2
        return angles

    def pairwise_error(self, left: Batch, right: Batch, near: NDArray[Any]) -> NDArray[np.float64]:
        """The change of the angle when its cosine is off by 4 eps sqrt(d), as in `Euclidean.pairwise_error`."""
        x, _ = _same_width(left, right)
        eps = float(np.finfo(near.dtype).eps)
        e = 4 * eps * np.sqrt(x.shape[1])
        angle = near.astype(np.float64)
        cosine = np.cos(angle)
        above = np.arccos(np.maximum(cosine - e, -1)) - angle
        below = angle - np.arccos(np.minimum(cosine + e, 1))
        return np.asarray(np.maximum(above, below) + 4 * eps * angle)


class JensenShannon(VectorMetric):
    """Square root of the Jensen-Shannon divergence (natural logarithm) of two distributions: 0..sqrt(ln 2).

    A metric: D. Endres, J. Schindelin, IEEE Trans. Information Theory 49(7), 2003. Rows are divided by their sum in
    float64.
    """

    name = "jensen_shannon"

    def check(self, objects: Any, name: str = "objects", width: int | None = None) -> Batch:
        """Also raises InvalidInputError for a row with a negative value or a sum not within 1e-3 of 1."""
        batch = super().check(objects, name, width)
        rows = dense_view(batch, np.float32)
        negative = (rows < 0).any(axis=1)
        if negative.any():
            raise InvalidInputError(f"{name}: row {int(np.argmax(negative))} has a negative value")
        sums = rows.sum(axis=1, dtype=np.float64)
        bad = np.abs(sums - 1) > 1e-3
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidInputError(f"{name}: row {row} sums to {sums[row]:.6g}, expected 1 within 0.001")
        return batch

    def _fill(self, query: NDArray[np.float32], objects: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        _kernels.jensen_shannon(query, objects, np.empty((2, query.size)), out)


def _unit_rows(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, d) float64 rows of length 1."""
    units = np.empty(x.shape)
    _kernels.unit_rows(x, units)
    return units


def _same_width(left: Batch, right: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    x, y = dense_view(left, np.float32), dense_view(right, np.float32)
    if x.shape[1] != y.shape[1]:
        raise InvalidInputError(f"left and right: expected vectors of one dimension, got {x.shape[1]} and {y.shape[1]}")
    return x, y


def _sq_norms(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n,) float64 squared lengths."""
    out = np.empty(len(x))
    _kernels.sq_norms(x, out)
    return out


def _product_dtype(dtype: DTypeLike, largest: float) -> np.dtype[Any]:
    """`dtype`, or float64 if values up to `largest` would come near its limit."""
    wanted = np.dtype(dtype)
    if wanted not in (np.float32, np.float64):
        raise InvalidInputError(f"dtype: expected float32 or float64, got {wanted}")
    return np.dtype(np.float64) if largest > float(np.finfo(wanted).max) / 4 else wanted
