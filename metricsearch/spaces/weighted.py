"""A weighted sum of metrics over ranges of the columns of a vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.spaces.batches import Batch, dense_view
from metricsearch.spaces.metric import Metric, check_pair
from metricsearch.spaces.objects import VECTORS


@dataclass(frozen=True, slots=True)
class WeightedPart:
    """`weight` x `metric` over columns start:stop; weight > 0, 0 <= start < stop."""

    metric: Metric
    start: int
    stop: int
    weight: float

    def __post_init__(self) -> None:
        if self.metric.kind is not VECTORS:
            raise InvalidInputError(
                f"weighted: expected metrics of vectors; {self.metric.name} is one of {self.metric.kind.name}"
            )
        if not 0 <= self.start < self.stop:
            raise InvalidInputError(f"weighted: expected columns 0 <= start < stop, got {self.start}:{self.stop}")
        if not 0 < self.weight < np.inf:
            raise InvalidInputError(f"weighted: expected a finite weight > 0, got {self.weight}")


class Weighted(Metric):
    """sum_i weight_i d_i(x[start_i:stop_i], y[start_i:stop_i]): one vector that holds several descriptors.

    A sum of metrics with positive weights is a metric. Raises InvalidInputError when there are no parts.
    """

    name = "weighted"
    kind = VECTORS

    def __init__(self, parts: Sequence[WeightedPart]) -> None:
        self.parts = tuple(parts)
        if not self.parts:
            raise InvalidInputError("weighted: expected at least one part")

    def spec(self) -> dict[str, Any]:
        """See `Metric.spec`."""
        parts = [
            {"metric": part.metric.spec(), "columns": [part.start, part.stop], "weight": part.weight}
            for part in self.parts
        ]
        return {"name": self.name, "parts": parts}

    def check(self, objects: Any, name: str = "objects", width: int | None = None) -> Batch:
        """Also raises InvalidInputError when a part reaches beyond the last column or refuses its columns."""
        batch = super().check(objects, name, width)
        rows = dense_view(batch, np.float32)
        needed = max(part.stop for part in self.parts)
        if rows.shape[1] < needed:
            raise InvalidInputError(f"{name}: expected at least {needed} dimensions per vector, got {rows.shape[1]}")
        for part in self.parts:
            part.metric.check(rows[:, part.start : part.stop], f"{name}, columns {part.start}:{part.stop}")
        return batch

    def distances(self, query: Batch, objects: Batch) -> NDArray[np.float64]:
        """See `Metric.distances`."""
        check_pair(self.kind, query, objects)
        row: NDArray[np.float64] = self.exact_pairwise(query, objects)[0]
        return row

    def exact_pairwise(self, left: Batch, right: Batch) -> NDArray[np.float64]:
        """See `Metric.exact_pairwise`."""
        x, y = dense_view(left, np.float32), dense_view(right, np.float32)
        needed = max(part.stop for part in self.parts)
        if x.shape[1] != y.shape[1] or x.shape[1] < needed:
            raise InvalidInputError(
                f"weighted: expected vectors of one dimension >= {needed}, got {x.shape[1]} and {y.shape[1]}"
            )
        total: NDArray[np.float64] = np.zeros((len(x), len(y)))
        for part in self.parts:
            columns = slice(part.start, part.stop)
            total += part.weight * part.metric.exact_pairwise(x[:, columns], y[:, columns])
        return total
