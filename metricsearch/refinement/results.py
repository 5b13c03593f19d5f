"""What a search returns: neighbours, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Neighbours of one query: ids (k',) int64 and distances (k',) float64, nearest first, ties by ID.

    costs: the values of `QueryStats` for this query.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    costs: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryStats:
    """Costs of each query; every array has one entry (n_ids_ranked: one row) per query.

    n_ids_ranked: (n_queries, n_spaces) IDs read in each space (probe depth). n_pivot_distances, n_candidates,
    n_objects_read, n_bytes_read, n_distances (pivots and candidates together). rank_ms: pivot distances, ranking
    and aggregation. read_ms, refine_ms: reading objects and computing distances, summed over threads. They overlap
    with ranking, so total_ms (wall time of the query) may be less than the sum.
    """

    n_ids_ranked: NDArray[np.int64]
    n_pivot_distances: NDArray[np.int64]
    n_candidates: NDArray[np.int64]
    n_objects_read: NDArray[np.int64]
    n_bytes_read: NDArray[np.int64]
    n_distances: NDArray[np.int64]
    rank_ms: NDArray[np.float64]
    read_ms: NDArray[np.float64]
    refine_ms: NDArray[np.float64]
    total_ms: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Neighbours of many queries, nearest first, ties by ID; k' = min(k, number of objects).

    ids: (n_queries, k') int64. distances: (n_queries, k') float64, in units of the metric. stats: see QueryStats.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    stats: QueryStats

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> Self:
        """The result of at least one query; all answers are equally long."""
        stats = {name: np.array([answer.costs[name] for answer in answers]) for name in answers[0].costs}
        ids, distances = (np.stack([getattr(answer, name) for answer in answers]) for name in ("ids", "distances"))
        return cls(ids, distances, QueryStats(**stats))
