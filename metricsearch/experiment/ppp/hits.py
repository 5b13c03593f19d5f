"""Where candidates that sketches put in order reach the neighbours: more are ranked than are wanted of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metricsearch.evaluation import NEVER


@dataclass(frozen=True, slots=True, eq=False)
class Reordered:
    """A query's objects by rank and by sketches: R candidates are the first by sketches of the S(R) first by rank.

    n_compared: (m,) S(R) for R = 1..m, ascending. ids: (S(m),) ascending. order: (S(m),) place of each by sketches,
    from 0. ranks: (S(m),) in the order of the sketches, place of each by rank, from 1.
    """

    n_compared: NDArray[np.int64]
    ids: NDArray[np.int64]
    order: NDArray[np.int64]
    ranks: NDArray[np.int64]

    @classmethod
    def of(cls, ranked: NDArray[np.int64], sketched: NDArray[np.int64], n_compared: NDArray[np.int64]) -> "Reordered":
        """ranked, sketched: the same S(m) ids in either order."""
        by_rank, by_sketch = np.argsort(ranked), np.argsort(sketched)
        ranks = np.empty(len(ranked), dtype=np.int64)
        ranks[by_sketch] = by_rank + 1
        return cls(n_compared, ranked[by_rank], by_sketch, ranks)

    def candidate_at(self, object_id: int) -> NDArray[np.bool_]:
        """(m,) whether an object is among the R candidates, for R = 1..m."""
        i = int(np.searchsorted(self.ids, object_id))
        if i == len(self.ids) or self.ids[i] != object_id:
            return np.zeros(len(self.n_compared), dtype=bool)
        order = int(self.order[i])
        nearer = np.sort(self.ranks[:order])  # of those that the sketches prefer
        n_nearer = np.searchsorted(nearer, self.n_compared, side="right")
        sizes = np.arange(1, len(self.n_compared) + 1)
        return np.asarray((self.ranks[order] <= self.n_compared) & (n_nearer < sizes))


def reordered_hit_positions(lists: Reordered, right: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """As `hit_positions`: (k,) the smallest R from which on, up to the largest, 1, 2, ..., k hits are candidates.

    Larger candidate sets need not hold the smaller ones: more objects are compared for them, and one more may push out
    a hit. A set counts only what all larger ones hold too, so that no recall is overstated.
    """
    hits = np.sum([lists.candidate_at(int(one)) for one in right], axis=0)
    lasting = np.minimum.accumulate(hits[::-1])[::-1]
    positions = np.searchsorted(lasting, np.arange(1, k + 1)) + 1
    return np.where(positions > len(hits), NEVER, positions).astype(np.int64)
