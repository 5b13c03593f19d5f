"""hnswlib: hierarchical navigable small world graph over vectors in memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Peer, row_chunks

from metricsearch.bench.method import Found, Memory
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import Batch, Metric
from metricsearch.validation import check_integer, check_positive

DEFAULT_EF = 64


class Hnswlib(Peer):
    """n_links: links of a node (M). ef_construction: nodes kept while linking. Query: ef, nodes kept while searching.

    Angles are searched as Euclidean distances of unit vectors, which order objects alike.
    """

    distribution, module = "hnswlib", "hnswlib"
    metrics = {"euclidean": "l2", "angular": "l2"}

    def __init__(self, metric: Metric, seed: int, *, n_links: int = 16, ef_construction: int = 200) -> None:
        super().__init__(metric, seed)
        self.n_links = check_integer(n_links, "n_links", 2)
        self.ef_construction = check_positive(ef_construction, "ef_construction")
        self.ef = DEFAULT_EF
        self.n_threads = 1

    def build(self, objects: Batch) -> None:
        """See `Method.build`."""
        self.start(objects)
        index = self.library.Index(space=self.space, dim=objects.shape[1])
        index.init_index(
            max_elements=self.n_objects,
            M=self.n_links,
            ef_construction=self.ef_construction,
            random_seed=self.seed,
        )
        for start, rows in row_chunks(objects):
            index.add_items(self.rows(rows), np.arange(start, start + len(rows)), num_threads=self.n_threads)
        index.set_ef(self.ef)
        self.index = index

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`. Raises InvalidInputError where ef is too small to find so many."""
        return Found(self.ask(query, n)[0])

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        return list(self.ask(queries, n))

    def ask(self, queries: Batch, n: int) -> NDArray[np.int64]:
        """(q, n) int64 IDs."""
        limit = self.limit(n)
        try:
            ids, _ = self.index.knn_query(self.rows(queries), limit, num_threads=self.n_threads)
        except RuntimeError:
            raise InvalidInputError(
                f"Hnswlib: the graph reaches fewer than {limit} objects from a query; raise n_links or ef"
            ) from None
        return np.asarray(ids, dtype=np.int64)

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        self.ef = check_positive(self.parameters(parameters, ef=DEFAULT_EF)["ef"], "ef")
        if self.index is not None:
            self.index.set_ef(self.ef)

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`."""
        self.n_threads = n_threads

    def memory(self) -> Memory:
        """Vectors and links as they would be written."""
        self.limit(1)
        return Memory(objects=self.index.index_file_size(), fixed=0)

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        self.limit(1)
        self.index.save_index(str(folder / "index.bin"))
        return True
