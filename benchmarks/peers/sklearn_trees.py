"""scikit-learn: exact kd-tree and ball tree over vectors in memory (as float64)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Peer

from metricsearch.bench.method import Found, Memory
from metricsearch.spaces import Batch, Metric
from metricsearch.validation import check_positive

NAMES = {"euclidean": "euclidean", "angular": "euclidean", "manhattan": "manhattan", "chebyshev": "chebyshev"}


class _Tree(Peer):
    """An exact tree with about leaf_size objects in a leaf. It uses one thread.

    Angles are searched as Euclidean distances of unit vectors, which order objects alike.
    """

    distribution, module = "scikit-learn", "sklearn.neighbors"
    metrics = NAMES

    def __init__(self, metric: Metric, seed: int, *, leaf_size: int = 40) -> None:
        super().__init__(metric, seed)
        self.leaf_size = check_positive(leaf_size, "leaf_size")

    def build(self, objects: Batch) -> None:
        """See `Method.build`."""
        self.start(objects)
        tree: Any = getattr(self.library, type(self).__name__)
        self.index = tree(self.rows(objects), leaf_size=self.leaf_size, metric=self.space)

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        limit = self.limit(n)
        self.index.reset_n_calls()
        ids = self.index.query(self.rows(query), limit, return_distance=False)
        return Found(np.asarray(ids[0], dtype=np.int64), int(self.index.get_n_calls()))

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        limit = self.limit(n)
        return list(self.index.query(self.rows(queries), limit, return_distance=False).astype(np.int64))

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`; the trees know no threads."""

    def memory(self) -> Memory:
        """Bytes of the arrays of the tree: objects, their numbers, nodes."""
        self.limit(1)
        return Memory(objects=sum(np.asarray(array).nbytes for array in self.index.get_arrays()), fixed=0)


class KDTree(_Tree):
    """kd-tree; see `_Tree`."""


class BallTree(_Tree):
    """Ball tree; see `_Tree`."""
