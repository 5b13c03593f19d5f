"""faiss: flat scan, inverted lists with vectors, product-quantised and RaBitQ codes, scans of codes, HNSW."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import TRAINING_ROWS, Peer, check_divisor, check_flag, row_chunks, training_rows, without_padding

from metricsearch.bench.method import Found, Memory
from metricsearch.errors import InvalidInputError
from metricsearch.spaces import BITS, Batch, Metric
from metricsearch.validation import check_integer, check_positive

BITS_OF_BYTE = 8
CODE_CENTROIDS = 256  # of a code book of one byte
DEFAULT_QUERY_BITS = 8


class FaissIndex(Peer):
    """An index of faiss. Angles are searched as Euclidean distances of unit vectors, which order objects alike."""

    distribution, module = "faiss-cpu", "faiss"
    metrics = {"euclidean": "METRIC_L2", "angular": "METRIC_L2"}
    n_train = TRAINING_ROWS
    min_objects = 1  # that training needs

    @abstractmethod
    def make(self, dimension: int) -> Any:
        """An untrained index of vectors of so many dimensions. Raises InvalidInputError."""

    def build(self, objects: Batch) -> None:
        """See `Method.build`. Raises InvalidInputError for too few objects, or where dimensions do not fit."""
        self.start(objects)
        if self.n_objects < self.min_objects:
            raise InvalidInputError(
                f"objects: {type(self).__name__} trains on at least {self.min_objects}, got {self.n_objects}"
            )
        index = self.make(objects.shape[1])
        if not index.is_trained:
            index.train(self.rows(training_rows(objects, self.n_train, self.seed)))
        self._empty_bytes = self._written_bytes(index)
        for _, rows in row_chunks(objects):
            index.add(self.rows(rows))
        self.index = index

    def find(self, query: Batch, n: int) -> Found:
        """See `Method.find`. Distances to centres of lists and of code books and to nodes of the graph count.

        Comparisons of codes do not, as those of permutations do not among ours.
        """
        limit = self.limit(n)
        self._reset_counters()
        _, ids = self.index.search(self.rows(query), limit)
        return without_padding(ids, self._n_distances())

    def find_all(self, queries: Batch, n: int) -> list[NDArray[np.int64]]:
        """See `Method.find_all`."""
        limit = self.limit(n)
        _, ids = self.index.search(self.rows(queries), limit)
        return [without_padding(row).ids for row in ids]

    def set_threads(self, n_threads: int) -> None:
        """See `Method.set_threads`."""
        self.library.omp_set_num_threads(n_threads)

    def memory(self) -> Memory:
        """As serialised: what is written of the trained index while empty is fixed, what objects add is theirs.

        A table of IVF-PQ that is computed, not written, is fixed too.
        """
        self.limit(1)
        objects_bytes = self._written_bytes(self.index) - self._empty_bytes
        return Memory(objects=objects_bytes, fixed=self._empty_bytes + self._table_bytes())

    def save(self, folder: Path) -> bool:
        """See `Method.save`."""
        self.limit(1)
        self._write(self.index, str(folder / "index.faiss"))
        return True

    def _write(self, index: Any, target: Any) -> None:
        write = self.library.write_index_binary if self.metric.kind is BITS else self.library.write_index
        write(index, target)

    def _written_bytes(self, index: Any) -> int:
        """Bytes of the index as written, counted without keeping them."""
        written = 0

        def count(data: bytes) -> None:
            nonlocal written
            written += len(data)

        writer = self.library.PyCallbackIOWriter(count)
        self._write(index, writer)
        del writer  # hands on what it still holds
        return written

    def _table_bytes(self) -> int:
        """Bytes of tables that are in memory but not written."""
        return 0

    def _reset_counters(self) -> None:
        """Before a query whose distances are counted."""

    def _n_distances(self) -> int:
        """Of the last query; a scan of vectors looks at all objects."""
        return self.n_objects


class Flat(FaissIndex):
    """Exhaustive scan of the vectors, or bit strings, in memory: exact."""

    metrics = {
        "euclidean": "METRIC_L2",
        "angular": "METRIC_L2",
        "manhattan": "METRIC_L1",
        "chebyshev": "METRIC_Linf",
        "jensen_shannon": "METRIC_JensenShannon",  # the divergence; its root, ours, orders alike
        "hamming": None,
    }

    def make(self, dimension: int) -> Any:
        """See `FaissIndex.make`."""
        if self.metric.kind is BITS:
            return self.library.IndexBinaryFlat(8 * dimension)
        return self.library.IndexFlat(dimension, getattr(self.library, self.space))

    def rows(self, batch: Batch) -> NDArray[Any]:
        """See `Peer.rows`; bit strings as they are."""
        return np.ascontiguousarray(batch) if self.metric.kind is BITS else super().rows(batch)


class HNSW(FaissIndex):
    """Hierarchical navigable small world graph over the vectors in memory.

    n_links: links of a node (M; twice as many on the lowest level). ef_construction: nodes kept while linking.
    Query: ef, nodes kept while searching.
    """

    metrics = {name: space for name, space in Flat.metrics.items() if space is not None}

    def __init__(self, metric: Metric, seed: int, *, n_links: int = 16, ef_construction: int = 200) -> None:
        super().__init__(metric, seed)
        self.n_links = check_integer(n_links, "n_links", 2)
        self.ef_construction = check_positive(ef_construction, "ef_construction")
        self.ef = 64

    def make(self, dimension: int) -> Any:
        """See `FaissIndex.make`."""
        index = self.library.IndexHNSWFlat(dimension, self.n_links, getattr(self.library, self.space))
        index.hnsw.efConstruction = self.ef_construction
        index.hnsw.rng = self.library.RandomGenerator(self.seed)
        index.hnsw.efSearch = self.ef
        return index

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        self.ef = check_positive(self.parameters(parameters, ef=64)["ef"], "ef")
        if self.index is not None:
            self.index.hnsw.efSearch = self.ef

    def _reset_counters(self) -> None:
        self.library.cvar.hnsw_stats.reset()

    def _n_distances(self) -> int:
        return int(self.library.cvar.hnsw_stats.ndis)


class LSH(FaissIndex):
    """Scan of codes of n_bits signs: of random projections (rotated) or of the first coordinates.

    Objects are centred by their mean, without which the signs of non-negative descriptors say little.
    """

    def __init__(
        self, metric: Metric, seed: int, *, n_bits: int, rotated: bool = True, n_train: int = TRAINING_ROWS
    ) -> None:
        super().__init__(metric, seed)
        self.n_bits = check_positive(n_bits, "n_bits")
        self.rotated = check_flag(rotated, "rotated")
        self.n_train = check_positive(n_train, "n_train")

    def make(self, dimension: int) -> Any:
        """See `FaissIndex.make`."""
        if not self.rotated:
            check_integer(self.n_bits, "n_bits (not rotated)", 1, dimension)
        codes = self.library.IndexLSH(dimension, self.n_bits, self.rotated, False)
        if self.rotated:
            codes.rrot.init(self.seed)
        return self.library.IndexPreTransform(self.library.CenteringTransform(dimension), codes)

    def _n_distances(self) -> int:
        return 0


class Quantised(FaissIndex):
    """Indexes of codes, of vectors that may be reduced by PCA to `dimensions` before and then rotated."""

    def __init__(self, metric: Metric, seed: int, *, dimensions: int | None, n_train: int) -> None:
        super().__init__(metric, seed)
        self.dimensions = None if dimensions is None else check_positive(dimensions, "dimensions")
        self.n_train = check_positive(n_train, "n_train")

    def width(self, dimension: int) -> int:
        """Dimensions that the codes are made of. Raises InvalidInputError for more than there are."""
        if self.dimensions is None:
            return dimension
        return check_integer(self.dimensions, "dimensions", 1, dimension)

    def chain(self, dimension: int, rotation: Any, codes: Any) -> Any:
        """`codes` behind PCA, if told so, and behind `rotation` unless it is None."""
        pca = None if self.dimensions is None else self.library.PCAMatrix(dimension, self.dimensions)
        transforms = [transform for transform in (rotation, pca) if transform is not None]
        if not transforms:
            return codes
        index = self.library.IndexPreTransform(transforms[0], codes)
        for transform in transforms[1:]:
            index.prepend_transform(transform)
        return index


class PQ(Quantised):
    """Scan of product-quantised codes of n_bytes: a code book of 256 centroids for each byte.

    dimensions: of PCA before; None = none. rotated: by the rotation that suits the code books best (OPQ).
    n_train: objects to train on.
    """

    min_objects = CODE_CENTROIDS

    def __init__(
        self,
        metric: Metric,
        seed: int,
        *,
        n_bytes: int,
        dimensions: int | None = None,
        rotated: bool = False,
        n_train: int = TRAINING_ROWS,
    ) -> None:
        super().__init__(metric, seed, dimensions=dimensions, n_train=n_train)
        self.n_bytes, self.rotated = check_positive(n_bytes, "n_bytes"), check_flag(rotated, "rotated")

    def make(self, dimension: int) -> Any:
        """See `FaissIndex.make`."""
        width = self.width(dimension)
        codes = self.library.IndexPQ(width, check_divisor(self.n_bytes, "n_bytes", width), BITS_OF_BYTE)
        codes.pq.cp.seed = self.seed
        rotation = self.library.OPQMatrix(width, self.n_bytes) if self.rotated else None
        return self.chain(dimension, rotation, codes)

    def _n_distances(self) -> int:
        return CODE_CENTROIDS  # each byte's code book takes its part of the dimensions


class InvertedLists(Quantised):
    """Indexes that keep objects in lists, by their nearest of n_lists centres.

    Query: n_probes, lists to look into.
    """

    def __init__(self, metric: Metric, seed: int, *, n_lists: int, dimensions: int | None, n_train: int) -> None:
        super().__init__(metric, seed, dimensions=dimensions, n_train=n_train)
        self.n_lists = check_positive(n_lists, "n_lists")
        self.min_objects = max(self.min_objects, self.n_lists)
        self.lists: Any = None  # the part of `index` that has them
        self.n_probes = 1

    def make(self, dimension: int) -> Any:
        """See `FaissIndex.make`."""
        width = self.width(dimension)
        self.lists = self.make_lists(self.library.IndexFlatL2(width), width)
        self.lists.cp.seed = self.seed
        self.lists.nprobe = self.n_probes
        return self.chain(dimension, self.rotation(width), self.lists)

    @abstractmethod
    def make_lists(self, centres: Any, width: int) -> Any:
        """The untrained lists. Raises InvalidInputError."""

    def rotation(self, width: int) -> Any:
        """Of the vectors before they are quantised; None for none."""
        return None

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        self.set_probes(**self.parameters(parameters, n_probes=1))

    def set_probes(self, n_probes: int) -> None:
        """Lists to look into from now on. Raises InvalidInputError."""
        self.n_probes = check_integer(n_probes, "n_probes", 1, self.n_lists)
        if self.lists is not None:
            self.lists.nprobe = self.n_probes

    def _n_distances(self) -> int:
        return self.n_lists


class IVFFlat(InvertedLists):
    """Lists of the vectors themselves, in memory."""

    def __init__(self, metric: Metric, seed: int, *, n_lists: int, n_train: int = TRAINING_ROWS) -> None:
        super().__init__(metric, seed, n_lists=n_lists, dimensions=None, n_train=n_train)

    def make_lists(self, centres: Any, width: int) -> Any:
        """See `InvertedLists.make_lists`."""
        return self.library.IndexIVFFlat(centres, width, self.n_lists)

    def _reset_counters(self) -> None:
        self.library.cvar.indexIVF_stats.reset()

    def _n_distances(self) -> int:
        return self.n_lists + int(self.library.cvar.indexIVF_stats.ndis)


class IVFPQ(InvertedLists):
    """Lists of product-quantised codes of n_bytes; the parameters of `InvertedLists` and `PQ`."""

    min_objects = CODE_CENTROIDS

    def __init__(
        self,
        metric: Metric,
        seed: int,
        *,
        n_lists: int,
        n_bytes: int,
        dimensions: int | None = None,
        rotated: bool = False,
        n_train: int = TRAINING_ROWS,
    ) -> None:
        super().__init__(metric, seed, n_lists=n_lists, dimensions=dimensions, n_train=n_train)
        self.n_bytes, self.rotated = check_positive(n_bytes, "n_bytes"), check_flag(rotated, "rotated")

    def make_lists(self, centres: Any, width: int) -> Any:
        """See `InvertedLists.make_lists`."""
        n_bytes = check_divisor(self.n_bytes, "n_bytes", width)
        lists = self.library.IndexIVFPQ(centres, width, self.n_lists, n_bytes, BITS_OF_BYTE)
        lists.pq.cp.seed = self.seed
        return lists

    def _n_distances(self) -> int:
        n_tables = 1 if self._table_bytes() else self.n_probes  # what is not computed before is computed per list
        return self.n_lists + CODE_CENTROIDS * n_tables

    def rotation(self, width: int) -> Any:
        """See `InvertedLists.rotation`."""
        return self.library.OPQMatrix(width, self.n_bytes) if self.rotated else None

    def _table_bytes(self) -> int:
        return int(self.lists.precomputed_table.size()) * np.dtype(np.float32).itemsize


class IVFRaBitQ(InvertedLists):
    """Lists of RaBitQ codes: one bit per dimension and 8 bytes of factors; vectors are rotated at random.

    Query: n_probes; n_query_bits, to which the query is quantised, 0 for not at all.
    """

    def __init__(
        self, metric: Metric, seed: int, *, n_lists: int, dimensions: int | None = None, n_train: int = TRAINING_ROWS
    ) -> None:
        super().__init__(metric, seed, n_lists=n_lists, dimensions=dimensions, n_train=n_train)
        self.n_query_bits = DEFAULT_QUERY_BITS

    def make_lists(self, centres: Any, width: int) -> Any:
        """See `InvertedLists.make_lists`."""
        lists = self.library.IndexIVFRaBitQ(centres, width, self.n_lists)
        lists.qb = self.n_query_bits
        return lists

    def rotation(self, width: int) -> Any:
        """See `InvertedLists.rotation`."""
        rotation = self.library.RandomRotationMatrix(width, width)
        rotation.init(self.seed)
        return rotation

    def set_query(self, **parameters: Any) -> None:
        """See `Method.set_query`."""
        given = self.parameters(parameters, n_probes=1, n_query_bits=DEFAULT_QUERY_BITS)
        self.n_query_bits = check_integer(given["n_query_bits"], "n_query_bits", 0, 8)
        self.set_probes(given["n_probes"])
        if self.lists is not None:
            self.lists.qb = self.n_query_bits
