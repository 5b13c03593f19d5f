"""PyNNDescent: a graph of nearest neighbours, found by descent, searched from a random projection tree."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Peer, without_padding

from metricsearch.bench.method import Found, Memory
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import Batch, Metric
from metricsearch.validation import check_integer

DEFAULT_EPSILON = 0.1


class PyNNDescent(Peer):
    """n_neighbours: of a node in the graph that is built. Query: epsilon >= 0, how far the search strays.

    It can be written by pickle only, and so is not.
    """

    compiles = True
    distribution, module = "pynndescent", "pynndescent"
    metrics = {
        "euclidean": "euclidean",
        "manhattan": "manhattan",
        "chebyshev": "chebyshev",
        "angular": "cosine",  # orders objects alike
        "jensen_shannon": "jensen_shannon",
    }

    def __init__(self, metric: Metric, seed: int, *, n_neighbours: int = 30) -> None:
        super().__init__(metric, seed)
        self.n_neighbours = check_integer(n_neighbours, "n_neighbours", 2)
        self.n_threads = 1
        self.set_query()

    def build(self, objects: Batch) -> None:
        """See `Method.build`. Raises InvalidInputError unless there are more objects than n_neighbours."""
        self.start(objects)
        if self.n_objects <= self.n_neighbours:
            raise InvalidInputError(
                f"objects: PyNNDescent needs more than n_neighbours={self.n_neighbours}, got {self.n_objects}"
            )
        index = self.library.NNDescent(
            np.ascontiguousarray(objects, dtype=np.float32),
            metric=self.space,
            n_neighbors=self.n_neighbours,
            random_state=self.seed,
            n_jobs=self.n_threads,
            compressed=True,
        )
        index.prepare()
        self.index = index

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        return Found(self.find_all(query, n)[0])

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        limit = self.limit(n)
        ids, distances = self.index.query(np.asarray(queries), k=limit, epsilon=self.epsilon)
        # what fills up has no finite distance, and the ID of some object once the order of nodes is undone
        return [without_padding(row[finite]).ids for row, finite in zip(ids, np.isfinite(distances), strict=True)]

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        epsilon = self.parameters(parameters, epsilon=DEFAULT_EPSILON)["epsilon"]
        if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not epsilon >= 0:
            raise InvalidInputError(f"epsilon: expected a number >= 0, got {epsilon!r}")
        self.epsilon = float(epsilon)

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`; for building, as queries run on one thread."""
        self.n_threads = n_threads

    def memory(self) -> Memory:
        """Bytes of the arrays that a prepared index keeps: vectors, graph, tree, order of nodes."""
        self.limit(1)
        graph = self.index._search_graph
        arrays = [self.index._raw_data, self.index._vertex_order, graph.data, graph.indices, graph.indptr]
        arrays += [part for tree in self.index._search_forest for part in tree]
        return Memory(objects=sum(part.nbytes for part in arrays if isinstance(part, np.ndarray)), fixed=0)
