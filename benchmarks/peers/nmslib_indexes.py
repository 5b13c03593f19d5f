"""nmslib: NAPP (Tellez, Chávez, Navarro), the VP-tree and the full scan, over vectors, strings, bit strings and sets.

The Python package has no signature quadratic form distance, no Hausdorff distance and no distances of one's own.
Its wheels on PyPI are compiled without SSE and AVX, as it says when imported; built from source, vectors go faster.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from peer import Peer, check_flag, folder_bytes, temporary_folder

from metricsearch.bench.method import Found, Memory
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import BITS, STRINGS, VECTORS, Batch, Metric
from metricsearch.validation import check_integer, check_positive

OBJECT_HEADER_BYTES = 24  # pointer, ID, label, length
POSTING_BYTES = 4
NO_LIMIT = 2**31 - 1
LARGEST_SYMBOL = 127  # strings are compared byte by byte


class NmslibIndex(Peer):
    """An index of nmslib, which keeps all objects in memory. It takes no seed: pivots are drawn anew in every run."""

    distribution, module = "nmslib", "nmslib"
    # space, type of its distances
    metrics = {
        "euclidean": ("l2", "FLOAT"),
        "manhattan": ("l1", "FLOAT"),
        "chebyshev": ("linf", "FLOAT"),
        "angular": ("angulardist", "FLOAT"),
        "jensen_shannon": ("jsmetrfast", "FLOAT"),
        "levenshtein": ("leven", "INT"),
        "hamming": ("bit_hamming", "INT"),
        "jaccard": ("jaccard_sparse", "FLOAT"),
    }
    method: ClassVar[str]

    def __init__(self, metric: Metric, seed: int) -> None:
        super().__init__(metric, seed)
        self.n_threads = 1

    def build(self, objects: Batch) -> None:
        """See `Method.build`. Raises InvalidInputError for strings that are empty or not ASCII, and for empty sets."""
        self.start(objects)
        space, distance = self.space
        vectors = self.metric.kind is VECTORS
        index = self.library.init(
            space=space,
            method=self.method,
            data_type=self.library.DataType.DENSE_VECTOR if vectors else self.library.DataType.OBJECT_AS_STRING,
            dtype=getattr(self.library.DistType, distance),
        )
        index.addDataPointBatch(self.as_given(objects))
        index.createIndex(self.build_parameters())
        self.index = index
        self.row_bytes = 4 * objects.shape[1] * (2 if space == "jsmetrfast" else 1) if vectors else None
        self.apply_query()

    def build_parameters(self) -> dict[str, int]:
        """What `createIndex` takes. Raises InvalidInputError where the objects are too few."""
        return {}

    def apply_query(self) -> None:
        """Hand the parameters of the search to the index."""

    def as_given(self, batch: Batch) -> Any:
        """Vectors as an array, all else as texts in the form that the space reads."""
        kind = self.metric.kind
        if kind is VECTORS:
            return np.ascontiguousarray(batch, dtype=np.float32)
        if kind is BITS:
            return [" ".join(map(str, row)) for row in np.unpackbits(batch, axis=1).tolist()]
        empty = np.flatnonzero(np.diff(batch.offsets) == 0)
        if empty.size:
            raise InvalidInputError(f"objects: nmslib takes no empty {kind.name}; row {empty[0]} is empty")
        if kind is STRINGS:
            if batch.values.size and batch.values.max() > LARGEST_SYMBOL:
                raise InvalidInputError("objects: nmslib compares strings byte by byte; expected ASCII only")
            return [kind.to_user(batch, i) for i in range(len(batch))]
        return [" ".join(map(str, batch[i : i + 1].values.tolist())) for i in range(len(batch))]

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        return Found(self.ask(query, self.limit(n)))

    def ask(self, query: Batch, n: int) -> NDArray[np.int64]:
        """IDs of the n nearest objects found."""
        ids, _ = self.index.knnQuery(self.as_given(query)[0], k=n)
        return np.asarray(ids, dtype=np.int64)

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        limit = self.limit(n)
        answers = self.index.knnQueryBatch(self.as_given(queries), k=limit, num_threads=self.n_threads)
        return [np.asarray(ids, dtype=np.int64) for ids, _ in answers]

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`."""
        self.n_threads = n_threads

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        self.limit(1)
        self.index.saveIndex(str(folder / "index"), save_data=True)
        return True

    def objects_bytes(self) -> int:
        """Bytes of the objects in memory; those of texts are counted in the file that nmslib writes of them."""
        if self.row_bytes is not None:
            return self.n_objects * (self.row_bytes + OBJECT_HEADER_BYTES)
        with temporary_folder() as folder:
            self.save(folder)
            return (folder / "index.dat").stat().st_size


class NAPP(NmslibIndex):
    """Lists of the objects that have a pivot among their n_indexed nearest; objects that share pivots are compared.

    Query: n_searched pivots of the query (None = n_indexed), min_shared of them that a compared object has;
    counts_distances: ask for all compared objects, to count them (the answer is the same, ordering them costs time).
    """

    method = "napp"

    def __init__(self, metric: Metric, seed: int, *, n_pivots: int = 512, n_indexed: int = 32) -> None:
        super().__init__(metric, seed)
        self.n_pivots = check_positive(n_pivots, "n_pivots")
        self.n_indexed = check_integer(n_indexed, "n_indexed", 1, self.n_pivots)
        self.set_query()

    def build_parameters(self) -> dict[str, int]:
        """See `NmslibIndex.build_parameters`."""
        if self.n_objects < self.n_pivots:
            raise InvalidInputError(f"objects: NAPP needs as many as its {self.n_pivots} pivots, got {self.n_objects}")
        return {"numPivot": self.n_pivots, "numPivotIndex": self.n_indexed, "indexThreadQty": self.n_threads}

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        given = self.parameters(parameters, n_searched=None, min_shared=1, counts_distances=False)
        n_searched = self.n_indexed if given["n_searched"] is None else given["n_searched"]
        self.n_searched = check_integer(n_searched, "n_searched", 1, self.n_pivots)
        self.min_shared = check_integer(given["min_shared"], "min_shared", 1, self.n_searched)
        self.counts_distances = check_flag(given["counts_distances"], "counts_distances")
        if self.index is not None:
            self.apply_query()

    def apply_query(self) -> None:
        """See `NmslibIndex.apply_query`.

        numPivotSearch is the number of pivots to share, whatever its name says; its synonym minTimes is ignored, as
        are all unknown parameters.
        """
        self.index.setQueryTimeParams({"numPrefixSearch": self.n_searched, "numPivotSearch": self.min_shared})

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        if not self.counts_distances:
            return super().find(query, n)
        limit = self.limit(n)
        compared = self.ask(query, self.n_objects)
        return Found(compared[:limit], self.n_pivots + compared.size)

    def memory(self) -> Memory:
        """Objects with their postings of 4 bytes; pivots are references to objects."""
        self.limit(1)
        postings = POSTING_BYTES * self.n_indexed * self.n_objects
        return Memory(objects=self.objects_bytes() + postings, fixed=8 * self.n_pivots)


class VPTree(NmslibIndex):
    """Vantage-point tree with at most bucket_size objects in a leaf; exact unless told otherwise.

    Query: max_leaves to visit, None = as many as it takes; stretch_left and stretch_right, factors of the distance
    from the boundary by which branches are left out, 1 = exact (alpha of nmslib).
    """

    method = "vptree"

    def __init__(self, metric: Metric, seed: int, *, bucket_size: int = 50) -> None:
        super().__init__(metric, seed)
        self.bucket_size = check_positive(bucket_size, "bucket_size")
        self.set_query()

    def build_parameters(self) -> dict[str, int]:
        """See `NmslibIndex.build_parameters`."""
        return {"bucketSize": self.bucket_size}

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        given = self.parameters(parameters, max_leaves=None, stretch_left=1.0, stretch_right=1.0)
        leaves = NO_LIMIT if given["max_leaves"] is None else check_positive(given["max_leaves"], "max_leaves")
        for name in ("stretch_left", "stretch_right"):
            if isinstance(given[name], bool) or not isinstance(given[name], int | float) or not given[name] >= 1:
                raise InvalidInputError(f"{name}: expected a number >= 1, got {given[name]!r}")
        self.query_parameters = {
            "maxLeavesToVisit": leaves,
            "alphaLeft": float(given["stretch_left"]),
            "alphaRight": float(given["stretch_right"]),
        }
        if self.index is not None:
            self.apply_query()

    def apply_query(self) -> None:
        """See `NmslibIndex.apply_query`."""
        self.index.setQueryTimeParams(self.query_parameters)

    def memory(self) -> Memory:
        """Objects twice, as the leaves hold copies, and the tree as written."""
        self.limit(1)
        with temporary_folder() as folder:
            self.index.saveIndex(str(folder / "index"), save_data=False)
            tree_bytes = folder_bytes(folder)
        return Memory(objects=2 * self.objects_bytes() + tree_bytes, fixed=0)


class BruteForce(NmslibIndex):
    """Full scan of the objects in memory: exact. Its time over n is that of one distance in nmslib.

    nmslib cannot write it.
    """

    method = "brute_force"

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`."""
        return Found(self.ask(query, self.limit(n)), self.n_objects)

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        return False

    def memory(self) -> Memory | None:
        """The vectors; unknown for texts, whose bytes nmslib tells only by writing them."""
        self.limit(1)
        return None if self.row_bytes is None else Memory(objects=self.objects_bytes(), fixed=0)
