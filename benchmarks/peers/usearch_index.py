"""usearch: hierarchical navigable small world graph over vectors or bit strings in memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import Peer, row_chunks

from metricsearch.bench.method import Found, Memory
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import BITS, Batch, Metric
from metricsearch.validation import check_choice, check_integer, check_positive

DEFAULT_EF = 64
PRECISIONS = ("f32", "f16", "bf16", "i8")


class USearch(Peer):
    """n_links: links of a node (connectivity). ef_construction: nodes kept while linking. precision: of the vectors
    kept, one of PRECISIONS (i8 for angles only). Query: ef, nodes kept while searching.

    Angles are searched as cosine distances, which order objects alike.
    """

    distribution, module = "usearch", "usearch.index"
    metrics = {"euclidean": "l2sq", "angular": "cos", "hamming": "hamming"}

    def __init__(
        self, metric: Metric, seed: int, *, n_links: int = 16, ef_construction: int = 128, precision: str = "f32"
    ) -> None:
        super().__init__(metric, seed)
        self.n_links = check_integer(n_links, "n_links", 2)
        self.ef_construction = check_positive(ef_construction, "ef_construction")
        self.precision = check_choice(precision, "precision", PRECISIONS)
        if precision == "i8" and metric.name == "euclidean":  # it cuts values off at 1
            raise InvalidInputError("precision: i8 is for angles only, as it keeps values in -1..1")
        self.ef = DEFAULT_EF
        self.n_threads = 1

    def build(self, objects: Batch) -> None:
        """See `Method.build`."""
        self.start(objects)
        bits = self.metric.kind is BITS
        index = self.library.Index(
            ndim=objects.shape[1] * (8 if bits else 1),
            metric=self.space,
            dtype="b1" if bits else self.precision,
            connectivity=self.n_links,
            expansion_add=self.ef_construction,
            expansion_search=self.ef,
        )
        for start, rows in row_chunks(objects):
            index.add(np.arange(start, start + len(rows)), self.rows(rows), threads=self.n_threads)
        self.index = index

    def rows(self, batch: Batch) -> NDArray[Any]:
        """See `Peer.rows`; bit strings as they are."""
        return np.ascontiguousarray(batch) if self.metric.kind is BITS else super().rows(batch)

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        limit = self.limit(n)
        matches = self.index.search(self.rows(query)[0], limit, threads=1)
        return Found(np.asarray(matches.keys, dtype=np.int64), int(matches.computed_distances))

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        limit = self.limit(n)
        matches = self.index.search(self.rows(queries), limit, threads=self.n_threads)
        keys = np.asarray(matches.keys, dtype=np.int64).reshape(len(queries), -1)
        counts = getattr(matches, "counts", np.full(len(queries), keys.shape[1]))  # one query has none
        return [row[:count] for row, count in zip(keys, counts, strict=True)]

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        self.ef = check_positive(self.parameters(parameters, ef=DEFAULT_EF)["ef"], "ef")
        if self.index is not None:
            self.index.expansion_search = self.ef

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`."""
        self.n_threads = n_threads

    def memory(self) -> Memory:
        """Vectors and links as they would be written; what is held in reserve is not counted."""
        self.limit(1)
        return Memory(objects=int(self.index.serialized_length), fixed=0)

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        self.limit(1)
        self.index.save(str(folder / "index.usearch"))
        return True
