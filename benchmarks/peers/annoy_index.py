"""Annoy: a forest of random projection trees over vectors in memory."""

from pathlib import Path
from typing import Any

import numpy as np
from peer import Peer, folder_bytes, temporary_folder

from metricsearch.bench.method import Found, Memory
from metricsearch.spaces import BITS, Batch, Metric
from metricsearch.validation import check_positive


class Annoy(Peer):
    """n_trees trees. Query: search_k, nodes to look at; None = n_trees times the objects asked for.

    Bit strings are given as numbers 0 and 1, as Annoy wants them.
    """

    distribution, module = "annoy", "annoy"
    metrics = {"euclidean": "euclidean", "angular": "angular", "manhattan": "manhattan", "hamming": "hamming"}

    def __init__(self, metric: Metric, seed: int, *, n_trees: int = 10) -> None:
        super().__init__(metric, seed)
        self.n_trees = check_positive(n_trees, "n_trees")
        self.search_k = -1
        self.n_threads = 1

    def build(self, objects: Batch) -> None:
        """See `Method.build`."""
        self.start(objects)
        index = self.library.AnnoyIndex(len(self.row(objects[:1])), self.space)
        index.set_seed(self.seed)
        for i in range(len(objects)):
            index.add_item(i, self.row(objects[i : i + 1]))
        index.build(self.n_trees, n_jobs=self.n_threads)
        self.index = index

    def row(self, one: Batch) -> list[Any]:
        """The values of a batch of one object, as a list: Annoy takes them one by one, slowly from an array."""
        values = np.unpackbits(one[0]) if self.metric.kind is BITS else one[0]
        return values.tolist()

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        limit = self.limit(n)
        ids = self.index.get_nns_by_vector(self.row(query), limit, search_k=self.search_k)
        return Found(np.array(ids, dtype=np.int64))

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        search_k = self.parameters(parameters, search_k=None)["search_k"]
        self.search_k = -1 if search_k is None else check_positive(search_k, "search_k")

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`; for building, as Annoy has no search by threads."""
        self.n_threads = n_threads

    def memory(self) -> Memory:
        """All nodes, as they are written."""
        self.limit(1)
        with temporary_folder() as folder:
            self.save(folder)
            return Memory(objects=folder_bytes(folder), fixed=0)

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        self.limit(1)
        self.index.save(str(folder / "index.ann"), prefault=True)  # Annoy goes on with the mapped file
        return True
