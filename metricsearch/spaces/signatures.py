"""Metrics of feature signatures and point sets: signature quadratic form distance, Hausdorff."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.spaces import _kernels
from metricsearch.spaces.batches import Batch, ragged_view
from metricsearch.spaces.metric import Metric, check_pair
from metricsearch.spaces.objects import POINT_SETS, SIGNATURES


class SQFD(Metric):
    """Signature quadratic form distance with Gaussian similarity.

    sqrt(w A w), w the weights of the one signature followed by the negated weights of the other, A_ij = exp(-alpha
    |c_i - c_j|^2) over all their centres: C. Beecks, M. S. Uysal, T. Seidl, ACM CIVR 2010. The root of a difference of
    float64 sums: below about 1e-8 of the weights' sum a distance is rounding noise (but 0 for equal signatures).

    alpha : > 0; raises InvalidInputError otherwise.
    """

    name = "sqfd"
    kind = SIGNATURES

    def __init__(self, alpha: float = 1.0) -> None:
        if isinstance(alpha, bool) or not isinstance(alpha, int | float | np.number) or not 0 < alpha < np.inf:
            raise InvalidInputError(f"sqfd: alpha: expected a finite number > 0, got {alpha!r}")
        self.alpha = float(alpha)

    def spec(self) -> dict[str, Any]:
        """See `Metric.spec`."""
        return {"name": self.name, "alpha": self.alpha}

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`."""
        check_pair(self.kind, query, objects)
        return self._distances(query, self._selves(query), objects, self._selves(objects))

    def exact_pairwise(self, left: Batch, right: Batch) -> NDArray[np.float64]:
        """See `Metric.exact_pairwise`; the terms of single signatures are computed once."""
        left_selves, right_selves = self._selves(left), self._selves(right)
        result = np.empty((len(left), len(right)))
        for i in range(len(left)):
            query = left[i : i + 1]
            check_pair(self.kind, query, right)
            result[i] = self._distances(query, left_selves[i : i + 1], right, right_selves)
        return result

    def _selves(self, batch: Batch) -> NDArray[np.float64]:
        """(n,) w A w of single signatures."""
        out = np.empty(len(batch))
        _kernels.signature_selves(*ragged_view(batch, np.float32), self.alpha, out)
        return out

    def _distances(
        self, query: Batch, query_self: NDArray[np.float64], objects: Batch, selves: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        rows = ragged_view(query, np.float32)[0]
        out = np.empty(len(objects))
        _kernels.sqfd(rows, query_self[0], *ragged_view(objects, np.float32), selves, self.alpha, out)
        return out


class Hausdorff(Metric):
    """Largest distance from a point of either set to the nearest point of the other; Euclidean ground distance."""

    name = "hausdorff"
    kind = POINT_SETS

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`."""
        check_pair(self.kind, query, objects)
        out = np.empty(len(objects))
        _kernels.hausdorff(ragged_view(query, np.float32)[0], *ragged_view(objects, np.float32), out)
        return out
